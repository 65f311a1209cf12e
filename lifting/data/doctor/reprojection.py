"""2D against projected 3D: which kind of damage explains the residuals of a 2D file, and where.

The residual is taken as the files are, and under every suspicion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lifting.data.doctor.body import LIMBS
from lifting.data.doctor.keypoints import CONSTANT, found_joints
from lifting.data.doctor.takes import (
    CheckRow,
    Keypoints,
    Sight,
    Verdict,
    judged,
    projected,
    spread,
)
from lifting.files.npz import Array
from lifting.skeleton import Skeleton, sets_of

LAGS = 12
LEAST_FRAMES = 8
_MOST = 120
_FOCAL_WIDTHS = (0.2, 10.0)
_ENDS = [f"{side}_{j}" for side in ("left", "right") for j in
         dict.fromkeys(joint for limb in LIMBS.values() for joint in limb[:2])]  # fmt: skip

CAUSES = {
    "left and right": ("left and right as in 3D", "exchange the left and right joints"),
    "image axes": ("x to the right, y down", "the pixels are of a mirrored or turned image"),
    "joint order": ("the order that the file claims", "put the joints in the order of the file's "
                    "layout, or write the right layout_name into its metadata"),
    "cameras": ("cameras in the published order", "put the arrays in the published order of "
                "cameras"),
    "time": ("2D and 3D of the same frames", "shift the keypoints so that both start together"),
}  # fmt: skip
EXPLAINS = 0.6  # a cause is named when it leaves less than this share of the residual
_LEAST_GAIN_PX = 1.0
_LAG_GAIN = 0.95
FAR = 4.0
_RANKED = 20_000
CONTRARY = 0.2


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
    measure = _distances(points[:, _columns(skeleton, shared)], sight)
    distances = measure(pixels[:, ours], found[:, ours])
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
        self.pixels, self.found, self.layout = pixels, found, layout
        self.measure = _distances(points, sight)
        self.before = self.residual(pixels, layout)

    def residual(self, pixels: Array, layout: Skeleton) -> float:
        """Median distance of limb joints."""
        columns = _columns(layout, _ENDS)
        away = self.measure(pixels[:, columns], self.found[:, columns])
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
    measure = _distances(sight.points(rows)[:, _columns(skeleton, _ENDS)], sight)
    columns = _columns(layout, _ENDS)
    residuals = []
    for lag in range(-LAGS, LAGS + 1):
        pixels = sight.keypoints[rows + lag][:, columns].astype(np.float64)
        found = found_joints(sight, rows + lag)[:, columns]
        away = measure(pixels, found)
        residuals.append(np.median(away) if len(away) else np.inf)
    return np.array(residuals)


def _distances(points: Array, sight: Sight) -> Callable[[Array, Array], Array]:
    """Measures how far found keypoints are from the joints, flat, pixels; projects these once."""
    if sight.lens is not None:
        there = projected(points, sight.lens)
        return lambda pixels, found: np.linalg.norm(there - pixels, axis=-1)[found]
    before = points[..., 2] > 0
    with np.errstate(all="ignore"):  # of those behind the camera nothing is asked
        rays = points[..., :2] / points[..., 2:]

    def fitted(pixels: Array, found: Array) -> Array:
        used = found & before
        return _fitted_distances(rays[used], pixels[used], sight.size[0])

    return fitted


def _fitted_distances(rays: Array, pixels: Array, width: float) -> Array:
    """Distances under the best linear intrinsics; infinite where they are no camera's."""
    if len(rays) < 2 * LEAST_FRAMES:
        return np.full(len(rays), np.inf)
    kept = np.ones(len(rays), dtype=bool)
    for _ in range(3):
        used, middle = pixels[kept], rays[kept].mean(axis=0)
        centred = rays[kept] - middle
        spread_of_rays = np.maximum((centred**2).sum(axis=0), 1e-12)
        focal = (centred * used).sum(axis=0) / spread_of_rays
        centre = used.mean(axis=0) - focal * middle
        away: Array = np.linalg.norm(rays * focal + centre - pixels, axis=-1)
        kept = away <= 4 * np.median(away) + 1e-6
    if not ((focal > _FOCAL_WIDTHS[0] * width) & (focal < _FOCAL_WIDTHS[1] * width)).all():
        return np.full(len(rays), np.inf)
    return away


