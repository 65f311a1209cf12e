"""Somebody with rigid bones who walks forwards; the other writers' people have noisy joints."""

from __future__ import annotations

import numpy as np

HIP, SHOULDER, THIGH, SHANK, UPPER, FORE = 0.13, 0.16, 0.44, 0.45, 0.28, 0.25


def _down(angle):
    """Unit vector: straight down for 0, forwards (y) for a quarter turn."""
    return np.stack([np.zeros_like(angle), np.sin(angle), -np.cos(angle)], axis=-1)


def people(frames, seed, joints=17):
    """World coordinates ``(frames, 17, 3)`` in metres; the joints are those of Human3.6M's 17."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 50
    phase = 2 * np.pi * (1.0 + 0.1 * rng.random()) * time + rng.uniform(0, 6)
    size = 1 + 0.05 * np.sin(seed)
    body = np.zeros((frames, 17, 3))
    body[:, 7, 2], body[:, 8, 2], body[:, 9, 2], body[:, 10, 2] = 0.23, 0.48, 0.60, 0.72
    body[:, 9, 1] = 0.05
    for side, hip, shoulder in ((1, 1, 14), (-1, 4, 11)):
        swing = 0.45 * np.sin(phase + (0 if side > 0 else np.pi))
        bend = 0.35 + 0.3 * np.cos(phase + (0 if side > 0 else np.pi))
        body[:, hip, 0] = side * HIP
        body[:, hip + 1] = body[:, hip] + THIGH * _down(swing + bend / 2)
        body[:, hip + 2] = body[:, hip + 1] + SHANK * _down(swing - bend / 2)
        body[:, shoulder] = body[:, 8] + (side * SHOULDER, 0, 0)
        body[:, shoulder + 1] = body[:, shoulder] + UPPER * _down(-0.6 * swing)
        body[:, shoulder + 2] = body[:, shoulder + 1] + FORE * _down(0.5 - 0.6 * swing)
    heading = rng.uniform(-0.6, 0.6) + 0.4 * time * rng.uniform(-1, 1)
    cosine, sine = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y = body[..., 0], body[..., 1]
    turned = np.stack([cosine * x - sine * y, sine * x + cosine * y, body[..., 2]], axis=-1)
    speed = 1.2 * np.stack([-np.sin(heading), np.cos(heading), np.zeros(frames)], -1) / 50
    place = np.cumsum(speed, axis=0) - speed.sum(0) / 2 + (0, 0, 0.92)
    return (size * turned + place[:, None])[:, :joints]


def smpl_people(frames, seed):
    """The same with SMPL's 24 joints, ``(frames, 24, 3)``; hands and feet lie on their joints."""
    h36m = people(frames, seed)
    world = np.repeat(h36m[:, :1], 24, axis=1)
    ours = {1: 4, 2: 1, 4: 5, 5: 2, 7: 6, 8: 3, 12: 8, 15: 10, 16: 11, 17: 14, 18: 12, 19: 15,
            20: 13, 21: 16, 6: 7, 9: 7, 3: 7}  # fmt: skip
    for smpl, joint in ours.items():
        world[:, smpl] = h36m[:, joint]
    for smpl, other in {10: 7, 11: 8, 22: 20, 23: 21, 13: 16, 14: 17}.items():
        world[:, smpl] = world[:, other]
    return world
