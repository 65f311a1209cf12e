"""L-BFGS with every sample on its own: memory, step length and backtracking are rows."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.tto.flat import FlatLatents
from lifting.tto.objective import Objective
from lifting.tto.step import Move
from lifting.typing import PerSample

SUFFICIENT = 1e-4
"""Part of the decrease promised by the slope that a step must bring to be taken."""
_LEAST_COSINE = 1e-4
"""Between a step and the growth of the gradient, for the step to be remembered."""


class Lbfgs:
    """Quasi-Newton steps of the latents, in units of the learning rates.

    The first step is Adam's: one learning rate against the sign of the gradient. No later step
    moves a coordinate by more. A step that does not lower a row's objective is halved, from the
    iterate before it, at the price of one evaluation. Steps are remembered where the gradient grew
    along them, so that the model is convex.

    Args:
        latents: Gives the learning rates and the rows.
        memory: Steps that are remembered.

    Source: Nocedal and Wright 2006, algorithms 7.4 and 3.1.
    """

    needs_gradient = True

    def __init__(self, latents: FlatLatents, memory: int) -> None:
        values = latents.values
        self.rates = latents.rates
        self.values = values
        self.energy = torch.full_like(values[:, 0], torch.inf)
        self.found = self.energy
        self.gradient = torch.zeros_like(values)
        self.step = torch.zeros_like(values)
        self.taken = torch.ones_like(self.energy, dtype=torch.bool)
        self.steps = values.new_zeros(memory, *values.shape)
        self.growths = torch.zeros_like(self.steps)
        self.started = False

    def judge(self, energy: PerSample) -> PerSample:
        """Where the objective fell enough."""
        promised = SUFFICIENT * (self.gradient * self.step).sum(-1)
        self.taken = energy <= self.energy + promised
        self.found = energy
        return self.taken

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate."""
        gradient = self.rates * gradient
        sound = gradient.isfinite().all(-1)
        taken = self.taken & sound
        if self.started:
            self._remember(gradient - self.gradient, taken)
        self.values = torch.where(taken[:, None], values, self.values)
        self.gradient = torch.where(taken[:, None], gradient, self.gradient)
        self.energy = torch.where(taken, self.found, self.energy)
        self.step = torch.where(taken[:, None], self._direction(), self.step / 2)
        usable = sound | self.started
        self.started = True
        return Move(self.values + self.rates * self.step, usable)

    def _remember(self, growth: Tensor, taken: PerSample) -> None:
        along = (self.step * growth).sum(-1)
        lengths = self.step.norm(dim=-1) * growth.norm(dim=-1)
        new = (taken & (along > _LEAST_COSINE * lengths))[None, :, None]
        self.steps = torch.where(new, torch.cat((self.step[None], self.steps[:-1])), self.steps)
        self.growths = torch.where(new, torch.cat((growth[None], self.growths[:-1])), self.growths)

    def _direction(self) -> Tensor:
        along = (self.steps * self.growths).sum(-1, keepdim=True)
        known = along > 0
        share = torch.where(known, 1 / along.where(known, 1.0), 0.0)
        direction = self.gradient
        parts = []
        for step, growth, rate in zip(self.steps, self.growths, share, strict=True):
            part = rate * (step * direction).sum(-1, keepdim=True)
            direction = direction - part * growth
            parts.append(part)
        square = self.growths[0].square().sum(-1, keepdim=True)
        direction = direction * along[0] / square.where(known[0], 1.0)
        memory = zip(self.steps, self.growths, share, parts, strict=True)
        for step, growth, rate, part in reversed(list(memory)):
            back = rate * (growth * direction).sum(-1, keepdim=True)
            direction = direction + (part - back) * step
        # Shortened as a whole first, so that the limit of each coordinate takes off little.
        length = direction.square().mean(-1, keepdim=True).sqrt()
        direction = (direction / length.clamp(min=1)).clamp(-1, 1)
        downhill = known[0] & ((direction * self.gradient).sum(-1, keepdim=True) > 0)
        return -torch.where(downhill, direction, self.gradient.sign())

    def keep(self, rows: Tensor, objective: Objective) -> None:
        """Go on with some rows only."""
        for name in ("values", "energy", "gradient", "step", "taken", "found"):
            setattr(self, name, getattr(self, name)[rows])
        self.steps, self.growths = self.steps[:, rows], self.growths[:, rows]
