"""OpenPose: one file a frame, with the people in it; and what others write in its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table

BODY = "pose_keypoints_2d"
_BODY = (BODY, "pose_keypoints", "joints")  # now, until version 1.1, and in AlphaPose's style cmu
# What lies beside the body: its keys, those of old versions last, and how many joints it may have.
_DETAILS: Mapping[str, tuple[tuple[str, str], tuple[int, ...]]] = {
    "face": (("face_keypoints_2d", "face_keypoints"), (70, 68)),
    "left_hand": (("hand_left_keypoints_2d", "hand_left_keypoints"), (21,)),
    "right_hand": (("hand_right_keypoints_2d", "hand_right_keypoints"), (21,)),
}
_NUMBER = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)
_MOST_NAMED = 6


def read_frames(path: Path, contents: Iterable[tuple[Path, object]]) -> Sightings:
    """Sightings of a folder of frames, or of a single one.

    The last run of digits in a name is the number of the frame. A file without a number and
    without people is no frame.

    Args:
        path: The folder or file, for messages.
        contents: Each file and its content ``{"people": [...]}``, in natural order.

    Raises:
        DataError: A file is not of that form, or the folder holds more than one video.
    """
    frames: dict[str, object] = {}
    beside: list[str] = []
    for file, content in contents:
        name = file.stem.removesuffix("_keypoints")
        table = as_table(file, content, "it")
        if "people" in table or _NUMBER.fullmatch(name):
            frames[name] = as_list(file, table.get("people"), "'people'")
        else:
            beside.append(file.name)
    _check_one_video(path, list(frames))
    notes = (f"not read: {', '.join(beside)[:120]}",) if beside else ()
    return sightings(path, "openpose", frames.items(), relative=None, notes=notes)


def sightings(
    path: Path, form: str, frames: Iterable[tuple[str, object]], **facts: Any
) -> Sightings:
    """People in OpenPose's words: body, face and hands as lists of x, y, confidence.

    Where any frame holds an empty object for somebody who is not seen, a person's place in the
    list is who it is.

    Args:
        path: The file or folder, for messages.
        form: Name of the format.
        frames: Name and list of people of each frame, in order.
        facts: Further fields of :class:`Sightings`.

    Raises:
        DataError: A person or a part is not of that form.
    """
    names: list[str] = []
    found: list[tuple[Sighting, int, dict[str, list[object]]]] = []
    by_place = False
    for i, (name, people) in enumerate(frames):
        names.append(name)
        for k, entry in enumerate(as_list(path, people, f"'people' of frame {name[:80]}")):
            where = f"frame {name[:80]}, person {k}"
            person = as_table(path, entry, where)
            by_place = by_place or not person
            body = _part(path, person, _BODY, where)
            if body:
                details = {part: _detail(path, person, part, where) for part in _DETAILS}
                found.append((Sighting(i, body, track=person.get("person_id")), k, details))
    counts = {
        part: next((len(details[part]) // 3 for *_, details in found if details[part]), 0)
        for part in _DETAILS
    }
    people_seen = [
        person._replace(
            keypoints=_whole(person.keypoints, details, counts),
            track=k if by_place else person.track,
        )
        for person, k, details in found
    ]
    extra = tuple(f"{part}_{j}" for part, count in counts.items() for j in range(count))
    return Sightings(form, names, people_seen, extra=extra, ids=by_place, **facts)


def _check_one_video(path: Path, names: list[str]) -> None:
    """Check that names differ in the number of the frame only, and each number comes once."""
    found = [_NUMBER.fullmatch(name) for name in names]
    videos = sorted(
        {
            f"{match[1]}*{match[3]}" if match else name
            for name, match in zip(names, found, strict=True)
        }
    )
    if len(videos) > 1:
        more = ", ..." if len(videos) > _MOST_NAMED else ""
        raise DataError(
            f"expected the frames of one video in {path}, got {len(videos)}: "
            f"{', '.join(video[:40] for video in videos[:_MOST_NAMED])}{more}; "
            "put each video's files into a folder of its own"
        )
    of_number: dict[int, str] = {}
    for name, match in zip(names, found, strict=True):
        other = of_number.setdefault(int(match[2]), name) if match else name
        if other != name:
            raise DataError(
                f"expected one file for every frame in {path}, got {other[:80]} and {name[:80]} "
                "with the same number; put each video's files into a folder of its own"
            )


def _part(
    path: Path, person: dict[str, object], keys: tuple[str, ...], where: str
) -> list[object]:
    key = next((key for key in keys if person.get(key) is not None), None)
    return [] if key is None else as_list(path, person[key], f"'{key}' ({where})")


def _detail(path: Path, person: dict[str, object], part: str, where: str) -> list[object]:
    """Face or hand; empty where it was not found, which may be written as zeros."""
    keys, counts = _DETAILS[part]
    row = _part(path, person, keys, where)
    if row and len(row) not in [3 * count for count in counts]:
        raise DataError(
            f"expected x, y and confidence of {' or '.join(map(str, counts))} joints in "
            f"'{keys[0]}' of {path} ({where}), got {len(row)} numbers; write the file again with "
            "the detector's own export"
        )
    return row if any(row) else []


def _whole(
    body: object, details: dict[str, list[object]], counts: Mapping[str, int]
) -> list[object]:
    assert isinstance(body, list)
    return [
        *body,
        *(
            value
            for part, count in counts.items()
            for value in details[part] or [0.0] * (3 * count)
        ),
    ]


def _sees(source: Source) -> bool:
    content = source.content
    if not isinstance(content, dict) or "people" not in content or "canvas_width" in content:
        return False
    return not str(content.get("version")).startswith("AlphaPose")


DIALECTS = (
    Dialect(
        name="openpose",
        title="OpenPose, a file a frame",
        kinds=("json",),
        keys=("people", BODY),
        sees=_sees,
        read=lambda source: read_frames(source.path, source.each()),
    ),
)
