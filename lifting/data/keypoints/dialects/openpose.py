"""OpenPose: one file a frame, with the people in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table

ENDING = "_keypoints.json"
_LAST_NUMBER = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)


def read_frames(path: Path, contents: Iterable[tuple[str, object]]) -> Sightings:
    """Sightings of a folder of frames, or of a single one.

    The last number in the name of a file is that of its frame. Where a person of any frame is an
    empty object, people have one order in all frames, as Pose2Sim writes them when it knows who
    is who: a person's place is the track, unless the file has a number for it.

    Args:
        path: The folder, for messages.
        contents: Name and content ``{"people": [...]}`` of each file, in natural order.

    Raises:
        DataError: A file is not of that form, or the folder holds more than one video.
    """
    frames: list[str] = []
    people: list[Sighting] = []
    places: list[int] = []
    ordered = False
    for i, (name, content) in enumerate(contents):
        frames.append(name.removesuffix(".json").removesuffix("_keypoints"))
        frame = as_table(path / name, content, "it")
        people.extend(people_of(path / name, frame, i))
        listed = as_list(path / name, frame["people"], "'people'")
        places.extend(j for j, person in enumerate(listed) if _points(person) is not None)
        ordered = ordered or {} in listed
    videos = sorted({_video(name) for name in frames})
    if len(videos) > 1:
        raise DataError(
            f"expected the frames of one video in {path}, got {len(videos)}: "
            f"{', '.join(name[:40] for name in videos[:6])}; "
            "put each video's files into a folder of its own"
        )
    if ordered:
        people = [
            p._replace(track=place) if _unnumbered(p.track) else p
            for p, place in zip(people, places, strict=True)
        ]
    return Sightings("openpose", frames, people)


def _video(frame: str) -> str:
    """Name of a frame without its number; a star stands for one within the name."""
    found = _LAST_NUMBER.fullmatch(frame)
    if found is None:
        return frame
    return f"{found[1]}*{found[3]}" if found[3] else found[1]


def _unnumbered(track: object) -> bool:
    """Whether a person has no number, or the -1 that OpenPose writes without tracking."""
    return track in (None, -1, [], [-1])


def _points(person: object) -> object:
    """Keypoints of a person; None where there are none."""
    found = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
    return None if found == [] else found


def people_of(path: Path, frame: dict[str, object], index: int) -> list[Sighting]:
    """People of one frame. One without keypoints, or an empty object, is nobody.

    Args:
        path: The file, for messages.
        frame: Object with ``people``; an empty list when nobody was seen.
        index: Index of the frame.

    Raises:
        DataError: There is no list of people.
    """
    people = [
        as_table(path, person, f"person {i}")
        for i, person in enumerate(as_list(path, frame.get("people"), "'people'"))
    ]
    return [
        Sighting(index, _points(person), track=person.get("person_id"))
        for person in people
        if _points(person) is not None
    ]


def _sees(source: Source) -> bool:
    return isinstance(source.content, dict) and isinstance(source.content.get("people"), list)


def _read(source: Source) -> Sightings:
    return read_frames(source.path, ((file.name, content) for file, content in source.each()))


DIALECTS = (
    Dialect(
        name="openpose",
        title="OpenPose, a file a frame",
        kinds=("json",),
        keys=("people", "pose_keypoints_2d"),
        sees=_sees,
        read=_read,
    ),
)
