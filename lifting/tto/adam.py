"""Adam with every sample on its own: each number of a latent has moments of its own anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.tto.flat import FlatLatents
from lifting.tto.objective import Objective
from lifting.tto.step import Move
from lifting.typing import PerSample

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Moments:
    """Adam's moments for some tensors, with bias correction.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(self, like: list[Tensor]) -> None:
        self.first = [torch.zeros_like(value) for value in like]
        self.second = [torch.zeros_like(value) for value in like]
        self.count = 0

    def steps(self, gradients: list[Tensor]) -> list[Tensor]:
        """Steps for a learning rate of one, to be subtracted."""
        self.count += 1
        least, most = (1 - beta**self.count for beta in BETAS)
        for moments, beta, powers in (
            (self.first, BETAS[0], gradients),
            (self.second, BETAS[1], [g * g for g in gradients]),
        ):
            for moment, power in zip(moments, powers, strict=True):
                moment.lerp_(power, 1 - beta)
        return [
            (m / least) / ((v / most).sqrt() + EPSILON)
            for m, v in zip(self.first, self.second, strict=True)
        ]


class Adam:
    """Adam's steps of the latents; every one is taken.

    Args:
        latents: Gives the learning rates and the shape of the moments.
    """

    needs_gradient = True

    def __init__(self, latents: FlatLatents) -> None:
        self.rates = latents.rates
        self.moments = Moments([latents.values])

    def judge(self, energy: PerSample) -> PerSample:
        """True for all."""
        return torch.ones_like(energy, dtype=torch.bool)

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate; rows whose gradient is not finite stay."""
        usable = gradient.isfinite().all(-1)
        (step,) = self.moments.steps([torch.where(usable[:, None], gradient, 0.0)])
        return Move(values - self.rates * step, usable)

    def keep(self, rows: Tensor, objective: Objective) -> None:
        """Go on with some rows only."""
        self.moments.first = [moment[rows] for moment in self.moments.first]
        self.moments.second = [moment[rows] for moment in self.moments.second]
