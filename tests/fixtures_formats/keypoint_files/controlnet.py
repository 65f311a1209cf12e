"""What ControlNet's preprocessors save: images in one list, with the canvas's size."""

from __future__ import annotations

import json

import numpy as np
from detected import SIZE, detected

from keypoint_files.coco import numbers
from keypoint_files.openpose import details


def images(path, people, more=None, *, scale=(1, 1), canvas=SIZE):
    """People on a canvas; ``more`` has a face of 70 joints and the hands, null without."""
    content = []
    for i, frame in enumerate(people):
        persons = []
        for k, body in enumerate(frame):
            rest = None if more is None else more[i, k] / [*scale, 1]
            persons.append(
                {
                    "pose_keypoints_2d": numbers(body / [*scale, 1]),
                    "face_keypoints_2d": None if rest is None else numbers(rest[:70]),
                    "hand_left_keypoints_2d": None if rest is None else numbers(rest[70:91]),
                    "hand_right_keypoints_2d": None if rest is None else numbers(rest[91:]),
                }
            )
        content.append({"people": persons, "canvas_width": canvas[0], "canvas_height": canvas[1]})
    path.write_text(json.dumps(content))
    return path


def sure(people):
    """Confidence 1 for all, and now and then a wrist that is not there."""
    people = people.copy()
    people[..., 2] = 1
    people[::4, :, 4] = 0
    return people


WRITERS = {
    "controlnet": lambda folder: images(folder / "pose.json", sure(detected("coco18"))),
    "controlnet-unit": lambda folder: images(
        folder / "unit.json", sure(detected("coco18", persons=2)), scale=np.array(SIZE)
    ),
    "dwpose": lambda folder: images(
        folder / "dwpose.json",
        sure(detected("coco18", persons=2)),
        details(detected("coco18", persons=2)),
    ),
}
