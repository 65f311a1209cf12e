"""OpenPifPaf: a list of people an image, or a line with a frame's people for a video."""

from __future__ import annotations

from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown

# Keypoints of what is nobody's body, by number.
_OTHERS = {24: "a car", 66: "a car", 42: "hands"}
_BODY, _WHOLE_BODY = 17, 133
_NAMES = (".predictions", ".openpifpaf")
_AGAIN = "write the file again with the detector's own export"


def read_images(source: Source) -> Sightings:
    """Sightings of an image, or of a folder with a file an image.

    Args:
        source: List of ``{"keypoints": [x, y, c, ...], "bbox", "score"}`` for every image.

    Raises:
        DataError: An entry is not of that form, or no person.
    """
    images = {
        _stem(file): as_list(file, content, "the list of people")
        for file, content in source.each()
    }
    people, joints = _people(source.path, images)
    body = "coco17" if joints == _BODY else None
    return Sightings("openpifpaf", list(images), people, box_size=True, prescribed=body)


def read_video(source: Source) -> Sightings:
    """Sightings of a video. Of 17 joints tracked they may be COCO's or PoseTrack's.

    Args:
        source: ``{"frame", "predictions": [...]}`` for every frame; ``id_`` is the track.

    Raises:
        DataError: A line is not of that form, a frame comes twice, or an entry is no person.
    """
    path, content = source.path, source.content
    found: dict[str, list[object]] = {}
    for i, value in enumerate(content if isinstance(content, list) else [content]):
        line = as_table(path, value, f"line {i + 1}")
        number = line.get("frame")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise DataError(
                f"expected a whole number as 'frame' in line {i + 1} of {path}, got "
                f"{shown(number)}; {_AGAIN}"
            )
        if str(number) in found:
            raise DataError(
                f"expected each frame once in {path}, got frame {number} twice; the file was "
                "written to by two runs: give that of one"
            )
        found[str(number)] = as_list(path, line.get("predictions"), f"frame {number}")
    frames = {name: found[name] for name in sorted(found, key=natural_key)}
    people, joints = _people(path, frames)
    tracked = any(person.track is not None for person in people)
    body = "coco17" if joints == _BODY and not tracked else None
    return Sightings("openpifpaf", list(frames), people, box_size=True, prescribed=body)


def _people(path: Path, frames: dict[str, list[object]]) -> tuple[list[Sighting], int]:
    """Everyone, and how many joints the first has."""
    people: list[Sighting] = []
    counts: list[int] = []
    for i, (name, entries) in enumerate(frames.items()):
        for k, value in enumerate(entries):
            where = f"frame {name[:80]}, person {k}"
            entry = as_table(path, value, where)
            flat = as_list(path, entry.get("keypoints"), f"'keypoints' ({where})")
            joints = len(flat) // 3
            if len(flat) % 3 or joints not in (_BODY, _WHOLE_BODY):
                what = f", as {_OTHERS[joints]} has" if joints in _OTHERS else ""
                raise DataError(
                    f"expected a person of {_BODY} or {_WHOLE_BODY} joints, x, y and confidence "
                    f"each, in {path} ({where}), got {len(flat)} numbers, {joints} joints{what}; "
                    "run the detector with a checkpoint for people"
                )
            counts.append(joints)
            track = entry.get("id_")
            people.append(
                Sighting(i, _without_absent(flat), entry.get("score"), entry.get("bbox"), track)
            )
    return people, next(iter(counts), 0)


def _without_absent(flat: list[object]) -> list[object]:
    """The same without the places of joints of confidence 0, which are anything."""
    joints = list(flat)
    for i in range(2, len(joints), 3):
        if joints[i] == 0:
            joints[i - 2 : i] = (None, None)
    return joints


def _stem(file: Path) -> str:
    """Name of the image, ``a`` of ``a.jpg.predictions.json``."""
    name = file.stem
    for ending in _NAMES:
        name = name.removesuffix(ending)
    return Path(name).stem if name != file.stem else name


def _is_images(source: Source) -> bool:
    entry = first_entry(source.content) if isinstance(source.content, list) else {}
    joints = entry.get("keypoints")
    flat = isinstance(joints, list) and bool(joints) and not isinstance(joints[0], list | dict)
    others = {"image_id", "box", "idx", "keypoint_scores", "frame", "frame_id", "name"}
    return flat and "bbox" in entry and not others & set(entry)


def _is_video(source: Source) -> bool:
    entry = first_entry(source.content)
    return {"frame", "predictions"} <= set(entry) and not source.is_folder


DIALECTS = (
    Dialect(
        name="openpifpaf",
        title="OpenPifPaf predictions of images",
        kinds=("json",),
        keys=("keypoints", "bbox", "category_id"),
        sees=_is_images,
        read=read_images,
    ),
    Dialect(
        name="openpifpaf-video",
        title="OpenPifPaf predictions of a video",
        kinds=("lines", "json"),
        keys=("frame", "predictions", "keypoints"),
        sees=_is_video,
        read=read_video,
    ),
)
