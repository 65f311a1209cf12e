"""AlphaPose: a flat list like COCO's, or objects by image that imitate OpenPose."""

from __future__ import annotations

from typing import Any

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.dialects.coco import first_result, read_results
from lifting.data.keypoints.dialects.openpose import sightings
from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.files.json_file import as_table
from lifting.skeleton import COCO_18

_NOSE, _NECK, _SHOULDERS, _HIPS = 0, 1, (2, 5), (8, 11)
_SEEN, _FARTHEST = 0.05, 1e9
_HEAD_TOP = (
    "joint 1 lies above the nose: where the neck should be, AlphaPose wrote the top of the head, "
    "as it does for models of 26 or 136 joints; the middle of the shoulders is taken for the neck"
)


def read_by_image(source: Source) -> Sightings:
    """Sightings of the styles ``cmu`` (``bodies``, ``joints``) and ``open`` (as OpenPose).

    Args:
        source: Object of image name to ``{"bodies": [...]}`` or ``{"people": [...]}``, or a
            folder (``sep-json``) with a file for each of these.

    Raises:
        DataError: An image or a person is not of that form.
    """
    seen = sightings(source.path, "alphapose", _frames(source))
    rows: list[Any] = [person.keypoints for person in seen.people]
    if rows and len(rows[0]) == 3 * len(COCO_18):
        seen.prescribed = COCO_18.name
        told = [above for row in rows if (above := _neck_above_nose(row)) is not None]
        if sum(told) > len(told) / 2:
            seen.notes = (*seen.notes, _HEAD_TOP)
            for row in rows:
                row[3 * _NECK : 3 * _NECK + 3] = _between_shoulders(row)
    return seen


def _frames(source: Source) -> dict[str, object]:
    """People of each image in OpenPose's words by name, in order."""
    images = source.content
    if _is_image(images):
        images = {file.stem: content for file, content in source.each()}
    frames: dict[str, object] = {}
    for name in sorted(images, key=natural_key):
        image = as_table(source.path, images[name], f"image {name[:80]}")
        frames[name] = image.get("bodies", image.get("people"))
    return frames


def _neck_above_nose(row: list[Any]) -> bool | None:
    """Whether the neck of an upright person lies above the nose; None where that is not told."""
    used = (_NOSE, _NECK, *_SHOULDERS, *_HIPS)
    if not all(_is_seen(row, joint) for joint in used):
        return None
    nose, neck, *trunk = (row[3 * joint + 1] for joint in used)
    return neck < nose if max(trunk[:2]) < min(trunk[2:]) else None


def _between_shoulders(row: list[Any]) -> list[float]:
    right, left = (row[3 * joint : 3 * joint + 3] for joint in _SHOULDERS)
    if not all(_is_seen(row, joint) for joint in _SHOULDERS):
        return [0.0, 0.0, 0.0]
    return [(right[0] + left[0]) / 2, (right[1] + left[1]) / 2, min(right[2], left[2])]


def _is_seen(row: list[Any], joint: int) -> bool:
    numbers = row[3 * joint : 3 * joint + 3]
    usable = all(isinstance(v, int | float) and abs(v) < _FARTHEST for v in numbers)
    return usable and len(numbers) == 3 and numbers[2] > _SEEN


def _is_list(source: Source) -> bool:
    entry = first_result(source)
    return "image_id" in entry and bool({"box", "idx"} & set(entry))


def _is_image(content: object) -> bool:
    """Whether an object holds the people of one image, and says that AlphaPose wrote it."""
    if not isinstance(content, dict):
        return False
    of_alphapose = str(content.get("version")).startswith("AlphaPose")
    return any(
        isinstance(content.get(key), list) and known
        for key, known in (("bodies", True), ("people", of_alphapose))
    )


def _is_by_image(source: Source) -> bool:
    if _is_image(source.content):
        return True
    if source.is_folder or not isinstance(source.content, dict):
        return False
    first = first_entry(list(source.content.values()))
    return "bodies" in first or ("people" in first and "canvas_width" not in first)


DIALECTS = (
    Dialect("alphapose", "AlphaPose results", ("json",),
            ("image_id", "keypoints", "score", "box", "idx"), _is_list,
            lambda source: read_results(source, form="alphapose", box="box", track="idx")),
    Dialect("alphapose-by-image", "AlphaPose results in the styles cmu and open", ("json",),
            ("bodies", "joints"), _is_by_image, read_by_image),
)  # fmt: skip
