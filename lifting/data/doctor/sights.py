"""What the residuals of a 2D file say: which kind of damage explains them, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lifting.data.doctor.keypoints import CONSTANT
from lifting.data.doctor.residuals import LAGS, LEAST_FRAMES, SightReport, Suspicion, compare
from lifting.data.doctor.rows import CheckRow, Verdict, judged
from lifting.data.doctor.specimen import Keypoints
from lifting.files.npz import Array

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
