"""MMPose: instances of one image, of a video, or of a video with facts about the data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source, first_entry
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown
from lifting.skeleton import get_skeleton

# What MMPose calls data sets, and the joints that they have.
DATA_SETS = {
    "aic": "aic14",
    "coco": "coco17",
    "coco_wholebody": "wholebody133",
    "crowdpose": "crowdpose14",
    "halpe": "halpe136",
    "halpe26": "halpe26",
    "h36m": "h36m17",
    "jhmdb": "jhmdb15",
    "mpii": "mpii16",
    "posetrack18": "posetrack17",
}


def read_images(path: Path, contents: Iterable[tuple[str, object]]) -> Sightings:
    """Sightings of single images: a file, or a folder with a file an image.

    Args:
        path: The folder, for messages.
        contents: Name and list of instances of each image, in natural order.

    Raises:
        DataError: An instance is not of that form.
    """
    frames: list[str] = []
    people: list[Sighting] = []
    for i, (name, content) in enumerate(contents):
        frames.append(name)
        people.extend(_instances(path, as_list(path / name, content, "it"), i, name))
    return Sightings("mmpose", frames, people)


def read_video(path: Path, content: object) -> Sightings:
    """Sightings of a video.

    Args:
        path: The file, for messages.
        content: List of ``{"frame_id", "instances"}``, or an object whose ``instance_info`` is
            that list.

    Raises:
        DataError: A frame or instance is not of that form, or a frame comes twice.
    """
    named = None
    if isinstance(content, dict):
        named = _named(content.get("meta_info"))
        content = content.get("instance_info")
    found: dict[str, list[object]] = {}
    for i, entry in enumerate(as_list(path, content, "the list of frames")):
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
    frames = sorted(found, key=natural_key)
    people = [
        person
        for i, name in enumerate(frames)
        for person in _instances(path, found[name], i, name)
    ]
    return Sightings("mmpose", frames, people, named=named)


def _named(facts: object) -> tuple[str, ...] | None:
    """Names of the joints, else of those of the data set that the detector was trained on."""
    if not isinstance(facts, dict):
        return None
    names = facts.get("keypoint_id2name")
    if isinstance(names, dict) and names and all(isinstance(v, str) for v in names.values()):
        return tuple(names[key] for key in sorted(names, key=lambda key: natural_key(str(key))))
    data_set = facts.get("dataset_name")
    known = DATA_SETS.get(data_set) if isinstance(data_set, str) else None
    return None if known is None else get_skeleton(known).joints


def _instances(path: Path, instances: list[object], frame: int, name: str) -> list[Sighting]:
    people = []
    for i, entry in enumerate(instances):
        person = as_table(path, entry, f"person {i} of frame {name[:80]}")
        joints = _interleaved(path, person, f"frame {name[:80]}, person {i}")
        score, box = person.get("bbox_score"), person.get("bbox")
        people.append(Sighting(frame, joints, score, box, person.get("track_id")))
    return people


def _interleaved(path: Path, person: dict[str, object], where: str) -> list[object]:
    """x, y and score of each joint, one after another."""
    points = as_list(path, person.get("keypoints"), f"'keypoints' ({where})")
    scores = as_list(path, person.get("keypoint_scores"), f"'keypoint_scores' ({where})")
    if len(points) != len(scores):
        raise DataError(
            f"expected a score for every keypoint in {path} ({where}), got {len(points)} "
            f"keypoints and {len(scores)} scores; write the file again"
        )
    joints: list[object] = []
    for point, score in zip(points, scores, strict=True):
        if not isinstance(point, list) or len(point) != 2:
            raise DataError(
                f"expected pairs x, y as keypoints in {path} ({where}), got {shown(point)}; "
                "give the 2D keypoints, not those of a 3D estimator"
            )
        joints += (*point, score)
    return joints


def _is_video(source: Source) -> bool:
    entry = first_entry(source.content)
    return "instance_info" in entry or ("instances" in entry and not source.is_folder)


def _is_images(source: Source) -> bool:
    return isinstance(source.content, list) and "keypoint_scores" in first_entry(source.content)


DIALECTS = (
    Dialect(
        name="mmpose-video",
        title="MMPose predictions of a video",
        kinds=("json",),
        keys=("frame_id", "instances", "keypoints", "keypoint_scores"),
        sees=_is_video,
        read=lambda source: read_video(source.path, source.content),
    ),
    Dialect(
        name="mmpose-images",
        title="MMPose predictions of images",
        kinds=("json",),
        keys=("keypoints", "keypoint_scores"),
        sees=_is_images,
        read=lambda source: read_images(
            source.path, ((file.stem, content) for file, content in source.each())
        ),
    ),
)
