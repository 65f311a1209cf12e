"""easy_ViTPose's ``<name>_result.json``: y before x, people by number."""

from __future__ import annotations

import json

from detected import detected

from lifting.skeleton import get_skeleton

COCO_17 = get_skeleton("coco17").joints
COCO_25 = [name.replace("left_big_toe", "left_big toe") for name in get_skeleton("coco25").joints]


def video(folder, people, names=COCO_17):
    frames = [
        {str(k): person[:, [1, 0, 2]].tolist() for k, person in enumerate(frame)}
        for frame in people
    ]
    content = {"keypoints": frames, "skeleton": {str(i): name for i, name in enumerate(names)}}
    path = folder / "clip_result.json"
    path.write_text(json.dumps(content))
    return path


WRITERS = {
    "easy-vitpose": lambda folder: video(folder, detected("coco17", persons=2)),
    "easy-vitpose-coco25": lambda folder: video(folder, detected("coco25"), COCO_25),
}
