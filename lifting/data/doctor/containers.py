"""Arrays of published npz files by subject and recording, taken as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.doctor.presence import Shapes, attempt
from lifting.data.doctor.rows import CheckRow
from lifting.data.files import Array
from lifting.data.keypoint_layout import keypoint_layout
from lifting.data.object_npz import entries, items, read_object_npz
from lifting.errors import DataError
from lifting.skeleton import Skeleton


def named(value: object, where: str, shapes: Shapes) -> dict[str, object]:
    """A dictionary by name, or an empty one, remembered as wrong.

    Args:
        value: What the file has.
        where: Names it.
        shapes: Remembers what is wrong.
    """
    try:
        return entries(value, where)
    except DataError:
        shapes.miss(f"{where} is no dictionary")
        return {}


def views_of(value: object, cameras: Sequence[str], where: str, shapes: Shapes) -> list[object]:
    """One value for each camera, or none, remembered as wrong.

    Args:
        value: What the file has.
        cameras: The cameras.
        where: Names it.
        shapes: Remembers what is wrong.
    """
    try:
        views = items(value, where)
    except DataError:
        views = []
    if len(views) != len(cameras):
        shapes.miss(f"{where}: {len(views)} cameras")
        return []
    return views


def joint_count(two_d: dict[str, dict[str, object]]) -> int:
    """Joints of the first array of a 2D file; 0 when there is none."""
    for recordings in two_d.values():
        for value in recordings.values():
            views = value if isinstance(value, list | tuple | np.ndarray) else ()
            for array in views:
                if isinstance(array, np.ndarray) and array.ndim > 1:
                    return int(array.shape[1])
    return 0


@dataclass(frozen=True)
class TwoDFile:
    """A 2D file, taken as it is.

    Attributes:
        groups: Values by subject and recording, as named in the file.
        layout: Joint order of its arrays.
        shapes: Remembers what is wrong with them.
    """

    groups: dict[str, dict[str, object]]
    layout: Skeleton
    shapes: Shapes


def open_two_d(
    path: Path, label: str, cameras: int, orders: Sequence[Skeleton], rows: list[CheckRow]
) -> TwoDFile | None:
    """A 2D file in the form of VideoPose3D; None, with a row, when it cannot be taken.

    Args:
        path: The file.
        label: Names it in tables.
        cameras: How many cameras saw each recording.
        orders: Joint orders that files of the data set have.
        rows: Takes the row.
    """
    read = partial(
        read_object_npz, path, ("positions_2d", "metadata"), optional=frozenset({"metadata"})
    )
    content = attempt(rows, f"form {path.name}", "a readable npz of positions_2d", read)
    if content is None:
        return None
    shapes = Shapes(label, f"(frames, joints, 2 or 3) in each of {cameras} cameras")
    groups = {
        subject: named(value, subject, shapes)
        for subject, value in named(content["positions_2d"], "positions_2d", shapes).items()
    }
    judge = partial(
        keypoint_layout, content.get("metadata"), joint_count(groups), orders, str(path)
    )
    layout = attempt(rows, f"layout {label}", "a known order of joints", judge)
    return None if layout is None else TwoDFile(groups, layout, shapes)


def split_channels(array: Array) -> tuple[Array, Array | None]:
    """Pixels and confidence of ``(frames, joints, 2 or 3)``, or of mixtures.

    Of mixtures ``(frames, joints, kernels, 5)`` the most probable means are taken.
    """
    if array.ndim == 4:
        best = array[..., 0].argmax(axis=-1)[..., None, None]
        return np.take_along_axis(array[..., 1:3], best, axis=2)[:, :, 0], None
    return array[..., :2], array[..., 2] if array.shape[-1] == 3 else None
