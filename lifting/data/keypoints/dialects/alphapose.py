"""AlphaPose: a flat list like COCO's, or objects by image that imitate OpenPose."""

from __future__ import annotations

from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.dialects.coco import read_results
from lifting.data.keypoints.dialects.openpose import people_of
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.files.json_file import as_list, as_table


def read_list(path: Path, content: object) -> Sightings:
    """Sightings of the default style; ``score`` may exceed 1, ``idx`` is the track.

    Args:
        path: The file, for messages.
        content: List of ``{"image_id", "keypoints", "score", "box", "idx"}``.

    Raises:
        DataError: An entry is not of that form.
    """
    return read_results(path, content, form="alphapose", box="box", track="idx")


def read_by_image(path: Path, content: object) -> Sightings:
    """Sightings of the styles ``cmu`` (``bodies``, ``joints``) and ``open`` (as OpenPose).

    Args:
        path: The file, for messages.
        content: Object of image name to ``{"bodies": [...]}`` or ``{"people": [...]}``.

    Raises:
        DataError: An entry is not of that form.
    """
    images = as_table(path, content, "it")
    frames = sorted(images, key=natural_key)
    people: list[Sighting] = []
    for i, name in enumerate(frames):
        image = as_table(path, images[name], f"image {name[:80]}")
        if "bodies" not in image:
            people.extend(people_of(path, image, i))
            continue
        bodies = as_list(path, image["bodies"], "'bodies'")
        people.extend(Sighting(i, as_table(path, body, "a body").get("joints")) for body in bodies)
    return Sightings("alphapose", frames, people)


def _is_list(source: Source) -> bool:
    entry = first_entry(source.content) if isinstance(source.content, list) else {}
    return "image_id" in entry and bool({"box", "idx"} & set(entry))


def _is_by_image(source: Source) -> bool:
    if not isinstance(source.content, dict):
        return False
    first = first_entry(list(source.content.values()))
    return "bodies" in first or "people" in first


DIALECTS = (
    Dialect(
        name="alphapose",
        title="AlphaPose results",
        kinds=("json",),
        keys=("image_id", "keypoints", "score", "box", "idx"),
        sees=_is_list,
        read=lambda source: read_list(source.path, source.content),
    ),
    Dialect(
        name="alphapose-by-image",
        title="AlphaPose results in the styles cmu and open",
        kinds=("json",),
        keys=("bodies", "joints"),
        sees=_is_by_image,
        read=lambda source: read_by_image(source.path, source.content),
    ),
)
