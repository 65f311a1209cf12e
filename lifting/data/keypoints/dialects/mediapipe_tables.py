"""MediaPipe landmarks as a table: columns of a csv file, or an array in an npz."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from lifting.data.keypoints.columns import columns_by_name, numbers
from lifting.data.keypoints.dialects import Dialect, mediapipe
from lifting.data.keypoints.dialects.arrays import arrays_and_facts
from lifting.data.keypoints.dialects.mediapipe import COUNT, FRAME, PARTS, TIME
from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.source import Source
from lifting.errors import DataError

_NUMBERED = re.compile(r"(x|y|z|v|vis|visibility)_?([0-9]{1,4})", re.IGNORECASE)
_NAMED = re.compile(r"(.+)[_. ](x|y|z|v|vis|visibility)", re.IGNORECASE)
_AND_FACE = 501  # a pose and a face of 468, as a tutorial writes them


def read_table(source: Source) -> Sightings:
    """Landmarks from a csv file, a row a person in a frame.

    Args:
        source: Columns ``x1, y1, z1, v1, ...`` or ``NOSE_x, ...``; others may give the number of
            the frame or its time. Empty cells are absent.

    Raises:
        DataError: A cell is no number, a column comes twice, or it is no body.
    """
    path = source.path
    columns = columns_by_name(path, source.content)
    axes = _axes(columns)
    rows = len(next(iter(columns.values())))
    count = max(axes, default=-1) + 1
    count = COUNT if count == _AND_FACE else count
    mediapipe.check_count(path, count, "each row")
    known = "xyzv" if any("v" in axes[joint] for joint in range(count)) else "xy"
    cells = [columns.get(axes[joint].get(axis, ""), [""] * rows)
             for joint in range(count) for axis in known]  # fmt: skip
    values = numbers(path, zip(*cells, strict=True)).reshape(rows, count, len(known))
    lower = {_snake(name): column for name, column in columns.items()}
    facts = {key: lower[key] for key in (*FRAME, *TIME) if key in lower}
    taken = {cell for places in axes.values() for cell in places.values()}
    told = {*taken, "class"}
    unread = [name for name in columns if name not in told and _snake(name) not in facts]
    notes = (f"not read: {', '.join(unread)[:120]}",) if unread else ()
    entries = [{key: _fact(column[i]) for key, column in facts.items()} for i in range(rows)]
    order = mediapipe.order_of(path, entries)
    return mediapipe.sightings(path, order, list(order.at.values()), values, notes=notes)


def read_npz(source: Source) -> Sightings:
    """Landmarks from an npz file.

    Args:
        source: File with ``landmarks (frames, 33, 2 to 5)`` or ``(frames, people, 33, 2 to 5)``:
            x, y, z, visibility, presence; without visibility every joint counts as seen. NaN is
            absent. ``fps`` and ``image_size`` may be there.

    Raises:
        DataError: The array is of another form.
    """
    path = source.path
    arrays, facts = arrays_and_facts(source, ["landmarks"])
    values = arrays["landmarks"].astype(np.float64)
    shape = values.shape
    if (
        len(shape) not in (3, 4)
        or shape[-2] != COUNT
        or not 2 <= shape[-1] <= 5
        or not values.size
    ):
        raise DataError(
            f"expected 'landmarks' of {path} of shape (frames, 33, 2 to 5), got {shape}; "
            "give x, y, z, visibility of every landmark of a pose"
        )
    people = shape[1] if len(shape) == 4 else 1
    order = mediapipe.Order([str(i) for i in range(len(values))], {}, [], None)
    at = np.repeat(range(len(values)), people).tolist()
    return mediapipe.sightings(path, order, at, values.reshape(-1, *shape[-2:]), **facts)


def _axes(header: Iterable[str]) -> dict[int, dict[str, str]]:
    """Names of the columns of x, y, z and v of each landmark."""
    found: dict[int, dict[str, str]] = {}
    for cell in header:
        if match := _NUMBERED.fullmatch(cell):
            axis, joint = match[1], int(match[2])
        elif (match := _NAMED.fullmatch(cell)) and (
            named := mediapipe.joint_of(match[1])
        ) is not None:
            axis, joint = match[2], named
        else:
            continue
        found.setdefault(joint, {})[axis[0].lower()] = cell
    first = min(found, default=0)
    return {joint - first: axes for joint, axes in found.items()}


def _snake(name: str) -> str:
    """``Frame Number`` and ``frameNumber`` as ``frame_number``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[ -]+", "_", name.strip()).lower()


def _fact(cell: str) -> object:
    with suppress(ValueError):
        return float(cell)
    return cell or None


def _sees_table(source: Source) -> bool:
    axes = _axes(cell.strip() for cell in source.content[0]) if source.content else {}
    return (
        not source.is_folder
        and len(axes) in (COUNT, _AND_FACE, *PARTS)
        and sorted(axes) == list(range(len(axes)))
        and all({"x", "y"} <= set(places) for places in axes.values())
    )


DIALECTS = (
    Dialect("mediapipe-table", "MediaPipe landmarks in a csv", ("table",),
            ("x1", "y1", "z1", "v1"), _sees_table, read_table),
    Dialect("mediapipe-npz", "MediaPipe landmarks in an npz", ("npz",), ("landmarks",),
            lambda s: "landmarks" in s.keys and "keypoints_2d" not in s.keys, read_npz),
)  # fmt: skip