def check_sights(keypoints: Keypoints) -> list[CheckRow]:
    """Judge a 2D file by its 3D.

    Args:
        keypoints: The file.
    """
    reports = [report for report in compare(keypoints) if len(report.distances)]
    if not reports:
        return [
            CheckRow(
                f"reprojection {keypoints.label}",
                "3D falls on 2D",
                f"no recording with {LEAST_FRAMES} frames of both",
                "warn",
                "nothing to compare: the recordings are too short, or nothing was detected",
            )
        ]
    blamed = [(report, _blame(report)) for report in reports]
    explained = [report for report, cause in blamed if cause is not None]
    rows = [_check_reprojection(keypoints, reports, len(explained))]
    shift = 0 if explained else _common_shift([r.by_lag for r in reports if r.by_lag is not None])
    for cause in CAUSES:
        found = [(r, s) for r, s in blamed if s is not None and s.cause == cause]
        rows.append(
            _check_cause(keypoints.label, cause, found, len(reports), shift * (cause == "time"))
        )
    rows += _check_contrary(keypoints, reports)
    return rows


def _blame(report: SightReport) -> Suspicion | None:
    """The change that explains the residual of a sight, if one does."""
    best = min(report.suspicions, key=lambda s: s.residual_px, default=None)
    if best is None or best.residual_px > EXPLAINS * best.before_px:
        return None
    return best if best.before_px - best.residual_px > _LEAST_GAIN_PX else None


def _check_reprojection(
    keypoints: Keypoints, reports: Sequence[SightReport], explained: int
) -> CheckRow:
    limit = keypoints.residual_px
    distances = np.concatenate([report.distances for report in reports])
    distances = np.where(np.isfinite(distances), distances, 1e6)
    medians = [np.median(report.distances) for report in reports]
    middle, high = (float(np.percentile(distances, q)) for q in (50, 95))
    far = [r for r, m in zip(reports, medians, strict=True) if m > FAR * limit]
    verdict: Verdict = "ok" if middle <= limit and not far else "warn"
    if middle > FAR * limit:
        verdict = "fail"
    found = f"median {middle:.2f} px, 95 % below {high:.1f} px"
    if far:
        found += f"; {len(far)} of {len(reports)} views beyond {FAR * limit:g} px, first "
        found += far[0].sight.label
    return judged(
        f"reprojection {keypoints.label}",
        f"3D falls on 2D, median within {limit:g} px",
        found,
        verdict,
        f"see below: {explained} views are explained by one change"
        if explained
        else "the 2D and 3D files, or the calibration, do not belong together: get both from one "
        "source",
    )


def _check_cause(
    label: str,
    cause: str,
    found: Sequence[tuple[SightReport, Suspicion]],
    views: int,
    shift: int,
) -> CheckRow:
    """One kind of damage: the views that it explains, or a shift that all hint at together."""
    expected, advice = CAUSES[cause]
    what = f"{cause} {label}"
    if found:
        report, suspicion = found[0]
        words = (
            f"{len(found)} of {views} views fit if {_phrase(suspicion)}, first "
            f"{report.sight.label}: {suspicion.before_px:.1f} px, then "
            f"{suspicion.residual_px:.1f} px"
        )
        return CheckRow(what, expected, words, "fail", advice)
    if shift:
        words = f"all views together fit best if shifted by {shift:+d} frames"
        return CheckRow(what, expected, words, "warn", advice)
    return CheckRow(what, expected, f"{views} views as expected", "ok")


def _phrase(suspicion: Suspicion) -> str:
    if suspicion.cause == "cameras":
        return f"the pixels are {suspicion.words}"
    return f"shifted by {suspicion.words}" if suspicion.cause == "time" else suspicion.words


def _common_shift(by_lag: Sequence[Array]) -> int:
    """Shift at which all sights together fit clearly better, or 0."""
    if not by_lag:
        return 0
    total = np.minimum(np.stack(by_lag), 1e6).mean(axis=0)
    best = int(total.argmin())
    return best - LAGS if total[best] < _LAG_GAIN * total[LAGS] - 0.1 else 0


def _check_contrary(keypoints: Keypoints, reports: Sequence[SightReport]) -> Iterator[CheckRow]:
    """Whether keypoints of high confidence are worse than those of low confidence."""
    pairs = [(r.confidence, r.distances) for r in reports if r.confidence is not None]
    pairs = [(c, d) for c, d in pairs if len(c) == len(d)]
    if not pairs:
        return
    scores, distances = (np.concatenate(values) for values in zip(*pairs, strict=True))
    step = max(len(scores) // _RANKED, 1)
    scores, distances = scores[::step], distances[::step]
    if not (np.isfinite(scores).all() and np.isfinite(distances).all()):
        return
    if len(scores) < LEAST_FRAMES or np.ptp(scores) < CONSTANT or np.ptp(distances) == 0:
        return
    correlation = float(np.corrcoef(_ranks(scores), _ranks(distances))[0, 1])
    yield judged(
        f"trust {keypoints.label}",
        "confident keypoints are nearer",
        f"rank correlation of confidence and distance {correlation:+.2f}",
        "ok" if correlation < CONTRARY else "fail",
        "the confidence is turned round (1 - c), or of other joints or frames",
    )


def _ranks(values: Array) -> Array:
    """Ranks, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Array = ((2 * ends - counts - 1) / 2)[inverse]
    return ranks
