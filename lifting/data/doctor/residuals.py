"""2D against projected 3D: the residual as the files are, and under every suspicion.

A suspicion is a change that, had it happened to the file, would explain it: left and right
exchanged, an axis turned round, frames shifted, another camera, another order of joints. Where the
intrinsics are not known, the best linear ones are fitted for each suspicion anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lifting.data.doctor.body import LIMBS
from lifting.data.doctor.keypoints import found_joints
from lifting.data.doctor.specimen import Keypoints, Sight, projected, spread
from lifting.files.npz import Array
from lifting.skeleton import Skeleton, sets_of

LAGS = 12
LEAST_FRAMES = 8
_MOST = 120
_FOCAL_WIDTHS = (0.2, 10.0)
_ENDS = [f"{side}_{j}" for side in ("left", "right") for j in
         dict.fromkeys(joint for limb in LIMBS.values() for joint in limb[:2])]  # fmt: skip


@dataclass(frozen=True)
class Suspicion:
    """One change, and what it leaves of the residual.

    Attributes:
        cause: What kind of damage it is.
        words: The change.
        residual_px: Median distance of limb joints after it.
        before_px: The same without it, over the same frames.
    """

    cause: str
    words: str
    residual_px: float
    before_px: float


@dataclass(frozen=True)
class SightReport:
    """One sight compared with its take.

    Attributes:
        sight: The sight.
        distances: Distances of all joints that both have, pixels.
        confidence: Confidence of the same keypoints; None without.
        suspicions: Every change that was tried.
        by_lag: Residual by shift from ``-LAGS`` to ``LAGS``, pixels; None for short recordings.
    """

    sight: Sight
    distances: Array
    confidence: Array | None
    suspicions: tuple[Suspicion, ...]
    by_lag: Array | None


def compare(keypoints: Keypoints) -> Iterator[SightReport]:
    """Compare every sight of a 2D file with its take; those with few frames are passed over.

    Args:
        keypoints: The file.
    """
    by_take: dict[str, list[Sight]] = {}
    for sight in keypoints.sights:
        by_take.setdefault(sight.take.label, []).append(sight)
    for sight in keypoints.sights:
        report = _compare_one(keypoints, sight, by_take[sight.take.label])
        if report is not None:
            yield report


def _rows(sight: Sight) -> Array:
    rows = sight.take.rows[sight.take.rows < len(sight.keypoints)]
    return spread(rows, _MOST)


def _columns(skeleton: Skeleton, joints: Sequence[str]) -> list[int]:
    return [skeleton.index(joint) for joint in joints]


def _compare_one(
    keypoints: Keypoints, sight: Sight, others: Sequence[Sight]
) -> SightReport | None:
    rows = _rows(sight)
    if len(rows) < LEAST_FRAMES:
        return None
    layout, skeleton = keypoints.layout, keypoints.skeleton
    shared = [joint for joint in skeleton.joints if joint in layout.joints]
    pixels, found = sight.keypoints[rows].astype(np.float64), found_joints(sight, rows)
    points, ours = sight.points(rows), _columns(layout, shared)
    distances = _distances(points[:, _columns(skeleton, shared)], pixels[:, ours],
                           found[:, ours], sight)  # fmt: skip
    scores = None if sight.confidence is None else sight.confidence[rows][:, ours][found[:, ours]]
    bench = _Bench(sight, points[:, _columns(skeleton, _ENDS)], pixels, found, layout)
    suspicions = [*_suspicions(bench, sight), *_cameras(bench, sight, others, rows, skeleton)]
    by_lag = _lags(sight, skeleton, layout)
    if by_lag is not None:
        best = int(by_lag.argmin())
        words = f"{best - LAGS:+d} frames" if best != LAGS else "no shift"
        suspicions.append(Suspicion("time", words, float(by_lag[best]), float(by_lag[LAGS])))
    return SightReport(sight, distances, scores, tuple(suspicions), by_lag)


class _Bench:
    """Limb joints of one sight, to be compared under changes.

    Args:
        sight: The sight.
        points: ``(n, limb joints, 3)``, camera frame, mm.
        pixels: ``(n, joints, 2)``.
        found: ``(n, joints)`` bool.
        layout: Joints of the pixels.
    """

    def __init__(
        self, sight: Sight, points: Array, pixels: Array, found: Array, layout: Skeleton
    ) -> None:
        self.sight, self.points, self.pixels, self.found = sight, points, pixels, found
        self.layout = layout
        self.before = self.residual(pixels, layout)

    def residual(self, pixels: Array, layout: Skeleton, points: Array | None = None) -> float:
        """Median distance of limb joints."""
        columns = _columns(layout, _ENDS)
        used = self.points if points is None else points
        away = _distances(used, pixels[:, columns], self.found[:, columns], self.sight)
        return float(np.median(away)) if len(away) else np.inf


def _suspicions(bench: _Bench, sight: Sight) -> Iterator[Suspicion]:
    width, height = sight.size
    pixels, layout = bench.pixels, bench.layout
    changes = (
        ("left and right", "exchanged", pixels[:, list(layout.flip_index)]),
        ("image axes", "x mirrored", pixels * (-1, 1) + (width, 0)),
        ("image axes", "y turned up", pixels * (1, -1) + (0, height)),
        ("image axes", "x and y exchanged", pixels[..., ::-1]),
    )
    for cause, words, changed in changes:
        yield Suspicion(cause, words, bench.residual(changed, layout), bench.before)
    for other in sets_of(len(layout)):
        if other is not layout and set(_ENDS) <= set(other.joints):
            residual = bench.residual(pixels, other)
            yield Suspicion("joint order", f"in the order of {other.name}", residual, bench.before)


def _cameras(
    bench: _Bench, sight: Sight, others: Sequence[Sight], rows: Array, skeleton: Skeleton
) -> Iterator[Suspicion]:
    """The pixels against what every other camera of the recording should have seen."""
    columns = _columns(skeleton, _ENDS)
    for other in others:
        if other is sight or len(other.take.joints) <= rows[-1]:
            continue
        moved = _Bench(other, other.points(rows)[:, columns], bench.pixels, bench.found,
                       bench.layout)  # fmt: skip
        yield Suspicion("cameras", f"those of {other.camera}", moved.before, bench.before)


def _lags(sight: Sight, skeleton: Skeleton, layout: Skeleton) -> Array | None:
    """Residual by shift of the keypoints against the labels."""
    rows = sight.take.rows
    rows = rows[(rows >= LAGS) & (rows < len(sight.keypoints) - LAGS)]
    if len(rows) < LEAST_FRAMES:
        return None
    rows = spread(rows, _MOST)
    points = sight.points(rows)[:, _columns(skeleton, _ENDS)]
    columns = _columns(layout, _ENDS)
    residuals = []
    for lag in range(-LAGS, LAGS + 1):
        pixels = sight.keypoints[rows + lag][:, columns].astype(np.float64)
        found = found_joints(sight, rows + lag)[:, columns]
        away = _distances(points, pixels, found, sight)
        residuals.append(np.median(away) if len(away) else np.inf)
    return np.array(residuals)


def _distances(points: Array, pixels: Array, found: Array, sight: Sight) -> Array:
    """Distances of found keypoints from the projected joints, flat, pixels."""
    if sight.lens is not None:
        away: Array = np.linalg.norm(projected(points, sight.lens) - pixels, axis=-1)[found]
        return away
    used = found & (points[..., 2] > 0)
    rays, seen = points[used][:, :2] / points[used][:, 2:], pixels[used]
    return _fitted_distances(rays, seen, sight.size[0])


def _fitted_distances(rays: Array, pixels: Array, width: float) -> Array:
    """Distances under the best linear intrinsics; infinite where they are no camera's."""
    if len(rays) < 2 * LEAST_FRAMES:
        return np.full(len(rays), np.inf)
    kept = np.ones(len(rays), dtype=bool)
    for _ in range(3):
        centred = rays[kept] - rays[kept].mean(axis=0)
        spread_of_rays = np.maximum((centred**2).sum(axis=0), 1e-12)
        focal = (centred * pixels[kept]).sum(axis=0) / spread_of_rays
        centre = pixels[kept].mean(axis=0) - focal * rays[kept].mean(axis=0)
        away: Array = np.linalg.norm(rays * focal + centre - pixels, axis=-1)
        kept = away <= 4 * np.median(away) + 1e-6
    if not ((focal > _FOCAL_WIDTHS[0] * width) & (focal < _FOCAL_WIDTHS[1] * width)).all():
        return np.full(len(rays), np.inf)
    return away
