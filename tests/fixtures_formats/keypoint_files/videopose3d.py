"""VideoPose3D's npz of custom videos, and of its Detectron2 inference."""

from __future__ import annotations

import numpy as np
from detected import SIZE, detected

COCO = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]


def custom(folder, people, **facts):
    """``data_2d_custom_<name>.npz`` with a video for each person given."""
    names = [f"clip{k or ''}.mp4" for k in range(people.shape[1])]
    width, height = SIZE
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": COCO,
        "video_metadata": {name: {"w": width, "h": height} for name in names},
    }
    positions = {
        name: {"custom": [people[:, k, :, :2].astype("float32")]} for k, name in enumerate(names)
    }
    path = folder / "data_2d_custom_own.npz"
    np.savez_compressed(path, positions_2d=positions, metadata=metadata | facts)
    return path


def detectron2(folder, people):
    """``<video>.npz`` of ``infer_video_d2``: tables of objects, a row a frame."""
    boxes, keypoints = (np.empty((len(people), 2), dtype=object) for _ in range(2))
    segments = np.full(len(people), None)
    for i, frame in enumerate(people):
        boxes[i, 0], keypoints[i, 0] = [], []
        boxes[i, 1], keypoints[i, 1] = [], []
        if not len(frame):
            continue
        low, high = frame[..., :2].min(1), frame[..., :2].max(1)
        score = np.full((len(frame), 1), 0.97)
        boxes[i, 1] = np.concatenate((low, high, score), 1).astype("float32")
        logit = np.zeros_like(frame[..., :1])
        rows = np.concatenate((frame[..., :2], logit, frame[..., 2:]), -1)
        keypoints[i, 1] = rows.transpose(0, 2, 1).astype("float32")
    path = folder / "clip.mp4.npz"
    np.savez_compressed(
        path, boxes=boxes, segments=segments, keypoints=keypoints,
        metadata={"w": SIZE[0], "h": SIZE[1]},
    )  # fmt: skip
    return path


WRITERS = {
    "videopose3d-custom": lambda folder: custom(folder, detected("coco17")),
    "detectron2": lambda folder: detectron2(folder, detected("coco17", persons=2)),
}
