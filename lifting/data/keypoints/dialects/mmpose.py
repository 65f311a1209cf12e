"""MMPose and Sapiens: people of an image or of every frame of a video, with or without names.

The demos write an object with facts of the data set, the inferencer a list, versions before 1.0
lists of lists; Sapiens writes a demo's object without facts for every image.
"""

from __future__ import annotations

from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.joint_order import Named
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import NDARRAY, as_list, as_table, shown

# What MMPose calls data sets, and the joints that they have.
DATA_SETS = {
    "aic": "aic14",
    "coco": "coco17",
    "coco_wholebody": "wholebody133",
    "crowdpose": "crowdpose14",
    "halpe": "halpe136",
    "halpe26": "halpe26",
    "h36m": "h36m17",
    "humanart": "coco17",
    "jhmdb": "jhmdb15",
    "mpi_inf_3dhp": "mpi17",
    "mpii": "mpii16",
    "posetrack18": "posetrack17",
}
# MMPose's names of Human3.6M call the right leg left and the left one right: its own conversions
# put COCO's right hip at 1, where the names say left_hip. Arms are named rightly.
_H36M_LEGS = (
    "root", "left_hip", "left_knee", "left_foot", "right_hip", "right_knee", "right_foot",
)  # fmt: skip
_LEGS_NOTE = "legs are those of Human3.6M, right before left, which MMPose's names exchange"
_SURE = 1.2  # confidences of heatmaps exceed 1 slightly
_SAPIENS_BODY = 17


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
    found: dict[str, list[object]] = {}
    stated: set[Named | None] = set()
    for file, content in source.each():
        facts = None
        if isinstance(content, dict):
            facts, content = content.get("meta_info"), content.get("instance_info")
        entries = as_list(file, content, "the list of frames")
        stated.add(_named(facts))
        if _is_image(entries):
            found[file.stem] = entries
        elif source.is_folder:
            raise DataError(
                f"expected the people of one image in every file of {path}, got the frames of a "
                f"video in {file.name}; give that file alone"
            )
        else:
            found.update(_frames(file, entries))
    if len(stated) > 1:
        raise DataError(
            f"expected the same facts of the joints in every file of {path}, got {len(stated)} "
            "different ones; give the files of one detector"
        )
    frames = list(found) if source.is_folder else sorted(found, key=natural_key)
    people = [
        _sighting(path, as_table(path, entry, f"person {k} of frame {name[:80]}"), i, name, k)
        for i, name in enumerate(frames)
        for k, entry in enumerate(found[name])
    ]
    named = stated.pop()
    _check_names(path, named, people, frames)
    is_h36m = isinstance(named, tuple) and named[:7] == _H36M_LEGS
    sapiens = isinstance(source.content, dict) and "meta_info" not in source.content
    return Sightings(
        "sapiens" if sapiens else "mmpose",
        frames,
        people,
        named=DATA_SETS["h36m"] if is_h36m else named,
        prescribed="coco17" if sapiens and _has_joints(people, _SAPIENS_BODY) else None,
        notes=(_LEGS_NOTE,) if is_h36m else (),
    )


def _is_image(entries: list[object]) -> bool:
    return not entries or any(
        isinstance(e, dict) and bool({"keypoints", "keypoint_scores"} & set(e)) for e in entries
    )


def _frames(path: Path, entries: list[object]) -> dict[str, list[object]]:
    """Instances of every frame of a video, by number."""
    found: dict[str, list[object]] = {}
    for i, entry in enumerate(entries):
        if isinstance(entry, list):
            found[str(i)] = entry
            continue
        frame = as_table(path, entry, f"frame {i}")
        number = frame.get("frame_id")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise DataError(
                f"expected a whole number as 'frame_id' of frame {i} of {path}, got "
                f"{shown(number)}; write the file again with the detector's own export"
            )
        if str(number) in found:
            raise DataError(
                f"expected each frame once in {path}, got frame_id {number} twice; "
                "give the file of one video"
            )
        found[str(number)] = as_list(path, frame.get("instances"), f"'instances' of frame {i}")
    return found


def _named(facts: object) -> Named | None:
    """Names of the joints, else the set of the data set that the detector was trained on."""
    if not isinstance(facts, dict):
        return None
    names = facts.get("keypoint_id2name")
    if isinstance(names, dict) and names and all(isinstance(v, str) for v in names.values()):
        return tuple(names[key] for key in sorted(names, key=lambda key: natural_key(str(key))))
    data_set = facts.get("dataset_name")
    return DATA_SETS.get(data_set) if isinstance(data_set, str) else None


def _check_names(
    path: Path, named: Named | None, people: list[Sighting], frames: list[str]
) -> None:
    for person in people if isinstance(named, tuple) else ():
        if not _has_joints([person], len(named or ())):
            raise DataError(
                f"expected as many keypoints in {path} as 'keypoint_id2name' names, "
                f"{len(named or ())}, got another number in frame {frames[person.frame][:80]}; "
                "the file mixes detectors: write it again"
            )


def _has_joints(people: list[Sighting], count: int) -> bool:
    return all(isinstance(p.keypoints, list) and len(p.keypoints) == 3 * count for p in people)


def _sighting(
    path: Path, person: dict[str, object], frame: int, name: str, number: int
) -> Sighting:
    joints = _interleaved(path, person, f"frame {name[:80]}, person {number}")
    box, score = _plain(person.get("bbox")), person.get("bbox_score")
    if isinstance(box, list) and len(box) == 1:
        box = _plain(box[0])
    if isinstance(box, list) and len(box) == 5:  # before 1.0 the score is the fifth
        box, score = box[:4], box[4] if score is None else score
    return Sighting(frame, joints, score, box, person.get("track_id"))


def _interleaved(path: Path, person: dict[str, object], where: str) -> list[object]:
    """x, y and score of each joint, one after another."""
    if "keypoints" not in person and "keypoints_3d" in person:
        raise _three_d(path, where, "'keypoints_3d' alone")
    points = [_plain(point) for point in as_list(
        path, person.get("keypoints"), f"'keypoints' ({where})"
    )]  # fmt: skip
    triples = bool(points) and all(isinstance(p, list) and len(p) == 3 for p in points)
    if triples and "keypoint_scores" not in person:
        flat = [value for point in points if isinstance(point, list) for value in point]
        if any(isinstance(c, int | float) and (c < 0 or c > _SURE) for c in flat[2::3]):
            raise _three_d(path, where, "triples whose third number is no confidence")
        return flat
    scores = as_list(path, person.get("keypoint_scores"), f"'keypoint_scores' ({where})")
    if len(points) != len(scores):
        raise DataError(
            f"expected a score for every keypoint in {path} ({where}), got {len(points)} "
            f"keypoints and {len(scores)} scores; write the file again"
        )
    joints: list[object] = []
    for point, score in zip(points, scores, strict=True):
        if not isinstance(point, list) or len(point) != 2:
            raise _three_d(path, where, shown(point))
        joints += (*point, score)
    return joints


def _three_d(path: Path, where: str, got: str) -> DataError:
    return DataError(
        f"expected pairs x, y as keypoints in {path} ({where}), got {got}; "
        "give the 2D keypoints, not those of a 3D estimator"
    )


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
    Dialect(
        name="mmpose",
        title="MMPose or Sapiens predictions",
        kinds=("json",),
        keys=("instances", "keypoints", "keypoint_scores"),
        sees=_sees,
        read=read,
    ),
)
