"""2D alone: finite values, pixels of the image, people on their feet, confidence."""

from __future__ import annotations

import numpy as np

from lifting.data.doctor.body import check_values
from lifting.data.doctor.presence import check_lengths
from lifting.data.doctor.takes import (
    Bodies,
    CheckRow,
    Keypoints,
    Sight,
    Take,
    Verdict,
    judged,
    spread,
)
from lifting.files.npz import Array

_A_SIGHT = 200
NORMALISED = 3.0  # pixels are far larger
INSIDE_OK, INSIDE_DOUBTFUL = 0.9, 0.5
BORDER = 0.1
UPRIGHT_OK = 0.6
CONSTANT = 0.02  # no detector is so sure of itself


def check_keypoints(keypoints: Keypoints) -> list[CheckRow]:
    """Judge a 2D file without its 3D.

    Args:
        keypoints: The file.

    Returns:
        The rows; a failing ``pixels`` row means that no comparison with 3D makes sense.
    """
    if not keypoints.sights:
        return []
    rows = [check_lengths(keypoints), _check_values(keypoints)]
    points, inside = _sample(keypoints)
    if len(points) == 0:
        return rows
    rows += [_check_pixels(keypoints, points, inside), _check_upright(keypoints, points)]
    if any(sight.confidence is not None for sight in keypoints.sights):
        rows.append(_check_confidence(keypoints))
    return rows


def _check_values(keypoints: Keypoints) -> CheckRow:
    """Not-a-number is counted as in 3D."""
    takes = tuple(
        Take(subject=s.take.subject, name=f"{s.take.name}/{s.camera}", action="",
             joints=s.keypoints)
        for s in keypoints.sights
    )  # fmt: skip
    return check_values(
        Bodies(label=keypoints.label, skeleton=keypoints.layout, unit="mm", up=None, fps=1,
               bone_share=0, takes=takes)
    )  # fmt: skip


def found_joints(sight: Sight, rows: Array) -> Array:
    """Which keypoints of some frames were found, ``(rows, joints)`` bool."""
    found: Array = np.isfinite(sight.keypoints[rows]).min(axis=-1)
    if sight.confidence is not None:
        found = found & ~(sight.confidence[rows] <= 0)
    return found


def _sample(keypoints: Keypoints) -> tuple[Array, Array]:
    """Frames with every keypoint found, ``(n, joints, 2)``, and whether each is in its image."""
    pieces, inside = [], []
    for sight in keypoints.sights:
        rows = spread(np.arange(len(sight.keypoints)), _A_SIGHT)
        rows = rows[found_joints(sight, rows).all(axis=1)]
        points = sight.keypoints[rows].astype(np.float64)
        share, border = points / sight.size, BORDER
        pieces.append(points)
        inside.append(((share > -border) & (share < 1 + border)).all(axis=-1))
    return np.concatenate(pieces), np.concatenate(inside)


def _check_pixels(keypoints: Keypoints, points: Array, inside: Array) -> CheckRow:
    share = float(inside.mean())
    normalised = float(np.percentile(np.abs(points), 99)) < NORMALISED
    verdict: Verdict = "fail" if normalised or share < INSIDE_DOUBTFUL else "warn"
    found = f"{100 * share:.1f} % in the image"
    if normalised:
        found = f"numbers up to {float(np.abs(points).max()):.3g}"
    elif share >= INSIDE_OK:
        verdict = "ok"
    return judged(
        f"pixels {keypoints.label}",
        f"pixels, over {100 * INSIDE_OK:.0f} % in the image",
        found,
        verdict,
        "normalised coordinates: give pixels of the original image"
        if normalised
        else "pixels of another image size or crop: use the published file",
    )


def _check_upright(keypoints: Keypoints, points: Array) -> CheckRow:
    layout = keypoints.layout
    shoulders, hips = (
        points[:, [layout.index(f"left_{name}"), layout.index(f"right_{name}")], 1].mean(axis=1)
        for name in ("shoulder", "hip")
    )
    share = float((shoulders < hips).mean())
    return judged(
        f"upright {keypoints.label}",
        "shoulders above hips in the image (y down)",
        f"{100 * share:.0f} % of frames",
        "ok" if share > UPRIGHT_OK else "warn" if share > 1 - UPRIGHT_OK else "fail",
        "the y axis of the pixels points up, or the joints are in another order",
    )


def _check_confidence(keypoints: Keypoints) -> CheckRow:
    values = np.concatenate(
        [
            np.asarray(s.confidence).reshape(-1)
            for s in keypoints.sights
            if s.confidence is not None
        ]
    ).astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)
    bad = len(finite) < len(values) or low < 0 or high > 1
    constant = not bad and high - low < CONSTANT
    return judged(
        f"confidence {keypoints.label}",
        "0 to 1, not always the same",
        f"{low:.3g} to {high:.3g}"
        + (f", {len(values) - len(finite)} not finite" if len(finite) < len(values) else "")
        + (", always the same" if constant else ""),
        "fail" if bad else "warn" if constant else "ok",
        "scores are in another scale (per cent, logits) or damaged: bring them to 0 to 1"
        if bad
        else "the confidence says nothing; methods that use it gain nothing",
    )
