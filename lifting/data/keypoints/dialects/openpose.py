"""OpenPose: one file a frame, with the people in it; and what others write in its words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import AGAIN, everyone
from lifting.data.keypoints.numbered import check_one_video
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


def read(source: Source) -> Sightings:
    """Sightings of a folder of frames, or of a single one.

    The last run of digits in a name is the number of the frame. A file without a number and
    without people is no frame.

    Args:
        source: ``{"people": [...]}`` for each frame.

    Raises:
        DataError: A file is not of that form, or the folder holds more than one video.
    """
    frames: dict[str, object] = {}
    beside: list[str] = []
    for file, content in source.each():
        name = file.stem.removesuffix("_keypoints")
        table = as_table(file, content, "it")
        if "people" in table or any(letter.isdecimal() for letter in name):
            frames[name] = as_list(file, table.get("people"), "'people'")
        else:
            beside.append(file.name)
    check_one_video(source.path, list(frames))
    notes = (f"not read: {', '.join(beside)[:120]}",) if beside else ()
    return sightings(source.path, "openpose", frames, relative=None, notes=notes)


def sightings(path: Path, form: str, frames: Mapping[str, object], **facts: Any) -> Sightings:
    """People in OpenPose's words: body, face and hands as lists of x, y, confidence.

    Where any frame holds an empty object for somebody who is not seen, a person's place in the
    list is who it is.

    Args:
        path: The file or folder, for messages.
        form: Name of the format.
        frames: List of people of each frame by name, in order.
        facts: Further fields of :class:`Sightings`.

    Raises:
        DataError: A person or a part is not of that form.
    """
    found: list[tuple[int, str, dict[str, object]]] = list(everyone(path, frames))
    by_place = any(not person for *_, person in found)
    parts = {
        part: [_detail(path, person, part, where) for _, where, person in found]
        for part in _DETAILS
    }
    counts = {part: next((len(r) // 3 for r in rows if r), 0) for part, rows in parts.items()}
    people: list[Sighting] = []
    frame, place = -1, 0
    for row, (i, where, person) in enumerate(found):
        frame, place = i, place + 1 if i == frame else 0
        if body := list(_part(path, person, _BODY, where)):
            for part, count in counts.items():
                body += parts[part][row] or [0.0] * (3 * count)
            track = place if by_place else person.get("person_id")
            people.append(Sighting(i, body, track=track))
    extra = tuple(f"{part}_{j}" for part, count in counts.items() for j in range(count))
    return Sightings(form, list(frames), people, extra=extra, ids=by_place, **facts)


def _part(path: Path, person: dict[str, Any], keys: tuple[str, ...], where: str) -> list[object]:
    key = next((key for key in keys if person.get(key) is not None), None)
    return [] if key is None else as_list(path, person[key], f"'{key}' ({where})")


def _detail(path: Path, person: dict[str, object], part: str, where: str) -> list[object]:
    """Face or hand; empty where it was not found, which may be written as zeros."""
    keys, counts = _DETAILS[part]
    row = _part(path, person, keys, where)
    if row and len(row) not in [3 * count for count in counts]:
        raise DataError(
            f"expected x, y and confidence of {' or '.join(map(str, counts))} joints in "
            f"'{keys[0]}' of {path} ({where}), got {len(row)} numbers; {AGAIN}"
        )
    return row if any(row) else []


def _sees(source: Source) -> bool:
    content = source.content
    if not isinstance(content, dict) or "people" not in content or "canvas_width" in content:
        return False
    return not str(content.get("version")).startswith("AlphaPose")


DIALECTS = (
    Dialect(
        "openpose",
        "OpenPose, a file a frame",
        ("json",),
        ("people", BODY),
        _sees,
        read,
        folders=True,
    ),
)
