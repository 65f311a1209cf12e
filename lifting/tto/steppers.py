"""What an optimiser of latents does: judge where its last step led, and make the next.

Latents are the rows of one matrix, a row a sample, with a state for every row and nothing between
rows: in Adam each number has moments of its own anyway, in L-BFGS memory, step length and
backtracking are rows, and Gauss-Newton has a damping for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lifting.errors import ConfigError, DataError, check_shape
from lifting.geometry.solver import Box, Model, adapted, damped_step, linearise
from lifting.tto.contract import Energy, Latents, SumOfLengths
from lifting.typing import PerSample


class FlatLatents:
    """Latents by name as rows of one matrix.

    Args:
        latents: The start; every tensor has the samples first.
        lr: Learning rate.
        lr_scale: Its factor by name, 1 for a missing name.

    Attributes:
        values: ``(samples, size)``, the start, single precision.
        rates: ``(size,)``, learning rate of each column.

    Raises:
        DataError: No latent, or one that is no floating-point tensor of all samples.
    """

    def __init__(self, latents: Latents, lr: float, lr_scale: Mapping[str, float]) -> None:
        _check_latents(latents)
        self.shapes = {name: value.shape[1:] for name, value in latents.items()}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.sizes = sizes
        # Latents and their steps need single precision: a step is below the resolution of half.
        self.values = torch.cat([v.detach().float().flatten(1) for v in latents.values()], dim=1)
        rates = [lr * lr_scale.get(name, 1.0) for name in self.shapes]
        self.rates = torch.tensor(rates, device=self.values.device).repeat_interleave(
            torch.tensor(sizes, device=self.values.device)
        )

    def unpack(self, values: Tensor) -> Latents:
        """Latents by name.

        Args:
            values: ``(rows, size)``.

        Returns:
            Tensors of the shapes at the start, but with as many rows.
        """
        parts = torch.split(values, self.sizes, dim=1)
        return {
            name: part.reshape(len(values), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def _check_latents(latents: Latents) -> None:
    if not latents:
        raise DataError("expected latents to optimise, got none; let `encode` return at least one")
    samples = next(iter(latents.values())).shape[0]
    for name, value in latents.items():
        check_shape(f"latent '{name}'", value.flatten(1), "samples size", samples=samples)
        if not value.is_floating_point():
            raise DataError(
                f"expected latent '{name}' to be of floating point, got {value.dtype}; optimise "
                "numbers only, and keep the rest in the batch"
            )


class Move(NamedTuple):
    """The next iterate.

    Attributes:
        values: ``(rows, size)``.
        usable: ``(rows,)`` bool, False where the slope at the start is not finite.
    """

    values: Tensor
    usable: PerSample


class Stepper(Protocol):
    """Moves latents, a row a sample, with a state for every row and nothing between rows.

    The loop evaluates the objective at an iterate, has it judged, and asks for the next one.

    Attributes:
        needs_gradient: The gradient of the objective is read; zeros will do otherwise.
    """

    needs_gradient: bool

    def judge(self, energy: PerSample) -> PerSample:
        """Where the iterate that was last asked for is taken, ``(rows,)`` bool.

        Args:
            energy: ``(rows,)``, the objective there.
        """
        ...

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate: onwards where the last one was taken, else nearer to the one before.

        Args:
            values: ``(rows, size)``, the iterate that was just judged.
            gradient: ``(rows, size)``, of the objective there.
        """
        ...

    def keep(self, rows: Tensor, energy: Energy) -> None:
        """Go on with some rows only.

        Args:
            rows: Their indices, ``(chosen,)``, in ascending order.
            energy: Of those rows.
        """
        ...


BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Moments:
    """Adam's moments for some tensors, with bias correction.

    Args:
        like: Of their shapes.
        betas: Parts of the first and the second moment that a step keeps.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(self, like: list[Tensor], betas: tuple[float, float] = BETAS) -> None:
        self.first = [torch.zeros_like(value) for value in like]
        self.second = [torch.zeros_like(value) for value in like]
        self.betas = betas
        self.count = 0

    def steps(self, gradients: list[Tensor], least: Tensor | float = 0.0) -> list[Tensor]:
        """Steps for a learning rate of one, to be subtracted.

        Args:
            gradients: One of the shape of each tensor.
            least: Slope below which a step is in proportion to the slope.

        Returns:
            The same shapes.
        """
        self.count += 1
        begun, begun_squares = (1 - beta**self.count for beta in self.betas)
        for moments, beta, powers in (
            (self.first, self.betas[0], gradients),
            (self.second, self.betas[1], [g * g for g in gradients]),
        ):
            for moment, power in zip(moments, powers, strict=True):
                moment.lerp_(power, 1 - beta)
        return [
            (m / begun) / ((v / begun_squares).sqrt().clamp(min=least) + EPSILON)
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
        """The next iterate, ``(rows, size)``; rows whose gradient is not finite stay."""
        usable = gradient.isfinite().all(-1)
        (step,) = self.moments.steps([torch.where(usable[:, None], gradient, 0.0)])
        return Move(values - self.rates * step, usable)

    def keep(self, rows: Tensor, energy: Energy) -> None:
        """Go on with some rows only, by their indices, ``(chosen,)``."""
        self.moments.first = [moment[rows] for moment in self.moments.first]
        self.moments.second = [moment[rows] for moment in self.moments.second]


SHORT_BETAS = (0.2, 0.5)


class ShortAdam(Adam):
    """Adam's steps where there are two or three of them in all.

    The moments remember little more than the gradient before, so that what a first long step
    overshot is turned back by the second. Steps fall linearly to nothing. The numbers of a row
    whose slope is below the row's mean move by less, since long steps of theirs would overshoot.

    Args:
        latents: Gives the learning rates and the shape of the moments.
        iterations: Steps in all.
    """

    def __init__(self, latents: FlatLatents, iterations: int) -> None:
        super().__init__(latents)
        self.moments = Moments([latents.values], SHORT_BETAS)
        self.scale = self.rates / self.rates.amax()
        self.iterations = iterations

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate, ``(rows, size)``; rows whose gradient is not finite stay."""
        usable = gradient.isfinite().all(-1)
        slope = self.scale * torch.where(usable[:, None], gradient, 0.0)
        left = 1 - self.moments.count / self.iterations
        (step,) = self.moments.steps([slope], slope.abs().mean(-1, keepdim=True))
        return Move(values - left * self.rates * step, usable)


