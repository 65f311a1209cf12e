"""Plain npz and npy: keypoints in pixels, saved by a few lines of the user's own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import SURE
from lifting.data.keypoints.joint_order import Named
from lifting.data.keypoints.people import Sightings, many_people
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.npz import Array, Kind, read_npy, read_plain_npz
from lifting.skeleton import SKELETONS

POSITIONS = (
    "keypoints_2d", "keypoints", "kpts", "poses_2d", "pose2d", "landmarks", "reconstruction",
    "arr_0",
)  # fmt: skip
CONFIDENCES = ("confidence", "scores", "keypoint_scores", "conf")
Facts = dict[str, Any]
DETECTRON = frozenset({"boxes", "segments", "keypoints"})  # arrays of objects, read elsewhere
_LENGTHS = {"image_size": (2,), "resolution": (2,), "intrinsics": (4, 9)}
_FACTS: dict[str, tuple[Kind, int]] = {
    **dict.fromkeys(_LENGTHS, ("number", 1)),
    "fps": ("number", 0),
    "skeleton": ("characters", 0),
    "joint_names": ("characters", 1),
    "track_ids": ("integer", 1),
}
_COUNTS = {len(skeleton) for skeleton in SKELETONS.values()}
# So many people are in no picture of so short a video: they are the frames of several cameras.
_CROWD, _CAMERAS = 60, 12
_HALF, _SEVERAL, _LOOKED_AT, _NEAR = 0.5, 5, 100, 0.1
_PICKLED = (
    "save it without objects: one array (frames, people, joints, 2), padded with NaN where there "
    "are fewer people"
)
_FLAT = (
    "give the 2D keypoints, not a 3D estimate (rtmlib's Wholebody3d returns the 2D last: save "
    "that as keypoints_2d)"
)


def read_npz(source: Source) -> Sightings:
    """Keypoints from an npz file.

    Args:
        source: File with positions in pixels under the first of :data:`POSITIONS` that it has,
            ``(frames, joints, 2 or 3)`` or ``(frames, people, joints, 2 or 3)``, the third
            the confidence; optionally confidences under one of :data:`CONFIDENCES`, ``image_size``
            (width, height), ``intrinsics (4 or 9,)`` pixels, ``fps``, ``skeleton`` by name or
            ``joint_names``, and ``track_ids (people,)`` where a row is a person throughout.
            NaN is absent.

    Raises:
        DataError: An array is of another form, or pickled.
    """
    path = source.path
    key = next(key for key in POSITIONS if key in source.content)
    sure = next((key for key in CONFIDENCES if key in source.content), None)
    arrays, facts = arrays_and_facts(source, [key] if sure is None else [key, sure])
    points = as_people(path, arrays[key], f"'{key}'")
    table = with_confidence(path, points, f"'{key}'", arrays.get(sure or ""), f"'{sure}'")
    tracks = arrays.get("track_ids")
    if tracks is not None and not (
        tracks.shape == table.shape[1:2] and len(np.unique(tracks)) == len(tracks)
    ):
        raise DataError(
            f"expected a number of its own for each of {table.shape[1]} people in 'track_ids' of "
            f"{path}, got shape {tracks.shape} with {len(np.unique(tracks))} different ones; "
            "leave it out where rows are not people throughout"
        )
    return many_people("npz", table, tracks, plain=True, **facts)


def arrays_and_facts(source: Source, keys: Sequence[str]) -> tuple[dict[str, Array], Facts]:
    """Arrays of an npz, and what else it says, for :class:`Sightings`.

    Args:
        source: The file.
        keys: Of positions and confidences, numbers.

    Raises:
        DataError: An array is of another form, or pickled.
    """
    path, headers = source.path, source.content
    if any(headers[key].dtype.hasobject for key in keys):
        raise DataError(f"expected numbers in '{keys[-1]}' of {path}, got pickled objects; "
                        f"{_PICKLED}")  # fmt: skip
    kinds: dict[str, tuple[Kind, int]] = {k: ("number", len(headers[k].shape)) for k in keys}
    kinds |= {name: kind for name, kind in _FACTS.items() if name in headers}
    arrays = read_plain_npz(path, kinds, source.size.bytes)
    vectors: dict[str, tuple[float, ...]] = {}
    for name, counts in _LENGTHS.items():
        if name in arrays and len(arrays[name]) not in counts:
            wanted = " or ".join(f"({count},)" for count in counts)
            raise DataError(
                f"expected '{name}' of {path} to have shape {wanted}, got {arrays[name].shape}; "
                "correct it or leave it out"
            )
        if name in arrays:
            vectors[name] = tuple(float(value) for value in arrays[name])
    named: Named | None = None
    if "skeleton" in arrays:
        named = _text(arrays["skeleton"].item())
    elif "joint_names" in arrays:
        named = tuple(map(_text, arrays["joint_names"].tolist()))
    unread = sorted(set(headers) - set(arrays))
    return arrays, {
        "image_size": vectors.get("image_size", vectors.get("resolution")),
        "fps": float(arrays["fps"]) if "fps" in arrays else None,
        "intrinsics": vectors.get("intrinsics"),
        "named": named,
        "notes": (f"not read: {', '.join(unread)[:120]}",) if unread else (),
    }


def read_array(source: Source) -> Sightings:
    """Keypoints from an npy file.

    Args:
        source: Array ``(frames, joints, 2 or 3)``, ``(frames, people, joints, 2 or 3)``,
            ``(joints, 2 or 3)`` for one frame, or ``(frames, 2 or 3 times joints)``; pixels, the
            third the confidence. Without confidence NaN and (0, 0) are absent.

    Raises:
        DataError: It is of another form, or pickled.
    """
    path = source.path
    if source.content.dtype.hasobject:
        raise DataError(f"expected numbers in {path}, got pickled objects; {_PICKLED}")
    points = as_people(path, read_npy(path, source.size.bytes), "the array")
    table = with_confidence(path, points, "the array")
    return many_people("npy", table, plain=True)


def sightings_of(
    name: Path, points: Array, confidence: Array | None = None, joints: Named | None = None
) -> Sightings:
    """Keypoints from an array in memory, of the shapes of :func:`read_array`.

    Args:
        name: What it is called in messages.
        points: Pixels; a third number is the confidence. NaN is absent.
        confidence: Beside the points, ``(frames, joints)`` or ``(frames, people, joints)``.
        joints: Name of their set, or names of them all.

    Raises:
        DataError: It is of another form.
    """
    for what, array in (("keypoints", points), ("confidence", confidence)):
        if array is not None and array.dtype.kind not in "fiu":
            raise DataError(
                f"expected an array of numbers as {what}, got {array.dtype}; pad with NaN where "
                "people or frames are missing"
            )
    people = as_people(name, np.atleast_1d(points), "the array")
    table = with_confidence(name, people, "the array", confidence, "the confidence")
    return many_people("array", table, named=joints, plain=True)


def as_people(path: Path, array: Array, what: str) -> Array:
    """An array as ``(frames, people, joints, 2 or 3)``.

    Args:
        path: The file, for messages.
        array: With or without an axis of people or frames, or a row of numbers a frame.
        what: What it is called in the message.

    Raises:
        DataError: It is of no such shape, or of one that may be several.
    """
    shape = array.shape
    advice = "give every frame and joint, at least one"
    turned = shape[0] in (2, 3) and shape[-1] in _COUNTS
    if len(shape) == 2 and shape[1] not in (2, 3) and not turned:
        fits = [n for n in (2, 3) if shape[1] % n == 0 and shape[1] // n in _COUNTS]
        if len(fits) == 1:
            array = array.reshape(shape[0], 1, shape[1] // fits[0], fits[0])
        elif fits:
            advice = (
                f"the rows may be {shape[1] // 2} joints of 2 numbers or {shape[1] // 3} of 3: "
                "reshape it"
            )
    elif len(shape) == 2:
        array = array[None, None]
    elif len(shape) == 3:
        array = array[:, None]
    if array.ndim == 4 and array.shape[-1] in (2, 3) and array.size:
        if array.shape[0] <= _CAMERAS and array.shape[1] > _CROWD:
            raise DataError(
                f"expected (frames, people, joints, 2 or 3) as {what} of {path}, got {shape}, "
                f"{shape[1]} people in {shape[0]} frames: it looks like (cameras, frames, joints, "
                "2 or 3); give the array of one camera at a time"
            )
        _check_axes(path, array, what)
        return array
    if {2, 3} & set(shape[:-1]):
        advice = "its axis of 2 or 3 numbers must be the last: transpose it"
    raise DataError(
        f"expected {what} of {path} of shape (frames, joints, 2 or 3) or (frames, people, joints, "
        f"2 or 3), got {shape}; {advice}"
    )


def with_confidence(
    path: Path, points: Array, what: str, confidence: Array | None = None, which: str = ""
) -> FloatArray:
    """x, y and confidence, ``(frames, people, joints, 3)``; (0, 0) is absent without confidence.

    Args:
        path: The file, for messages.
        points: ``(frames, people, joints, 2 or 3)``, the third the confidence.
        what: What they are called in the message.
        confidence: Beside the points, ``(frames, joints)`` or ``(frames, people, joints)``.
        which: What that is called in the message.

    Raises:
        DataError: The third number is no confidence, or the shapes differ.
    """
    if confidence is not None:
        frames, people, joints = points.shape[:3]
        wanted = (frames, joints) if people == 1 and confidence.ndim == 2 else points.shape[:3]
        if confidence.shape != wanted:
            raise DataError(
                f"expected {which} of {path} to have shape {wanted}, got {confidence.shape}; "
                f"give every frame and joint of {what}"
            )
        confidence = confidence.reshape(frames, people, joints)
    if points.shape[-1] == 3:
        third = points[..., 2]
        finite = third[np.isfinite(third)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        if low < 0 or high > SURE:
            raise DataError(
                f"expected the third number of {what} of {path} to be a confidence from 0 to 1, "
                f"got {low:.4g} to {high:.4g}; {_FLAT}"
            )
        if confidence is not None and not np.allclose(third, confidence, equal_nan=True):
            raise DataError(
                f"expected two numbers a joint in {what} of {path} beside {which}, got a third "
                f"that is another; {_FLAT}"
            )
        confidence = third
    elif confidence is None:
        confidence = np.where((points == 0).all(-1) | (points == -1).all(-1), 0.0, 1.0)
    # Ultralytics moves what it is less sure of than a half to the corner.
    cornered = (points[..., :2] == 0).all(-1) & (confidence < _HALF)
    confidence = np.where(cornered, 0.0, confidence)
    return np.concatenate((points[..., :2], confidence[..., None]), -1).astype(np.float64)


def _check_axes(path: Path, array: Array, what: str) -> None:
    """Check that frames follow one another along the first axis, and not along that of people."""
    frames, people = array.shape[:2]
    if people < _SEVERAL:
        return
    points = array[:_LOOKED_AT, :_LOOKED_AT, :, :2].astype(np.float64)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of slices without a number
        size = np.nanmedian(np.nanmax(points, 2) - np.nanmin(points, 2))
        over_people = np.nanmedian(np.abs(np.diff(points, axis=1))) / size
        over_frames = np.nanmedian(np.abs(np.diff(points, axis=0))) / size if frames > 1 else 1.0
    if over_people < _NEAR and over_people < over_frames / 3:
        raise DataError(
            f"expected (frames, people, joints, 2 or 3) as {what} of {path}, got {array.shape}, "
            f"whose {people} people move as one does from frame to frame; exchange its first two "
            "axes"
        )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _sees_npz(source: Source) -> bool:
    key = next((key for key in POSITIONS if key in source.keys), None)
    return key not in (None, "landmarks") and not source.keys >= DETECTRON


def _sees_npy(source: Source) -> bool:
    return source.content.dtype.hasobject or len(source.content.shape) in (2, 3, 4)


DIALECTS = (
    Dialect("npz", "an npz of your own", ("npz",), ("keypoints_2d",), _sees_npz, read_npz),
    Dialect("npy", "an npy of your own", ("npy",), (), _sees_npy, read_array),
)
