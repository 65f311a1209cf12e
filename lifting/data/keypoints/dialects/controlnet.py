"""ControlNet and DWPose: OpenPose's words for each image in one list, with the canvas's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.dialects.openpose import BODY, sightings
from lifting.data.keypoints.entries import sizes_of
from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.errors import DataError
from lifting.files.json_file import as_table
from lifting.skeleton import COCO_18

_KEYS = ("canvas_width", "canvas_height")


def read(source: Source) -> Sightings:
    """Sightings of a list of images, of one, or of a folder with a file an image.

    Args:
        source: Objects ``{"people": [...], "canvas_width", "canvas_height"}``; positions are
            pixels of the canvas or parts of it, which their range tells.

    Raises:
        DataError: An image is not of that form, or a file of a folder holds several.
    """
    path = source.path
    images = {name: as_table(path, image, f"image {name}") for name, image in _images(source)}
    sizes = sizes_of(path, images.values(), _KEYS)
    seen = sightings(
        path,
        "controlnet",
        {name: image.get("people") for name, image in images.items()},
        relative=None,
        image_size=sizes[0] if len(set(sizes)) == 1 else None,
        image_sizes=tuple(sorted(set(sizes))),
        frame_sizes=tuple(sizes),
    )
    first: Any = seen.people[0].keypoints if seen.people else ()
    if len(first) == 3 * (len(COCO_18) + len(seen.extra)):
        seen.prescribed = COCO_18.name
    return seen


def _images(source: Source) -> Iterator[tuple[str, object]]:
    for file, content in source.each():
        images = content if isinstance(content, list) else [content]
        if source.is_folder and len(images) != 1:
            raise DataError(
                f"expected one image in every file of {source.path}, got {len(images)} in "
                f"{file.name}; give that file alone"
            )
        for i, image in enumerate(images):
            yield file.stem if source.is_folder else str(i), image


def _sees(source: Source) -> bool:
    entry = first_entry(source.content)
    return "people" in entry and bool(set(_KEYS) & set(entry))


DIALECTS = (
    Dialect("controlnet", "ControlNet or DWPose poses", ("json",), ("people", BODY, *_KEYS),
            _sees, read, folders=True),
)  # fmt: skip