MEMORY = 5
"""Steps that L-BFGS remembers."""
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

    Source: Nocedal and Wright 2006, algorithms 7.4 and 3.1.
    """

    needs_gradient = True

    def __init__(self, latents: FlatLatents) -> None:
        values = latents.values
        self.rates = latents.rates
        self.values = values
        self.energy = torch.full_like(values[:, 0], torch.inf)
        self.found = self.energy
        self.gradient = torch.zeros_like(values)
        self.step = torch.zeros_like(values)
        self.taken = torch.ones_like(self.energy, dtype=torch.bool)
        self.steps = values.new_zeros(MEMORY, *values.shape)
        self.growths = torch.zeros_like(self.steps)
        self.started = False

    def judge(self, energy: PerSample) -> PerSample:
        """Where the objective fell enough."""
        promised = SUFFICIENT * (self.gradient * self.step).sum(-1)
        self.taken = energy <= self.energy + promised
        self.found = energy
        return self.taken

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate, ``(rows, size)``."""
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

    def keep(self, rows: Tensor, energy: Energy) -> None:
        """Go on with some rows only, by their indices, ``(chosen,)``."""
        for name in ("values", "energy", "gradient", "step", "taken", "found"):
            setattr(self, name, getattr(self, name)[rows])
        self.steps, self.growths = self.steps[:, rows], self.growths[:, rows]


DAMPING = 0.1
"""Where it starts: lengths are curved in another way than the squares that stand for them."""
MOST_UNKNOWNS = 512
"""Each costs a pass for every step."""
TANGENTS = 4096
"""Rows times unknowns that are differentiated at a time, which bounds the memory."""


class GaussNewton:
    """Levenberg-Marquardt steps of the latents; those that do not lower the objective are undone.

    A step is the best one that moves no coordinate by more than its learning rate.

    Args:
        latents: Gives the learning rates and the rows.
        energy: A sum of lengths.

    Raises:
        ConfigError: The energy is no sum of lengths, a sample has more latent numbers than can be
            differentiated one by one, or the method cannot be differentiated forward.
    """

    needs_gradient = False

    def __init__(self, latents: FlatLatents, energy: Energy) -> None:
        unknowns = latents.values.shape[1]
        if unknowns > MOST_UNKNOWNS:
            raise ConfigError(
                f"expected a latent of at most {MOST_UNKNOWNS} numbers a sample for "
                f"tto.optimizer=gauss_newton, got {unknowns}; set tto.optimizer=lbfgs or adam"
            )
        self.latents, self.energy_of = latents, _sum_of_lengths(energy)
        self.values = latents.values
        self.energy = torch.full_like(self.values[:, 0], torch.inf)
        self.found = self.energy
        self.taken = torch.ones_like(self.energy, dtype=torch.bool)
        self.damping = torch.full_like(self.energy, DAMPING)
        self.started = False
        self.lengths = self.energy_of.lengths()

    def judge(self, energy: PerSample) -> PerSample:
        """Where the objective fell."""
        self.found = energy
        self.taken = energy < self.energy
        return self.taken

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate, ``(rows, size)``; the gradient is not read."""
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

    def keep(self, rows: Tensor, energy: Energy) -> None:
        """Go on with some rows only, by their indices, ``(chosen,)``."""
        self.energy_of = _sum_of_lengths(energy)
        self.lengths = self.energy_of.lengths()
        for name in ("values", "energy", "found", "taken", "damping"):
            setattr(self, name, getattr(self, name)[rows])

    def _linearised(self) -> Model:
        chunk = max(1, TANGENTS // len(self.values))
        try:
            return linearise(
                lambda values: self.energy_of.residuals(self.latents.unpack(values)),
                self.values,
                chunk=chunk,
            )
        except RuntimeError as error:
            # Not an error of the method's own, such as a lack of memory.
            if not isinstance(error, NotImplementedError) and "vmap" not in str(error):
                raise
            raise ConfigError(
                "expected a method that can be differentiated forward, all directions at once, "
                f"for tto.optimizer=gauss_newton, got: {error}; set tto.optimizer=lbfgs or adam"
            ) from error


def _sum_of_lengths(energy: Energy) -> SumOfLengths:
    if isinstance(energy, SumOfLengths):
        return energy
    raise ConfigError(
        "expected an energy that is a sum of lengths for gauss_newton, got "
        f"{type(energy).__name__}; take lbfgs or adam"
    )
