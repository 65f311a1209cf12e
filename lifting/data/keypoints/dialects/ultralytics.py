"""Ultralytics: what ``results.to_json()`` and ``results.to_csv()`` of each image return."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.numbered import check_one_video, frame_name, in_order
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, parse_json, shown

_CORNERS = ("x1", "y1", "x2", "y2")
_LONGEST_CELL = 50_000
_AGAIN = "write the file again with results.to_json()"


def read_json(source: Source) -> Sightings:
    """Sightings of JSON.

    Args:
        source: A list of people for one image, a list or an object of such lists, a list a line,
            or a file an image; also as text inside of JSON.

    Raises:
        DataError: An entry is not of that form, or of a model without keypoints.
    """
    path = source.path
    if source.is_folder:
        files = list(source.each())
        check_one_video(path, [file.stem for file, _ in files])
        return _sightings(path, ((file.stem, _parsed(path, value)) for file, value in files))
    content = _parsed(path, source.content)
    if isinstance(content, dict):
        return _sightings(path, ((k, content[k]) for k in sorted(content, key=natural_key)))
    frames = as_list(path, content, "it")
    if _is_people(frames):
        frames = [frames]
    return _sightings(path, ((str(i), frame) for i, frame in enumerate(frames)))


def read_csv(source: Source) -> Sightings:
    """Sightings of tables.

    Args:
        source: A file an image, or one that holds an image, or has a column ``frame``; what is
            nested is the text of a Python object or JSON, or has columns like ``box.x1``.

    Raises:
        DataError: A cell is not of that form, or the model has no keypoints.
    """
    path = source.path
    tables = [(file.stem, _rows(file, rows)) for file, rows in source.each()]
    if source.is_folder:
        check_one_video(path, [name for name, _ in tables])
        return _sightings(path, tables)
    rows = tables[0][1]
    if all("frame" not in row for row in rows):
        return _sightings(path, [("0", rows)])
    names = [frame_name(path, row.get("frame"), f"'frame' of row {i}") for i, row in
             enumerate(rows, 1)]  # fmt: skip
    frames, at = in_order(path, names)
    return _sightings(
        path,
        ((n, [r for r, k in zip(rows, at, strict=True) if k == i]) for i, n in enumerate(frames)),
    )


def _sightings(path: Path, contents: Iterable[tuple[str, object]]) -> Sightings:
    """Sightings of the people of each frame."""
    frames: list[str] = []
    people: list[Sighting] = []
    others: dict[str, int] = {}
    boxes = 0
    for i, (name, content) in enumerate(contents):
        frames.append(name)
        tracks: set[object] = set()
        for k, entry in enumerate(as_list(path, _parsed(path, content), f"frame {name[:80]}")):
            where = f"frame {name[:80]}, person {k}"
            person = as_table(path, entry, where)
            label = _other_class(person)
            if label is not None:
                others[label] = others.get(label, 0) + 1
                continue
            if "keypoints" not in person:
                boxes += 1
                continue
            track = person.get("track_id")
            if isinstance(track, int | float) and track in tracks:
                raise DataError(
                    f"expected each person once in a frame of {path}, got track_id {shown(track)} "
                    f"twice ({where}); write a file, or a list, for every frame"
                )
            tracks.add(track if isinstance(track, int | float) else None)
            joints = _interleaved(path, person["keypoints"], where)
            box = person.get("box")
            corners = None if box is None else as_table(path, box, f"'box' ({where})")
            people.append(
                Sighting(
                    i, joints, person.get("confidence"),
                    None if corners is None else [corners.get(key) for key in _CORNERS], track,
                )
            )  # fmt: skip
    if boxes:
        raise DataError(
            f"expected keypoints of every person in {path}, got {boxes} boxes without: those of a "
            "model that detects; run a pose model, as yolo11n-pose.pt"
        )
    listed = ", ".join(f"{label[:20]} ({n})" for label, n in list(others.items())[:5])
    if others and not people:
        raise DataError(
            f"expected people in {path}, got {listed} only; run a pose model of people"
        )
    note = (f"left out, no persons: {listed}",) if others else ()
    return Sightings("ultralytics", frames, people, relative=None, notes=note)


def _other_class(person: dict[str, object]) -> str | None:
    """Name or number of a class that is not persons."""
    name, number = person.get("name"), person.get("class")
    if isinstance(name, str):
        return None if name.lower() == "person" else name
    return None if number in (None, 0) else f"class {shown(number)}"


def _interleaved(path: Path, keypoints: object, where: str) -> list[object]:
    """x, y and confidence of each joint; (0, 0) is what some versions write for an absent one."""
    table = as_table(path, keypoints, f"'keypoints' ({where})")
    x, y = (as_list(path, table.get(key), f"'{key}' of keypoints ({where})") for key in "xy")
    sure: list[object] = [1.0] * len(x)
    if table.get("visible") is not None:
        sure = as_list(path, table["visible"], f"'visible' of keypoints ({where})")
    if not len(x) == len(y) == len(sure):
        raise DataError(
            f"expected as many x as y and visible in {path} ({where}), got {len(x)}, {len(y)} and "
            f"{len(sure)}; {_AGAIN}"
        )
    flat: list[object] = []
    for joint in zip(x, y, sure, strict=True):
        flat += (0.0, 0.0, 0.0) if joint[0] == 0 and joint[1] == 0 else joint
    return flat


def _parsed(path: Path, value: object) -> object:
    """JSON that may be text inside of JSON, as ``to_json`` returns it."""
    return parse_json(path, value.encode("utf-8", "replace")) if isinstance(value, str) else value


def _rows(path: Path, rows: list[list[str]]) -> list[dict[str, object]]:
    """People of a table."""
    found: list[dict[str, object]] = []
    for i, row in enumerate(rows[1:], 1):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(rows[0]):
            raise DataError(
                f"expected {len(rows[0])} cells in row {i} of {path}, got {len(row)}; "
                "write it again with results.to_csv()"
            )
        person: dict[str, object] = {}
        for name, cell in zip(rows[0], row, strict=True):
            key, dot, inner = name.strip().partition(".")
            value = cell if key == "name" else _value(path, cell.strip(), f"row {i}, {name[:20]}")
            if not dot:
                person[key] = value
                continue
            table = person.setdefault(key, {})
            if value is not None and isinstance(table, dict):
                table[inner] = value
        found.append({key: value for key, value in person.items() if value is not None})
    return found


def _value(path: Path, cell: str, where: str) -> object:
    """A number, or the text of an object in JSON or Python, of which nothing is run."""
    if not cell:
        return None
    with suppress(ValueError):
        return float(cell)
    with suppress(DataError):
        return parse_json(path, cell.encode("utf-8", "replace"))
    if len(cell) <= _LONGEST_CELL:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return ast.literal_eval(cell)
    raise DataError(
        f"expected a number, or an object as text, in {path} ({where}), got {shown(cell)}; write "
        "it again with results.to_csv()"
    )


def _is_people(entries: list[object]) -> bool:
    first = next((entry for entry in entries if entry), None)
    return isinstance(first, dict) and _is_person(first)


def _is_person(entry: dict[str, object]) -> bool:
    keypoints = entry.get("keypoints")
    if isinstance(keypoints, dict) and {"x", "y"} <= set(keypoints):
        return True
    return {"name", "class", "confidence", "box"} <= set(entry)


def _sees_json(source: Source) -> bool:
    with suppress(DataError):
        content = _parsed(source.path, source.content)
        frames = list(content.values()) if isinstance(content, dict) else content
        if not isinstance(frames, list):
            return False
        first = next((_parsed(source.path, frame) for frame in frames if frame not in ("[]", [])),
                     None)  # fmt: skip
        return _is_people(frames) or (isinstance(first, list) and _is_people(first))
    return False


DIALECTS = (
    Dialect(
        name="ultralytics",
        title="Ultralytics results as JSON",
        kinds=("json", "lines"),
        keys=("name", "class", "confidence", "box", "keypoints", "visible"),
        sees=_sees_json,
        read=read_json,
    ),
    Dialect(
        name="ultralytics-csv",
        title="Ultralytics results as csv",
        kinds=("table",),
        keys=("name", "class", "confidence", "box", "keypoints"),
        sees=lambda source: (
            {"name", "class", "confidence"} <= source.keys
            and any(key.startswith("box") for key in source.keys)
        ),
        read=read_csv,
    ),
)
