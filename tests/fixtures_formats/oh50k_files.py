"""Writes tiny parts of 3DOH50K: annots.json with known people, and pictures of their cameras."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image
from walking import smpl_people

# World (z up) to camera, and the world's origin before it, metres.
ROTATION = np.array([(1.0, 0, 0), (0, 0, -1), (0, 1, 0)])
SHIFT = np.array((0.2, 1.0, 4.0))
# Images lie and stand by turns.
LENSES = ((420.0, 415.0, 310.0, 245.0), (430.0, 428.0, 250.0, 320.0))
SIZES = ((640, 480), (480, 640))


def seen_people(count, seed=0):
    """Joints ``(count, 24, 3)`` in the camera frame, metres."""
    return smpl_people(count, seed) @ ROTATION.T + SHIFT


def pixels_of(joints, index):
    """Pixels of joints in the camera frame of an image."""
    fx, fy, cx, cy = LENSES[index % 2]
    return joints[..., :2] / joints[..., 2:] * (fx, fy) + (cx, cy)


def records(seen, frame="camera", scales=(7.0,), nested=True):
    """Records of people given in the camera frame, metres, by name.

    Args:
        seen: ``(count, 24, 3)``.
        frame: That in which ``smpl_joints_3d`` are written.
        scales: Units of the file in a metre, image by image in turn.
        nested: Whether values have a leading axis of length 1, and 2D joints their visibility.
    """
    made = {}
    for i, camera in enumerate(seen):
        scale, (fx, fy, cx, cy) = scales[i % len(scales)], LENSES[i % 2]
        extrinsics = np.eye(4)
        extrinsics[:3, :3], extrinsics[:3, 3] = ROTATION, scale * SHIFT
        labels = camera if frame == "camera" else (camera - SHIFT) @ ROTATION
        pixels = pixels_of(camera, i)
        if nested:
            pixels = np.concatenate((pixels, np.ones((24, 1))), axis=1)
        made[f"{i:05d}"] = {
            "img_path": f"images\\{i:05d}.jpg" if nested else f"images/{i:05d}.jpg",
            "mask_path": None, "bbox": [[0, 0], [9, 9]],
            "scale": [scale] if nested else scale,
            "intri": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
            "extri": extrinsics.tolist(),
            "smpl_joints_3d": (scale * labels)[None].tolist() if nested
            else (scale * labels).tolist(),
            "smpl_joints_2d": pixels.tolist(),
        }  # fmt: skip
    return made


def write_part(folder, content, pictures=True):
    """``annots.json`` in a folder of a part, and black pictures beside it."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "annots.json").write_text(json.dumps(content))
    for i in range(len(content) if pictures else 0):
        Image.new("L", SIZES[i % 2]).save(folder / f"images/{i:05d}.jpg")
