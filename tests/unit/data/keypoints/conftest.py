"""Writers of keypoint files, one for each exact format."""

from __future__ import annotations

import json

import numpy as np
import pytest

SIZE = (640, 480)


def make_people(frames, joints, persons=1, seed=0):
    """``(frames, persons, joints, 3)``: x, y, confidence; persons side by side, moving slowly."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(-40, 40, (persons, joints, 2))
    centre = np.stack((np.linspace(120, 520, persons + 1)[:persons], np.full(persons, 240)), -1)
    walk = np.linspace(0, 20, frames)[:, None, None, None] * np.array([1.0, 0.5])
    xy = centre[None, :, None] + shape[None] + walk
    confidence = rng.uniform(0.2, 1, (frames, persons, joints, 1))
    return np.concatenate((xy, confidence), axis=-1).round(3)


def box_of(person):
    low, high = person[:, :2].min(0), person[:, :2].max(0)
    return [*low.tolist(), *(high - low).tolist()]


def coco_results(path, people, *, first=0, box="bbox", track=None, name=lambda i: i):
    entries = []
    for i, frame in enumerate(people):
        for k, person in enumerate(frame):
            entry = {"image_id": name(first + i), "category_id": 1, "score": 0.9}
            entry["keypoints"] = person.reshape(-1).tolist()
            if box:
                entry[box] = box_of(person)
            if track:
                entry[track] = k + 5
            entries.append(entry)
    path.write_text(json.dumps(entries))
    return path


def coco_annotations(path, people):
    people = people.copy()
    people[..., 2] = 2
    images = [
        {"id": 700 - i, "file_name": f"v/{i}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for i in range(len(people))
    ]
    annotations = [
        {"id": i, "image_id": 700 - i, "category_id": 1, "bbox": box_of(person), "iscrowd": 0,
         "num_keypoints": len(person), "keypoints": person.reshape(-1).tolist()}
        for i, frame in enumerate(people) for person in frame
    ]  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    path.write_text(json.dumps(content))
    return path


def alphapose(path, people):
    return coco_results(path, people, box="box", track="idx", name=lambda i: f"{i}.jpg")


def alphapose_by_image(path, people, *, style="cmu"):
    content = {}
    for i, frame in enumerate(people):
        rows = [person.reshape(-1).tolist() for person in frame]
        if style == "cmu":
            content[f"{i}.jpg"] = {"version": "0.3", "bodies": [{"joints": row} for row in rows]}
        else:
            content[f"{i}.jpg"] = {
                "version": "0.3",
                "people": [{"pose_keypoints_2d": row} for row in rows],
            }
    path.write_text(json.dumps(content))
    return path


def openpose(folder, people, *, name="clip", first=0, digits=12):
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(people):
        persons = [
            {"person_id": [-1], "pose_keypoints_2d": person.reshape(-1).tolist(),
             "face_keypoints_2d": [], "hand_left_keypoints_2d": []}
            for person in frame
        ]  # fmt: skip
        file = folder / f"{name}_{first + i:0{digits}d}_keypoints.json"
        file.write_text(json.dumps({"version": 1.3, "people": persons}))
    return folder


def instance(person, nested=True):
    x, y, w, h = box_of(person)
    box = [x, y, x + w, y + h]
    return {
        "keypoints": person[:, :2].tolist(),
        "keypoint_scores": person[:, 2].tolist(),
        "bbox": [box] if nested else box,
        "bbox_score": 0.9,
    }


def mmpose_frames(people):
    return [
        {"frame_id": i, "instances": [instance(person) for person in frame]}
        for i, frame in enumerate(people)
    ]


def mmpose_video(path, people):
    path.write_text(json.dumps(mmpose_frames(people)))
    return path


def mmpose_info(path, people):
    content = {"meta_info": {"dataset_name": "coco"}, "instance_info": mmpose_frames(people)}
    path.write_text(json.dumps(content))
    return path


def mmpose_image(path, people):
    path.write_text(json.dumps([instance(person, nested=False) for person in people[0]]))
    return path


def mmpose_images(folder, people):
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(people):
        (folder / f"{i}.json").write_text(json.dumps([instance(person) for person in frame]))
    return folder


def mediapipe(path, people, *, key="landmarks", form="table"):
    content = []
    for frame in people:
        scaled = [person / [*SIZE, 1] for person in frame]
        if form == "table":
            rows = [
                [{"x": x, "y": y, "z": 0.1, "visibility": v} for x, y, v in person.tolist()]
                for person in scaled
            ]
        else:
            rows = [[[x, y, 0.1, v] for x, y, v in person.tolist()] for person in scaled]
        value = rows if form == "group" else rows[0] if rows else None
        content.append({key: value})
    path.write_text(json.dumps(content))
    return path


def mediapipe_npz(path, people):
    person = people[:, 0] / [*SIZE, 1]
    values = np.concatenate((person[..., :2], np.zeros_like(person[..., :1]), person[..., 2:]), -1)
    np.savez(path, landmarks=values)
    return path


def plain_npz(path, people, **more):
    arrays = {"keypoints_2d": people[:, 0, :, :2], "confidence": people[:, 0, :, 2]}
    arrays |= {"image_size": np.array(SIZE)} | more
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


# Name: writer, ending, joints, skeleton, several persons, the file holds the image's size.
FORMATS = {
    "coco-results": (coco_results, ".json", 17, "coco17", True, False),
    "coco-annotations": (coco_annotations, ".json", 17, "coco17", True, True),
    "alphapose": (alphapose, ".json", 26, "halpe26", True, False),
    "alphapose-by-image": (alphapose_by_image, ".json", 18, "coco18", True, False),
    "openpose": (openpose, "", 25, "body25", True, False),
    "mmpose-video": (mmpose_video, ".json", 17, "coco17", True, False),
    "mmpose-info": (mmpose_info, ".json", 17, "coco17", True, False),
    "mmpose-image": (mmpose_image, ".json", 17, "coco17", True, False),
    "mmpose-images": (mmpose_images, "", 17, "coco17", True, False),
    "mediapipe": (mediapipe, ".json", 33, "mediapipe33", False, False),
    "mediapipe-npz": (mediapipe_npz, ".npz", 33, "mediapipe33", False, False),
    "npz": (plain_npz, ".npz", 17, "h36m17", False, True),
}


class Writers:
    """What the tests of this folder share."""

    size = SIZE
    formats = FORMATS
    people = staticmethod(make_people)
    coco_results = staticmethod(coco_results)
    alphapose_by_image = staticmethod(alphapose_by_image)
    openpose = staticmethod(openpose)
    mmpose_images = staticmethod(mmpose_images)
    mediapipe = staticmethod(mediapipe)
    plain_npz = staticmethod(plain_npz)

    @staticmethod
    def write(folder, form, people):
        writer, ending = FORMATS[form][:2]
        return writer(folder / f"clip{ending}", people)


@pytest.fixture(scope="session")
def writers():
    return Writers


def pytest_generate_tests(metafunc):
    if "form" in metafunc.fixturenames:
        metafunc.parametrize("form", list(FORMATS))
