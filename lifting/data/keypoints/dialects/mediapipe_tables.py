"""MediaPipe landmarks as a table: columns of a csv file, or an array in an npz."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.dialects.mediapipe import (
    COUNT,
    FRAME,
    TIME,
    joint_of,
    read_entries,
    sightings,
)
from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import shown
from lifting.files.npz import Kind, read_plain_npz

_NUMBERED = re.compile(r"(x|y|z|v|vis|visibility)_?([0-9]{1,4})", re.IGNORECASE)
_NAMED = re.compile(r"(.+)[_. ](x|y|z|v|vis|visibility)", re.IGNORECASE)
_AND_FACE = 501  # a pose and a face of 468, as a tutorial writes them
_COUNTS = (COUNT, _AND_FACE, 21, 468, 478)


def read_table(source: Source) -> Sightings:
    """Landmarks from a csv file, a row a person in a frame.

    Args:
        source: Columns ``x1, y1, z1, v1, ...`` or ``NOSE_x, ...``; others may give the number of
            the frame or its time. Empty cells are absent.

    Raises:
        DataError: A cell is no number, a column comes twice, or it is no body.
    """
    path, rows = source.path, source.content
    header = [cell.strip() for cell in rows[0]]
    if len(set(filter(None, header))) < sum(map(bool, header)):
        raise DataError(
            f"expected each column once in {path}, got a name twice; write the header again"
        )
    columns = _columns(header)
    kept = range(COUNT) if len(columns) == _AND_FACE else range(len(columns))
    sure = any("v" in columns[joint] for joint in kept)
    lower = [cell.lower() for cell in header]
    others = {key: lower.index(key) for key in (*FRAME, *TIME) if key in lower}
    entries: list[object] = []
    for i, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            if not any(cell.strip() for cell in row):
                continue
            raise DataError(
                f"expected {len(header)} cells in row {i} of {path}, got {len(row)}; "
                "write the table again"
            )
        points = [
            [_number(path, row, columns[j].get(axis), i) for axis in ("xyzv" if sure else "xy")]
            for j in kept
        ]
        there = any(v is not None for point in points for v in point[:2])
        entry = {key: _fact(row[place]) for key, place in others.items()}
        entries.append({**entry, "landmarks": points if there else None})
    return read_entries(path, entries, None, {})


def read_npz(source: Source) -> Sightings:
    """Landmarks from an npz file.

    Args:
        source: File with ``landmarks (frames, 33, 2 to 5)`` or ``(frames, people, 33, 2 to 5)``:
            x, y, z, visibility, presence; without visibility every joint counts as seen. NaN is
            absent. ``fps`` and ``image_size`` may be there.

    Raises:
        DataError: The array is of another form.
    """
    path, headers = source.path, source.content
    axes = 4 if len(headers["landmarks"].shape) == 4 else 3
    facts: dict[str, Kind] = {"fps": "number", "image_size": "number"}
    wanted: dict[str, tuple[Kind, int]] = {"landmarks": ("number", axes)}
    wanted |= {k: (v, int(k != "fps")) for k, v in facts.items() if k in headers}
    arrays = read_plain_npz(path, wanted, source.size.bytes)
    values = arrays["landmarks"].astype(np.float64)
    if values.shape[-2] != COUNT or not 2 <= values.shape[-1] <= 5 or not values.size:
        raise DataError(
            f"expected 'landmarks' of {path} of shape (frames, 33, 2 to 5), got {values.shape}; "
            "give x, y, z, visibility of every landmark of a pose"
        )
    if axes == 3:
        values = values[:, None]
    size = arrays.get("image_size")
    if size is not None and size.shape != (2,):
        raise DataError(
            f"expected 'image_size' of {path} to have shape (2,), got {size.shape}; "
            "correct it or leave it out"
        )
    people = values.shape[1]
    return sightings(
        path,
        [str(i) for i in range(len(values))],
        [i for i in range(len(values)) for _ in range(people)],
        values.reshape(-1, *values.shape[2:]),
        fps=float(arrays["fps"]) if "fps" in arrays else None,
        size=None if size is None else (float(size[0]), float(size[1])),
    )


def _columns(header: list[str]) -> dict[int, dict[str, int]]:
    """Place of x, y, z and v of each landmark."""
    found: dict[int, dict[str, int]] = {}
    for place, cell in enumerate(header):
        if match := _NUMBERED.fullmatch(cell):
            axis, joint = match[1], int(match[2])
        elif (match := _NAMED.fullmatch(cell)) and (named := joint_of(match[1])) is not None:
            axis, joint = match[2], named
        else:
            continue
        found.setdefault(joint, {})[axis[0].lower()] = place
    first = min(found, default=0)
    return {joint - first: axes for joint, axes in found.items()}


def _number(path: Path, row: list[str], place: int | None, number: int) -> float | None:
    if place is None or not row[place].strip():
        return None
    try:
        return float(row[place])
    except ValueError:
        raise DataError(
            f"expected a number in row {number}, column {place + 1} of {path}, got "
            f"{shown(row[place])}; write the table again"
        ) from None


def _fact(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        return cell.strip() or None


def _sees_table(source: Source) -> bool:
    columns = _columns([cell.strip() for cell in source.content[0]]) if source.content else {}
    return (
        not source.is_folder
        and len(columns) in _COUNTS
        and sorted(columns) == list(range(len(columns)))
        and all({"x", "y"} <= set(axes) for axes in columns.values())
    )


DIALECTS = (
    Dialect(
        name="mediapipe-table",
        title="MediaPipe landmarks in a csv",
        kinds=("table",),
        keys=("x1", "y1", "z1", "v1"),
        sees=_sees_table,
        read=read_table,
    ),
    Dialect(
        name="mediapipe-npz",
        title="MediaPipe landmarks in an npz",
        kinds=("npz",),
        keys=("landmarks",),
        sees=lambda source: "landmarks" in source.keys and "keypoints_2d" not in source.keys,
        read=read_npz,
    ),
)
