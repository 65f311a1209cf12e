"""Fitting a body to a feature map: the objective, several starts, two stages, a status each.

The optimiser is the project's test-time optimisation: every image has a row of its own, so what
comes out for one does not depend on the others. Computed in double precision that holds to the
micrometre; in single precision rounding differs with an image's place in the batch and, as steps
are about as long as kernels are wide, grows by a half a step, until an image may end in another of
several minima of nearly the same depth. A first stage turns and moves the body as a whole,
a second one bends it. Several guesses, and the twin that is flipped in depth, are optimised beside
each other, and per image the one that explains the features best is kept. A :class:`Recorder`
keeps the course of a fit: the bodies that it would have left, had it stopped earlier.

Source: 3DNBF, arXiv 2308.10123, section 3.4, and its released code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.methods.nbf.body_pose import (
    PLACE,
    POSE,
    SHAPE,
    TURN,
    BodyPose,
    choose_bodies,
    flip_depth,
)
from lifting.methods.nbf.objective import FeatureObjective, FitModel, FitOptions
from lifting.methods.nbf.selection import RayGrid
from lifting.tto.contract import Energy, Evaluation, Latents, Status, TtoResult
from lifting.tto.optimizer import Optimiser, minimise
from lifting.typing import PerSample, Pose3D

Watch = Callable[[FeatureObjective, Latents, PerSample], None]
"""Called at the start of a stage and after each of its steps: the stage's objective, the latents
and their energies, all starts of the batch one after the other."""


class FittedBody(NamedTuple):
    """What fitting leaves of a batch.

    Attributes:
        body: The body of the best start.
        joints: Human3.6M's 17, ``(batch, 17, 3)``, mm, camera frame: those of the body, or the
            mean over all fits by their likelihood, see :class:`FitOptions`.
        evidence: Share of each joint's part that the image shows, ``(batch, joints)``.
        won: ``(batch,)`` int64, number of the start that won; the twin flipped in depth is last.
        status: ``(batch,)`` int, values of :class:`lifting.tto.contract.Status`.
        iterations: ``(batch,)`` int, steps of the start that won.
        before: Objective of the first start, ``(batch,)``.
        after: Objective of what is returned, ``(batch,)``, never above it.
    """

    body: BodyPose
    joints: Pose3D
    evidence: Tensor
    won: PerSample
    status: PerSample
    iterations: PerSample
    before: PerSample
    after: PerSample


def fit_bodies(
    model: FitModel,
    observed: Tensor,
    grid: RayGrid,
    starts: Sequence[BodyPose],
    watch: Watch | None = None,
) -> FittedBody:
    """Fit a body to each feature map.

    Args:
        model: What all images share.
        observed: Unit features, ``(batch, rays, channels)``.
        grid: The rays.
        starts: Where to start, the first guess first. Each is a measurement of its own.
        watch: Sees every iterate, and changes nothing.

    Returns:
        Never a body of a higher objective than the first start's.
    """
    options, batch = model.options, len(observed)
    given = starts[0].translation
    observed, starts = observed.to(model.bank), [start.to(model.bank) for start in starts]
    start = starts[0]
    if options.two_sided:
        starts.append(flip_depth(start, model.body.mirror))
    several = len(starts)
    every = BodyPose(*(torch.cat(parts) for parts in zip(*starts, strict=True)))
    maps, rays = observed.repeat(several, 1, 1), _repeated(grid, several)
    body, steps = every, torch.zeros(several * batch, dtype=torch.int64, device=given.device)
    for stage in _stages(options):
        wide = FeatureObjective(model, maps, rays, body, stage.coarse, guess=every)
        found = _minimise(wide, stage, watch)
        assert found.latents is not None
        body = wide.latents.decode(found.latents, wide.start)
        steps = steps + found.iterations
    objective = FeatureObjective(model, observed, grid, start)
    with torch.no_grad():
        before = objective(objective.latents.encode(start)).energy
    # The start itself is a candidate: a stage of wider kernels may have left it for a worse one.
    # A fit that did not move has its objective but for rounding, which must not decide.
    energies = torch.cat((before, found.after)).view(1 + several, batch)
    rounding = torch.finfo(energies.dtype).eps ** (2 / 3) * before.abs()
    rivals = torch.cat((before[None], energies[1:] + rounding))
    best = rivals.nan_to_num(torch.inf).argmin(0)
    bodies = BodyPose(*(of_start(torch.cat(p), best) for p in zip(start, body, strict=True)))
    sound = found.status != Status.NOT_FINITE
    finite = sound.view(several, batch)[0] & before.isfinite()
    evidence = objective.evidence(bodies)
    return FittedBody(
        body=bodies.to(given),
        joints=_joints(model, bodies, body, energies[1:], best == 0).to(given),
        evidence=evidence.to(given),
        won=(best - 1).clamp(min=0),
        status=_status(best, finite, evidence, found.behind, options),
        iterations=of_start(torch.cat((torch.zeros_like(steps[:batch]), steps)), best),
        before=before.to(given),
        after=energies.gather(0, best[None])[0].to(given),
    )


class _Stage(NamedTuple):
    steps: int
    coarse: float
    bend: bool


def _stages(options: FitOptions) -> tuple[_Stage, ...]:
    """Turn and move; bend wide kernels, if asked for; bend those of the body."""
    wide = options.second_steps // 3 if options.coarse_bend != 1 else 0
    bends = (_Stage(wide, options.coarse_bend, True),) if wide else ()
    return (
        _Stage(options.first_steps, options.coarse, False),
        *bends,
        _Stage(options.second_steps - wide, 1.0, True),
    )


def _minimise(objective: FeatureObjective, stage: _Stage, watch: Watch | None) -> TtoResult:
    """Optimise from the objective's start."""
    options = objective.model.options
    rates = {TURN: 1.0, PLACE: 1.0, POSE: 0.0, SHAPE: 0.0}
    if stage.bend:
        rates = {TURN: 1.0, PLACE: 1.0, POSE: 1.0, SHAPE: options.shape}
    optimiser = Optimiser(iterations=stage.steps, lr=options.lr, lr_scale=rates)
    start = objective.latents.encode(objective.start)
    energy = objective if watch is None else _watched(objective, watch)
    return minimise(energy, start, optimiser)


