"""Plain npz: one person's keypoints in pixels, made by a few lines of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lifting.data.keypoints.joint_order import Named, joint_order
from lifting.data.keypoints.people import People, one_person
from lifting.errors import DataError
from lifting.files.npz import Array, Kind, read_plain_npz

KEYS: dict[str, tuple[Kind, int]] = {
    "keypoints_2d": ("number", 3),
    "image_size": ("number", 1),
    "confidence": ("number", 2),
    "intrinsics": ("number", 1),
    "skeleton": ("text", 0),
    "joint_names": ("text", 1),
}


def read_npz(path: Path, skeleton: str | None, max_bytes: int) -> People:
    """Keypoints of one person from an npz file.

    Args:
        path: File with ``keypoints_2d (frames, joints, 2)``, pixels, and optionally
            ``image_size (2,)`` width and height, ``confidence (frames, joints)`` and ``intrinsics
            (9,)``, pixels, and the ``skeleton`` by name or ``joint_names (joints,)``. A frame of
            NaN has nobody.
        skeleton: Name of the order of the joints; None takes what the file says, else tells it
            from the positions.
        max_bytes: Limit of the expanded size, bytes.

    Raises:
        DataError: An array is absent or of another form, or the joints' order cannot be told.
        ConfigError: No skeleton has that name.
    """
    arrays = read_plain_npz(path, KEYS, max_bytes, optional=frozenset(KEYS) - {"keypoints_2d"})
    points = arrays["keypoints_2d"]
    frames, joints = points.shape[:2]
    confidence = arrays.get("confidence", np.ones((frames, joints)))
    _check_shape(path, "keypoints_2d", points, (frames, joints, 2))
    _check_shape(path, "confidence", confidence, (frames, joints))
    size = _numbers(path, "image_size", arrays, 2)
    table = np.concatenate((points, confidence[..., None]), axis=-1, dtype=np.float64)
    size_and_lens = {
        "image_size": None if size is None else (size[0], size[1]),
        "intrinsics": _numbers(path, "intrinsics", arrays, 9),
    }
    order = joint_order(path, table, skeleton, named=_named(arrays), plain=True)
    return one_person("npz", order, table, **size_and_lens)


def _named(arrays: dict[str, Array]) -> Named | None:
    if "skeleton" in arrays:
        return str(arrays["skeleton"])
    return tuple(map(str, arrays["joint_names"])) if "joint_names" in arrays else None


def _numbers(
    path: Path, name: str, arrays: dict[str, Array], count: int
) -> tuple[float, ...] | None:
    if name not in arrays:
        return None
    _check_shape(path, name, arrays[name], (count,))
    return tuple(float(value) for value in arrays[name])


def _check_shape(path: Path, name: str, value: Array, shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.size == 0:
        raise DataError(
            f"expected '{name}' of {path} to have shape {shape}, got {value.shape}; "
            "give every frame and joint of 'keypoints_2d', at least one"
        )
