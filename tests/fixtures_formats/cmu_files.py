"""Contents of a tiny file of CMU's motion in 17 joints."""

from __future__ import annotations

import numpy as np

from lifting.data.sets.cmu.files import FILE_JOINTS
from lifting.skeleton import H36M_17

FRAMES = (30, 40, 25)
VECTORS = np.array(
    [
        [0, 0, 900], [0, -100, 0], [0, 0, -400], [0, 0, -420], [0, 100, 0], [0, 0, -400],
        [0, 0, -420], [0, 0, 220], [0, 0, 230], [0, 0, 120], [0, 0, 110], [0, 150, 0],
        [0, 0, -280], [0, 0, -250], [0, -150, 0], [0, 0, -280], [0, 0, -250],
    ],
    dtype=np.float64,
)  # fmt: skip


def standing():
    pose = VECTORS.copy()
    for joint in H36M_17.depth_order[1:]:
        pose[joint] += pose[H36M_17.parents[joint]]
    return pose


def content():
    """Three people who walk along x at a metre a second."""
    steps = np.concatenate([np.arange(n) * 20.0 for n in FRAMES])
    positions = standing()[None] + steps[:, None, None] * np.array([1.0, 0, 0])
    lengths = np.linalg.norm(VECTORS, axis=-1)
    lengths[0] = 0
    return {
        "positions_mm": np.round(positions).astype(np.int16),
        "offsets": np.cumsum([0, *FRAMES]),
        "names": np.array(["01_01", "07_01", "02_01"]),
        "subjects": np.array(["S01", "S07", "S02"]),
        "actions": np.array(["walk", "walk", "run"]),
        "sources": np.array(["amc"] * 3),
        "skeletons": np.array(["one"] * 3),
        "split": np.array(["train", "val", "test"]),
        "fps": np.array(50, np.float32),
        "joint_names": np.array(FILE_JOINTS),
        "parents": np.array(H36M_17.parents, np.int16),
        "skeleton_names": np.array(["one"]),
        "bone_lengths_mm": lengths[None].astype(np.float32),
    }
