"""COCO results: a flat list of sightings, which AlphaPose writes with other keys."""

from __future__ import annotations

import re
from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import AGAIN, left_out
from lifting.data.keypoints.numbered import check_one_list
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown

Table = dict[str, object]

_MOST_NAMED, _LOOKED_AT = 6, 100


def read_results(
    source: Source, *, form: str = "coco-results", box: str = "bbox", track: str = "track_id"
) -> Sightings:
    """Sightings of a results file.

    Args:
        source: List of ``{"image_id", "keypoints", "score", ...}``; Ultralytics adds
            ``file_name``, which then orders the frames.
        form: Name of the format.
        box: Key of the box, x, y, width, height.
        track: Key of the person's number.

    Raises:
        DataError: An entry is not of that form, or nobody is a person.
    """
    path = source.path
    entries = tables(path, source.content, "sighting")
    names = names_of_images(path, entries, "image_id")
    frames = sorted(names.values(), key=natural_key)
    check_one_list(path, [re.sub(r"\.[A-Za-z]\w*$", "", name) for name in frames])
    index = {name: i for i, name in enumerate(frames)}
    kept, notes = persons_among(path, entries, None)
    people = [
        Sighting(index[names[str(e["image_id"])]], e.get("keypoints"), e.get("score"), e.get(box),
                 e.get(track))
        for e in kept
    ]  # fmt: skip
    return Sightings(form, frames, people, box_size=True, notes=notes)


def first_result(source: Source) -> Table:
    """The first entry with keypoints near the beginning of a list; an empty one without."""
    entries = source.content[:_LOOKED_AT] if isinstance(source.content, list) else []
    return next((e for e in entries if isinstance(e, dict) and "keypoints" in e), {})


def tables(path: Path, value: object, what: str) -> list[Table]:
    """A list of objects, each called ``what`` in messages.

    Raises:
        DataError: It is something else.
    """
    entries = as_list(path, value, f"the list of {what}s")
    return [as_table(path, entry, f"{what} {i}") for i, entry in enumerate(entries)]


def image_key(path: Path, entry: Table, key: str, where: str) -> str:
    """Number or name of an image, as text.

    Args:
        path: The file, for messages.
        entry: A sighting or an image.
        key: Where the number is.
        where: What the entry is called.

    Raises:
        DataError: It has none.
    """
    value = entry.get(key)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise DataError(
        f"expected a whole number or a name as '{key}' of {where} of {path}, got {shown(value)}; "
        f"{AGAIN}"
    )


def names_of_images(path: Path, entries: list[Table], key: str) -> dict[str, str]:
    """Name of each image: its file's where that is known, else its number.

    Args:
        path: The file, for messages.
        entries: Sightings or images.
        key: Where the number of the image is.

    Raises:
        DataError: Two names have one number, or two numbers one name.
    """
    names: dict[str, str] = {}
    of_name: dict[str, str] = {}
    for i, entry in enumerate(entries):
        image, name = image_key(path, entry, key, f"entry {i}"), entry.get("file_name")
        name = name if isinstance(name, str) else image
        if names.setdefault(image, name) != name or of_name.setdefault(name, image) != image:
            raise DataError(
                f"expected one file_name for each image in {path}, got image {image[:80]} as "
                f"{name[:80]} and {names[image][:80]}, or another of that name; give the file of "
                "one video"
            )
    return names


def persons_among(
    path: Path, entries: list[Table], categories: object
) -> tuple[list[Table], tuple[str, ...]]:
    """Entries of people, and a note where others are left out.

    A person is what the categories call so, else what has keypoints there; without such words
    category 1, or 0 where all are.

    Args:
        path: The file, for messages.
        entries: Sightings.
        categories: What the file says of them.

    Raises:
        DataError: There are entries, and none is a person.
    """
    listed = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
    known = [c.get("id") for c in listed if str(c.get("name")).lower() == "person"]
    known = known or [c.get("id") for c in listed if c.get("keypoints")]
    kinds = [1 if (kind := e.get("category_id")) is None else kind for e in entries]
    known = known or ([1] if any(kind != 0 for kind in kinds) else [0])
    people = [entry for entry, kind in zip(entries, kinds, strict=True) if kind in known]
    if entries and not people:
        others = sorted({shown(kind) for kind in kinds})[:_MOST_NAMED]
        raise DataError(
            f"expected people, category {shown(known[0])}, in {path}, got only category "
            f"{', '.join(others)}; give the keypoints of people, or correct category_id"
        )
    return people, left_out(len(entries) - len(people), "entries of other categories")


def _is_results(source: Source) -> bool:
    entry = first_result(source)
    return "image_id" in entry and not {"box", "idx"} & set(entry)


DIALECTS = (
    Dialect("coco-results", "COCO keypoint results", ("json",),
            ("image_id", "keypoints", "score"), _is_results, read_results),
)  # fmt: skip
