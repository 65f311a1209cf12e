"""OpenPose: one file a frame, with the people in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown

ENDING = "_keypoints.json"


def read_frames(path: Path, contents: Iterable[tuple[str, object]]) -> Sightings:
    """Sightings of a folder of frames, or of a single one.

    Args:
        path: The folder, for messages.
        contents: Name and content ``{"people": [...]}`` of each file, in natural order.

    Raises:
        DataError: A file is not of that form, or the folder holds more than one video.
    """
    frames: list[str] = []
    people: list[Sighting] = []
    for i, (name, content) in enumerate(contents):
        frames.append(name.removesuffix(ENDING))
        people.extend(people_of(path / name, as_table(path / name, content, "it"), i))
    videos = sorted({name.rstrip("0123456789") for name in frames})
    if len(videos) > 1:
        raise DataError(
            f"expected the frames of one video in {path}, got {len(videos)}: {shown(videos)}; "
            "put each video's files into a folder of its own"
        )
    return Sightings("openpose", frames, people)


def people_of(path: Path, frame: dict[str, object], index: int) -> list[Sighting]:
    """People of one frame.

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
        Sighting(index, person.get("pose_keypoints_2d"), track=person.get("person_id"))
        for person in people
        if person.get("pose_keypoints_2d") != []
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
