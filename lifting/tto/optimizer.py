"""The loop over latents: Adam with every sample on its own, without a wait for the device.

All latents of a batch lie in one tensor, a row a sample. What differs between samples (whether one
still moves, which iterate was best) is a mask, so the loop has one shape and asks nothing of the
values it computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.errors import DataError, check_shape
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Latents
from lifting.tto.objective import Evaluation
from lifting.typing import PerSample

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Solution(NamedTuple):
    """Where the optimisation ended.

    Attributes:
        latents: Those of the returned iterate.
        first: The objective at the start.
        best: The objective at the returned iterate; the highest ``behind`` of all iterates.
        iterations: ``(samples,)`` int, steps that were made.
        finite: ``(samples,)`` bool, False where the start has no finite objective or gradient.
        improved: ``(samples,)`` bool, False where the start is what is returned.
        stopped: ``(samples,)`` bool, True where the steps ended early.
        history: ``(evaluations, samples)``, objective at every iterate.
    """

    latents: Latents
    first: Evaluation
    best: Evaluation
    iterations: PerSample
    finite: PerSample
    improved: PerSample
    stopped: PerSample
    history: Tensor


class FlatLatents:
    """Latents by name as rows of one matrix.

    Args:
        latents: The start; every tensor has the samples first.
        lr: Learning rate.
        lr_scale: Its factor by name, 1 for a missing name.

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
        """Latents by name, of rows such as ``values``."""
        parts = torch.split(values, self.sizes, dim=1)
        return {
            name: part.reshape(len(values), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


class _Adam:
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


def minimise(
    evaluate: Callable[[Latents], Evaluation],
    latents: Latents,
    config: TtoConfig,
    lr_scale: Mapping[str, float],
    *,
    movable: PerSample | None = None,
    weights: list[nn.Parameter] | None = None,
) -> Solution:
    """Minimise every sample's objective from its start.

    Args:
        evaluate: The objective. It is called once more than there are iterations.
        latents: Where to start.
        config: Iterations, learning rates, acceptance and when to stop.
        lr_scale: Factors of the learning rate by latent.
        movable: ``(samples,)`` bool, samples that are optimised at all; None for all.
        weights: Weights that are optimised too, for all samples together, by the mean objective;
            they are changed in place.

    Raises:
        DataError: The latents are not of the promised form.
    """
    loop = _Loop(evaluate, FlatLatents(latents, config.lr, lr_scale), config, movable, weights)
    for _ in range(config.iterations):
        loop.step()
    with torch.no_grad():
        loop.look(evaluate(loop.latents.unpack(loop.values)))
    return loop.solution()


class _Loop:
    """State of the loop: every attribute but the moments has a row a sample."""

    def __init__(
        self,
        evaluate: Callable[[Latents], Evaluation],
        latents: FlatLatents,
        config: TtoConfig,
        movable: PerSample | None,
        weights: list[nn.Parameter] | None,
    ) -> None:
        self.evaluate, self.latents, self.config = evaluate, latents, config
        self.values = latents.values
        self.weights = weights or []
        self.moves_latent = config.optimise != "weights"
        samples = len(self.values)
        flags = torch.ones(samples, dtype=torch.bool, device=self.values.device)
        self.movable = flags if movable is None else movable
        self.active = self.movable
        self.finite = flags
        self.improved = torch.zeros_like(flags)
        self.stopped = torch.zeros_like(flags)
        self.iterations = torch.zeros(samples, dtype=torch.int64, device=self.values.device)
        self.adam = _Adam([self.values])
        self.adam_of_weights = _Adam([w.detach() for w in self.weights])
        self.first: Evaluation | None = None
        self.best: Evaluation | None = None
        self.last: Evaluation | None = None
        self.best_values = self.values
        self.history: list[Tensor] = []

    def step(self) -> None:
        """Evaluate the current iterate and go on from it."""
        values = self.values.detach().requires_grad_(True)
        asked = ([values] if self.moves_latent else []) + self.weights
        found = self.evaluate(self.latents.unpack(values))
        # Samples that stay have no say: their gradient may not be finite, and weights are shared.
        energy = torch.where(self.active & found.energy.isfinite(), found.energy, 0.0)
        gradients = list(torch.autograd.grad(energy.sum(), asked, allow_unused=True))
        known = [
            torch.zeros_like(a) if g is None else g for a, g in zip(asked, gradients, strict=True)
        ]
        self.look(_detached(found))
        if self.weights:
            self._move_weights(known[int(self.moves_latent) :])
        if self.moves_latent:
            self._move_latent(known[0])
        else:
            self.iterations = self.iterations + self.active

    def look(self, found: Evaluation) -> None:
        """Take in the objective at the current iterate: is it the best, is it time to stop."""
        self.history.append(found.energy)
        if self.first is None or self.best is None or self.last is None:
            self.first = self.best = self.last = found
            self.finite = found.energy.isfinite() & found.pose.flatten(1).isfinite().all(-1)
            self.active = self.active & self.finite
            return
        good = found.energy.isfinite() & self.movable & self.finite
        if self.config.accept:
            good = good & (found.energy < self.best.energy)
        self.best = _select(good, found, self.best)
        self.best_values = torch.where(good[:, None], self.values, self.best_values)
        self.improved = self.improved | good
        if self.config.tolerance:
            gained = self.last.energy - found.energy
            little = gained < self.config.tolerance * self.last.energy.abs()
            self._stop(little)
        self.last = found

    def solution(self) -> Solution:
        """What was found."""
        assert self.first is not None
        assert self.best is not None
        return Solution(
            latents=self.latents.unpack(self.best_values),
            first=self.first,
            best=self.best,
            iterations=self.iterations,
            finite=self.finite,
            improved=self.improved,
            stopped=self.stopped,
            history=torch.stack(self.history),
        )

    def _move_latent(self, gradient: Tensor) -> None:
        usable = gradient.isfinite().all(-1)
        self.finite = self.finite & (usable | ~self.movable)
        self.active = self.active & usable
        (step,) = self.adam.steps([torch.where(usable[:, None], gradient, 0.0)])
        moved = self.values - self.latents.rates * step
        self.values = torch.where(self.active[:, None], moved, self.values)
        self.iterations = self.iterations + self.active
        if self.config.trust_radius:
            scale = self.latents.rates / self.config.lr
            distance = ((self.values - self.latents.values) / scale.clamp(min=1e-30)).abs()
            self._stop(distance.amax(-1) >= self.config.trust_radius)

    def _move_weights(self, gradients: list[Tensor]) -> None:
        with torch.no_grad():
            # One sample whose gradient is not finite must not spoil the weights of all.
            usable = [torch.where(g.isfinite(), g, 0.0) / len(self.values) for g in gradients]
            steps = self.adam_of_weights.steps(usable)
            for weight, step in zip(self.weights, steps, strict=True):
                weight.sub_(step, alpha=self.config.weights_lr)

    def _stop(self, done: PerSample) -> None:
        self.stopped = self.stopped | (done & self.active)
        self.active = self.active & ~done


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


def _detached(found: Evaluation) -> Evaluation:
    return Evaluation(*(value.detach() for value in found))


def _select(mask: PerSample, one: Evaluation, other: Evaluation) -> Evaluation:
    """Fields of ``one`` for the samples of the mask; the larger count of joints behind."""
    fields = {
        name: torch.where(mask.view(-1, *(1,) * (value.dim() - 1)), value, getattr(other, name))
        for name, value in one._asdict().items()
    }
    fields["behind"] = torch.maximum(one.behind, other.behind)
    return Evaluation(**fields)
