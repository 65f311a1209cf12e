"""Positions in pixels and confidences from 0 to 1, with what is missing marked as missing."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lifting.data.keypoints.people import People
from lifting.data.keypoints.plausibility import BoolArray, FloatArray
from lifting.errors import DataError

log = logging.getLogger(__name__)

Coordinates = Literal["auto", "pixels", "unit", "signed"]
Size2D = tuple[float, float] | FloatArray

# A person is larger than this in pixels, and never so large in parts of the image.
_LARGEST_SCALED, _FARTHEST_SCALED = 2.0, 20.0
_FARTHEST = 1e6
_BESIDE = 0.1  # joints may lie beside the picture
_HIDDEN = 0.5
_SURE_AT_ORIGIN = 0.3
_CLEARLY_MORE, _FEW = 1.2, 0.05
_MOSTLY, _MANY, _SOME, _CORNER = 0.5, 0.1, 0.02, 0.3
_NOTICED, _CLEARLY_BESIDE = 0.01, 0.02  # share of the sure joints; parts of a side


class Cleaned(NamedTuple):
    """People in pixels; a missing joint has position NaN and confidence 0.

    Attributes:
        people: The sightings that show at least one joint.
        not_finite: Joints with a number that is not finite, now missing.
        clipped: Confidences above 1, which count as 1.
        dropped: Sightings without a joint.
        coordinates: What the file's positions were.
    """

    people: People
    not_finite: int
    clipped: int
    dropped: int
    coordinates: Coordinates


def to_pixels(
    path: Path, people: People, size: Size2D, coordinates: Coordinates = "auto"
) -> Cleaned:
    """Pixels and confidences of everyone a detector saw.

    A joint is missing when one of its numbers is not finite, when its confidence is zero, or when
    it lies at (0, 0) and its confidence is at most 0.3, as detectors write it. Visibility 1
    becomes confidence 0.5 (hidden), unless the file knows no 2. Without joints a sighting is none.

    Args:
        path: The file, for messages.
        people: As read.
        size: Width and height, pixels; of each sighting, ``(D, 2)``, where images differ.
        coordinates: What the file's positions are: ``pixels``, ``unit`` for parts of width and
            height from 0 to 1, ``signed`` for -1 to 1; ``auto`` is what the format prescribes.

    Raises:
        DataError: The positions are evidently of another kind, too far away, or nobody is left.
    """
    body = people.joints.shape[1]
    claimed = np.concatenate((people.joints, people.extra), axis=1)
    bad = ~np.isfinite(claimed).all(-1)
    unsure = np.where((claimed[..., :2] == 0).all(-1), _SURE_AT_ORIGIN, 0.0)
    missing = bad | (claimed[..., 2] <= unsure)
    confidence = np.where(missing, 0.0, claimed[..., 2])
    if people.claims.visibility or _is_visibility(people, confidence):
        hidden = _HIDDEN if (confidence == 2).any() else 1.0
        confidence = np.select([confidence == 1, confidence == 2], [hidden, 1.0], confidence)
    clipped = int((confidence > 1).sum())
    if (confidence > _CLEARLY_MORE).mean() > _FEW:
        log.warning(
            "%s: confidences reach %.4g and are cut to 1, so that many count as equally sure",
            path, confidence.max(),
        )  # fmt: skip
    xy = np.where(missing[..., None], np.nan, claimed[..., :2])
    of_body = xy[:, :body][~missing[:, :body]]
    kind = _kind(people, coordinates, of_body)
    _check_kind(path, of_body, scaled=kind != "pixels")
    if kind != "pixels":
        xy = (xy if kind == "unit" else (xy + 1) / 2) * _sides(size)
    _check_reach(path, people, xy[:, :body])
    joints = np.concatenate((xy, confidence.clip(0, 1)[..., None]), axis=-1)
    kept = _shown_people(
        path, replace(people, joints=joints[:, :body], extra=joints[:, body:]),
        own_boxes=kind == "pixels",
    )  # fmt: skip
    return Cleaned(kept, int(bad.sum()), clipped, len(joints) - len(kept.joints), kind)


def within(
    path: Path, people: People, size: Size2D, coordinates: Coordinates
) -> tuple[People, int]:
    """Check that people lie within the image, and take joints far outside it for missing.

    Args:
        path: The file, for messages.
        people: In pixels.
        size: Width and height, pixels; of each sighting, ``(D, 2)``, where images differ.
        coordinates: What the file's positions were; parts of the image fit on any side.

    Returns:
        The people, and how many joints lay more than a whole image beside it.

    Raises:
        DataError: Most of the joints lie outside, or they fit the image on its side and not as it
            is.
    """
    sides = _sides(size)
    every = np.broadcast_to(sides, people.joints[..., :2].shape)
    image = (
        "its image" if len(sides) > 1 else f"the image of {sides[0, 0, 0]:g} x {sides[0, 0, 1]:g}"
    )
    seen = people.joints[..., 2] > 0
    points, own = people.joints[seen][:, :2], every[seen]
    outside = float(((points < 0) | (points > own)).any(-1).mean())
    turned = float(((points < 0) | (points > own[:, ::-1])).any(-1).mean())
    if outside > _MOSTLY or (coordinates == "pixels" and outside > _SOME and turned < outside / 4):
        low, high = points.min(0), points.max(0)
        advice = "give width and height of the video, in this order, with --image-size"
        if (points[:, 1] < 0).mean() > _MOSTLY:
            advice = "y must point down from the top of the image: turn it over (height - y)"
        raise DataError(
            f"expected the keypoints of {path} within {image}, got x from {low[0]:.0f} to "
            f"{high[0]:.0f} and y from {low[1]:.0f} to {high[1]:.0f}; {advice}"
        )
    certain = people.joints[..., 2] >= _HIDDEN
    sure, own_sure = people.joints[certain][:, :2], every[certain]
    beside, beside_turned = _beside(sure, own_sure), _beside(sure, own_sure[:, ::-1])
    if outside > _MANY or beside > _NOTICED:
        fits = coordinates == "pixels" and beside > _NOTICED and beside_turned < beside / 4
        log.warning(
            "%s: %.2g %% of the joints lie outside %s%s; check --image-size",
            path, 100 * (outside if outside > _MANY else beside), image,
            ", and would fit with width and height (or x and y) exchanged" if fits else "",
        )  # fmt: skip
    elif bool(np.all(np.quantile(points / own, 0.99, axis=0) < _CORNER)):
        log.warning(
            "%s: everyone is in the upper left corner of %s; check --image-size and that "
            "positions are pixels of the video and not of a network's input",
            path, image,
        )  # fmt: skip
    with np.errstate(invalid="ignore"):
        beyond = (people.joints[..., :2] < -sides) | (people.joints[..., :2] > 2 * sides)
    far: BoolArray = np.any(beyond, axis=-1)
    joints = np.where(far[..., None], (np.nan, np.nan, 0.0), people.joints)
    kept = _shown_people(path, replace(people, joints=joints), own_boxes=True)
    return kept, int((far & seen).sum())


def _sides(size: Size2D) -> FloatArray:
    """Width and height to compare joints with, ``(1 or D, 1, 2)``."""
    sides: FloatArray = np.asarray(size, dtype=np.float64).reshape(-1, 1, 2)
    return sides


def _beside(points: FloatArray, sides: FloatArray) -> float:
    """Share of points that lie clearly outside an image."""
    if not len(points):
        return 0.0
    margin = _CLEARLY_BESIDE * sides
    return float(((points < -margin) | (points > sides + margin)).any(-1).mean())


def _kind(people: People, coordinates: Coordinates, points: FloatArray) -> Coordinates:
    """What positions are: as declared, as the format prescribes, or by their range."""
    if coordinates != "auto":
        return coordinates
    relative = people.claims.relative
    if relative is not None or not len(points):
        return "unit" if relative else "pixels"
    low, high = float(points.min()), float(points.max())
    if low >= -_BESIDE and high <= 1 + _BESIDE:
        return "unit"
    return "signed" if low >= -1 - _BESIDE and high <= 1 + _BESIDE else "pixels"


def _shown_people(path: Path, people: People, *, own_boxes: bool) -> People:
    """The sightings with a joint of confidence above zero."""
    keep: BoolArray = np.any(people.joints[..., 2] > 0, axis=-1)
    if not keep.any():
        raise DataError(
            f"expected someone in {path}, got {len(keep)} sightings without any finite joint of "
            "confidence above zero; run the detector again"
        )
    return replace(
        people,
        joints=people.joints[keep],
        frame=people.frame[keep],
        score=people.score[keep],
        box=people.box[keep] if own_boxes else np.full((int(keep.sum()), 4), np.nan),
        track=people.track[keep],
        extra=people.extra[keep],
    )


def _is_visibility(people: People, confidence: FloatArray) -> bool:
    """Whether a list without scores holds annotations: every third number is 0, 1 or 2."""
    unscored = bool(np.isnan(people.score).all())
    return unscored and bool(np.isin(confidence, (0, 1, 2)).all() and (confidence == 2).any())


def _check_kind(path: Path, points: FloatArray, *, scaled: bool) -> None:
    reach = float(np.abs(points).max(initial=0))
    if scaled and reach > _FARTHEST_SCALED:
        raise DataError(
            f"expected positions as parts of the image in {path}, got some at {reach:.1f}; "
            "declare --coordinates pixels if they are pixels"
        )
    if not scaled and len(points) and reach <= _LARGEST_SCALED:
        kind = "signed" if points.min() < 0 else "unit"
        raise DataError(
            f"expected positions in pixels in {path}, got all within {points.min():.2f} and "
            f"{points.max():.2f}: they were exported scaled; declare --coordinates {kind} "
            "(unit is 0 to 1, signed is -1 to 1)"
        )


def _check_reach(path: Path, people: People, xy: FloatArray) -> None:
    far = np.argwhere((np.abs(xy) > _FARTHEST).any(-1))
    if len(far):
        row, joint = (int(v) for v in far[0])
        raise DataError(
            f"expected positions within {_FARTHEST:.0f} pixels in {path}, got "
            f"{xy[row, joint].tolist()} for {people.skeleton.joints[joint]} "
            f"({people.where(row)}); the file is damaged: write it again"
        )
