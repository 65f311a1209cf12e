"""MMPose's demos and inferencer, its lists before 1.0, and Sapiens."""

from __future__ import annotations

import json

import numpy as np
from detected import detected

from lifting.skeleton import get_skeleton

# As MMPose itself calls the joints of its Human3.6M: legs are exchanged in the names only.
H36M_NAMES = (
    "root", "left_hip", "left_knee", "left_foot", "right_hip", "right_knee", "right_foot", "spine",
    "thorax", "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
    "right_elbow", "right_wrist",
)  # fmt: skip
COCO_NAMES = get_skeleton("coco17").joints


def box_of(person):
    low, high = person[:, :2].min(0), person[:, :2].max(0)
    return [*low.tolist(), *high.tolist()]


def instance(person, *, box=True, track=None):
    entry = {"keypoints": person[:, :2].tolist(), "keypoint_scores": person[:, 2].tolist()}
    if box:
        entry |= {"bbox": [box_of(person)], "bbox_score": 0.98}
    return entry if track is None else entry | {"track_id": track}


def meta(data_set="coco", names=COCO_NAMES):
    facts = {"dataset_name": data_set, "num_keypoints": len(names), "skeleton_links": [[0, 1]]}
    return facts | {"keypoint_id2name": {str(i): name for i, name in enumerate(names)}}


def frames_of(people, first):
    return [
        {"frame_id": first + i, "instances": [instance(p, track=k) for k, p in enumerate(frame)]}
        for i, frame in enumerate(people)
    ]


def save(path, content):
    path.write_text(json.dumps(content))
    return path


def demo_video(folder, people, facts=None):
    facts = meta() if facts is None else facts
    content = {"meta_info": facts, "instance_info": frames_of(people, 1)}
    return save(folder / "results_clip.json", content)


def demo_image(folder, people, facts=None):
    facts = meta() if facts is None else facts
    content = {"meta_info": facts, "instance_info": [instance(p) for p in people[0]]}
    return save(folder / "results_photo.json", content)


def inferencer_video(folder, people):
    return save(folder / "clip.json", frames_of(people, 0))


def inferencer_images(folder, people):
    inside = folder / "predictions"
    inside.mkdir()
    for i, frame in enumerate(people):
        save(inside / f"photo_{i}.json", [instance(p) for p in frame])
    return inside


def inferencer_image(folder, people):
    return save(folder / "photo.json", [instance(p) for p in people[0]])


def sapiens_images(folder, people):
    inside = folder / "sapiens"
    inside.mkdir()
    for i, frame in enumerate(people):
        content = {"instance_info": [instance(p, box=False) for p in frame]}
        save(inside / f"{i:06d}.json", content)
    return inside


def sapiens_image(folder, people):
    return save(
        folder / "000000.json", {"instance_info": [instance(p, box=False) for p in people[0]]}
    )


def before_one(folder, people):
    frames = [
        [
            {"keypoints": p.tolist(), "bbox": [*box_of(p), 0.75], "track_id": k, "area": 9000.0}
            for k, p in enumerate(frame)
        ]
        for frame in people
    ]
    return save(folder / "clip.json", frames)


def with_arrays(folder, people):
    """As ``json_tricks`` writes an inferencer's arrays."""

    def array(value):
        value = np.asarray(value)
        shown = {"__ndarray__": value.tolist(), "dtype": str(value.dtype), "shape": value.shape}
        return shown | {"Corder": True}

    frames = frames_of(people, 0)
    for frame in frames:
        for entry in frame["instances"]:
            for key in ("keypoints", "keypoint_scores", "bbox"):
                entry[key] = array(entry[key])
    return save(folder / "clip.json", frames)


WRITERS = {
    "mmpose-demo-video": lambda folder: demo_video(folder, detected("coco17", persons=2)),
    "mmpose-demo-image": lambda folder: demo_image(folder, detected("coco17", 1, 3)),
    "mmpose-inferencer-video": lambda folder: inferencer_video(folder, detected("coco17")),
    "mmpose-inferencer-images": lambda folder: inferencer_images(folder, detected("coco17")),
    "mmpose-inferencer-image": lambda folder: inferencer_image(folder, detected("halpe26", 1)),
    "mmpose-before-1.0": lambda folder: before_one(folder, detected("coco17", persons=3)),
    "mmpose-json-tricks": lambda folder: with_arrays(folder, detected("wholebody133")),
    "sapiens-images": lambda folder: sapiens_images(folder, detected("goliath308")),
    "sapiens-image": lambda folder: sapiens_image(folder, detected("coco17", 1)),
}
