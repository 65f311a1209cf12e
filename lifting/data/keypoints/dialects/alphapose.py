"""AlphaPose: a flat list like COCO's, or objects by image that imitate OpenPose."""

from __future__ import annotations

from typing import Any

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.dialects.coco import first_result, read_results
from lifting.data.keypoints.dialects.openpose import sightings
from lifting.data.keypoints.entries import as_numbers
from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.plausibility import BoolArray, FloatArray
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
    if rows and all(len(row) == 3 * len(COCO_18) for row in rows):
        seen.prescribed = COCO_18.name
        where = [f"a keypoint (frame {seen.frames[one.frame][:80]})" for one in seen.people]
        flat = [as_numbers(source.path, row, w) for row, w in zip(rows, where, strict=True)]
        joints = np.stack(flat).reshape(-1, len(COCO_18), 3)
        if _neck_above_nose(joints):
            seen.notes = (*seen.notes, _HEAD_TOP)
            pair = joints[:, _SHOULDERS]
            middle = np.concatenate((pair[..., :2].mean(1), pair[..., 2:].min(1)), -1)
            joints[:, _NECK] = np.where(_is_seen(pair)[:, None], middle, 0.0)
            seen.people = [one._replace(keypoints=joints[i]) for i, one in enumerate(seen.people)]
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


def _neck_above_nose(joints: FloatArray) -> bool:
    """Whether the necks of most upright people lie above their noses."""
    used = joints[:, (_NOSE, _NECK, *_SHOULDERS, *_HIPS)]
    y = used[..., 1]
    upright = _is_seen(used) & (y[:, 2:4].max(1) < y[:, 4:].min(1))
    return bool((y[:, 1] < y[:, 0])[upright].sum() > upright.sum() / 2)


def _is_seen(joints: FloatArray) -> BoolArray:
    usable = (np.abs(joints) < _FARTHEST).all(-1) & (joints[..., 2] > _SEEN)
    return np.asarray(usable.all(-1))


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
            ("bodies", "joints"), _is_by_image, read_by_image, folders=True),
)  # fmt: skip
