"""YOLO: label files of Ultralytics, a line a person, and the rows of YOLOv7's pose model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import as_numbers, left_out
from lifting.data.keypoints.numbered import frame_name, frames_of_folder, in_order
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table
from lifting.skeleton import SKELETONS

_BOX = 5  # class, and centre and size of the box
_EXTRAS = 2  # confidence and number of the person
_COCO = {39: 2, 40: 2, 41: 2, 56: 3, 57: 3, 58: 3}  # numbers a joint of 17 joints
_BESIDE = 0.5  # joints may lie beside the picture
_ROW, _ROW_BOX = 58, 7
_INPUT = "positions are pixels of the network's input: scale them if the script did not"


class _Line(NamedTuple):
    """What a label's numbers are: joints, numbers of each, and places of what follows them."""

    joints: int
    each: int
    sure: int | None
    track: int | None


def read_labels(source: Source) -> Sightings:
    """Sightings of label files, a frame each; a frame without people has none.

    Args:
        source: Lines ``class cx cy w h``, then ``x y c`` or ``x y`` of each joint, then maybe a
            confidence and a number of the person; parts of the image's width and height.

    Raises:
        DataError: The numbers of a line fit no set of joints, or several.
    """
    path = source.path
    files = frames_of_folder(source) if source.is_folder else {path.stem: source.content}
    rows = [(i, row) for i, lines in enumerate(files.values())
            for row in dict.fromkeys(map(tuple, lines))]  # fmt: skip
    twice = sum(map(len, files.values())) - len(rows)
    kept = [(i, row) for i, row in rows if row[0] == 0]
    notes = [f"{twice} lines that a file has twice are left out"] if twice else []
    line = _line(path, kept) if kept else _Line(0, 3, None, None)
    end = _BOX + line.joints * line.each
    joints = np.ones((len(kept), line.joints, 3))
    if kept:
        numbers = np.array([row[_BOX:end] for _, row in kept])
        joints[..., : line.each] = numbers.reshape(len(kept), line.joints, line.each)
    marks = joints[..., 2]
    visibility = bool((marks == 2).any() and np.isin(marks, (0, 1, 2)).all())
    marks[(joints[..., :2] == 0).all(-1)] = 0
    people = [
        Sighting(i, joint, _at(row, line.sure), _corners(row[1:_BOX]), _at(row, line.track))
        for (i, row), joint in zip(kept, joints, strict=True)
    ]
    others = left_out(len(rows) - len(kept), "lines of classes other than 0")
    return Sightings(
        "yolo", list(files), people, relative=True, visibility=visibility, notes=(*notes, *others)
    )


def _line(path: Path, kept: list[tuple[int, tuple[float, ...]]]) -> _Line:
    """The form of all lines, each with its frame."""
    rows = [row for _, row in kept]
    widths = sorted({len(row) for row in rows})
    if widths[0] <= _BOX + _EXTRAS:
        raise DataError(
            f"expected joints after the box in every line of {path}, got {widths[0]} numbers: "
            "labels of a model that detects; run a pose model, as yolo11n-pose.pt"
        )
    known = sorted({len(skeleton) for skeleton in SKELETONS.values()})
    fits = [
        (joints, each) for joints in known for each in (2, 3)
        if all(0 <= width - _BOX - joints * each <= _EXTRAS for width in widths)
    ]  # fmt: skip
    inside = [fit for fit in fits if _is_inside(rows, *fit)]
    of_coco = {_COCO.get(width) for width in widths}
    if len(of_coco) == 1 and (coco := [fit for fit in inside if fit == (17, *of_coco)]):
        inside = coco
    if len(inside) != 1:
        ways = " or ".join(f"{j} joints of {e} numbers" for j, e in inside[:4])
        if fits and not inside:
            ways = "no positions from 0 to 1, parts of the image, and confidences"
        raise DataError(
            f"expected class, box, x y c or x y of each joint, then maybe confidence and id in "
            f"the lines of {path}, got {' and '.join(map(str, widths[:4]))} numbers, which are "
            f"{ways or 'no set of joints'}; save the keypoints as JSON (results.to_json())"
        )
    joints, each = inside[0]
    end = _BOX + joints * each
    extras = [width - end for width in widths]
    single = [(i, row[end]) for i, row in kept if len(row) == end + 1]
    is_track = extras[-1] == 1 and _is_track(path, single)  # which a tracker has not for all
    if extras[0] < extras[-1] - is_track and extras != [1, 2]:
        raise DataError(
            f"expected a confidence in every line of {path} or in none, got {widths[0]} to "
            f"{widths[-1]} numbers in a line; run it again into an empty folder"
        )
    sure = end if extras[-1] and not is_track else None
    track = end + extras[-1] - 1 if extras[-1] == _EXTRAS or is_track else None
    return _Line(joints, each, sure, track)


def _is_inside(rows: list[tuple[float, ...]], joints: int, each: int) -> bool:
    """Whether numbers can be positions in the image, and confidences or visibilities."""
    values = np.array([row[_BOX : _BOX + joints * each] for row in rows]).reshape(-1, each)
    outside = (values[:, :2] < -_BESIDE) | (values[:, :2] > 1 + _BESIDE)
    return not (outside.any() or (values[:, 2:] < 0).any() or (values[:, 2:] > 2).any())


