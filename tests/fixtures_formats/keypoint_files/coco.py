"""COCO's results and annotations, COCO-WholeBody, PoseTrack, and what Ultralytics saves."""

from __future__ import annotations

import json

from detected import SIZE, detected

from lifting.skeleton import get_skeleton

# How COCO-WholeBody cuts its 133 joints up.
PARTS = (
    ("keypoints", 17), ("foot_kpts", 6), ("face_kpts", 68), ("lefthand_kpts", 21),
    ("righthand_kpts", 21),
)  # fmt: skip
POSETRACK_NAMES = (
    "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


def box_of(person):
    """x, y, width, height."""
    low, high = person[:, :2].min(0), person[:, :2].max(0)
    return [round(float(v), 3) for v in (*low, *(high - low))]


def numbers(person):
    """x, y and confidence of every joint, one after another."""
    return person.reshape(-1).tolist()


def results(path, people, *, image=lambda i: i, **more):
    """A list of sightings; ``more`` has functions of frame and person for further keys."""
    entries = [
        {"image_id": image(i), "category_id": 1, "keypoints": numbers(person),
         "score": round(0.7 + 0.1 * k, 3), "bbox": box_of(person),
         **{key: value(i, k) for key, value in more.items()}}
        for i, frame in enumerate(people) for k, person in enumerate(frame)
    ]  # fmt: skip
    path.write_text(json.dumps(entries))
    return path


def flags(people):
    """The same people with v = 2 for most joints, 1 for hidden, and 0, 0, 0 for absent ones."""
    marked = people.copy()
    marked[..., 2] = 2
    marked[:, :, 9, 2] = 1
    marked[::3, :, 10] = 0
    return marked


def annotations(path, people, *, names=None, cut=lambda person: {"keypoints": numbers(person)}):
    """Images in another order than their names; ``people`` have flags as third number."""
    images = [
        {"id": 900 - i, "file_name": f"f{i}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for i in range(len(people))
    ]
    entries = [
        {"id": 10 * i + k, "image_id": 900 - i, "category_id": 1, "iscrowd": 0,
         "num_keypoints": int((person[:17, 2] > 0).sum()), "bbox": box_of(person),
         "area": 1000.0, **cut(person)}
        for i, frame in enumerate(people) for k, person in enumerate(frame)
    ]  # fmt: skip
    names = list(names or get_skeleton("coco17").joints)
    category = {"id": 1, "name": "person", "keypoints": names, "skeleton": [[16, 14], [14, 12]]}
    content = {"images": images[::-1], "annotations": entries, "categories": [category]}
    path.write_text(json.dumps(content))
    return path


def in_parts(person):
    """A person as COCO-WholeBody cuts it up."""
    cut, start = {}, 0
    for key, count in PARTS:
        cut[key] = numbers(person[start : start + count])
        if key != "keypoints":
            cut[key.replace("_kpts", "_valid")] = True
        start += count
    return cut


def posetrack(path, people, video="000001_mpii_test"):
    """One video of PoseTrack 2018."""
    images = [
        {"id": 10001000000 + i, "frame_id": 10001000000 + i, "vid_id": video[:6],
         "file_name": f"images/val/{video}/{i:06d}.jpg", "is_labeled": True,
         "nframes": len(people)}
        for i in range(len(people))
    ]  # fmt: skip
    entries = [
        {"id": 1000100000000 + 100 * i + k, "image_id": 10001000000 + i, "category_id": 1,
         "track_id": k, "keypoints": numbers(person), "bbox": box_of(person)}
        for i, frame in enumerate(people) for k, person in enumerate(frame)
    ]  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK_NAMES)}
    path.write_text(
        json.dumps({"images": images, "annotations": entries, "categories": [category]})
    )
    return path


WRITERS = {
    "coco-results": lambda folder: results(
        folder / "keypoints.json", detected("coco17", persons=2), image=lambda i: i + 1
    ),
    "coco-results-names": lambda folder: results(
        folder / "named.json", detected("coco17"), image=lambda i: f"frame{i}.png"
    ),
    "coco-results-tracks": lambda folder: results(
        folder / "tracks.json", detected("coco17", persons=3), track_id=lambda i, k: k + 5,
        id=lambda i, k: 100 * i + k,
    ),
    "coco-results-whole": lambda folder: results(folder / "133.json", detected("wholebody133")),
    "coco-annotations": lambda folder: annotations(
        folder / "person_keypoints.json", flags(detected("coco17", persons=2))
    ),
    "coco-wholebody": lambda folder: annotations(
        folder / "coco_wholebody.json", flags(detected("wholebody133")), cut=in_parts
    ),
    "posetrack": lambda folder: posetrack(
        folder / "posetrack.json", flags(detected("posetrack17", persons=2))
    ),
    "ultralytics-predictions": lambda folder: results(
        folder / "predictions.json", detected("coco17"), file_name=lambda i, k: f"{i:04d}.jpg"
    ),
}  # fmt: skip
