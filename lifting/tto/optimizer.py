"""The loop over latents: every sample on its own, without a wait for the device.

All latents of a batch lie in one tensor, a row a sample. What differs between samples (whether one
still moves, which iterate was best) is a mask, so the loop has one shape and asks nothing of the
values it computes. The exception is packing: where samples may stop, they are counted after every
step, and once most have stopped the loop goes on with the others alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Self

import torch
from torch import Tensor, nn

from lifting.tto.contract import Energy, Evaluation, Latents, Packable, Status, TtoResult
from lifting.tto.steppers import Adam, FlatLatents, GaussNewton, Lbfgs, Moments, ShortAdam, Stepper
from lifting.typing import PerSample

PATIENCE = 4
"""Steps in a row that may be refused before a sample counts as stopped."""


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """How latents are moved.

    Attributes:
        kind: ``adam``, ``short_adam``, ``lbfgs`` or ``gauss_newton``.
        iterations: Steps for each sample.
        lr: Learning rate of the latents.
        lr_scale: Its factor by latent, 1 for a missing name.
        moves: What moves: latents, weights, or both.
        weights_lr: Learning rate of the weights.
        accept: Return the best iterate, so never one worse than the start; else the last one.
        tolerance: Stop a sample whose energy fell by less than this part; 0 never does.
        history: Keep the energy of every iterate.
    """

    kind: Literal["adam", "short_adam", "lbfgs", "gauss_newton"] = "adam"
    iterations: int = 4
    lr: float = 1e-3
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    moves: Literal["latent", "weights", "both"] = "latent"
    weights_lr: float = 1e-5
    accept: bool = True
    tolerance: float = 0.0
    history: bool = False


def minimise(
    energy: Energy,
    latents: Latents,
    optimiser: Optimiser,
    *,
    movable: PerSample | None = None,
    weights: Sequence[nn.Parameter] = (),
) -> TtoResult:
    """Minimise every sample's energy from its start.

    Args:
        energy: Called once more than there are iterations. One that is ``Packable`` is left with
            the samples that still move, once they are few.
        latents: Where to start.
        optimiser: How to move.
        movable: ``(samples,)`` bool, samples that are optimised at all; None for all.
        weights: Weights that are optimised too, for all samples together, by the mean energy;
            they are changed in place.

    Returns:
        One row a sample, with its latents; nothing in it is known of keypoints, so none is masked.

    Raises:
        ConfigError: The optimiser cannot minimise this energy, or not with so many latents.
        DataError: The latents are not of the promised form.
    """
    flat = FlatLatents(latents, optimiser.lr, optimiser.lr_scale)
    loop = _Loop(energy, flat, optimiser, movable, list(weights))
    packs = optimiser.tolerance > 0 and not weights and isinstance(energy, Packable)
    for left in reversed(range(optimiser.iterations)):
        loop.step(last=left == 0)
        if packs and left:
            loop.pack(energy)  # type: ignore[arg-type]
    return loop.result()


@dataclass
class _Progress:
    """State of the loop, a row a sample.

    Attributes:
        start: ``(rows, size)``, latents at the start.
        values: The current iterate.
        best_values: The iterate that is to be returned.
        first: The objective at the start.
        best: The objective at the iterate that is to be returned.
        last: ``(rows,)``, the objective at the iterate that was last taken.
        movable: ``(rows,)`` bool, rows that are optimised at all.
        active: ``(rows,)`` bool, rows that still move.
        finite: ``(rows,)`` bool, False where the start has no finite objective or gradient.
        improved: ``(rows,)`` bool, False where the start is what is returned.
        stopped: ``(rows,)`` bool, True where the steps ended early.
        refused: ``(rows,)`` int, steps in a row that were not taken.
        iterations: ``(rows,)`` int, steps that were made.
    """

    start: Tensor
    values: Tensor
    best_values: Tensor
    first: Evaluation
    best: Evaluation
    last: PerSample
    movable: PerSample
    active: PerSample
    finite: PerSample
    improved: PerSample
    stopped: PerSample
    refused: PerSample
    iterations: PerSample

    @classmethod
    def begin(cls, start: Tensor, found: Evaluation, movable: PerSample) -> Self:
        """State at the start.

        Args:
            start: ``(rows, size)``.
            found: The objective there.
            movable: ``(rows,)`` bool.
        """
        finite = found.energy.isfinite() & found.pose.flatten(1).isfinite().all(-1)
        none, zero = torch.zeros_like(finite), torch.zeros_like(finite, dtype=torch.int64)
        return cls(
            start=start, values=start, best_values=start, first=found, best=found,
            last=found.energy, movable=movable, active=movable & finite, finite=finite,
            improved=none, stopped=none, refused=zero, iterations=zero,
        )  # fmt: skip

    def look(self, found: Evaluation, taken: PerSample, optimiser: Optimiser) -> None:
        """Take in the objective at the current iterate: is it the best, is it time to stop.

        Args:
            found: The objective.
            taken: ``(rows,)`` bool, where the optimiser goes on from here.
            optimiser: Acceptance and tolerance.
        """
        good = found.energy.isfinite() & self.movable & self.finite
        if optimiser.accept:
            good = good & (found.energy < self.best.energy)
        self.best = _select(good, found, self.best)
        self.best_values = torch.where(good[:, None], self.values, self.best_values)
        self.improved = self.improved | good
        if optimiser.tolerance:
            self.refused = torch.where(taken, 0, self.refused + 1)
            gained = self.last - found.energy
            little = gained < optimiser.tolerance * self.last.abs()
            self.stop((taken & little) | (self.refused >= PATIENCE))
        self.last = torch.where(taken, found.energy, self.last)

    def move(self, values: Tensor, usable: PerSample) -> None:
        """Go to the next iterate.

        Args:
            values: ``(rows, size)``.
            usable: ``(rows,)`` bool, False where it could not be computed.
        """
        self.finite = self.finite & (usable | ~self.movable)
        self.active = self.active & usable
        self.values = torch.where(self.active[:, None], values, self.values)
        self.iterations = self.iterations + self.active

    def stop(self, done: PerSample) -> None:
        """Let rows that are done stay where they are."""
        self.stopped = self.stopped | (done & self.active)
        self.active = self.active & ~done

    def status(self) -> PerSample:
        """How each row ended, ``(rows,)`` int, values of :class:`Status`."""
        status = torch.full_like(self.iterations, Status.MOVED)
        for state, holds in (
            (Status.CONVERGED, self.stopped),
            (Status.KEPT, ~self.improved),
            (Status.BEHIND, self.best.behind > 0),
            (Status.UNOBSERVED, ~self.movable),
            (Status.NOT_FINITE, ~self.finite),
        ):
            status = torch.where(holds, torch.full_like(status, state), status)
        return status

    def rows(self, index: Tensor) -> _Progress:
        """The state of some rows.

        Args:
            index: Their indices.
        """
        parts = {f.name: _rows(getattr(self, f.name), index) for f in fields(self)}
        return _Progress(**parts)  # type: ignore[arg-type]

    def with_rows(self, index: Tensor, part: _Progress) -> _Progress:
        """This state with some rows replaced.

        Args:
            index: Their indices.
            part: Their state.
        """
        names = [f.name for f in fields(self)]
        whole = {name: _put(getattr(self, name), index, getattr(part, name)) for name in names}
        return _Progress(**whole)  # type: ignore[arg-type]


def _rows(value: Tensor | Evaluation, index: Tensor) -> Tensor | Evaluation:
    if isinstance(value, Evaluation):
        return Evaluation(*(v[index] for v in value))
    return value[index]


def _put(
    value: Tensor | Evaluation, index: Tensor, part: Tensor | Evaluation
) -> Tensor | Evaluation:
    if isinstance(value, Evaluation):
        pairs = zip(value, part, strict=True)
        return Evaluation(*(v.index_copy(0, index, p) for v, p in pairs))
    assert isinstance(part, Tensor)
    return value.index_copy(0, index, part)


def _select(mask: PerSample, one: Evaluation, other: Evaluation) -> Evaluation:
    """Fields of ``one`` for the samples of the mask; the larger count of joints behind."""
    fields = {
        name: torch.where(mask.view(-1, *(1,) * (value.dim() - 1)), value, getattr(other, name))
        for name, value in one._asdict().items()
    }
    fields["behind"] = torch.maximum(one.behind, other.behind)
    return Evaluation(**fields)


class _Loop:
    """The objective, the optimiser and the progress of the rows that are still looked at."""

    def __init__(
        self,
        energy: Energy,
        latents: FlatLatents,
        optimiser: Optimiser,
        movable: PerSample | None,
        weights: list[nn.Parameter],
    ) -> None:
        self.energy, self.latents, self.optimiser = energy, latents, optimiser
        self.weights = weights
        self.moments_of_weights = Moments([w.detach() for w in self.weights])
        self.moves_latent = optimiser.moves != "weights"
        self.stepper = _stepper(optimiser, latents, energy)
        self.gradients: list[Tensor] = []
        values = latents.values
        if movable is None:
            movable = torch.ones(len(values), dtype=torch.bool, device=values.device)
        found = self._evaluate(values, movable, slope=optimiser.iterations > 0)
        self.stepper.judge(found.energy)
        self.progress = self.whole = _Progress.begin(values, found, movable)
        self.kept: Tensor | None = None
        self.history = [found.energy]

    def step(self, *, last: bool) -> None:
        """Make a step, and evaluate the iterate it leads to.

        Args:
            last: No further step will need the slope there.
        """
        progress = self.progress
        if self.kept is not None and not len(self.kept):
            return
        if self.weights:
            self._move_weights(self.gradients[int(self.moves_latent) :])
        if self.moves_latent:
            progress.move(*self.stepper.move(progress.values, self.gradients[0]))
        else:
            progress.iterations = progress.iterations + progress.active
        found = self._evaluate(progress.values, progress.active, slope=not last)
        taken = self.stepper.judge(found.energy)
        progress.look(found, taken, self.optimiser)
        if self.kept is None:
            self.history.append(found.energy)
        else:
            self.history.append(self.history[-1].index_copy(0, self.kept, found.energy))

    def pack(self, whole: Packable) -> None:
        """Go on with the rows that still move, if they are less than half.

        Args:
            whole: The energy of all samples.
        """
        active = self.progress.active.cpu()  # the one wait for the device
        moving = active.nonzero()[:, 0]
        if 2 * len(moving) >= len(active):
            return
        moving = moving.to(self.progress.values.device)
        self._put_back()
        self.kept = moving if self.kept is None else self.kept[moving]
        self.progress = self.progress.rows(moving)
        self.gradients = [gradient[moving] for gradient in self.gradients]
        if len(moving):
            self.energy = whole.rows(self.kept)
            self.stepper.keep(moving, self.energy)

    def result(self) -> TtoResult:
        """What was found."""
        self._put_back()
        found = self.whole
        first, best = found.first, found.best
        self.history += self.history[-1:] * (self.optimiser.iterations + 1 - len(self.history))
        return TtoResult(
            pose=best.pose,
            log_sigma=best.log_sigma,
            sigma_factor=None,
            root=best.root,
            start=first.pose,
            status=found.status(),
            iterations=found.iterations,
            before=first.energy,
            after=best.energy,
            residual_before=first.residual,
            residual_after=best.residual,
            behind=best.behind,
            masked=torch.zeros_like(found.iterations),
            history=torch.stack(self.history) if self.optimiser.history else None,
            latents=self.latents.unpack(found.best_values),
        )

    def _put_back(self) -> None:
        """Bring the progress of the rows still looked at to that of all."""
        if self.kept is not None:
            self.whole = self.whole.with_rows(self.kept, self.progress)

    def _evaluate(self, values: Tensor, active: PerSample, *, slope: bool) -> Evaluation:
        """The objective, and the gradients the next step will need."""
        if not slope or not self.stepper.needs_gradient:
            self.gradients = [torch.zeros_like(values)]
            with torch.no_grad():
                return self.energy(self.latents.unpack(values))
        values = values.detach().requires_grad_(True)
        asked = ([values] if self.moves_latent else []) + self.weights
        found = self.energy(self.latents.unpack(values))
        # Samples that stay have no say: their gradient may not be finite, and weights are shared.
        energy = torch.where(active & found.energy.isfinite(), found.energy, 0.0)
        gradients = torch.autograd.grad(energy.sum(), asked, allow_unused=True)
        self.gradients = [
            torch.zeros_like(a) if g is None else g for a, g in zip(asked, gradients, strict=True)
        ]
        return Evaluation(*(value.detach() for value in found))

    def _move_weights(self, gradients: list[Tensor]) -> None:
        with torch.no_grad():
            # One sample whose gradient is not finite must not spoil the weights of all.
            rows = len(self.progress.values)
            usable = [torch.where(g.isfinite(), g, 0.0) / rows for g in gradients]
            steps = self.moments_of_weights.steps(usable)
            for weight, step in zip(self.weights, steps, strict=True):
                weight.sub_(step, alpha=self.optimiser.weights_lr)


def _stepper(optimiser: Optimiser, latents: FlatLatents, energy: Energy) -> Stepper:
    if optimiser.kind == "lbfgs":
        return Lbfgs(latents)
    if optimiser.kind == "gauss_newton":
        return GaussNewton(latents, energy)
    if optimiser.kind == "short_adam":
        return ShortAdam(latents, optimiser.iterations)
    return Adam(latents)
