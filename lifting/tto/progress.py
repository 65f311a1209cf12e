"""What is known of every sample along the way: its best iterate, and whether it still moves."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from lifting.tto.config import TtoConfig
from lifting.tto.objective import Evaluation
from lifting.typing import PerSample

PATIENCE = 4
"""Steps in a row that may be refused before a sample counts as stopped."""


@dataclass
class Progress:
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

    def look(self, found: Evaluation, taken: PerSample, config: TtoConfig) -> None:
        """Take in the objective at the current iterate: is it the best, is it time to stop.

        Args:
            found: The objective.
            taken: ``(rows,)`` bool, where the optimiser goes on from here.
            config: Acceptance and tolerance.
        """
        good = found.energy.isfinite() & self.movable & self.finite
        if config.accept:
            good = good & (found.energy < self.best.energy)
        self.best = _select(good, found, self.best)
        self.best_values = torch.where(good[:, None], self.values, self.best_values)
        self.improved = self.improved | good
        if config.tolerance:
            self.refused = torch.where(taken, 0, self.refused + 1)
            gained = self.last - found.energy
            little = gained < config.tolerance * self.last.abs()
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

    def rows(self, index: Tensor) -> Progress:
        """The state of some rows.

        Args:
            index: Their indices.
        """
        parts = {f.name: _rows(getattr(self, f.name), index) for f in fields(self)}
        return Progress(**parts)  # type: ignore[arg-type]

    def with_rows(self, index: Tensor, part: Progress) -> Progress:
        """This state with some rows replaced.

        Args:
            index: Their indices.
            part: Their state.
        """
        names = [f.name for f in fields(self)]
        whole = {name: _put(getattr(self, name), index, getattr(part, name)) for name in names}
        return Progress(**whole)  # type: ignore[arg-type]


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
