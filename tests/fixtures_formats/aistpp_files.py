"""Writes tiny AIST++ annotations in the published layout."""

from __future__ import annotations

import json
import pickle

import numpy as np
from scipy.spatial.transform import Rotation

NAMES = {
    "train": ["gBR_sBM_cAll_d04_mBR0_ch01", "gWA_sFM_cAll_d27_mWA5_ch21"],
    "val": ["gBR_sBM_cAll_d05_mBR1_ch02"],
    "test": ["gPO_sBM_cAll_d10_mPO1_ch03"],
}
IGNORED = "gBR_sBM_cAll_d06_mBR2_ch03"
VIEWS = [f"c{i:02d}" for i in range(1, 10)]
LENS = [0.1, -0.05, 0.002, -0.003, 0.01]  # k1, k2, p1, p2, k3
MATRIX = [[1500.0, 0, 960], [0, 1510, 540], [0, 0, 1]]
FRAMES = 6
# A standing dancer in the order of coco17, centimetres, y up.
DANCER = np.array([
    [0, 160, 10], [3, 163, 8], [-3, 163, 8], [8, 162, 0], [-8, 162, 0], [18, 140, 0],
    [-18, 140, 0], [22, 112, 0], [-22, 112, 0], [24, 88, 4], [-24, 88, 4], [10, 90, 0],
    [-10, 90, 0], [11, 50, 2], [-11, 50, 2], [11, 9, 0], [-11, 9, 0],
], dtype=np.float64)  # fmt: skip


def dance(number):
    return DANCER + np.arange(FRAMES)[:, None, None] * [2.0, 0, 0] + [10.0 * number, 0, 0]


def camera(view):
    """Around the dancer, 4.5 m away, y down in the image."""
    turn = Rotation.from_euler("y", 40.0 * view, degrees=True) * Rotation.from_euler("x", np.pi)
    return {
        "name": VIEWS[view], "size": [1920, 1080], "matrix": MATRIX,
        "rotation": turn.as_rotvec().tolist(), "translation": [5.0, 90.0, 450.0],
        "distortions": LENS,
    }  # fmt: skip


def opencv_pixels(told, points):
    """Projection by the published formula of the distortion model with five coefficients."""
    turned = points @ Rotation.from_rotvec(told["rotation"]).as_matrix().T + told["translation"]
    x, y = np.moveaxis(turned[..., :2] / turned[..., 2:], -1, 0)
    k1, k2, p1, p2, k3 = told["distortions"]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack((u * 1500 + 960, v * 1510 + 540), axis=-1)


def write_aistpp(folder):
    """Annotations of four dances and one that the list ignores."""
    for name in ("keypoints3d", "keypoints2d", "cameras", "splits"):
        (folder / name).mkdir(parents=True)
    told = [camera(view) for view in range(9)]
    (folder / "cameras" / "setting1.json").write_text(json.dumps(told))
    lists = {**NAMES, "train": [*NAMES["train"], IGNORED]}
    every = [name for names in lists.values() for name in names]
    for part, names in lists.items():
        (folder / "splits" / f"pose_{part}.txt").write_text("\n".join(names) + "\n")
    (folder / "splits" / "crossmodal_test.txt").write_text(f"{NAMES['val'][0]}\n")
    (folder / "ignore_list.txt").write_text(f"{IGNORED}\n")
    (folder / "cameras" / "mapping.txt").write_text("".join(f"{n} setting1\n" for n in every))
    for number, name in enumerate(every):
        joints = dance(number)
        seen = np.stack([opencv_pixels(one, joints) for one in told])
        seen = np.concatenate((seen, np.full((9, FRAMES, 17, 1), 0.8)), axis=-1)
        joints[1, 9], seen[2, 3, 4] = np.nan, np.nan
        three = {"keypoints3d": joints * 0, "keypoints3d_optim": joints}
        two = {"keypoints2d": seen, "det_scores": np.ones((9, FRAMES)),
               "timestamps": np.arange(FRAMES) * 1e6 / 60}  # fmt: skip
        (folder / "keypoints3d" / f"{name}.pkl").write_bytes(pickle.dumps(three))
        (folder / "keypoints2d" / f"{name}.pkl").write_bytes(pickle.dumps(two))
