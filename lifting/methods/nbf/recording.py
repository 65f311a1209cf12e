"""The course of a fit: the bodies that it would have left, had it stopped earlier."""

from __future__ import annotations

import torch

from lifting.methods.nbf.fitting import FittedBody, of_start
from lifting.methods.nbf.objective import FeatureObjective
from lifting.methods.nbf.rotations import BodyPose
from lifting.tto.contract import Latents, Status
from lifting.typing import PerSample


class Recorder:
    """Watches a fit, see ``fit_bodies``; the best iterate of a stage so far is what it holds.

    Attributes:
        held: Bodies of all starts, at the start of each stage and after each of its steps.
        steps: How many steps had been made.
    """

    def __init__(self) -> None:
        self.held: list[BodyPose] = []
        self.steps: list[int] = []
        self._stage: FeatureObjective | None = None
        self._best: PerSample | None = None

    @torch.no_grad()
    def __call__(self, objective: FeatureObjective, latents: Latents, energy: PerSample) -> None:
        """Take in an iterate."""
        body = objective.latents.decode(latents, objective.start)
        steps = self.steps[-1] if self.steps else 0
        if objective is self._stage and self._best is not None:
            steps += 1
            better = energy < self._best
            energy = torch.where(better, energy, self._best)
            body = _choose(better, body, self.held[-1])
        self._stage, self._best = objective, energy
        self.held.append(body)
        self.steps.append(steps)

    def course(self, start: BodyPose, found: FittedBody) -> list[BodyPose]:
        """What was held for the start that won.

        An image whose given start is the method's answer, because nothing better was found or
        because the image does not show the body, shows that start all along.

        Args:
            start: The first that the fit was given.
            found: What it answered.

        Returns:
            The given start first and the answer last; in between one for each of ``held``.
        """
        kept = (found.won == 0) & (found.iterations == 0) | (found.status >= Status.UNOBSERVED)
        course = [start]
        for every in self.held:
            body = BodyPose(*(of_start(part, found.won) for part in every))
            course.append(_choose(kept, start, body.to(start.translation)))
        return course


def _choose(which: PerSample, one: BodyPose, other: BodyPose) -> BodyPose:
    """Bodies of one for the chosen samples, of the other for the rest."""
    return BodyPose(
        *(
            torch.where(which.view(-1, *(1,) * (a.dim() - 1)), a, b)
            for a, b in zip(one, other, strict=True)
        )
    )
