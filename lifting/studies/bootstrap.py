"""Confidence intervals over recordings, whose frames and views are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000


def mean_interval(
    recordings: Sequence[int] | npt.NDArray[np.int64],
    totals: Sequence[float] | npt.NDArray[np.float64],
    weights: Sequence[float] | npt.NDArray[np.float64],
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of a weighted mean over resampled recordings.

    Args:
        recordings: Recording that each value belongs to; all values of one are drawn together.
        totals: Values times their weights, for example summed joint errors of a pose.
        weights: For example its number of joints.
        seed: Of the resampling.

    Returns:
        The 2.5th and 97.5th percentile, in the unit of the values.
    """
    names, place = np.unique(np.asarray(recordings), return_inverse=True)
    sums = np.bincount(place, np.asarray(totals))
    counts = np.bincount(place, np.asarray(weights))
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
