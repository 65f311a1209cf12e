"""Real motion as every detector's joints: CMU's poses, a face and feet added, seen by cameras."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lifting.skeleton import H36M_17, get_skeleton

FILE = "cmu/cmu_h36m17.npz"
# Joints of Human3.6M and those that are added, by what they are called in other sets.
SAME = {
    "mpi17": {"pelvis": "hip", "neck": "thorax", "head": "neck", "head_top": "head"},
    "mpii16": {"pelvis": "hip"},
    "humaneva15": {"pelvis": "hip"},
    "mpi15": {"neck": "thorax", "chest": "spine"},
    "jhmdb15": {"neck": "thorax", "belly": "spine"},
}
NECK = {"neck": "thorax", "mid_hip": "hip"}
EVERY = (
    "h36m17", "mpi17", "coco17", "posetrack17", "mpii16", "h36m16", "humaneva15", "mpi15",
    "jhmdb15", "panoptic15", "lsp14", "crowdpose14", "aic14", "coco18", "coco17neck", "body19",
    "panoptic19", "coco23", "body23", "body25", "body25b", "coco25",
)  # fmt: skip


def real_data(place):
    """A file or folder of the real data, or a skipped test."""
    folder = os.environ.get("LIFTING_DATA")
    path = Path(folder or "") / place
    if not folder or not path.exists():
        pytest.skip(f"set LIFTING_DATA to the folder that holds {place}")
    return path


def with_details(poses):
    """``(T, 17, 3)`` world mm, z up, with a face and feet, by name."""
    joints = {name: poses[:, j] for j, name in enumerate(H36M_17.joints)}
    up = _unit(joints["head"] - joints["thorax"])
    aside = joints["left_shoulder"] - joints["right_shoulder"]
    aside = _unit(aside - (aside * up).sum(-1, keepdims=True) * up)
    ahead = np.cross(aside, up)
    joints["nose"] = joints["neck"] + 90 * ahead
    for side, sign in (("left", 1), ("right", -1)):
        joints[f"{side}_eye"] = joints["nose"] - 20 * ahead + 35 * up + sign * 32 * aside
        joints[f"{side}_ear"] = joints["neck"] + 25 * up + sign * 75 * aside
        shank = _unit(joints[f"{side}_knee"] - joints[f"{side}_ankle"])
        across = joints["left_hip"] - joints["right_hip"]
        across = _unit(across - (across * shank).sum(-1, keepdims=True) * shank)
        step = np.cross(across, shank)
        ankle = joints[f"{side}_ankle"] - 60 * shank
        joints[f"{side}_big_toe"] = ankle + 170 * step - sign * 25 * across
        joints[f"{side}_small_toe"] = ankle + 140 * step + sign * 45 * across
        joints[f"{side}_heel"] = ankle - 60 * step
    return joints


def in_order(joints, name):
    """``(T, joints, 3)`` in the order of a set."""
    same = SAME.get(name, {} if name in ("h36m17", "mpii16", "h36m16", "humaneva15") else NECK)
    return np.stack([joints[same.get(joint, joint)] for joint in get_skeleton(name).joints], 1)


def filmed(points, rng):
    """Exact pixels ``(T, joints, 2)``, y down, of a camera 3 to 7 m away at any height."""
    centre = points.mean((0, 1))
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(-0.15, 0.7)
    forward = -np.array([np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height),
                         np.sin(height)])  # fmt: skip
    right = _unit(np.cross(forward, [0, 0, 1]))
    down = np.cross(forward, right)
    place = centre - rng.uniform(3000, 7000) * forward
    seen = (points - place) @ np.stack((right, down, forward), -1)
    return 1150 * seen[..., :2] / np.maximum(seen[..., 2:], 300) + 500


def clips(rng, count, frames=30, step=5):
    """Pieces of CMU's motion with their details."""
    with np.load(real_data(FILE)) as file:
        poses, offsets = file["positions_mm"].astype(np.float64), file["offsets"]
    span = frames * step
    starts = [np.arange(a, b - span, span) for a, b in pairwise(offsets)]
    for start in rng.choice(np.concatenate(starts), count, replace=False):
        yield with_details(poses[start : start + span : step])


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
