"""Bones of a pose: vectors, lengths, and poses rebuilt from them.

A bone is named by its child joint; the root's bone is its own position.
"""

from __future__ import annotations

import torch

from lifting.errors import check_shape
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D


def bone_vectors(pose: Pose3D, skeleton: Skeleton) -> Pose3D:
    """Vector from each joint's parent to the joint; the root's entry is the root itself.

    Args:
        pose: ``(*batch, joints, 3)``.
        skeleton: The tree of the joints.

    Returns:
        ``(*batch, joints, 3)``, same unit and frame.
    """
    check_shape("pose", pose, "*batch joints 3", joints=len(skeleton))
    parents = torch.tensor(skeleton.parents, device=pose.device)
    origin = pose[..., parents.clamp(min=0), :]
    return pose - torch.where(parents[:, None] < 0, torch.zeros_like(origin), origin)


def bone_lengths(pose: Pose3D, skeleton: Skeleton) -> PerJoint:
    """Length of the bone from each joint's parent to the joint; zero for the root.

    Args:
        pose: ``(*batch, joints, 3)``.
        skeleton: The tree of the joints.

    Returns:
        ``(*batch, joints)``, same unit.
    """
    lengths = bone_vectors(pose, skeleton).norm(dim=-1)
    is_root = torch.tensor(skeleton.parents, device=pose.device) < 0
    return torch.where(is_root, torch.zeros_like(lengths), lengths)


def from_bone_vectors(vectors: Pose3D, skeleton: Skeleton) -> Pose3D:
    """Joint positions from bone vectors, inverse of bone_vectors.

    Args:
        vectors: ``(*batch, joints, 3)``; the root's entry is its position.
        skeleton: The tree of the joints.

    Returns:
        ``(*batch, joints, 3)``.
    """
    check_shape("vectors", vectors, "*batch joints 3", joints=len(skeleton))
    return ancestor_matrix(skeleton, vectors) @ vectors


def scale_bones(pose: Pose3D, factors: PerJoint, skeleton: Skeleton) -> Pose3D:
    """Multiply bone lengths, keeping every bone's direction and the root's position.

    Args:
        pose: ``(*batch, joints, 3)``.
        factors: ``(*batch, joints)``, one a bone; the root's entry is ignored.
        skeleton: The tree of the joints.

    Returns:
        ``(*batch, joints, 3)``.
    """
    is_root = torch.tensor(skeleton.parents, device=pose.device) < 0
    kept = torch.where(is_root, torch.ones_like(factors), factors)
    return from_bone_vectors(bone_vectors(pose, skeleton) * kept[..., None], skeleton)


def ancestor_matrix(skeleton: Skeleton, like: torch.Tensor) -> torch.Tensor:
    """0/1 matrix that sums bone vectors along the path from the root.

    Args:
        skeleton: The tree of the joints.
        like: A tensor whose type and device the matrix takes.

    Returns:
        ``(joints, joints)``: row j has ones at j and at all its ancestors.
    """
    matrix = torch.zeros(len(skeleton), len(skeleton))
    for joint in skeleton.depth_order:
        parent = skeleton.parents[joint]
        if parent >= 0:
            matrix[joint] = matrix[parent]
        matrix[joint, joint] = 1
    return matrix.to(dtype=like.dtype, device=like.device)
