"""YOLO: label files of Ultralytics, a line a person, and the rows of YOLOv7's pose model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.numbered import check_one_video, frame_name, in_order
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_number, as_table
from lifting.skeleton import SKELETONS

_BOX = 5  # class, and centre and size of the box
_EXTRAS = 2  # confidence and number of the person
_COCO = {39: 2, 40: 2, 41: 2, 56: 3, 57: 3, 58: 3}  # numbers a joint of 17 joints
_BESIDE = 0.5  # joints may lie beside the picture
_ROW, _ROW_BOX = 58, 7
_INPUT = "positions are pixels of the network's input: scale them if the script did not"


class _Line(NamedTuple):
    """What a label's numbers are: joints, numbers of each, and what follows them."""

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
    files = list(source.each())
    if source.is_folder:
        check_one_video(path, [file.stem for file, _ in files])
    kept: list[tuple[int, list[float]]] = []
    twice = others = 0
    for i, (_, rows) in enumerate(files):
        unique = list(dict.fromkeys(map(tuple, rows)))
        twice += len(rows) - len(unique)
        persons = [list(row) for row in unique if row[0] == 0]
        others += len(unique) - len(persons)
        kept.extend((i, row) for row in persons)
    notes = [f"{twice} lines that a file has twice are left out"] if twice else []
    if others:
        notes.append(f"{others} lines of classes other than 0 (person) are left out")
    people: list[Sighting] = []
    marks: set[float] = set()
    if kept:
        line = _line(path, kept)
        end = _BOX + line.joints * line.each
        for i, row in kept:
            joints = np.ones((line.joints, 3))
            joints[:, : line.each] = np.reshape(row[_BOX:end], (line.joints, line.each))
            if line.each == 3:
                marks.update(joints[:, 2].tolist())
            joints[(joints[:, :2] == 0).all(-1), 2] = 0
            people.append(
                Sighting(i, joints, _at(row, line.sure), _corners(row[1:_BOX]),
                         _at(row, line.track))
            )  # fmt: skip
    return Sightings(
        "yolo", [file.stem for file, _ in files], people, relative=True, notes=tuple(notes),
        visibility=2 in marks and marks <= {0, 1, 2},
    )  # fmt: skip


def _line(path: Path, kept: list[tuple[int, list[float]]]) -> _Line:
    """The form of all lines."""
    widths = sorted({len(row) for _, row in kept})
    least = widths[0]
    if least <= _BOX + _EXTRAS:
        raise DataError(
            f"expected joints after the box in every line of {path}, got {least} numbers: labels "
            "of a model that detects; run a pose model, as yolo11n-pose.pt"
        )
    known = sorted({len(skeleton) for skeleton in SKELETONS.values()})
    fits = [
        (joints, each) for joints in known for each in (2, 3)
        if all(0 <= width - _BOX - joints * each <= _EXTRAS for width in widths)
    ]  # fmt: skip
    inside = [fit for fit in fits if _is_inside(kept, *fit)]
    if fits and not inside:
        raise DataError(
            f"expected positions from 0 to 1, parts of the image, and confidences in the lines of "
            f"{path}, got others; give the labels as Ultralytics saves them"
        )
    fits = inside
    if (17, _COCO.get(least)) in fits and all(
        _COCO.get(width) == _COCO[least] for width in widths
    ):
        fits = [(17, _COCO[least])]
    if len(fits) != 1:
        ways = " or ".join(f"{j} joints of {e} numbers" for j, e in fits[:4]) or "no set of joints"
        raise DataError(
            f"expected class, box, x y c or x y of each joint, then maybe confidence and id in "
            f"the lines of {path}, got {' and '.join(map(str, widths[:4]))} numbers, which are "
            f"{ways}; save the keypoints as JSON (results.to_json()), or as npz"
        )
    joints, each = fits[0]
    end = _BOX + joints * each
    extras = [width - end for width in widths]
    if extras[-1] == 0:
        return _Line(joints, each, None, None)
    if extras[-1] == _EXTRAS and extras[0] > 0:
        return _Line(joints, each, end, end + 1)
    if extras[-1] == _EXTRAS:
        raise DataError(
            f"expected a confidence in every line of {path} or in none, got {widths[0]} to "
            f"{widths[-1]} numbers in a line; run it again into an empty folder"
        )
    is_track = _is_track(path, [(i, row[end]) for i, row in kept if len(row) > end])
    if not is_track and len(extras) > 1:
        raise DataError(
            f"expected a confidence in every line of {path} or in none, got {widths[0]} and "
            f"{widths[-1]} numbers in a line; run it again into an empty folder"
        )
    return _Line(joints, each, None if is_track else end, end if is_track else None)


