"""What tests of data share."""

from __future__ import annotations

import math

import pytest

# x to the person's left, y up, mm: a standing person seen from the front
STANDING = {
    "hip": (0, 900), "right_hip": (-120, 900), "right_knee": (-130, 480),
    "right_ankle": (-130, 80), "left_hip": (120, 900), "left_knee": (130, 480),
    "left_ankle": (130, 80), "spine": (0, 1130), "thorax": (0, 1390), "neck": (0, 1500),
    "head": (0, 1620), "left_shoulder": (170, 1380), "left_elbow": (260, 1110),
    "left_wrist": (290, 860), "right_shoulder": (-170, 1380), "right_elbow": (-260, 1110),
    "right_wrist": (-290, 860),
}  # fmt: skip


@pytest.fixture(scope="session")
def standing():
    """Makes the standing person, 4 m before the camera, turned by degrees; facing it at 0."""
    import torch

    from lifting.skeleton import H36M_17

    flat = torch.tensor([STANDING[name] for name in H36M_17.joints], dtype=torch.float32)

    def turned(yaw=0.0):
        angle = math.radians(yaw)
        x = flat[:, 0] * math.cos(angle)
        z = 4000 - flat[:, 0] * math.sin(angle)
        return torch.stack((x, 900 - flat[:, 1], z), dim=-1)

    return turned


@pytest.fixture(scope="session")
def rows():
    """Finds the rows of a track by its name."""

    def of(tracks, name):
        index = tracks.track_names.index(name)
        return slice(*tracks.offsets[index : index + 2].tolist())

    return of
