"""Units that lifting networks of the published line compute in: screen units and metres."""

from __future__ import annotations

import torch

from lifting.geometry.camera import normalize_screen
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, Pose2D, Pose3D

MM_PER_METRE = 1000.0


def to_network_units(keypoints: Pose2D, size: ImageSize) -> Pose2D:
    """Pixels to screen units, where the image's width is 2 and its centre 0.

    The pose keeps its place in the image, since what a limb looks like depends on where it is
    seen.

    Args:
        keypoints: ``(batch, frames, joints, 2)``, pixels.
        size: ``(batch, 2)``, pixels.
    """
    return normalize_screen(keypoints, size[:, None])


def from_network_units(joints_3d: Pose3D) -> Pose3D:
    """Metres to mm."""
    return joints_3d * MM_PER_METRE


def flip_screen(uv: Pose2D, skeleton: Skeleton) -> Pose2D:
    """Mirror keypoints: negate u and exchange left and right. An involution.

    Args:
        uv: ``(*batch, joints, 2)``, screen units.
        skeleton: Gives the symmetry of the joints.
    """
    index = torch.tensor(skeleton.flip_index, device=uv.device)
    return uv.index_select(-2, index) * uv.new_tensor((-1.0, 1.0))
