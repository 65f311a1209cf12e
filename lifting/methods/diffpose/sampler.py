"""The reverse process: which levels are visited, what is drawn, all hypotheses in one batch.

What is drawn comes from tables, of unit noise and of components, the same for every pose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.batch import root_relative
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.denoiser import Given, predict
from lifting.methods.diffpose.diffusion import ddim
from lifting.methods.diffpose.forward import DRAWS, Forward
from lifting.nn.hypotheses import spread
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D

NOISE, CHOICES = "noise", "choices"


class Samples(NamedTuple):
    """Hypotheses of each pose, root-relative; metres out of the network.

    Attributes:
        context: The context encoder's pose, ``(*batch, joints, 3)``.
        hypotheses: ``(hypotheses, *batch, joints, 3)``.
    """

    context: Pose3D
    hypotheses: Tensor

    def spread(self) -> PerJoint:
        """Standard deviation of one axis over at least two hypotheses, ``(*batch, joints)``."""
        return spread(self.hypotheses)


@lru_cache(maxsize=4)
def unit_noise(shape: tuple[int, ...], seed: int, device: torch.device, *, starts: bool) -> Tensor:
    """Table of unit noise, kept: its way to the device would hold every pass up.

    Args:
        shape: Start and steps first, then the hypotheses.
        seed: Seed of the table.
        device: Where it is needed.
        starts: Whether there is noise at the start.
    """
    # It outlives this call, so it must not be a tensor of inference mode, which has no gradient.
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        drawn = shape[1]
        if drawn > 1:
            # Each entry is still a unit Gaussian, but over the hypotheses they sum to zero.
            unit = (unit - unit.mean(dim=1, keepdim=True)) * math.sqrt(drawn / (drawn - 1))
        if not starts:
            unit[0] = 0
        return unit.to(device)


@lru_cache(maxsize=4)
def choices(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    """Table of numbers in [0, 1) that components are drawn by, kept as the noise is.

    Over the hypotheses they are stratified, one in each of as many equal parts, so that every
    component is drawn about as often as it weighs.

    Args:
        shape: Hypotheses along axis 1.
        seed: Seed of the table.
        device: Where it is needed.
    """
    with torch.inference_mode(False), torch.no_grad():
        # A seed of its own, since equal ones would tie the components to the noise.
        own = torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(seed))
        generator = torch.Generator().manual_seed(int(own))
        part = torch.rand(shape, generator=generator).argsort(dim=1)
        within = torch.rand(shape, generator=generator)
        return ((part + within) / shape[1]).clamp(max=1 - 2**-24).to(device)


Correction = Callable[[Pose3D, int], Pose3D | None]
"""Moves, metres, of the poses estimated at a visited step, counted from 0; None for no move."""


def student_levels(level: int, count: int) -> tuple[int, ...]:
    """Rising steps at which a student is called: the last of each of some equal parts.

    Args:
        level: R, above every step. The highest is always R - 1.
        count: Parts, at most R.
    """
    return tuple((i + 1) * level // count - 1 for i in range(count))


class Sampler:
    """What the sampling of a configuration draws, and its way from a start to a clean pose.

    Args:
        config: The switches.
        process: The forward process that is reversed.
        skeleton: Joints.
    """

    def __init__(self, config: Config, process: Forward, skeleton: Skeleton) -> None:
        self.config = config
        self.process = process
        self.skeleton = skeleton

    def noise(self, seed: int, visited: int, device: torch.device) -> Tensor:
        """Unit noise of the start and of every step, ``(1 + steps, drawn, 1, joints, channels)``.

        It is scaled like the forward noise where it is used; the released code leaves fresh noise
        unscaled.

        Args:
            seed: Seed of the table.
            visited: Steps that are visited.
            device: Where it is needed.
        """
        steps = visited if self.config.eta > 0 else 0
        shape = (1 + steps, self.config.drawn, 1, len(self.skeleton), self.process.channels)
        starts = self.config.init != "context_point"
        return unit_noise(shape, seed, device, starts=starts)

    def tables(self, seed: int, visited: int, device: torch.device) -> dict[str, Tensor]:
        """All that is drawn, the same for every pose; arguments as :meth:`noise`.

        Returns:
            ``noise``, and where there are components ``choices`` between them, numbers in [0, 1),
            ``(2, drawn, 1, joints)``.
        """
        tables = {NOISE: self.noise(seed, visited, device)}
        if self.config.has_components:
            shape = (DRAWS, self.config.drawn, 1, len(self.skeleton))
            tables[CHOICES] = choices(shape, seed, device)
        return tables

    def run(
        self,
        network: nn.Module,
        start: Tensor,
        given: Given,
        levels: Sequence[int],
        shares: Tensor,
        *,
        fresh: Tensor,
        correct: Correction | None = None,
    ) -> Tensor:
        """Clean poses, less the centre, of all hypotheses, ``(drawn, batch, joints, channels)``.

        Args:
            network: The denoiser, or a student of it.
            start: First states, less the centre, ``(drawn, batch, joints, channels)``.
            given: Of the poses; the centre may differ between hypotheses and lead with their axis.
            levels: Rising steps that are visited.
            shares: Signal shares of all steps, on the host.
            fresh: Noise of each visited step, already scaled, broadcastable to the start behind
                its first axis; none where ``eta`` is 0.
            correct: Moves the estimated pose of a step.
        """
        drawn = len(start)
        centre = given.centre.expand(start.shape).flatten(0, 1)
        every = given._replace(uv=given.uv.repeat(drawn, 1, 1), centre=centre)

        def moved(estimate: Tensor, visited: int) -> Tensor:
            assert correct is not None
            pose = root_relative((estimate + centre)[..., -3:], self.skeleton.root)
            move = correct(pose, visited)
            if move is None:
                return estimate
            return estimate + functional.pad(move, (estimate.shape[-1] - 3, 0))

        path = ddim(
            lambda x, t: predict(network, x + centre, t, every, self.config),
            start.flatten(0, 1),
            levels,
            shares,
            prediction=self.config.prediction,
            eta=self.config.eta,
            noise=[noise.flatten(0, 1) for noise in fresh],
            correct=None if correct is None else moved,
        )
        return path.states[-1].view(start.shape)