def _watched(objective: FeatureObjective, watch: Watch) -> Energy:
    def evaluate(latents: Latents) -> Evaluation:
        found = objective(latents)
        watch(objective, {k: v.detach() for k, v in latents.items()}, found.energy.detach())
        return found

    return evaluate


def _status(
    best: Tensor, finite: Tensor, evidence: Tensor, behind: Tensor, options: FitOptions
) -> Tensor:
    """How each image ended; a later state hides an earlier one."""
    status = torch.full_like(best, Status.MOVED)
    for state, holds in (
        (Status.KEPT, best == 0),
        (Status.BEHIND, behind.view(-1, len(best)).amax(0) > 0),
        (Status.UNOBSERVED, evidence.mean(-1) < options.least_evidence),
        (Status.NOT_FINITE, ~finite),
    ):
        status = torch.where(holds, torch.full_like(status, state), status)
    return status


@torch.no_grad()
def _joints(
    model: FitModel, best: BodyPose, fits: BodyPose, energies: Tensor, kept: Tensor
) -> Pose3D:
    """Joints of the best bodies, or the mean over all fits where that is asked for.

    Args:
        model: What all images share.
        best: The bodies.
        fits: Of all starts of the batch, one start after the other.
        energies: Of the fits, ``(starts, batch)``.
        kept: Images whose first start is better than every fit; its joints are theirs.
    """
    joints = model.body.kernels(*best).joints_17
    if not model.options.blend or len(energies) == 1:
        return joints
    every = model.body.kernels(*fits).joints_17.view(len(energies), *joints.shape)
    blended = _blended(every, energies, model.options.blend)
    return torch.where(kept[:, None, None], joints, blended)


def _blended(fits: Tensor, energies: Tensor, blend: float) -> Tensor:
    """Mean of fits by what is left of their likelihood; one that is not finite has no weight.

    Args:
        fits: ``(starts, batch, joints, 3)``.
        energies: ``(starts, batch)``.
        blend: What a difference of objectives is divided by.
    """
    lost = (energies - energies.amin(0)) / blend
    weights = (-lost.nan_to_num(torch.inf)).softmax(0)[..., None, None]
    return torch.where(weights > 0, weights * fits, 0.0).sum(0)


def _repeated(grid: RayGrid, copies: int) -> RayGrid:
    focal, centre = (value.repeat(copies, 1) for value in (grid.focal, grid.centre))
    return replace(grid, focal=focal, centre=centre)


def of_start(values: Tensor, which: Tensor) -> Tensor:
    """What belongs to the chosen start of each image.

    Args:
        values: Of all starts of a batch, one start after the other.
        which: ``(batch,)`` int64.
    """
    apart = values.view(-1, len(which), *values.shape[1:])
    return apart[which, torch.arange(len(which), device=which.device)]


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
            body = choose_bodies(better, body, self.held[-1])
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
            course.append(choose_bodies(kept, start, body.to(start.translation)))
        return course
