"""Whether an uncertainty ranks errors rightly: sparsification curves and rank correlation.

The sums are for evaluations too long to sort. Values fall into logarithmic bins: 10,000 over eight
decades for the curves, so that within a bin they differ by less than 0.2 %, and 512 by 512 over
six decades for the rank correlation. Within a bin the order is taken as unknown. Against the
sorted form on Gaussian residuals the area differs by less than 0.1 % and the correlation by less
than 0.002.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.metrics.functional.errors import to_working_precision
from lifting.metrics.functional.threshold import count_cells

FRACTIONS = tuple(k / 20 for k in range(20))
CURVE_BINS = 10_000
JOINT_BINS = 512
_CURVE_DECADES = (-3.0, 5.0)
_JOINT_DECADES = (-2.0, 4.0)


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
    """Areas between a curve and its oracle by the trapezoid rule.

    Args:
        curve: ``(20,)``, mm.
        oracle: ``(20,)``, mm.
    """
    steps = torch.tensor(FRACTIONS, dtype=curve.dtype, device=curve.device)
    area = torch.trapezoid(curve - oracle, steps)
    return Sparsification(curve, oracle, area, area / curve[0])


def removed_counts(samples: Tensor) -> Tensor:
    """How many samples each fraction removes, rounded half to even.

    Args:
        samples: How many there are, ``()``.

    Returns:
        ``(20,)`` float64.
    """
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

    Returns:
        A scalar, ``()``.
    """
    check_shape("second", second, "samples", samples=len(first))
    if len(first) < 2:
        return torch.tensor(torch.nan, dtype=torch.float64, device=first.device)
    x, y = mean_ranks(first), mean_ranks(second)
    x, y = x - x.mean(), y - y.mean()
    spread = ((x * x).sum() * (y * y).sum()).sqrt()
    return torch.where(spread > 0, (x * y).sum() / spread, torch.nan)


def mean_ranks(values: Tensor) -> Tensor:
    """Rank of every value from zero, tied values sharing the mean of their ranks.

    Args:
        values: ``(samples,)``.

    Returns:
        ``(samples,)`` float64.
    """
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    middle = last.double() - (counts.double() + 1) / 2
    return middle[inverse]


class RankingSums(NamedTuple):
    """Histograms that add up over batches.

    Attributes:
        samples: ``(2, 10000)`` int64, samples by bin of uncertainty and by bin of error.
        error: ``(2, 10000)`` float64, their summed errors, mm.
        joint: ``(512, 512)`` int64, samples by bin of uncertainty and of error.
    """

    samples: Tensor
    error: Tensor
    joint: Tensor


@torch.no_grad()
def ranking_sums(uncertainty: Tensor, error: Tensor, valid: Tensor) -> RankingSums:
    """Histograms of samples by uncertainty and by error.

    Args:
        uncertainty: Any shape, positive, mm.
        error: Same shape, mm.
        valid: Same shape, bool.
    """
    u, e, keep = uncertainty.flatten(), error.flatten(), valid.flatten()
    counts, errors = [], []
    weight = torch.where(keep, e, 0.0)
    for value in (u, e):
        cell = _log_bin(value, CURVE_BINS, _CURVE_DECADES)
        counts.append(count_cells(cell, keep, CURVE_BINS))
        errors.append(weight.new_zeros(CURVE_BINS).index_add_(0, cell, weight))
    row, column = (_log_bin(v, JOINT_BINS, _JOINT_DECADES) for v in (u, e))
    joint = count_cells(row * JOINT_BINS + column, keep, JOINT_BINS**2)
    return RankingSums(
        torch.stack(counts), torch.stack(errors), joint.view(JOINT_BINS, JOINT_BINS)
    )


def sparsification_from_sums(sums: RankingSums) -> Sparsification:
    """Sparsification curves of histograms; NaN where there are no samples."""
    curves = (_remaining_of_bins(c, e) for c, e in zip(sums.samples, sums.error, strict=True))
    return from_curves(*curves)


def spearman_from_sums(sums: RankingSums) -> Tensor:
    """Rank correlation of histograms, of shape ``()``; samples of a bin share their mean rank."""
    joint = sums.joint.double()
    x = _centred_ranks(joint.sum(1))
    y = _centred_ranks(joint.sum(0))
    spread = ((joint.sum(1) * x * x).sum() * (joint.sum(0) * y * y).sum()).sqrt()
    return torch.where(spread > 0, x @ joint @ y / spread, torch.nan)


def _log_bin(value: Tensor, bins: int, decades: tuple[float, float]) -> Tensor:
    low, high = decades
    position = (value.clamp(min=10**low).log10() - low) * (bins / (high - low))
    return position.nan_to_num(nan=bins - 1.0).long().clamp(0, bins - 1)


def _remaining_of_bins(count: Tensor, error: Tensor) -> Tensor:
    """Mean error left after each fraction of the samples in the highest bins is removed."""
    taken = count.flip(0).cumsum(0).double()
    summed = error.flip(0).cumsum(0)
    zero = taken.new_zeros(1)
    taken, summed = torch.cat((zero, taken)), torch.cat((zero, summed))
    removed = removed_counts(taken[-1])
    after = torch.searchsorted(taken, removed).clamp(1, len(taken) - 1)
    width = (taken[after] - taken[after - 1]).clamp(min=1)
    part = (removed - taken[after - 1]) / width
    gone = summed[after - 1] + part * (summed[after] - summed[after - 1])
    left = taken[-1] - removed
    return torch.where(left > 0, (summed[-1] - gone) / left.clamp(min=1), torch.nan)


def _centred_ranks(count: Tensor) -> Tensor:
    return count.cumsum(0) - (count + 1) / 2 - (count.sum() - 1) / 2
