"""COCO keypoints: results (a flat list of sightings) and annotations (with images).

AlphaPose writes the same flat list with other names for box and track.
"""

from __future__ import annotations

from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_number, as_table, shown


def read_results(
    path: Path, content: object, *, form: str = "coco-results", box: str, track: str
) -> Sightings:
    """Sightings of a results file.

    Args:
        path: The file, for messages.
        content: List of ``{"image_id", "keypoints", "score", ...}``.
        form: Name of the format.
        box: Key of the box, x, y, width, height.
        track: Key of the person's number.

    Raises:
        DataError: An entry is not of that form.
    """
    entries = [
        as_table(path, entry, f"entry {i}") for i, entry in enumerate(as_list(path, content, "it"))
    ]
    names = [_image_name(path, entry, i) for i, entry in enumerate(entries)]
    frames = sorted(set(names), key=natural_key)
    index = {name: i for i, name in enumerate(frames)}
    people = [
        Sighting(
            index[name], entry.get("keypoints"), entry.get("score"), entry.get(box),
            entry.get(track),
        )
        for name, entry in zip(names, entries, strict=True)
    ]  # fmt: skip
    return Sightings(form, frames, people, box_size=True)


def read_annotations(path: Path, content: object) -> Sightings:
    """Sightings of an annotation file, whose images give order and size.

    Args:
        path: The file, for messages.
        content: Object with ``images`` and ``annotations``; the third number of a joint is its
            visibility, 0 absent, 1 hidden, 2 visible.

    Raises:
        DataError: An entry is not of that form, or the images differ in size.
    """
    table = as_table(path, content, "it")
    images = as_list(path, table.get("images", []), "'images'")
    names: dict[str, str] = {}
    sizes: set[tuple[float, float]] = set()
    for i, image in enumerate(images):
        entry = as_table(path, image, f"image {i}")
        key = _image_name(path, entry, i, "id")
        file_name = entry.get("file_name")
        names[key] = file_name if isinstance(file_name, str) else key
        if "width" in entry and "height" in entry:
            width, height = (as_number(path, entry[k], f"{k} {i}") for k in ("width", "height"))
            sizes.add((width, height))
    if len(sizes) > 1:
        raise DataError(
            f"expected images of one size in {path}, got {shown(sorted(sizes))}; "
            "give the annotations of one video at a time"
        )
    seen = read_results(
        path, table.get("annotations"), form="coco-annotations", box="bbox", track="track_id"
    )
    ours = [names.get(name, name) for name in seen.frames]
    frames = sorted({*names.values(), *ours}, key=natural_key)
    index = {name: i for i, name in enumerate(frames)}
    people = [
        person._replace(frame=index[ours[person.frame]], score=None)
        for person in seen.people
        if isinstance(person.keypoints, list)
    ]
    return Sightings(
        seen.form, frames, people, box_size=True, visibility=True,
        image_size=next(iter(sizes), None), named=_joint_names(table.get("categories")),
    )  # fmt: skip


def _joint_names(categories: object) -> tuple[str, ...] | None:
    """Names of the joints of a person, where the categories list them and agree."""
    found: set[tuple[str, ...]] = set()
    for category in categories if isinstance(categories, list) else ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            found.add(tuple(names))
    return found.pop() if len(found) == 1 else None


def _image_name(path: Path, entry: dict[str, object], number: int, key: str = "image_id") -> str:
    name = entry.get(key)
    if isinstance(name, str) or (isinstance(name, int) and not isinstance(name, bool)):
        return str(name)
    raise DataError(
        f"expected a number or a name as '{key}' of entry {number} of {path}, got {shown(name)}; "
        "write the file again with the detector's own export"
    )


def _is_results(source: Source) -> bool:
    entry = first_entry(source.content) if isinstance(source.content, list) else {}
    return "image_id" in entry and "keypoints" in entry and not {"box", "idx"} & set(entry)


DIALECTS = (
    Dialect(
        name="coco-results",
        title="COCO keypoint results",
        kinds=("json",),
        keys=("image_id", "keypoints", "score"),
        sees=_is_results,
        read=lambda source: read_results(
            source.path, source.content, box="bbox", track="track_id"
        ),
    ),
    Dialect(
        name="coco-annotations",
        title="COCO annotations",
        kinds=("json",),
        keys=("images", "annotations", "categories", "keypoints"),
        sees=lambda source: "annotations" in first_entry(source.content),
        read=lambda source: read_annotations(source.path, source.content),
    ),
)
