"""Whether an uncertainty ranks errors rightly: sparsification curves and rank correlation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.metrics.functional.errors import to_working_precision

FRACTIONS = tuple(k / 20 for k in range(20))


class Sparsification(NamedTuple):
    """Mean error of what remains after the most uncertain part is removed.

    Attributes:
        curve: ``(20,)`` mean remaining error by removed fraction 0, 0.05, ..., 0.95; mm.
        oracle: The same when the truly worst are removed; mm.
        ause_mm: Area between the two, mm.
        ause: That area divided by the mean error.
    """

    curve: Tensor
    oracle: Tensor
    ause_mm: Tensor
    ause: Tensor


@torch.no_grad()
def sparsification(uncertainty: Tensor, error: Tensor) -> Sparsification:
    """Sparsification curve, its oracle, and the area between them.

    Args:
        uncertainty: ``(samples,)``, larger is less certain; ties keep their order.
        error: ``(samples,)``, mm.

    Source: Ilg et al. 2018.
    """
    check_shape("uncertainty", uncertainty, "samples")
    check_shape("error", error, "samples", samples=len(uncertainty))
    error = to_working_precision(error)
    order = to_working_precision(uncertainty).argsort(descending=True, stable=True)
    worst = error.sort(descending=True).values
    return from_curves(_remaining(error[order]), _remaining(worst))


def from_curves(curve: Tensor, oracle: Tensor) -> Sparsification:
    """Areas between a curve and its oracle by the trapezoid rule."""
    steps = torch.tensor(FRACTIONS, dtype=curve.dtype, device=curve.device)
    area = torch.trapezoid(curve - oracle, steps)
    return Sparsification(curve, oracle, area, area / curve[0])


def removed_counts(samples: Tensor) -> Tensor:
    """How many samples each fraction removes, rounded half to even, float64."""
    steps = torch.tensor(FRACTIONS, dtype=torch.float64, device=samples.device)
    return (steps * samples).round()


def _remaining(ordered: Tensor) -> Tensor:
    """Mean of what is left of ordered errors after each fraction of the first is removed."""
    count = len(ordered)
    if count == 0:
        return ordered.new_full((len(FRACTIONS),), torch.nan)
    removed = removed_counts(torch.tensor(float(count), device=ordered.device)).long()
    tail = ordered.flip(0).cumsum(0).flip(0)
    left = count - removed
    inside = removed.clamp(max=count - 1)
    return torch.where(left > 0, tail[inside] / left.clamp(min=1), torch.nan)


@torch.no_grad()
def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Rank correlation, ties sharing their mean rank; NaN below two samples or without spread.

    Args:
        first: ``(samples,)``.
        second: ``(samples,)``.
    """
    check_shape("second", second, "samples", samples=len(first))
    if len(first) < 2:
        return torch.tensor(torch.nan, dtype=torch.float64, device=first.device)
    x, y = mean_ranks(first), mean_ranks(second)
    x, y = x - x.mean(), y - y.mean()
    spread = ((x * x).sum() * (y * y).sum()).sqrt()
    return torch.where(spread > 0, (x * y).sum() / spread, torch.nan)


def mean_ranks(values: Tensor) -> Tensor:
    """Rank of every value from zero, tied values sharing the mean of their ranks, float64."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    middle = last.double() - (counts.double() + 1) / 2
    return middle[inverse]
