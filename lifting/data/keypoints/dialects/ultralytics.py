"""Ultralytics: what ``results.to_json()`` and ``results.to_csv()`` of each image return."""

from __future__ import annotations

import ast
from contextlib import suppress
from pathlib import Path
from typing import Any

from lifting.data.keypoints.columns import columns_by_name
from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import everyone, interleaved
from lifting.data.keypoints.numbered import frame_name, frames_of_folder, in_order
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, parse_json, shown

_LONGEST_CELL = 50_000


def read_json(source: Source) -> Sightings:
    """Sightings of JSON.

    Args:
        source: A list of people for one image, a list or an object of such lists, a list a line,
            or a file an image; also as text inside of JSON.

    Raises:
        DataError: An entry is not of that form, or of a model without keypoints.
    """
    path = source.path
    content = frames_of_folder(source) if source.is_folder else _parsed(path, source.content)
    if isinstance(content, list):
        frames = [content] if _is_people(content) else content
        content = {str(i): frame for i, frame in enumerate(frames)}
    table = as_table(path, content, "it")
    return _sightings(path, {k: table[k] for k in sorted(table, key=natural_key)})


def read_csv(source: Source) -> Sightings:
    """Sightings of tables.

    Args:
        source: A file an image, or one that holds an image, or has a column ``frame``; what is
            nested is the text of a Python object or JSON, or has columns like ``box.x1``.

    Raises:
        DataError: A cell is not of that form, or the model has no keypoints.
    """
    path = source.path
    if source.is_folder:
        tables = {name: _rows(path, rows) for name, rows in frames_of_folder(source).items()}
        return _sightings(path, tables)
    rows = _rows(path, source.content)
    if "frame" not in source.keys:
        return _sightings(path, {"0": rows})
    names = [frame_name(path, row.get("frame"), f"'frame' of row {i}")
             for i, row in enumerate(rows, 1)]  # fmt: skip
    frames: dict[str, list[object]] = {name: [] for name in in_order(path, names)[0]}
    for name, row in zip(names, rows, strict=True):
        frames[name].append(row)
    return _sightings(path, frames)


def _sightings(path: Path, frames: dict[str, Any]) -> Sightings:
    """Sightings of the people of each frame."""
    frames = {name: _parsed(path, frame) for name, frame in frames.items()}
    people: list[Sighting] = []
    others: dict[str, int] = {}
    tracks: set[tuple[int, object]] = set()
    boxes = 0
    for i, where, person in everyone(path, frames):
        label = _other_class(person)
        if label is not None or "keypoints" not in person:
            others[label or ""] = others.get(label or "", 0) + 1
            boxes += label is None
            continue
        track = person.get("track_id")
        known = (i, track if isinstance(track, int | float) else None)
        if known in tracks and known[1] is not None:
            raise DataError(
                f"expected each person once in a frame of {path}, got track_id {shown(track)} "
                f"twice ({where}); write a file, or a list, for every frame"
            )
        tracks.add(known)
        joints = _joints(
            path, as_table(path, person["keypoints"], f"'keypoints' ({where})"), where
        )
        box = person.get("box")
        if box is not None:
            table = as_table(path, box, f"'box' ({where})")
            box = [table.get(key) for key in ("x1", "y1", "x2", "y2")]
        people.append(Sighting(i, joints, person.get("confidence"), box, track))
    listed = ", ".join(f"{label[:20]} ({n})" for label, n in list(others.items())[:5])
    if boxes or (others and not people):
        got = f"{boxes} boxes without: those of a model that detects" if boxes else listed
        raise DataError(
            f"expected people with keypoints in {path}, got {got}; run a pose model of people, as "
            "yolo11n-pose.pt"
        )
    note = (f"left out, no persons: {listed}",) if others else ()
    return Sightings("ultralytics", list(frames), people, relative=None, notes=note)


def _other_class(person: dict[str, object]) -> str | None:
    """Name or number of a class that is not persons."""
    name, number = person.get("name"), person.get("class")
    if isinstance(name, str):
        return None if name.lower() == "person" else name
    return None if number in (None, 0) else f"class {shown(number)}"


def _joints(path: Path, table: dict[str, object], where: str) -> list[object]:
    """x, y and confidence of each joint; (0, 0) is what some versions write for an absent one."""
    x, y = (as_list(path, table.get(key), f"'{key}' of keypoints ({where})") for key in "xy")
    sure: list[object] = [1.0] * len(x)
    if table.get("visible") is not None:
        sure = as_list(path, table["visible"], f"'visible' of keypoints ({where})")
    flat = interleaved(path, where, x, y, sure)
    for i in range(0, len(flat), 3):
        if flat[i] == 0 and flat[i + 1] == 0:
            flat[i + 2] = 0.0
    return flat


def _parsed(path: Path, value: object) -> object:
    """JSON that may be text inside of JSON, as ``to_json`` returns it."""
    return parse_json(path, value.encode("utf-8", "replace")) if isinstance(value, str) else value


def _rows(path: Path, rows: list[list[str]]) -> list[dict[str, object]]:
    """People of a table; columns like ``box.x1`` make an object."""
    columns = columns_by_name(path, rows)
    people: list[dict[str, Any]] = [{} for _ in next(iter(columns.values()), [])]
    for name, cells in columns.items():
        key, dot, inner = name.partition(".")
        for i, (person, cell) in enumerate(zip(people, cells, strict=True), 1):
            if cell and dot:
                person.setdefault(key, {})[inner] = _value(path, cell, f"row {i}, {name[:20]}")
            elif cell:
                text = key == "name"
                person[key] = cell if text else _value(path, cell, f"row {i}, {name[:20]}")
    return people


def _value(path: Path, cell: str, where: str) -> object:
    """A number, or the text of an object in JSON or Python, of which nothing is run."""
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


def _is_people(entries: object) -> bool:
    listed = entries if isinstance(entries, list) else []
    first = next((entry for entry in listed if entry), None)
    if not isinstance(first, dict):
        return False
    joints = first.get("keypoints")
    if isinstance(joints, dict) and {"x", "y"} <= set(joints):
        return True
    return {"name", "class", "confidence", "box"} <= set(first)


def _sees_json(source: Source) -> bool:
    with suppress(DataError):
        content = _parsed(source.path, source.content)
        frames = list(content.values()) if isinstance(content, dict) else content
        listed = frames if isinstance(frames, list) else []
        some = next((one for one in listed if one not in ("[]", [])), None)
        return _is_people(frames) or _is_people(_parsed(source.path, some))
    return False


DIALECTS = (
    Dialect("ultralytics", "Ultralytics results as JSON", ("json", "lines"),
            ("name", "class", "confidence", "box", "keypoints", "visible"), _sees_json, read_json,
            folders=True),
    Dialect("ultralytics-csv", "Ultralytics results as csv", ("table",),
            ("name", "class", "confidence", "box", "keypoints"),
            lambda source: {"name", "class", "confidence"} <= source.keys
            and any(key.startswith("box") for key in source.keys), read_csv, folders=True),
)  # fmt: skip
