"""MMPose and Sapiens: people of an image or of every frame of a video, with or without names.

The demos write an object with facts of the data set, the inferencer a list, versions before 1.0
lists of lists; Sapiens writes a demo's object without facts for every image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import SURE, everyone, interleaved, points_of
from lifting.data.keypoints.joint_order import Named
from lifting.data.keypoints.numbered import each_once
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import NDARRAY, as_list, as_table

# What MMPose calls data sets, and the joints that they have.
DATA_SETS = {
    "aic": "aic14", "coco": "coco17", "coco_wholebody": "wholebody133",
    "crowdpose": "crowdpose14", "halpe": "halpe136", "halpe26": "halpe26", "h36m": "h36m17",
    "humanart": "coco17", "jhmdb": "jhmdb15", "mpi_inf_3dhp": "mpi17", "mpii": "mpii16",
    "posetrack18": "posetrack17",
}  # fmt: skip
# MMPose's names of Human3.6M call the right leg left and the left one right: its own conversions
# put COCO's right hip at 1, where the names say left_hip. Arms are named rightly.
_H36M_LEGS = (
    "root", "left_hip", "left_knee", "left_foot", "right_hip", "right_knee", "right_foot",
)  # fmt: skip
_LEGS_NOTE = "legs are those of Human3.6M, right before left, which MMPose's names exchange"


def read(source: Source) -> Sightings:
    """Sightings of a file of one image or video, or of a folder with a file an image.

    Args:
        source: ``{"meta_info", "instance_info"}``, or what would be in the latter: instances of an
            image, ``{"frame_id", "instances"}`` a frame, or a list of instances a frame. An
            instance has ``keypoints`` in pairs and ``keypoint_scores``, or triples.

    Raises:
        DataError: A frame or instance is not of that form, is in 3D, or contradicts the names.
    """
    path = source.path
    found: dict[str, object] = {}
    stated: set[Named | None] = set()
    for file, content in source.each():
        facts = None
        if isinstance(content, dict):
            facts, content = content.get("meta_info"), content.get("instance_info")
        entries = as_list(file, content, "the list of frames")
        stated.add(_named(facts))
        if _is_image(entries):
            found[file.stem] = entries
        elif not source.is_folder:
            found = each_once(file, _numbered(file, entries), "frame_id")
        if len(stated) > 1 or not (found and (_is_image(entries) or not source.is_folder)):
            raise DataError(
                f"expected the people of one image in every file of {path}, of one detector, got "
                f"the frames of a video or other names of joints in {file.name}; give the video's "
                "file alone, or the files of one run"
            )
    named = stated.pop()
    people = [
        _sighting(path, person, i, named, where) for i, where, person in everyone(path, found)
    ]
    is_h36m = isinstance(named, tuple) and named[:7] == _H36M_LEGS
    sapiens = isinstance(source.content, dict) and "meta_info" not in source.content
    body = all(isinstance(p.keypoints, list) and len(p.keypoints) == 3 * 17 for p in people)
    return Sightings(
        "sapiens" if sapiens else "mmpose",
        list(found),
        people,
        named=DATA_SETS["h36m"] if is_h36m else named,
        prescribed="coco17" if sapiens and body else None,
        notes=(_LEGS_NOTE,) if is_h36m else (),
    )


def _is_image(entries: list[object]) -> bool:
    keys = [set(entry) for entry in entries if isinstance(entry, dict)]
    return not entries or any({"keypoints", "keypoint_scores"} & some for some in keys)


def _numbered(path: Path, entries: list[object]) -> Iterator[tuple[object, object]]:
    """Number and instances of every frame of a video."""
    for i, entry in enumerate(entries):
        frame = {"frame_id": i, "instances": entry} if isinstance(entry, list) else entry
        table = as_table(path, frame, f"frame {i}")
        instances = as_list(path, table.get("instances"), f"'instances' of frame {i}")
        yield table.get("frame_id"), instances


def _named(facts: object) -> Named | None:
    """Names of the joints, else the set of the data set that the detector was trained on."""
    if not isinstance(facts, dict):
        return None
    names = facts.get("keypoint_id2name")
    if isinstance(names, dict) and names and all(isinstance(v, str) for v in names.values()):
        return tuple(names[key] for key in sorted(names, key=lambda key: natural_key(str(key))))
    data_set = facts.get("dataset_name")
    return DATA_SETS.get(data_set) if isinstance(data_set, str) else None


def _sighting(
    path: Path, person: dict[str, Any], frame: int, named: Named | None, where: str
) -> Sighting:
    scored = "keypoint_scores" in person
    points = points_of(path, person.get("keypoints"), 2 if scored else 3, where)
    third = person["keypoint_scores"] if scored else [point[2] for point in points]
    sure = as_list(path, third, f"'keypoint_scores' ({where})")
    if not scored and any(isinstance(c, int | float) and (c < 0 or c > SURE) for c in sure):
        raise DataError(
            f"expected pairs x, y as keypoints in {path} ({where}), got triples whose third "
            "number is no confidence; give the 2D keypoints, not those of a 3D estimator"
        )
    if isinstance(named, tuple) and len(points) != len(named):
        raise DataError(
            f"expected as many keypoints in {path} ({where}) as 'keypoint_id2name' names, "
            f"{len(named)}, got {len(points)}; the file mixes detectors: write it again"
        )
    joints = interleaved(path, where, [p[0] for p in points], [p[1] for p in points], sure)
    box, score = _plain(person.get("bbox")), person.get("bbox_score")
    if isinstance(box, list) and len(box) == 1:
        box = _plain(box[0])
    if isinstance(box, list) and len(box) == 5:  # before 1.0 the score is the fifth
        box, score = box[:4], box[4] if score is None else score
    return Sighting(frame, joints, score, box, person.get("track_id"))


def _plain(value: object) -> object:
    """The list of an array that ``json_tricks`` wrote; anything else as it is."""
    return value[NDARRAY] if isinstance(value, dict) and NDARRAY in value else value


def _sees(source: Source) -> bool:
    content = source.content
    if not isinstance(content, list):
        return "instance_info" in first_entry(content)
    entry = first_entry(next((e for e in content if isinstance(e, list) and e), content))
    if {"image_id", "frame"} & set(entry):
        return False
    points = entry.get("keypoints")
    nested = isinstance(points, list) and bool(points) and isinstance(points[0], list)
    return bool({"instances", "keypoint_scores"} & set(entry)) or (nested and "bbox" in entry)


DIALECTS = (
    Dialect("mmpose", "MMPose or Sapiens predictions", ("json",),
            ("instances", "keypoints", "keypoint_scores"), _sees, read, folders=True),
)  # fmt: skip
