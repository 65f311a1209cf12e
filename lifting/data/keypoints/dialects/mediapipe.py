"""MediaPipe landmarks, which the library has no file format for: lists that users write.

Positions are parts of the image's width and height, and visibility is the confidence. Depth is
not metric and is left alone. Landmarks of the world have no positions in the image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.numbered import check_one_video, frame_name, in_order
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_number, shown
from lifting.skeleton import get_skeleton

SET = "mediapipe33"
FRAME = ("frame", "frame_number", "frame_id", "frame_index", "frame_idx")
TIME = ("timestamp_ms", "timestamp")
COUNT = 33
_IMAGE = ("pose_landmarks", "poseLandmarks", "landmarks", "keypoints", "landmark")
_WORLD = ("pose_world_landmarks", "poseWorldLandmarks", "worldLandmarks", "world_landmarks")
_SURE = ("visibility", "score", "confidence")
_POINT = {"x", "y", "z", "presence", "name", *_SURE}
_PARTS = {21: "a hand", 468: "a face", 478: "a face"}
_HAND_OR_FACE = re.compile(r"(multi_?)?(left_?|right_?)?(hand|face)_?landmarks", re.IGNORECASE)
_OTHERS = {
    "keypoint_scores",
    "image_id",
    "bbox",
    "instances",
    "people",
}  # with "keypoints" of their own
_NAMES = {name: i for i, name in enumerate(get_skeleton(SET).joints)}
_NAMES |= {"mouth_left": _NAMES["left_mouth"], "mouth_right": _NAMES["right_mouth"]}
_OWN = re.compile(r"[A-Z_]+|.*(_inner|_outer|pinky|index|thumb|mouth).*")
_FACTS = {"fps", "width", "height", *FRAME, *TIME}
_HIPS = (_NAMES["left_hip"], _NAMES["right_hip"])
_UNITS = ((1.0, "metres"), (100.0, "centimetres"), (1000.0, "millimetres"))
_LONGEST = 1e6  # gap in the times, frames
_REACH, _CENTRED = 1.2, 0.05  # of a body around its hips, metres

Points = list[object]


class _Content(NamedTuple):
    """Frames in the order of the file, their names where it has them, and what it says else."""

    frames: list[object]
    names: list[str] | None = None
    facts: dict[str, object] = {}  # noqa: RUF012


def joint_of(name: str) -> int | None:
    """Index of a landmark by its name in any spelling, as ``PoseLandmark.LEFT_HIP``.

    Args:
        name: What a file calls it.
    """
    return _NAMES.get(name.rpartition(".")[2].strip().lower().replace(" ", "_"))


def read_landmarks(source: Source) -> Sightings:
    """Sightings of any of the forms that landmarks are written in.

    Args:
        source: JSON, with an entry a frame; lines, or files, each of a frame.

    Raises:
        DataError: A frame is not of that form, or holds landmarks of the world, a hand or a face.
    """
    if source.is_folder:
        files = list(source.each())
        check_one_video(source.path, [file.stem for file, _ in files])
        content = _Content([value for _, value in files], [file.stem for file, _ in files])
    else:
        content = _content(source.content)
    return read_entries(source.path, *content)


def read_entries(
    path: Path, entries: Sequence[object], names: list[str] | None, facts: dict[str, object]
) -> Sightings:
    """Sightings of a list of frames.

    Args:
        path: The file, for messages.
        entries: Landmarks of a frame, or an object with them and its number or time.
        names: Of the frames; None takes their numbers, or their times.
        facts: ``fps``, ``width`` and ``height`` of the video where the file says so.

    Raises:
        DataError: A frame is not of that form, or holds landmarks of the world, a hand or a face.
    """
    frames, at, notes, fps = _order(path, entries, names)
    people: list[tuple[int, Points]] = []
    for i, index in at.items():
        where = f"frame {frames[index][:80]}"
        for k, points in enumerate(_persons(path, _landmarks(path, entries[i], where), where)):
            _check_count(path, len(points), f"{where}, person {k}")
            people.append((index, points))
    if facts.get("fps") is not None:
        fps = as_number(path, facts["fps"], "'fps'")
        notes = []
    size = [facts.get(key) for key in ("width", "height")]
    return sightings(
        path, frames, [index for index, _ in people], _table(path, frames, people),
        notes=notes, fps=fps,
        size=None if None in size else tuple(as_number(path, v, "width or height") for v in size),
    )  # fmt: skip


def sightings(
    path: Path,
    frames: list[str],
    at: list[int],
    values: FloatArray,
    *,
    notes: Sequence[str] = (),
    fps: float | None = None,
    size: tuple[float, ...] | None = None,
) -> Sightings:
    """Sightings of landmarks as numbers.

    Args:
        path: The file, for messages.
        frames: Names of all frames.
        at: Index of the frame of each person.
        values: ``(people, 33, 2 to 5)``: x, y, z, visibility, presence. Without visibility every
            landmark counts as seen.
        notes: What was decided so far.
        fps: Frames a second where the file says so.
        size: Width and height where the file says so.

    Raises:
        DataError: The landmarks are those of the world.
    """
    notes = list(notes)
    seen = np.where(np.isfinite(values[..., :2]).all(-1), 1.0, np.nan)
    if values.shape[-1] > 3:
        seen = values[..., 3]
    elif values.shape[-1] == 3 and _is_share(values[..., 2]):
        seen = values[..., 2]
        notes.append("the third number of a landmark is its visibility: all are within 0 and 1")
    table = np.stack((values[..., 0], values[..., 1], seen), axis=-1)
    _check_image(path, table[..., :2])
    points = table[..., :2][np.isfinite(table[..., :2])]
    in_pixels = bool(len(points)) and float((points > 2).mean()) > 0.5
    if in_pixels:
        notes.append("landmarks are in pixels and not in parts of the image, as their range tells")
    return Sightings(
        "mediapipe", frames,
        [Sighting(i, person) for i, person in zip(at, table, strict=True)
         if np.isfinite(person).all(-1).any()],
        relative=not in_pixels, prescribed=SET, fps=fps, notes=tuple(notes),
        image_size=None if size is None else (size[0], size[1]),
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


def _content(content: object) -> _Content:
    """The frames of a file."""
    facts: dict[str, object] = {}
    if isinstance(content, dict) and isinstance(content.get("frames"), list | dict):
        facts, content = content, content["frames"]
    if isinstance(content, list):
        single = _is_point(_first(content)) or _is_number(_first(content))
        return _Content([content] if single else content, None, facts)
    if isinstance(content, dict) and content and all(key[-1:].isdigit() for key in content):
        first = _first(list(content.values()))
        if first is None or not _is_point(first):
            return _Content(list(content.values()), list(content), facts)
    return _Content([content], None, facts)


def _order(
    path: Path, entries: Sequence[object], names: list[str] | None
) -> tuple[list[str], dict[int, int], list[str], float | None]:
    """Names of the frames, which of them each entry is, notes, and the rate by their times."""
    alike = [str(i) for i in range(len(entries))]
    tables = {i: e if isinstance(e, dict) else {} for i, e in enumerate(entries) if e}
    numbers = {i: _pick(entry, FRAME) for i, entry in tables.items()}
    times = [_pick(entry, TIME) for entry in tables.values()]
    clock: list[float] = []
    if len(times) > 1 and None not in times:
        clock = [as_number(path, time, f"the time of entry {i}") for i, time in enumerate(times)]
    if names is None and any(number is not None for number in numbers.values()):
        of = [frame_name(path, value, f"the frame of entry {i}") for i, value in numbers.items()]
        frames, index = in_order(path, of)
        at = dict(zip(tables, index, strict=True))
        places = (
            [int(name) for name in of]
            if all(re.fullmatch("[0-9]{1,15}", name) for name in of)
            else []
        )
        return frames, at, *_rate(clock, places)
    if names is not None:
        frames, index = in_order(path, names)
        return frames, dict(enumerate(index)), *_rate(clock, [])
    steps = np.diff(clock)
    if not clock or len(clock) != len(entries) or not ((steps > 0) & np.isfinite(steps)).all():
        lost = ["times do not rise: frames follow one another"] if clock else []
        return alike, dict(enumerate(range(len(alike)))), lost, None
    jumps = np.rint(steps / np.median(steps)).clip(1, _LONGEST).astype(np.int64)
    places = [0, *np.cumsum(jumps).tolist()]
    return [str(p) for p in places], dict(enumerate(range(len(places)))), *_rate(clock, places)


def _rate(clock: list[float], places: list[int]) -> tuple[list[str], float | None]:
    """A note, and frames a second of the video by the times of numbered frames."""
    if len(clock) < 2 or len(places) != len(clock):
        return [], None
    step = (clock[-1] - clock[0]) / max(places[-1] - places[0], 1)
    rate = 0.0 if not step > 0 else 1000 / step if step >= 1 else 1 / step
    if rate < 1:
        return ["times are neither seconds nor milliseconds: no rate is taken from them"], None
    unit = "milliseconds" if step >= 1 else "seconds"
    return [f"{rate:.2f} frames a second, by times taken as {unit}"], rate


def _pick(table: dict[str, object], keys: Sequence[str]) -> object:
    return next((table[key] for key in keys if table.get(key) is not None), None)


def _landmarks(path: Path, frame: object, where: str) -> object:
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
            f"expected landmarks of a body in {path} ({where}), got {part}: a hand or a face, no "
            "body; save pose_landmarks"
        )
    return {key: value for key, value in frame.items() if key not in _FACTS}


def _persons(path: Path, value: object, where: str, depth: int = 3) -> list[Points]:
    """Points of everyone in a frame."""
    if isinstance(value, dict):
        if "landmark" in value or "landmarks" in value:
            inner = value["landmark"] if "landmark" in value else value["landmarks"]
            return _persons(path, inner, where, depth - 1)
        return [_by_name(path, value, where)] if value else []
    if value is None:
        return []
    if not isinstance(value, list) or depth < 0:
        raise _no_landmark(path, value, where)
    first = _first(value)
    if first is None:
        return []
    if _is_number(first):
        return [_cut(path, value, where)]
    if _is_point(first):
        return [value]
    return [person for item in value for person in _persons(path, item, where, depth - 1)]


def _by_name(path: Path, table: dict[str, object], where: str) -> Points:
    """Points of an object by number or name; one that is not named is absent."""
    if all(key.isdecimal() and len(key) < 4 for key in table):
        numbers = sorted(table, key=int)
        if [int(key) for key in numbers] == list(range(len(table))):
            return [table[key] for key in numbers]
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


def _cut(path: Path, numbers: list[object], where: str) -> Points:
    """Points of numbers one after another."""
    for count in (COUNT, *_PARTS):
        wide, rest = divmod(len(numbers), count)
        if not rest and 2 <= wide <= 5:
            return [numbers[i : i + wide] for i in range(0, len(numbers), wide)]
    raise DataError(
        f"expected 99 or 132 numbers, x, y, z and maybe visibility of 33 landmarks, in {path} "
        f"({where}), got {len(numbers)}; write all landmarks of a pose"
    )


def _check_count(path: Path, count: int, where: str) -> None:
    if count != COUNT:
        part = f": {_PARTS[count]}, no body" if count in _PARTS else ""
        raise DataError(
            f"expected 33 landmarks of a body in {path} ({where}), each a landmark as x, y, z, "
            f"visibility, got {count}{part}; save pose_landmarks"
        )


def _table(path: Path, frames: list[str], people: list[tuple[int, Points]]) -> FloatArray:
    """``(people, 33, 2 to 5)``; a landmark that is null is NaN.

    Objects that lack a number have it at 0, as protocol buffers write it; but where no landmark
    of the file has a visibility all are seen.
    """
    objects = [p for _, points in people for p in points if isinstance(p, dict)]
    sure = next((key for key in _SURE if any(key in point for point in objects)), None)
    begin = next((p for _, points in people for p in points if p is not None), None)
    columns = len(begin) if isinstance(begin, list) else 2 if sure is None else 4
    values = np.full((len(people), COUNT, columns), np.nan)
    person, last = -1, -1
    for row, (index, points) in enumerate(people):
        person, last = (person + 1 if index == last else 0), index
        where = f"frame {frames[index][:80]}, person {person}"
        what = f"a landmark ({where})"
        rows = [
            [np.nan] * columns if point is None else _numbers(path, point, sure, where, what)
            for point in points
        ]
        wrong = next((numbers for numbers in rows if len(numbers) != columns), None)
        if wrong is not None:
            raise DataError(
                f"expected as many numbers for every landmark in {path} ({where}), {columns} as "
                f"for the first, got {len(wrong)}; write x, y, z, visibility of each"
            )
        values[row] = rows
    return values


def _numbers(path: Path, point: object, sure: str | None, where: str, what: str) -> list[float]:
    if not _is_point(point):
        raise _no_landmark(path, point, where)
    if isinstance(point, dict):
        keys = ("x", "y") if sure is None else ("x", "y", "z", sure)
        point = [point.get(key, 0.0) for key in keys]
    assert isinstance(point, list)
    return [
        v if type(v) is float else np.nan if v is None else as_number(path, v, what) for v in point
    ]


def _no_landmark(path: Path, value: object, where: str) -> DataError:
    return DataError(
        f"expected a landmark as x, y, z, visibility in {path} ({where}), got {shown(value)}; "
        "write the landmarks of the image, not of the world"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_point(value: object) -> bool:
    if isinstance(value, dict):
        return "x" in value or "y" in value or set(value) <= _POINT
    return (
        isinstance(value, list)
        and 2 <= len(value) <= 5
        and not any(isinstance(v, list | dict) for v in value)
    )


def _first(values: list[object]) -> object:
    """The first that is not empty."""
    return next((v for v in values if v is not None and v != [] and v != {}), None)


def _sees(source: Source) -> bool:
    frames: Iterator[object] = (f for f in _content(source.content).frames if f)
    return any(_is_frame(frame) for frame in islice(frames, 20))


def _is_frame(frame: object) -> bool:
    """Whether a frame has landmarks by the name of their key, or 33 of them."""
    value = frame
    if isinstance(frame, dict):
        if set(frame) & (({*_IMAGE, *_WORLD}) - {"keypoints"}):
            return True
        if any(_HAND_OR_FACE.fullmatch(key) for key in frame):
            return True
        if set(frame) & _OTHERS:
            return False
        value = frame.get("keypoints", {k: v for k, v in frame.items() if k not in _FACTS})
        if isinstance(value, dict) and not any(k.isdigit() or _OWN.fullmatch(k) for k in value):
            return False
    with suppress(DataError):
        persons = _persons(Path(), value, "")
        point = _first(persons[0]) if persons else None
        count = len(persons[0]) if persons else 0
        named = isinstance(point, dict) and "x" in point
        listed = isinstance(point, list) and len(point) > 2 and _is_number(point[0])
        return (count == COUNT and (named or listed)) or (count in _PARTS and named)
    return False


DIALECTS = (
    Dialect(
        name="mediapipe",
        title="MediaPipe landmarks",
        kinds=("json", "lines"),
        keys=("landmarks", "x", "y", "visibility"),
        sees=_sees,
        read=read_landmarks,
    ),
)
