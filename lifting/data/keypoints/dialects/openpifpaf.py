"""OpenPifPaf: a list of people an image, or a line with a frame's people for a video."""

from __future__ import annotations

from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import everyone
from lifting.data.keypoints.numbered import each_once
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table

# Keypoints of what is nobody's body, by number.
_OTHERS = {24: "a car", 66: "a car", 42: "hands"}
_BODY, _WHOLE_BODY = 17, 133
_OTHER_KEYS = {"image_id", "box", "idx", "keypoint_scores", "frame", "frame_id", "name"}


def read_images(source: Source) -> Sightings:
    """Sightings of an image, or of a folder with a file an image.

    Args:
        source: List of ``{"keypoints": [x, y, c, ...], "bbox", "score"}`` for every image.

    Raises:
        DataError: An entry is not of that form, or no person.
    """
    return _sightings(source.path, {_stem(file): content for file, content in source.each()})


def read_video(source: Source) -> Sightings:
    """Sightings of a video. Of 17 joints tracked they may be COCO's or PoseTrack's.

    Args:
        source: ``{"frame", "predictions": [...]}`` for every frame; ``id_`` is the track.

    Raises:
        DataError: A line is not of that form, a frame comes twice, or an entry is no person.
    """
    path, content = source.path, source.content
    lines = content if isinstance(content, list) else [content]
    tables = [as_table(path, line, f"line {i}") for i, line in enumerate(lines, 1)]
    numbered = ((line.get("frame"), line.get("predictions")) for line in tables)
    return _sightings(path, each_once(path, numbered, "frame"))


def _sightings(path: Path, frames: dict[str, object]) -> Sightings:
    people: list[Sighting] = []
    for i, where, entry in everyone(path, frames):
        # Joints of confidence 0 are anywhere.
        flat = list(as_list(path, entry.get("keypoints"), f"'keypoints' ({where})"))
        joints = len(flat) // 3
        if len(flat) % 3 or joints not in (_BODY, _WHOLE_BODY):
            what = f", as {_OTHERS[joints]} has" if joints in _OTHERS else ""
            raise DataError(
                f"expected a person of {_BODY} or {_WHOLE_BODY} joints, x, y and confidence "
                f"each, in {path} ({where}), got {len(flat)} numbers, {joints} joints{what}; "
                "run the detector with a checkpoint for people"
            )
        for k in range(2, len(flat), 3):
            if flat[k] == 0:
                flat[k - 2 : k] = (None, None)
        track = entry.get("id_")
        people.append(Sighting(i, flat, entry.get("score"), entry.get("bbox"), track))
    tracked = any(person.track is not None for person in people)
    first = people[0].keypoints if people else []
    body = isinstance(first, list) and len(first) == 3 * _BODY and not tracked
    return Sightings(
        "openpifpaf", list(frames), people, box_size=True, prescribed="coco17" if body else None
    )


def _stem(file: Path) -> str:
    """Name of the image, ``a`` of ``a.jpg.predictions.json``."""
    name = file.stem.removesuffix(".predictions")
    return Path(name).stem if name != file.stem else name


def _is_images(source: Source) -> bool:
    entry = first_entry(source.content) if isinstance(source.content, list) else {}
    joints = entry.get("keypoints")
    flat = isinstance(joints, list) and bool(joints) and not isinstance(joints[0], list | dict)
    return flat and "bbox" in entry and not _OTHER_KEYS & set(entry)


def _is_video(source: Source) -> bool:
    return {"frame", "predictions"} <= set(first_entry(source.content)) and not source.is_folder


DIALECTS = (
    Dialect("openpifpaf", "OpenPifPaf predictions of images", ("json",),
            ("keypoints", "bbox", "category_id"), _is_images, read_images, folders=True),
    Dialect("openpifpaf-video", "OpenPifPaf predictions of a video", ("lines", "json"),
            ("frame", "predictions", "keypoints"), _is_video, read_video),
)  # fmt: skip
