"""Faults of whole tracks, above levels that hold for any training.

Joints that are ``missing``; a person who is ``not upright``, as where x and y are exchanged; a
track that goes on as ``another person``; joints ``out of place`` beside the others, as where legs
are another's. Each is a score that faults have above 1; the levels are chosen on validation
tracks of CMU, which lie below, and on the same tracks when broken, which lie above; those of
limbs were raised once more for a sound track of Pose2Sim's trial.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from lifting.data.keypoints.plausibility import FloatArray
from lifting.skeleton import Skeleton

IntArray = np.ndarray[Any, np.dtype[np.int64]]

OUT_OF_PLACE = "joints out of place"
FAULTS = ("missing joints", "not upright", "another person", OUT_OF_PLACE)
_MISSING = 0.4  # share of the joints, in the mean over frames
_FAR, _SUDDEN = 0.3, 4.0  # of a person's size; times the largest step near it
_LASTING, _NEAR = 4, 6  # frames that it lasts, and that are looked at before and after it
_NOISE = 0.01  # of a person's size; a step that is none
_UPRIGHT = 0.5  # cosine of the angle between the body and the image's upright
_LEAST_FRAMES = 25
_UPPER = ("head", "top", "nose", "neck", "thorax", "shoulder")
_LOWER = ("hip", "pelvis", "knee", "ankle")


def faults(
    points: FloatArray,
    scale: FloatArray,
    away: FloatArray,
    offsets: IntArray,
    skeleton: Skeleton,
) -> dict[str, FloatArray]:
    """Scores of every track, ``(S,)``, for each of ``FAULTS``; 0 where they cannot be told.

    Args:
        points: ``(N, joints, 2)``, y down; NaN where a joint is missing.
        scale: ``(N,)``, size of the person in the unit of the points.
        away: ``(N, D)``, how far each coordinate is from where the others have it, in parts of
            what is out of place.
        offsets: ``(S + 1,)``; a track is rows ``offsets[i]:offsets[i + 1]``.
        skeleton: The joints.
    """
    missing = np.isnan(points[..., 0]).mean(1) / _MISSING
    lean = (1 - _upright(points, skeleton)) / (1 - _UPRIGHT)
    found = (
        _of_tracks(missing, offsets, np.mean, 1),
        _of_tracks(lean, offsets, lambda rows: middle(rows[None])[0], 1),
        _of_tracks(_sudden(points, scale, offsets), offsets, np.max),
        _of_tracks(np.abs(away), offsets, lambda rows: np.fmax.reduce(middle(rows.T))),
    )
    return dict(zip(FAULTS, map(np.nan_to_num, found), strict=True))


def displacement(points: FloatArray, offsets: IntArray, before: int, after: int) -> FloatArray:
    """How far the middle joint comes from some frames before each to some after it, ``(N,)``.

    Args:
        points: ``(N, joints, 2)``, NaN where a joint is missing.
        offsets: ``(S + 1,)``, of the tracks.
        before: Frames.
        after: Frames.

    Returns:
        In the unit of the points; NaN where a track does not reach so far.
    """
    found = np.full(len(points), np.nan)
    rows = _inside(offsets, before, after)
    found[rows] = middle(np.linalg.norm(points[rows + after] - points[rows - before], axis=-1))
    return found


def middle(values: FloatArray) -> FloatArray:
    """The median of the known values of each row; NaN where there are none.

    Args:
        values: ``(N, D)``.
    """
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(1)
    rows = np.arange(len(values))
    low, high = ((count - 1) // 2).clip(0), (count // 2).clip(0, values.shape[1] - 1)
    found: FloatArray = (ordered[rows, low] + ordered[rows, high]) / 2
    return np.where(count > 0, found, np.nan)


def _inside(offsets: IntArray, before: int, after: int) -> IntArray:
    """Rows whose track has so many frames before and after them."""
    track = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    rows = np.arange(before, len(track) - after)
    kept: IntArray = rows[track[rows - before] == track[rows + after]]
    return kept


def _of_tracks(
    values: FloatArray,
    offsets: IntArray,
    reduced: Callable[[FloatArray], Any],
    least: int = _LEAST_FRAMES,
) -> FloatArray:
    return np.array(
        [reduced(values[a:b]) if b - a >= least else 0.0 for a, b in pairwise(offsets)]
    )


def _sudden(points: FloatArray, scale: FloatArray, offsets: IntArray) -> FloatArray:
    """Displacements that last, beside a person's size and the largest steps near them."""
    ways = [displacement(points, offsets, i + 1, i) for i in range(_LASTING)]
    near = np.zeros(len(points))
    for away in range(2, _NEAR + 1):
        for before, after in ((away, 0), (0, away)):
            rows = _inside(offsets, before, after)
            near[rows] = np.fmax(near[rows], ways[0][rows + after - before])
    size = np.fmin(scale, np.roll(scale, 1))
    lasting = np.fmin.reduce(ways) / size
    scores = np.minimum(lasting / _FAR, lasting / (near / size + _NOISE) / _SUDDEN)
    return np.nan_to_num(scores)


def _upright(points: FloatArray, skeleton: Skeleton) -> FloatArray:
    """Cosine of the angle between the body and the image's upright, ``(N,)``."""
    ends = []
    for names in (_UPPER, _LOWER):
        used = [j for j, name in enumerate(skeleton.joints) if name.split("_")[-1] in names]
        known = np.isfinite(points[:, used, 0]).sum(1)[:, None]
        ends.append(np.where(known, np.nansum(points[:, used], axis=1), np.nan) / known.clip(1))
    axis = ends[0] - ends[1]
    cosine: FloatArray = -axis[:, 1] / np.linalg.norm(axis, axis=1).clip(1e-9)
    return cosine
