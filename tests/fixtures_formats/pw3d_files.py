"""Contents of tiny 3DPW sequence files, with known people."""

from __future__ import annotations

import numpy as np
from published_npz import rotation_of
from smpl_models import REST

LENS = (1961.9, 1969.2, 540.0, 960.0)
FRAMES = 7


def sequence(seed=0, people=2, frames=FRAMES):
    """Contents of a sequence file, and the joints that must come out."""
    rng = np.random.default_rng(seed)
    world = [REST + (i, 1.0, 0.2) + 0.02 * rng.normal(size=(frames, 24, 3)) for i in range(people)]
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for pose in poses:
        # A camera in front of the person, upside down as the image has y down.
        pose[:3, :3] = rotation_of((0.02, 1, 0.01, 0) + 0.02 * rng.normal(size=4))
        pose[:3, 3] = (0.3, 0.6, 4) + 0.1 * rng.normal(size=3)
    seen = [np.einsum("fij,fnj->fni", poses[:, :3, :3], w) + poses[:, None, :3, 3] for w in world]
    detections = rng.uniform(1, 900, size=(people, frames, 3, 18))
    detections[:, :, 2] = rng.uniform(0.3, 1, size=(people, frames, 18))
    detections[0, -1, :, 4] = 0  # a wrist that was not found
    valid = [np.ones(frames, dtype=bool) for _ in range(people)]
    valid[0][frames // 2] = False
    data = {
        "sequence": "street_00",
        "genders": ["m", "f"][:people],
        "poses": [np.zeros((frames, 72))] * people,
        "betas": [np.zeros(10)] * people,
        "trans": [np.zeros((frames, 3))] * people,
        "poses2d": list(detections),
        "jointPositions": [w.reshape(frames, 72) for w in world],
        "cam_intrinsics": np.array([[LENS[0], 0, LENS[2]], [0, LENS[1], LENS[3]], [0, 0, 1]]),
        "cam_poses": poses,
        "campose_valid": valid,
        "img_frame_ids": np.arange(frames),
        "texture_maps": [],
    }
    return data, seen, detections