def _is_inside(kept: list[tuple[int, list[float]]], joints: int, each: int) -> bool:
    """Whether numbers can be positions in the image, and confidences or visibilities."""
    values = np.array([row[_BOX : _BOX + joints * each] for _, row in kept])
    values = values.reshape(-1, each)
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
    """Sightings of YOLOv7's rows.

    Args:
        source: Rows of 58 numbers: frame, class, centre and size of the box, confidence, 17 times
            x, y, c; or a list of such rows for every frame, whose first number does not count.

    Raises:
        DataError: A row is of another length, or no row says its frame.
    """
    path, content = source.path, source.content
    if _is_row(next(row for row in content if row)):
        table = _table(path, content, "the file")
        names = [frame_name(path, float(row[0]), f"row {i}") for i, row in enumerate(table)]
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
        parts = [_table(path, rows, f"frame {i}") for i, rows in enumerate(lists)]
        table = np.concatenate(parts)
    people = [
        Sighting(i, row[_ROW_BOX:].reshape(-1, 3), float(row[6]), _corners(row[2:6].tolist()))
        for i, row in zip(at, table, strict=True)
        if row[1] == 0
    ]
    others = len(table) - len(people)
    left = (f"{others} rows of classes other than 0 (person) are left out",) if others else ()
    return Sightings("yolov7", frames, people, notes=(_INPUT, *left))


def _table(path: Path, rows: Sequence[object], where: str) -> FloatArray:
    """Rows of 58 numbers, ``(rows, 58)``."""
    values = np.empty((len(rows), _ROW))
    for i, row in enumerate(rows):
        numbers = as_list(path, row, f"row {i} of {where}")
        if len(numbers) != _ROW:
            raise DataError(
                f"expected 58 numbers in every row of {path}, got {len(numbers)} in row {i} of "
                f"{where}; give the rows of YOLOv7's pose model as they are"
            )
        values[i] = [as_number(path, v, f"a number of row {i} of {where}") for v in numbers]
    return values


def read_entries(source: Source) -> Sightings:
    """Sightings of objects with a frame and the joints of one of YOLOv7's rows.

    Args:
        source: ``{"frame": n, "keypoints": row[7:]}`` for each person, in a list or a line each.

    Raises:
        DataError: An entry is not of that form.
    """
    path = source.path
    entries = [as_table(path, entry, f"entry {i}") for i, entry in enumerate(source.content)]
    frames, at = in_order(
        path, [frame_name(path, e.get("frame"), f"the frame of entry {i}")
               for i, e in enumerate(entries)]
    )  # fmt: skip
    people = [
        Sighting(i, entry["keypoints"])
        for i, entry in zip(at, entries, strict=True)
        if entry.get("keypoints")
    ]
    return Sightings("yolov7", frames, people, notes=(_INPUT,))


def _is_row(value: object) -> bool:
    return isinstance(value, list) and not any(isinstance(v, list | dict) for v in value)


def _first(content: object) -> object:
    return next((v for v in content if v), None) if isinstance(content, list) else None


def _sees_rows(source: Source) -> bool:
    row = _first(source.content)
    if not _is_row(row):
        row = _first(row)
    if not (_is_row(row) and isinstance(row, list) and len(row) == _ROW) or source.is_folder:
        return False
    box = [v for v in row[2:6] if isinstance(v, int | float)]
    return len(box) == 4 and max(box) > 2  # pixels, where labels are parts of the image


def _sees_entries(source: Source) -> bool:
    entry = next((e for e in source.content if isinstance(e, dict) and e.get("keypoints")), {})
    joints = entry.get("keypoints")
    return "frame" in entry and isinstance(joints, list) and len(joints) == _ROW - _ROW_BOX


def _sees_labels(source: Source) -> bool:
    row = _first(source.content)
    if not isinstance(row, list) or len(row) < _BOX or row[0] < 0 or row[0] % 1:
        return False
    return all(-0.5 <= value <= 2 for value in row[1:_BOX])


DIALECTS = (
    Dialect(
        name="yolov7-rows",
        title="YOLOv7 pose rows of 58 numbers",
        kinds=("json", "lines", "numbers"),
        keys=(),
        sees=_sees_rows,
        read=read_rows,
    ),
    Dialect(
        name="yolov7-entries",
        title="YOLOv7 joints by frame",
        kinds=("json", "lines"),
        keys=("frame", "keypoints"),
        sees=lambda source: isinstance(source.content, list) and _sees_entries(source),
        read=read_entries,
    ),
    Dialect(
        name="yolo-labels",
        title="YOLO label files with keypoints",
        kinds=("numbers",),
        keys=(),
        sees=_sees_labels,
        read=read_labels,
    ),
)
