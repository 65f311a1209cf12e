"""Units of DiffPose: screen units and root-relative metres, against pixels and millimetres."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lifting.geometry.camera import denormalize_screen, normalize_screen
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, Pose2D, Pose3D


class PosePair(NamedTuple):
    """A 2D pose and, where known, its 3D pose.

    Attributes:
        keypoints: ``(batch, joints, 2)``.
        joints_3d: ``(batch, joints, 3)`` or None.
    """

    keypoints: Pose2D
    joints_3d: Pose3D | None = None


def to_network_units(pose: PosePair, size: ImageSize) -> PosePair:
    """Pixels and mm to screen units (both axes over the width) and metres.

    Args:
        pose: Pixels and mm.
        size: Image width and height, ``(batch, 2)``, pixels.
    """
    joints_3d = None if pose.joints_3d is None else pose.joints_3d / MM_PER_METRE
    return PosePair(normalize_screen(pose.keypoints, size), joints_3d)


def from_network_units(pose: PosePair, size: ImageSize) -> PosePair:
    """Screen units and metres to pixels and mm, inverse of to_network_units."""
    joints_3d = None if pose.joints_3d is None else pose.joints_3d * MM_PER_METRE
    return PosePair(denormalize_screen(pose.keypoints, size), joints_3d)


def flip_screen(uv: Pose2D, skeleton: Skeleton) -> Pose2D:
    """Mirror keypoints: negate u and exchange left and right. An involution.

    Args:
        uv: ``(*batch, joints, 2)``, screen units.
        skeleton: Gives the symmetry of the joints.
    """
    index = torch.tensor(skeleton.flip_index, device=uv.device)
    return uv.index_select(-2, index) * uv.new_tensor((-1.0, 1.0))
