"""Keypoints made whole before they are lifted: gaps, outliers, jitter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lifting.files.npz import Array
from lifting.motion.smooth import Window, smooth

SMOOTH_S = 0.2
"""Half a width of the smoother, seconds."""
TOLERANCE = 0.03
"""Distance from the motion of neighbouring frames that is common, over the size of a person."""
OUTLIER = 3.0
"""Of these distances, beyond which a keypoint counts as an outlier."""
_LEAST_WEIGHT = 0.05


class Cleaned(NamedTuple):
    """Keypoints as they are lifted.

    Attributes:
        keypoints_2d: ``(N, joints, 2)``, pixels.
        confidence: ``(N, joints)``, 0 for what was not seen and for outliers.
        filled: ``(N, joints)`` bool, not seen, and placed by its neighbours in time.
        outliers: ``(N, joints)`` bool.
    """

    keypoints_2d: Array
    confidence: Array
    filled: Array
    outliers: Array


def clean_keypoints(
    keypoints_2d: Array,
    confidence: Array,
    track: Array,
    fps: float,
    lookahead: int | None = None,
    *,
    replaced: bool = True,
    smoothed: bool = True,
) -> Cleaned:
    """Replace outliers and what was not seen, and take jitter off.

    A keypoint that does not move as in the frames around it is an outlier: it goes where they
    have it, and has no confidence. Nothing that is seen moves where ``smoothed`` is off.

    Args:
        keypoints_2d: ``(N, joints, 2)``, pixels, finite; where the confidence is 0 it is the
            reader's guess.
        confidence: ``(N, joints)``, 0 to 1.
        track: ``(N,)`` int64, rising.
        fps: Frames a second.
        lookahead: Frames that are known ahead of an answer; None for all. With a number the
            reader's guesses, which know what comes later, are made anew.
        replaced: Whether outliers go where their neighbours have them.
        smoothed: Whether to take jitter off.
    """
    seen = confidence > 0
    if lookahead is not None:
        keypoints_2d = hold_missing(keypoints_2d, seen, track, lookahead)
    size = person_size(keypoints_2d, seen)
    weights = np.where(seen, np.maximum(confidence, _LEAST_WEIGHT), 0.0)
    window = Window.of(SMOOTH_S, fps, lookahead)
    tolerance = TOLERANCE * size[:, None]
    found = smooth(keypoints_2d, weights, track, window, tolerance=tolerance)
    known = np.isfinite(found.away)
    outliers = seen & known & (found.away > OUTLIER * tolerance) & replaced
    moved = known & seen & (outliers | smoothed)
    return Cleaned(
        np.where(moved[..., None], found.values, keypoints_2d),
        np.where(outliers, 0.0, confidence),
        ~seen,
        outliers,
    )


def person_size(keypoints_2d: Array, seen: Array) -> Array:
    """Size of a person in the image, about the longer side of the box, ``(N,)``, pixels.

    Args:
        keypoints_2d: ``(N, joints, 2)``.
        seen: ``(N, joints)`` bool; where nothing is seen all joints count.
    """
    used = np.where(seen.any(-1, keepdims=True), seen, True)[..., None]
    points = np.where(used, keypoints_2d, np.nan)
    middle = np.nanmedian(points, axis=1, keepdims=True)
    away = np.linalg.norm(points - middle, axis=-1)
    size: Array = np.maximum(3.0 * np.nanmedian(away, axis=1), 1.0)
    return size


def hold_missing(values: Array, seen: Array, track: Array, lookahead: int) -> Array:
    """What was not seen, from what is known a bounded time later at most.

    Between two sightings it goes in a straight line where the later one is near enough, else it
    stays where it was last; before the first sighting it is where that is, or in the middle of
    the joints that are seen.

    Args:
        values: ``(N, joints, 2)``.
        seen: ``(N, joints)`` bool.
        track: ``(N,)`` int64, rising.
        lookahead: Frames.
    """
    count, joints = seen.shape
    row = np.arange(count)[:, None]
    first = np.searchsorted(track, track)[:, None]
    end = np.searchsorted(track, track, side="right")[:, None]
    before = np.maximum.accumulate(np.where(seen, row, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, row, count)[::-1], axis=0)[::-1]
    has_before = before >= first
    has_after = (after < end) & (after - row <= lookahead)
    low = np.where(has_before, before, np.where(has_after, after, row))
    high = np.where(has_after, after, low)
    share = ((row - low) / np.maximum(high - low, 1)).clip(0, 1)[..., None]
    joint = np.arange(joints)
    held = values[low, joint] * (1 - share) + values[high, joint] * share
    here = np.where(seen[..., None], values, np.nan)
    with np.errstate(invalid="ignore"):
        total = np.maximum(seen.sum(1), 1)[:, None]
        middle = (np.nan_to_num(here).sum(1) / total)[:, None]
    known = (has_before | has_after)[..., None]
    return np.where(seen[..., None], values, np.where(known, held, middle))
