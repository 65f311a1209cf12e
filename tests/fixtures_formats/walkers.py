"""Poses of procedural people for tests of exports."""

from __future__ import annotations

import numpy as np

from lifting.data.procedural.generator import generate_motion
from lifting.poses import Poses
from lifting.skeleton import H36M_17


def walkers(count=1, frames=40, *, rate=25.0, placed=True, seed=1, **changed):
    """People in a world, z up, 20 m apart at most; ``changed`` replaces arrays of the poses."""
    clips = generate_motion(count, frames, seed=seed, fps=rate)
    points = clips.joints_3d.numpy().astype(np.float64)
    points = points.reshape(count, frames, 17, 3) + np.arange(count)[:, None, None, None] * (
        3000.0,
        1000.0,
        0.0,
    )
    points = points.reshape(-1, 17, 3)
    known = {
        "skeleton": H36M_17,
        "joints_3d": points - points[:, :1],
        "frame": np.tile(np.arange(frames), count),
        "track": np.repeat(np.arange(count), frames),
        "track_names": tuple(f"walk/person{i}" for i in range(count)),
        "people": tuple(f"person {i}" for i in range(count)),
        "fps": rate,
        "world": points if placed else None,
        "meta": {"world": "of a test"},
    }
    return Poses(**{**known, **changed})
