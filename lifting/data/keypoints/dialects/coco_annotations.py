"""COCO annotations: images and what is marked in them; COCO-WholeBody and PoseTrack likewise."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from lifting.data.keypoints.dialects import Dialect, coco
from lifting.data.keypoints.dialects.coco import Table
from lifting.data.keypoints.entries import SURE, sizes_of
from lifting.data.keypoints.numbered import check_one_list, refuse_several
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown

# COCO-WholeBody keeps these joints beside the body's, in the order of its 133.
_PARTS = {"foot": 6, "face": 68, "lefthand": 21, "righthand": 21}
# Joints as PoseTrack, MPII, AI Challenger and CrowdPose spell them.
_SPELLED = {"head_bottom": "neck", "upper_neck": "neck", "head_top": "head", "top_head": "head"}
_MOST_NAMED = 6


def read(source: Source) -> Sightings:
    """Sightings of an annotation file, whose images give order and size.

    Args:
        source: Object with ``images`` and ``annotations``; the third number of a joint is its
            visibility, 0 absent, 1 hidden, 2 visible. COCO-WholeBody's parts follow the body.

    Raises:
        DataError: An entry is not of that form, the images are of several videos, or there are
            no keypoints.
    """
    path = source.path
    table = as_table(path, source.content, "it")
    images = coco.tables(path, table.get("images"), "image")
    names = coco.names_of_images(path, images, "id")
    _check_one_video(path, images)
    frames = sorted(names.values(), key=natural_key)
    index = {name: i for i, name in enumerate(frames)}
    sized = [image for image in images if "width" in image and "height" in image]
    size_of = {
        names[str(image["id"])]: size
        for image, size in zip(sized, sizes_of(path, sized, ("width", "height")), strict=True)
    }
    sizes = tuple(sorted(set(size_of.values())))
    categories = table.get("categories")
    entries = coco.tables(path, table.get("annotations"), "annotation")
    persons, notes = coco.persons_among(path, entries, categories)
    whole = any(f"{part}_kpts" in entry for entry in persons for part in _PARTS)
    people, visibility = [], True
    for i, entry in enumerate(persons):
        which = f"annotation {shown(entry.get('id', i))}"
        name = names.get(coco.image_key(path, entry, "image_id", which))
        if name is None:
            raise DataError(
                f"expected every annotation of {path} to be of one of its images, got image_id "
                f"{shown(entry['image_id'])} of {which}, which 'images' lacks; export it again"
            )
        row = entry.get("keypoints")
        if row is None:
            continue
        where = f"image {name[:80]}, {which}"
        row = as_list(path, row, f"'keypoints' ({where})")
        visibility = _is_visibility(path, row, where) and visibility
        row = row + _parts(path, entry, where) if whole else row
        people.append(Sighting(index[name], row, None, entry.get("bbox"), entry.get("track_id")))
    if persons and not people:
        raise DataError(
            f"expected 'keypoints' in the annotations of {path}, got boxes or outlines only; give "
            "the file of the keypoints, as person_keypoints_val2017.json"
        )
    if len(people) < len(persons):
        notes += (f"people without keypoints left out: {len(persons) - len(people)}",)
    return Sightings(
        "coco-annotations",
        frames,
        people,
        box_size=True,
        visibility=visibility,
        image_size=sizes[0] if len(sizes) == 1 else None,
        image_sizes=sizes,
        frame_sizes=tuple(size_of[name] for name in frames) if len(size_of) == len(frames) else (),
        named=None if whole else _joint_names(categories),
        prescribed="wholebody133" if whole else None,
        ids=any(person.track is not None for person in people),
        notes=notes if visibility else (*notes, "third numbers are confidences, not 0, 1, 2"),
    )


def _check_one_video(path: Path, images: list[Table]) -> None:
    """Check that images are of one video, told by ``vid_id``, ``video_id`` or the folder."""
    videos = sorted(
        {
            str(image.get("vid_id", image.get("video_id")))
            if {"vid_id", "video_id"} & set(image)
            else str(PurePosixPath(str(image.get("file_name", "")).replace("\\", "/")).parent)
            for image in images
        },
        key=natural_key,
    )
    refuse_several(path, videos)
    check_one_list(path, [PurePosixPath(str(i["file_name"])).stem for i in images
                          if "file_name" in i])  # fmt: skip


def _is_visibility(path: Path, row: list[Any], where: str) -> bool:
    """Whether third numbers are 0, 1, 2; if not they must be confidences."""
    thirds = [v for v in row[2::3] if isinstance(v, int | float) and v == v]
    if all(v in (0, 1, 2) for v in thirds):
        return True
    if max(thirds) > SURE:
        raise DataError(
            f"expected 0, 1 or 2 as the visibility of every joint in {path} ({where}), or "
            f"confidences up to 1, got {shown(max(thirds))}; export the file again"
        )
    return False


def _parts(path: Path, entry: Table, where: str) -> list[object]:
    """Feet, face and hands; zeros for those that are not labelled."""
    numbers: list[object] = []
    for part, count in _PARTS.items():
        row = entry.get(f"{part}_kpts") if entry.get(f"{part}_valid", True) else None
        row = [0] * (3 * count) if row is None else as_list(path, row, f"'{part}_kpts' ({where})")
        if len(row) != 3 * count:
            raise DataError(
                f"expected x, y and v of {count} joints in '{part}_kpts' of {path} ({where}), got "
                f"{len(row)} numbers; export the file again"
            )
        numbers += row
    return numbers


def _joint_names(categories: object) -> tuple[str, ...] | None:
    """Names of the joints of a person, where the categories list them and agree."""
    found: set[tuple[str, ...]] = set()
    for category in categories if isinstance(categories, list) else ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            words = [str(name) for name in names]
            found.add(tuple(_SPELLED.get(word, word) for word in words))
    return found.pop() if len(found) == 1 else None


DIALECTS = (
    Dialect("coco-annotations", "COCO annotations", ("json",),
            ("images", "annotations", "categories", "keypoints"),
            lambda s: isinstance(s.content, dict) and "annotations" in s.content, read),
)  # fmt: skip
