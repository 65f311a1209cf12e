"""Writes tiny AMASS files of both editions, and the body models that pose them."""

from __future__ import annotations

import numpy as np
from smpl_models import model_arrays

UPRIGHT = (np.pi / 2, 0, 0)  # from y up to z up


def write_models(folder):
    """A male model of SMPL-H and a neutral one of SMPL-X."""
    for name, joints in {"smplh/male/model.npz": 52, "SMPLX_NEUTRAL.npz": 55}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **model_arrays(joints, 90, 16))


def recording(frames, seed=0, joints=52):
    rng = np.random.default_rng(seed)
    poses = np.zeros((frames, joints, 3))
    poses[:, :22] = 0.3 * rng.normal(size=(22, 3))
    poses[:, :22] += 0.01 * np.arange(frames)[:, None, None] * rng.normal(size=(22, 3))
    poses[:, 0] = UPRIGHT
    trans = np.stack([0.001 * np.arange(frames), np.zeros(frames), np.full(frames, 0.95)], 1)
    betas = rng.normal(size=16)
    return poses, trans, betas


def smplh_file(path, frames=120, fps=100.0, gender="male", seed=0):
    poses, trans, betas = recording(frames, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, poses=poses.reshape(frames, -1), trans=trans, betas=betas, gender=np.array(gender),
        mocap_framerate=np.array(fps), dmpls=np.zeros((frames, 8)),
    )  # fmt: skip
    return poses, trans, betas


def smplx_file(path, frames=120, fps=120.0):
    poses, trans, betas = recording(frames, 5, 55)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, poses=poses.reshape(frames, -1), root_orient=poses[:, 0],
        pose_body=poses[:, 1:22].reshape(frames, -1), pose_hand=np.zeros((frames, 90)),
        trans=trans, betas=betas, gender=np.array(b"neutral"), mocap_frame_rate=np.array(fps),
        surface_model_type=np.array("smplx"),
    )  # fmt: skip
