"""People as a detector sees them, in the joints of any set: what keypoint files are written of."""

from __future__ import annotations

import zlib

import numpy as np
import walking

from lifting.skeleton import H36M_17, get_skeleton

SIZE = (1280, 720)
MOST_FRAMES = 1000  # damaged files are shorter, as there are many
# Joints of Human3.6M and those that are added, by what they are called in other sets.
SAME = {
    "mpi17": {"pelvis": "hip", "neck": "thorax", "head": "neck", "head_top": "head"},
    "mpii16": {"pelvis": "hip"},
    "humaneva15": {"pelvis": "hip"},
    "mpi15": {"neck": "thorax", "chest": "spine"},
    "jhmdb15": {"neck": "thorax", "belly": "spine"},
}
NECK = {"neck": "thorax", "mid_hip": "hip"}


def detected(name, frames=40, persons=1, seed=0):
    """``(frames, persons, joints, 3)``: x and y in pixels of :data:`SIZE`, confidence 0.5 to 1.

    Somebody who walks, for each person; persons stand side by side and do not cross. Hands, faces
    and other details lie near the joint they belong to.
    """
    frames = min(frames, MOST_FRAMES)
    rng = np.random.default_rng(seed)
    skeleton = get_skeleton(name)
    found = []
    for person in range(persons):
        joints = with_details(1000 * walking.people(frames, seed + person))
        _add_details(joints, skeleton.joints)
        world = in_order(joints, name)
        xy = 0.16 * np.stack((world[..., 0], -world[..., 2]), -1)
        centre = (SIZE[0] * (person + 1) / (persons + 1), SIZE[1] / 2)
        found.append(xy - xy.mean((0, 1)) + np.array(centre))
    people = np.stack(found, 1)
    confidence = rng.uniform(0.5, 1, (*people.shape[:-1], 1))
    return np.concatenate((people, confidence), -1).round(3)


def _add_details(joints, names):
    """Joints of hands, faces and feet that have no place of their own: a hand's breadth away."""
    for name in names:
        if name in joints:
            continue
        side = name.partition("_")[0]
        stands = "nose"
        if side in ("left", "right"):
            feet = any(word in name for word in ("foot", "toe", "heel"))
            head = any(word in name for word in ("eye", "ear", "mouth", "face"))
            stands = f"{side}_{'big_toe' if feet else 'eye' if head else 'wrist'}"
        offset = np.random.default_rng(zlib.crc32(name.encode())).uniform(-40, 40, 3)
        joints[name] = joints[stands] + offset


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


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
