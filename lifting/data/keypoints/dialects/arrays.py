"""Plain npz and npy: keypoints in pixels, saved by a few lines of the user's own."""

from __future__ import annotations

import numpy as np

from lifting.data.keypoints.dialects import Dialect
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
SIZES = ("image_size", "resolution")
_FACTS: dict[str, tuple[Kind, int]] = {
    **dict.fromkeys(SIZES, ("number", 1)),
    "intrinsics": ("number", 1),
    "fps": ("number", 0),
    "skeleton": ("characters", 0),
    "joint_names": ("characters", 1),
    "track_ids": ("integer", 1),
}
_KNOWN = {*POSITIONS, *CONFIDENCES, *_FACTS}
_SURE = 1.2  # confidences exceed 1 slightly
_PICKLED = (
    "save it without objects: one array (frames, people, joints, 2), padded with NaN where there "
    "are fewer people"
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
    path, headers = source.path, source.content
    key = next(key for key in POSITIONS if key in headers)
    sure = next((key for key in CONFIDENCES if key in headers), None)
    used = [k for k in (key, sure) if k is not None]
    for name in used:
        if headers[name].dtype.hasobject:
            raise DataError(
                f"expected numbers in '{name}' of {path}, got pickled objects; {_PICKLED}"
            )
    kinds: dict[str, tuple[Kind, int]] = {k: ("number", len(headers[k].shape)) for k in used}
    facts = {name: kind for name, kind in _FACTS.items() if name in headers}
    arrays = read_plain_npz(path, {**kinds, **facts}, source.size.bytes)
    points = _as_people(path, arrays[key], f"'{key}'")
    table = _with_confidence(
        source, points, None if sure is None else arrays[sure], f"'{key}'", f"'{sure}'"
    )
    size = next((_numbers(source, arrays, name, (2,)) for name in SIZES if name in arrays), None)
    lens = _numbers(source, arrays, "intrinsics", (4, 9))
    tracks = arrays.get("track_ids")
    if tracks is not None and tracks.shape != table.shape[1:2]:
        raise DataError(
            f"expected a number for each of {table.shape[1]} people in 'track_ids' of {path}, "
            f"got shape {tracks.shape}; leave it out where rows are not people throughout"
        )
    unread = sorted(set(headers) - _KNOWN)
    return many_people(
        "npz",
        table,
        tracks,
        relative=None,
        image_size=None if size is None else (size[0], size[1]),
        fps=float(arrays["fps"]) if "fps" in arrays else None,
        intrinsics=lens,
        named=_named(arrays),
        plain=True,
        notes=(f"not read: {', '.join(unread)[:120]}",) if unread else (),
    )


def read_array(source: Source) -> Sightings:
    """Keypoints from an npy file.

    Args:
        source: Array ``(frames, joints, 2 or 3)``, ``(frames, people, joints, 2 or 3)``,
            ``(joints, 2 or 3)`` for one frame, or ``(frames, 2 or 3 times joints)``; pixels, the
            third the confidence. Without confidence NaN and (0, 0) are absent.

    Raises:
        DataError: It is of another form, or pickled.
    """
    if source.content.dtype.hasobject:
        raise DataError(f"expected numbers in {source.path}, got pickled objects; {_PICKLED}")
    points = _as_people(source.path, read_npy(source.path, source.size.bytes), "the array")
    table = _with_confidence(source, points, None, "the array", "")
    return many_people("npy", table, relative=None, plain=True)


def _as_people(path: object, array: Array, what: str) -> Array:
    """``(frames, people, joints, 2 or 3)``."""
    shape = array.shape
    if array.ndim == 2 and shape[1] not in (2, 3):
        fits = [n for n in (2, 3) if shape[1] % n == 0 and shape[1] // n in _COUNTS]
        if len(fits) == 1:
            array = array.reshape(shape[0], shape[1] // fits[0], fits[0])
    if array.ndim == 2 and shape[1] in (2, 3):
        array = array[None]
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4 and array.shape[-1] in (2, 3) and array.size:
        return array
    turned = " (its axis of 2 or 3 numbers must be the last: transpose it)"
    raise DataError(
        f"expected {what} of {path} of shape (frames, joints, 2 or 3) or (frames, people, joints, "
        f"2 or 3), got {shape}{turned if {2, 3} & set(shape[:-1]) else ''}; give every frame and "
        "joint, at least one"
    )


_COUNTS = {len(skeleton) for skeleton in SKELETONS.values()}


def _with_confidence(
    source: Source, points: Array, confidence: Array | None, what: str, which: str
) -> FloatArray:
    """x, y and confidence, ``(frames, people, joints, 3)``."""
    table = np.full((*points.shape[:3], 3), np.nan)
    table[..., :2] = points[..., :2]
    if points.shape[-1] == 3:
        third = points[..., 2]
        finite = third[np.isfinite(third)]
        if len(finite) and not (finite.min() >= 0 and finite.max() <= _SURE):
            raise DataError(
                f"expected the third number of {what} of {source.path} to be a confidence, got "
                f"{finite.min():.4g} to {finite.max():.4g}; give 2D keypoints, not a 3D estimate"
            )
        table[..., 2] = third
    elif confidence is None:
        absent = (points == 0).all(-1)
        table[..., 2] = np.where(absent, 0.0, 1.0)
    if confidence is not None:
        wanted = points.shape[:3]
        if confidence.ndim == 2:
            confidence = confidence[:, None]
        if confidence.shape != wanted:
            raise DataError(
                f"expected {which} of {source.path} to have shape {wanted}, got "
                f"{confidence.shape}; give every frame and joint of {what}"
            )
        table[..., 2] = confidence
    return table


def _named(arrays: dict[str, Array]) -> Named | None:
    if "skeleton" in arrays:
        return _text(arrays["skeleton"].item())
    return tuple(map(_text, arrays["joint_names"].tolist())) if "joint_names" in arrays else None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _numbers(
    source: Source, arrays: dict[str, Array], name: str, counts: tuple[int, ...]
) -> tuple[float, ...] | None:
    if name not in arrays:
        return None
    if len(arrays[name]) not in counts:
        wanted = " or ".join(map(str, counts))
        raise DataError(
            f"expected '{name}' of {source.path} to have shape ({wanted},), got "
            f"{arrays[name].shape}; correct it or leave it out"
        )
    return tuple(float(value) for value in arrays[name])


def _sees_npz(source: Source) -> bool:
    return bool(source.keys & set(POSITIONS)) and not _is_landmarks(source)


def _is_landmarks(source: Source) -> bool:
    return next((k for k in POSITIONS if k in source.keys), None) == "landmarks"


DIALECTS = (
    Dialect(
        name="npz",
        title="an npz of your own",
        kinds=("npz",),
        keys=("keypoints_2d",),
        sees=_sees_npz,
        read=read_npz,
    ),
    Dialect(
        name="npy",
        title="an npy of your own",
        kinds=("npy",),
        keys=(),
        sees=lambda source: len(source.content.shape) in (2, 3, 4),
        read=read_array,
    ),
)
