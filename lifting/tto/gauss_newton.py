"""Damped Gauss-Newton steps for the objective that is a sum of lengths.

The distances from the keypoints and from the first answer are groups of residuals, and their
weighted lengths, not squares, are what the objective adds up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import ConfigError
from lifting.geometry.solver import Box, Lengths, Model, adapted, damped_step, linearise
from lifting.tto.energies import shares
from lifting.tto.flat import FlatLatents
from lifting.tto.objective import Objective
from lifting.tto.step import Move
from lifting.typing import PerSample

DAMPING = 0.1
"""Where it starts: lengths are curved in another way than the squares that stand for them."""
MOST_UNKNOWNS = 512
"""Each costs a pass for every step."""
TANGENTS = 4096
"""Rows times unknowns that are differentiated at a time, which bounds the memory."""
NEAR_SCREEN = 1e-3
"""Distance from a keypoint below which its length is rounded off, screen units: half a pixel."""
NEAR_ANCHOR = 0.5
"""The same of the distance from the first answer, expected errors."""


class GaussNewton:
    """Levenberg-Marquardt steps of the latents; those that do not lower the objective are undone.

    A step is the best one that moves no coordinate by more than its learning rate.

    Args:
        latents: Gives the learning rates and the rows.
        objective: Projection and anchor only.

    Raises:
        ConfigError: A sample has more latent numbers than can be differentiated one by one, or
            the method cannot be differentiated forward.
    """

    needs_gradient = False

    def __init__(self, latents: FlatLatents, objective: Objective) -> None:
        unknowns = latents.values.shape[1]
        if unknowns > MOST_UNKNOWNS:
            raise ConfigError(
                f"expected a latent of at most {MOST_UNKNOWNS} numbers a sample for "
                f"tto.optimizer=gauss_newton, got {unknowns}; set tto.optimizer=lbfgs or adam"
            )
        self.latents, self.objective = latents, objective
        self.values = latents.values
        self.energy = torch.full_like(self.values[:, 0], torch.inf)
        self.found = self.energy
        self.taken = torch.ones_like(self.energy, dtype=torch.bool)
        self.damping = torch.full_like(self.energy, DAMPING)
        self.started = False
        self.lengths = self._lengths()

    def judge(self, energy: PerSample) -> PerSample:
        """Where the objective fell."""
        self.found = energy
        self.taken = energy < self.energy
        return self.taken

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate; the gradient is not read."""
        self.values = torch.where(self.taken[:, None], values, self.values)
        self.energy = torch.where(self.taken, self.found, self.energy)
        if self.started:
            self.damping = adapted(self.damping, self.taken)
        self.started = True
        model = self._linearised()
        factors = self.lengths.factors(model.residuals)
        rates = self.latents.rates
        step = damped_step(model, self.damping, factors, Box(-rates, rates))
        usable = model.jacobian.isfinite().all(-1).all(-1)
        return Move(self.values + step, usable)

    def keep(self, rows: Tensor, objective: Objective) -> None:
        """Go on with some rows only."""
        self.objective = objective
        self.lengths = self._lengths()
        for name in ("values", "energy", "found", "taken", "damping"):
            setattr(self, name, getattr(self, name)[rows])

    def _linearised(self) -> Model:
        chunk = max(1, TANGENTS // len(self.values))
        try:
            return linearise(self._residuals, self.values, chunk=chunk)
        except RuntimeError as error:
            # Not an error of the method's own, such as a lack of memory.
            if not isinstance(error, NotImplementedError) and "vmap" not in str(error):
                raise
            raise ConfigError(
                "expected a method that can be differentiated forward, all directions at once, "
                f"for tto.optimizer=gauss_newton, got: {error}; set tto.optimizer=lbfgs or adam"
            ) from error

    def _residuals(self, values: Tensor) -> Tensor:
        """Residuals, ``(rows, 5 frames joints)``: two a keypoint, then three a joint."""
        placed = self.objective.place(self.latents.unpack(values))
        anchor = self.objective.anchor
        assert anchor is not None
        certainty = (-self.objective.held_by(placed.log_sigma)).exp()[..., None]
        moved = (placed.answer.pose - anchor.pose) * certainty
        return torch.cat((placed.residual.flatten(1), moved.flatten(1)), dim=1)

    def _lengths(self) -> Lengths:
        config = self.objective.config
        parts = [
            weight * shares(weights).flatten(1)
            for weight, weights in (
                (config.weight_projection, self.objective.weights),
                (config.weight_anchor, self.objective.held),
            )
        ]
        joints = parts[0].shape[1]
        near = parts[0].new_tensor([NEAR_SCREEN, NEAR_ANCHOR]).repeat_interleave(joints)
        return Lengths.of_groups([2] * joints + [3] * joints, torch.cat(parts, dim=1), near)