def _is_track(path: Path, last: list[tuple[int, float]]) -> bool:
    """Whether the one number after the joints is that of a person; else it is a confidence."""
    values = np.array([value for _, value in last])
    whole = bool((np.floor(values) == values).all() and (values >= 0).all())
    if whole and ((values > 1).any() or len(set(last)) == len(last)):
        return True
    if not whole and values.min() >= 0 and values.max() <= 1:
        return False
    raise DataError(
        f"expected a confidence from 0 to 1, or the number of a person, at the end of the lines "
        f"of {path}, got {values.min():g} to {values.max():g}, which may be neither; save the "
        "keypoints as JSON (results.to_json())"
    )


def _at(row: Sequence[float], place: int | None) -> float | None:
    return None if place is None or place >= len(row) else float(row[place])


def _corners(box: Sequence[float]) -> list[object]:
    """Corners of a box of centre and size."""
    x, y, w, h = box
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def read_rows(source: Source) -> Sightings:
    """Sightings of the rows of YOLOv7's pose model.

    Args:
        source: Rows of 58 numbers: frame, class, cx, cy, w, h, confidence, x y c of 17 joints; or
            a list of such rows for every frame, whose first number then says nothing.

    Raises:
        DataError: A row is not of that form, or all rows have frame 0: it ran frame by frame.
    """
    path, content = source.path, source.content
    if _is_row(_first(content)):
        table = _table(path, content)
        names = [frame_name(path, row[0], f"row {i}") for i, row in enumerate(table.tolist())]
        if len(table) > 1 and set(names) == {"0"}:
            raise DataError(
                f"expected the number of the frame first in the rows of {path}, got 0 in all "
                f"{len(table)}: it ran frame by frame; save a list of rows for every frame"
            )
        frames, at = in_order(path, names)
    else:
        lists = [as_list(path, rows, f"frame {i}") for i, rows in enumerate(content)]
        frames = [str(i) for i in range(len(lists))]
        at = [i for i, rows in enumerate(lists) for _ in rows]
        table = _table(path, list(chain.from_iterable(lists)))
    people = [
        Sighting(i, row[_ROW_BOX:].reshape(-1, 3), float(row[6]), _corners(row[2:6].tolist()))
        for i, row in zip(at, table, strict=True)
        if row[1] == 0
    ]
    others = left_out(len(table) - len(people), "rows of classes other than 0")
    return Sightings("yolov7", frames, people, notes=(_INPUT, *others))


def _table(path: Path, rows: Sequence[object]) -> FloatArray:
    """Rows of 58 numbers, ``(rows, 58)``."""
    lists = [as_list(path, row, f"row {i}") for i, row in enumerate(rows)]
    wrong = next((i for i, row in enumerate(lists) if len(row) != _ROW), None)
    if wrong is not None:
        raise DataError(
            f"expected 58 numbers in every row of {path}, got {len(lists[wrong])} in row {wrong}; "
            "give the rows of YOLOv7's pose model as they are"
        )
    return np.stack([as_numbers(path, r, f"a number of row {i}") for i, r in enumerate(lists)])


def read_entries(source: Source) -> Sightings:
    """Sightings of objects with a frame and the joints of one of YOLOv7's rows.

    Args:
        source: ``{"frame": n, "keypoints": row[7:]}`` for each person, in a list or a line each.

    Raises:
        DataError: An entry is not of that form.
    """
    path = source.path
    entries = [as_table(path, entry, f"entry {i}") for i, entry in enumerate(source.content)]
    names = [frame_name(path, entry.get("frame"), f"the frame of entry {i}")
             for i, entry in enumerate(entries)]  # fmt: skip
    frames, at = in_order(path, names)
    people = [Sighting(i, entry["keypoints"]) for i, entry in zip(at, entries, strict=True)
              if entry.get("keypoints")]  # fmt: skip
    return Sightings("yolov7", frames, people, notes=(_INPUT,))


def _is_row(value: object) -> bool:
    return isinstance(value, list) and not any(isinstance(v, list | dict) for v in value)


def _first(content: object) -> object:
    return next((v for v in content if v), None) if isinstance(content, list) else None


def _sees_rows(source: Source) -> bool:
    row = _first(source.content)
    row = row if _is_row(row) else _first(row)
    if source.is_folder or not isinstance(row, list) or not _is_row(row) or len(row) != _ROW:
        return False
    box = [v for v in row[2:6] if isinstance(v, int | float)]
    return len(box) == 4 and max(box) > 2  # pixels, where labels are parts of the image


def _sees_entries(source: Source) -> bool:
    listed = source.content if isinstance(source.content, list) else []
    entry = next((e for e in listed if isinstance(e, dict) and e.get("keypoints")), {})
    joints = entry.get("keypoints")
    return "frame" in entry and isinstance(joints, list) and len(joints) == _ROW - _ROW_BOX


def _sees_labels(source: Source) -> bool:
    row = _first(source.content)
    if not isinstance(row, list) or len(row) < _BOX or row[0] < 0 or row[0] % 1:
        return False
    return all(-0.5 <= value <= 2 for value in row[1:_BOX])


DIALECTS = (
    Dialect("yolov7-rows", "YOLOv7 pose rows of 58 numbers", ("json", "lines", "numbers"), (),
            _sees_rows, read_rows),
    Dialect("yolov7-entries", "YOLOv7 joints by frame", ("json", "lines"), ("frame", "keypoints"),
            _sees_entries, read_entries),
    Dialect("yolo-labels", "YOLO label files with keypoints", ("numbers",), (), _sees_labels,
            read_labels, folders=True),
)  # fmt: skip
