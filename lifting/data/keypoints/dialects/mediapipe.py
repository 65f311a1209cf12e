"""MediaPipe landmarks, which the library has no file format for: lists that users write.

Positions are parts of the image's width and height, and visibility is the confidence. Depth is
not metric and is left alone. Landmarks of the world have no positions in the image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import as_numbers, place
from lifting.data.keypoints.numbered import frame_name, frames_of_folder, in_order
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_number, shown
from lifting.skeleton import get_skeleton

SET = "mediapipe33"
FRAME = (
    "frame", "frame_number", "frame_id", "frame_index", "frame_idx", "frame_no", "frame_num",
)  # fmt: skip
TIME = ("timestamp_ms", "timestamp", "time")
COUNT = 33
PARTS = {21: "a hand", 468: "a face", 478: "a face"}
_IMAGE = ("pose_landmarks", "poseLandmarks", "landmarks", "keypoints", "landmark")
_WORLD = ("pose_world_landmarks", "poseWorldLandmarks", "worldLandmarks", "world_landmarks")
_SURE = ("visibility", "score", "confidence")
_POINT = {"x", "y", "z", "presence", "name", *_SURE}
_HAND_OR_FACE = re.compile(r"(multi_?)?(left_?|right_?)?(hand|face)_?landmarks", re.IGNORECASE)
# Keys of formats with "keypoints" of their own.
_OTHERS = {"keypoint_scores", "image_id", "bbox", "instances", "people"}
_NAMES = {name: i for i, name in enumerate(get_skeleton(SET).joints)}
_NAMES |= {"mouth_left": _NAMES["left_mouth"], "mouth_right": _NAMES["right_mouth"]}
_OWN = re.compile(r"[A-Z_]+|.*(_inner|_outer|pinky|index|thumb|mouth).*")
_FACTS = {*FRAME, *TIME}
_HIPS = (_NAMES["left_hip"], _NAMES["right_hip"])
_UNITS = ((1.0, "metres"), (100.0, "centimetres"), (1000.0, "millimetres"))
_LONGEST = 1e6  # gap in the times, frames
_REACH, _CENTRED = 1.2, 0.05  # of a body around its hips, metres

Points = list[Any]


class Order(NamedTuple):
    """Frames of entries.

    Attributes:
        frames: Names, in order of the video.
        at: Index of the frame of each entry that is of one.
        notes: What was decided.
        fps: Frames a second by the times.
    """

    frames: list[str]
    at: dict[int, int]
    notes: list[str]
    fps: float | None


def joint_of(name: str) -> int | None:
    """Index of a landmark by its name in any spelling, as ``PoseLandmark.LEFT_HIP``."""
    return _NAMES.get(name.rpartition(".")[2].strip().lower().replace(" ", "_"))


def read_landmarks(source: Source) -> Sightings:
    """Sightings of any of the forms that landmarks are written in.

    Args:
        source: JSON, with an entry a frame; lines, or files, each of a frame.

    Raises:
        DataError: A frame is not of that form, or holds landmarks of the world, a hand or a face.
    """
    path = source.path
    entries, facts = _entries(source.content)
    files = frames_of_folder(source) if source.is_folder else {}
    entries = list(files.values()) or entries
    order = order_of(path, entries, list(files) or None)
    people: list[tuple[int, str, Points]] = []
    for i, index in order.at.items():
        name = order.frames[index]
        found = _persons(path, _landmarks(path, entries[i], name), f"frame {name[:80]}")
        for k, points in enumerate(found):
            check_count(path, len(points), place(name, k))
            people.append((index, place(name, k), points))
    size = [facts.get(key) for key in ("width", "height")]
    if facts.get("fps") is not None:
        order = order._replace(notes=[], fps=as_number(path, facts["fps"], "'fps'"))
    return sightings(
        path, order, [index for index, *_ in people], _table(path, people),
        image_size=None if None in size
        else tuple(as_number(path, side, "width or height") for side in size),
    )  # fmt: skip


def sightings(
    path: Path, order: Order, at: Sequence[int], values: FloatArray, **facts: Any
) -> Sightings:
    """Sightings of landmarks as numbers.

    Args:
        path: The file, for messages.
        order: Of the frames.
        at: Index of the frame of each person.
        values: ``(people, 33, 2 to 5)``: x, y, z, visibility, presence. Without visibility every
            landmark counts as seen.
        facts: Further fields of :class:`Sightings`.

    Raises:
        DataError: The landmarks are those of the world.
    """
    notes, xy = list(order.notes), values[..., :2]
    seen = np.where(np.isfinite(xy).all(-1), 1.0, np.nan)
    if values.shape[-1] > 3:
        seen = values[..., 3]
    elif values.shape[-1] == 3 and _is_share(values[..., 2]):
        seen = values[..., 2]
        notes.append("the third number of a landmark is its visibility: all are within 0 and 1")
    _check_image(path, xy)
    points = xy[np.isfinite(xy)]
    in_pixels = bool(len(points)) and float((points > 2).mean()) > 0.5
    if in_pixels:
        notes.append("landmarks are in pixels and not in parts of the image, as their range tells")
    table = np.concatenate((xy, seen[..., None]), axis=-1)
    there = np.isfinite(table).all(-1).any(-1)
    people = [
        Sighting(i, row) for i, row, is_seen in zip(at, table, there, strict=True) if is_seen
    ]
    return Sightings(
        "mediapipe", order.frames, people, relative=not in_pixels, prescribed=SET,
        **{"fps": order.fps, **facts, "notes": (*notes, *facts.get("notes", ()))},
    )  # fmt: skip


def _is_share(values: FloatArray) -> bool:
    """Whether numbers can be visibilities; depths have both signs, or are all written as 0."""
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(finite.min() >= 0 and 0 < finite.max() <= 1)


def _check_image(path: Path, xy: FloatArray) -> None:
    """Refuse metres around the hips: positions of both signs, reaching as far as a body does."""
    hips = np.abs((xy[:, _HIPS] / 2).sum(1)).max(-1)
    hips, points = hips[np.isfinite(hips)], xy[np.isfinite(xy).all(-1)]
    if not len(hips) or not ((points < 0).any(0) & (points > 0).any(0)).all():
        return
    centre, reach = float(np.median(hips)), float(np.quantile(np.abs(points), 0.9))
    for unit, name in _UNITS:
        if centre <= _CENTRED * unit and reach < _REACH * unit:
            raise _world(path, name)


def _world(path: Path, unit: str) -> DataError:
    return DataError(
        f"expected landmarks of the image in {path}, got world landmarks: {unit} around the hips, "
        "no image positions; save pose_landmarks"
    )


def _entries(content: Any) -> tuple[list[Any], dict[str, Any]]:
    """Entries of the frames of a file, and what it says of the video."""
    facts: dict[str, Any] = {}
    if isinstance(content, dict) and isinstance(content.get("frames"), list):
        facts, content = content, content["frames"]
    several = isinstance(content, list) and not _is_point(_first(content))
    return (content if several and not _is_number(_first(content)) else [content]), facts


def order_of(path: Path, entries: Sequence[Any], names: list[str] | None = None) -> Order:
    """Frames of entries by name, by the number that they hold, by their times, or in turn.

    Args:
        path: The file, for messages.
        entries: Of the frames; objects may hold number and time.
        names: Of the frames, where files are named.

    Raises:
        DataError: Numbers are not of one video.
    """
    tables = {i: e if isinstance(e, dict) else {} for i, e in enumerate(entries)}
    notes: list[str] = []
    places: list[int] = []
    if names is None and any(_pick(table, FRAME) is not None for table in tables.values()):
        tables = {i: table for i, table in tables.items() if entries[i]}
        names = [frame_name(path, _pick(table, FRAME), f"the frame of entry {i}")
                 for i, table in tables.items()]  # fmt: skip
        if all(re.fullmatch("[0-9]{1,15}", name) for name in names):
            places = [int(name) for name in names]
    times = {i: _pick(table, TIME) for i, table in tables.items() if entries[i]}
    clock: list[float] = []
    if len(times) > 1 and None not in times.values():
        clock = [as_number(path, time, f"the time of entry {i}") for i, time in times.items()]
    if names is None and clock:
        steps = np.diff(clock)
        if len(clock) == len(entries) and ((steps > 0) & np.isfinite(steps)).all():
            jumps = np.rint(steps / np.median(steps)).clip(1, _LONGEST).astype(np.int64)
            places = [0, *np.cumsum(jumps).tolist()]
        else:
            notes.append("times do not rise: frames follow one another")
    names = names or [str(i) for i in places or tables]
    frames, index = in_order(path, names)
    fps = None
    if len(clock) > 1 and len(places) == len(clock):
        step = (clock[-1] - clock[0]) / max(places[-1] - places[0], 1)
        rate = 0.0 if not step > 0 else 1000 / step if step >= 1 else 1 / step
        fps = rate if rate >= 1 else None
        unit = "milliseconds" if step >= 1 else "seconds"
        told = f"{rate:.2f} frames a second, by times taken as {unit}"
        bad = "times are neither seconds nor milliseconds: no rate is taken from them"
        notes.append(told if fps else bad)
    return Order(frames, dict(zip(tables, index, strict=True)), notes, fps)


def _pick(table: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((table[key] for key in keys if table.get(key) is not None), None)


def _landmarks(path: Path, frame: object, name: str) -> object:
    """What a frame holds of its people."""
    if not isinstance(frame, dict):
        return frame
    value = _pick(frame, _IMAGE)
    if not value and _pick(frame, _WORLD):
        raise _world(path, "metres")
    if value is not None or not frame or set(frame) & {*_IMAGE, *_WORLD}:
        return value
    part = next((key for key in frame if _HAND_OR_FACE.fullmatch(key)), None)
    if part is not None:
        raise DataError(
            f"expected landmarks of a body in {path} (frame {name[:80]}), got {part}: a hand or a "
            "face, no body; save pose_landmarks"
        )
    return {key: value for key, value in frame.items() if key not in _FACTS}


def _persons(path: Path, value: Any, where: str, depth: int = 3) -> list[Points]:
    """Points of everyone in a frame."""
    if isinstance(value, dict):
        inner = value.get("landmark", value.get("landmarks", ...))
        if inner is not ...:
            return _persons(path, inner, where, depth - 1)
        return [_by_name(path, value, where)] if value else []
    values = [] if value is None else value
    if not isinstance(values, list) or depth < 0:
        raise _no_landmark(path, value, where)
    first = _first(values)
    if first is None:
        return []
    if _is_point(first):
        return [values]
    if not _is_number(first):
        return list(chain(*(_persons(path, item, where, depth - 1) for item in values)))
    for count in (COUNT, *PARTS):
        wide, rest = divmod(len(values), count)
        if not rest and 2 <= wide <= 5:
            return [[values[i : i + wide] for i in range(0, len(values), wide)]]
    raise DataError(
        f"expected 99 or 132 numbers, x, y, z and maybe visibility of 33 landmarks, in {path} "
        f"({where}), got {len(values)}; write all landmarks of a pose"
    )


def _by_name(path: Path, table: dict[str, Any], where: str) -> Points:
    """Points of an object by number or name; one that is not named is absent."""
    if set(table) == set(map(str, range(len(table)))):
        return [table[str(i)] for i in range(len(table))]
    points: Points = [None] * COUNT
    for key, point in table.items():
        joint = joint_of(key)
        if joint is None:
            raise DataError(
                f"expected landmarks by the names of MediaPipe, or from 0 to 32, in {path} "
                f"({where}), got {shown(key)}; write the landmarks of a pose"
            )
        points[joint] = point
    return points


def check_count(path: Path, count: int, where: str) -> None:
    """Check that there are as many landmarks as a body has.

    Args:
        path: The file, for messages.
        count: How many there are.
        where: Whose they are.

    Raises:
        DataError: There are more or fewer.
    """
    if count != COUNT:
        part = f": {PARTS[count]}, no body" if count in PARTS else ""
        raise DataError(
            f"expected 33 landmarks of a body in {path} ({where}), each a landmark as x, y, z, "
            f"visibility, got {count}{part}; save pose_landmarks"
        )


def _table(path: Path, people: list[tuple[int, str, Points]]) -> FloatArray:
    """``(people, 33, 2 to 5)``; a landmark that is null is NaN.

    Objects that lack a number have it at 0, as protocol buffers write it; but where no landmark
    of the file has a visibility all are seen.
    """
    given = [point for *_, points in people for point in points if point is not None]
    objects = [point for point in given if isinstance(point, dict)]
    sure = next((key for key in _SURE if any(key in point for point in objects)), None)
    keys = ("x", "y") if sure is None else ("x", "y", "z", sure)
    columns = len(given[0]) if given and isinstance(given[0], list) else len(keys)
    values = np.empty((len(people), COUNT, columns))
    for row, (_, where, points) in zip(values, people, strict=True):
        lists = [
            [None] * columns if point is None
            else [point.get(key, 0.0) for key in keys] if isinstance(point, dict) else point
            for point in points
        ]  # fmt: skip
        for point, numbers in zip(points, lists, strict=True):
            if not isinstance(numbers, list) or len(numbers) != columns or not _is_point(numbers):
                raise _no_landmark(path, point, where)
        row[:] = as_numbers(path, list(chain(*lists)), f"a landmark ({where})").reshape(COUNT, -1)
    return values


def _no_landmark(path: Path, value: object, where: str) -> DataError:
    return DataError(
        f"expected a landmark as x, y, z, visibility in {path} ({where}), as many numbers for "
        f"every one, got {shown(value)}; write the landmarks of the image, not of the world"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_point(value: object) -> bool:
    if isinstance(value, dict):
        return "x" in value or "y" in value or set(value) <= _POINT
    flat = isinstance(value, list) and not any(isinstance(v, list | dict) for v in value)
    return isinstance(value, list) and flat and 2 <= len(value) <= 5


def _first(values: Sequence[object]) -> object:
    """The first that is not empty."""
    return next((v for v in values if v is not None and v != [] and v != {}), None)


def _sees(source: Source) -> bool:
    frames = [frame for frame in _entries(source.content)[0] if frame]
    return any(_is_frame(frame) for frame in frames[:20])


def _is_frame(frame: Any) -> bool:
    """Whether a frame has landmarks by the name of their key, or 33 of them."""
    value = frame
    if isinstance(frame, dict):
        if set(frame) & ({*_IMAGE, *_WORLD} - {"keypoints"}) or any(
            _HAND_OR_FACE.fullmatch(key) for key in frame
        ):
            return True
        if set(frame) & _OTHERS:
            return False
        value = frame.get("keypoints", {k: v for k, v in frame.items() if k not in _FACTS})
        if isinstance(value, dict) and not any(k.isdigit() or _OWN.fullmatch(k) for k in value):
            return False
    with suppress(DataError):
        points = next(iter(_persons(Path(), value, "")), [])
        point = _first(points)
        named = isinstance(point, dict) and "x" in point
        listed = isinstance(point, list) and len(point) > 2 and _is_number(point[0])
        return (len(points) == COUNT and (named or listed)) or (len(points) in PARTS and named)
    return False


DIALECTS = (
    Dialect("mediapipe", "MediaPipe landmarks", ("json", "lines"),
            ("landmarks", "x", "y", "visibility"), _sees, read_landmarks, folders=True),
)  # fmt: skip
