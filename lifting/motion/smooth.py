"""One smoother for everything: a robust polynomial, fitted in a window around every frame.

Whatever the window does not reach cannot change an answer, so that a bound on the frames ahead is
a bound on the delay, and on what is known of the future. All frames, people and joints are fitted
at once; the loops go over the places in a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lifting.files.npz import Array

_ROUNDS = 3
_HELD = 1e-6  # that a slope is held to zero by, against the weight of the window


@dataclass(frozen=True)
class Window:
    """Where a polynomial is fitted, and how stiff it is.

    Attributes:
        behind: Frames before the present one whose weight is above zero.
        ahead: Frames after it, at most ``behind``.
        degree: 0, 1 or 2; a degree of 1 follows steady motion without a lag.
    """

    behind: int
    ahead: int
    degree: int = 1

    @classmethod
    def of(cls, seconds: float, fps: float, lookahead: int | None, degree: int = 1) -> Window:
        """A window of half a width in seconds.

        Args:
            seconds: From the present frame to the first one that does not count.
            fps: Frames a second.
            lookahead: Frames after the present one at most; None for as many as before it.
            degree: Of the polynomial.
        """
        half = max(1, round(seconds * fps) - 1)
        return cls(half, half if lookahead is None else min(half, lookahead), degree)

    def places(self) -> Iterator[tuple[int, float]]:
        """Frames from the present one, and their weights."""
        for step in range(-self.behind, self.ahead + 1):
            yield step, (1 - (step / (self.behind + 1)) ** 2) ** 2


class Smoothed(NamedTuple):
    """What a window says of its present frame.

    Attributes:
        values: ``(N, points, axes)``; NaN where nothing in the window is known.
        slope: The same, a frame; zeros for a degree of 0.
        away: Distance of the given value from the smoothed one, ``(N, points)``.
    """

    values: Array
    slope: Array
    away: Array


def smooth(
    values: Array,
    weights: Array,
    track: Array,
    window: Window,
    *,
    tolerance: Array | None = None,
    present: bool = False,
) -> Smoothed:
    """Fit a polynomial around every frame of every track.

    Args:
        values: ``(N, points, axes)``, frames of tracks one after another; what has no weight may
            be anything finite.
        weights: ``(N, points)``, not negative.
        track: ``(N,)`` int64, rising; a window ends where a track does.
        window: Its frames and degree.
        tolerance: ``(N, 1)`` or ``(N, points)``, distance from the polynomial of the present
            frame's window at which a value loses most of its weight; None believes every value.
        present: Begin at the present value, so that what is far from it in the window never
            counts, however much of it there is.

    Source: local regression with a biweight kernel; Cleveland 1979 for the robust weights.
    """
    first = None
    if present:
        still = np.zeros((*values.shape[:2], window.degree, values.shape[2]))
        first = np.concatenate((values[:, :, None], still), axis=2)
    found = _fit(values, weights, track, window, first, tolerance)
    for _ in range(_ROUNDS if tolerance is not None else 0):
        found = _fit(values, weights, track, window, found, tolerance)
    away = np.linalg.norm(values - found[:, :, 0], axis=-1)
    slope = found[:, :, 1] / (window.behind + 1) if window.degree else np.zeros_like(values)
    return Smoothed(found[:, :, 0], slope, away)


def _fit(
    values: Array,
    weights: Array,
    track: Array,
    window: Window,
    before: Array | None,
    tolerance: Array | None,
) -> Array:
    """Coefficients of every window, ``(N, points, degree + 1, axes)``, time in window widths."""
    terms, (count, points, axes) = window.degree + 1, values.shape
    moments = np.zeros((2 * window.degree + 1, count, points))
    sums = np.zeros((terms, count, points, axes))
    for step, kernel in window.places():
        here, there = _pairs(count, step)
        time = step / (window.behind + 1)
        known = kernel * weights[there] * (track[here] == track[there])[:, None]
        if before is not None and tolerance is not None:
            gap = values[there] - before[here, :, 0]
            for power in range(1, terms):
                gap -= before[here, :, power] * time**power
            known = known / (1 + np.einsum("npa,npa->np", gap, gap) / tolerance[here] ** 2) ** 2
        for power in range(len(moments)):
            moments[power, here] += known * time**power
        weighed = known[..., None] * values[there]
        for power in range(terms):
            sums[power, here] += weighed * time**power
    return _solved(moments, sums)


def _solved(moments: Array, sums: Array) -> Array:
    total = moments[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        if len(sums) == 1:
            return np.where(total[..., None] > 0, sums[0] / total[..., None], np.nan)[:, :, None]
        order = np.arange(len(sums))
        matrix = np.moveaxis(moments[order[:, None] + order], (0, 1), (2, 3)).copy()
        matrix[..., order[1:], order[1:]] += _HELD * total[..., None]
        matrix[total <= 0] = np.eye(len(sums))
        found: Array = np.linalg.solve(matrix, np.moveaxis(sums, 0, 2))
    found[total <= 0] = np.nan
    return found


def _pairs(count: int, step: int) -> tuple[slice, slice]:
    """Rows, and the rows that lie some steps after them."""
    if step >= 0:
        return slice(0, max(count - step, 0)), slice(min(step, count), count)
    return slice(min(-step, count), count), slice(0, max(count + step, 0))
