"""Bones of a pose: vectors, lengths, and poses rebuilt from them; the scale that lengths give.

A bone is named by its child joint; the root's bone is its own position.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D, RotationMatrix


class PosedChain(NamedTuple):
    """A tree of joints after its rotations were applied.

    Attributes:
        joints: Positions, ``(*batch, joints, 3)``.
        rotations: Rotation of each joint relative to the rest pose, ``(*batch, joints, 3, 3)``.
    """

    joints: Pose3D
    rotations: RotationMatrix


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


def pose_chain(
    rotations: RotationMatrix, rest_joints: Pose3D, parents: Sequence[int]
) -> PosedChain:
    """Forward kinematics: each joint's rotation turns everything that hangs on it.

    Joints of equal depth are moved together, so the number of steps is the depth of the tree.

    Args:
        rotations: Rotation of each joint in its parent's frame, ``(*batch, joints, 3, 3)``.
        rest_joints: Positions in the rest pose, ``(*batch, joints, 3)``, any unit; leading axes
            broadcast with those of ``rotations``.
        parents: Index of each joint's parent, -1 for the one root.

    Returns:
        Positions (the root stays where it rests) and rotations in the frame of the rest pose.

    Raises:
        ConfigError: The parents are no tree with one root.
        ShapeError: The numbers of joints differ.
    """
    joints = len(parents)
    check_shape("rotations", rotations, "*batch joints 3 3", joints=joints)
    check_shape("rest_joints", rest_joints, "*batch joints 3", joints=joints)
    levels = _levels(parents)
    turned = [rotations[..., levels[0], :, :]]
    placed = [rest_joints[..., levels[0], :].expand(*turned[0].shape[:-1])]
    for above, level in pairwise(levels):
        owners = [parents[j] for j in level]
        rows = [above.index(owner) for owner in owners]
        around = turned[-1][..., rows, :, :]
        bones = rest_joints[..., level, :] - rest_joints[..., owners, :]
        placed.append(placed[-1][..., rows, :] + (around @ bones[..., None])[..., 0])
        turned.append(around @ rotations[..., level, :, :])
    visited = [joint for level in levels for joint in level]
    order = [visited.index(joint) for joint in range(joints)]
    return PosedChain(
        torch.cat(placed, dim=-2)[..., order, :], torch.cat(turned, dim=-3)[..., order, :, :]
    )


def _levels(parents: Sequence[int]) -> list[list[int]]:
    """Joints by depth, the root first."""
    levels = [[joint for joint, parent in enumerate(parents) if parent == -1]]
    while levels[-1]:
        levels.append([joint for joint, parent in enumerate(parents) if parent in levels[-1]])
    levels.pop()
    if not levels or len(levels[0]) != 1 or sum(map(len, levels)) != len(parents):
        raise ConfigError(
            f"expected parents that form one tree, got {list(parents)}; give -1 to the one root "
            "and to every other joint the index of the joint it hangs on"
        )
    return levels


def scale_from_bones(
    poses: Pose3D,
    reference: PerJoint,
    skeleton: Skeleton,
    weights: PerJoint | None = None,
    *,
    robust: bool = False,
) -> Tensor:
    """Factor that brings the bones of a recording nearest to their reference lengths.

    A bone's length is its median over the frames where it is known.

    Args:
        poses: ``(*batch, frames, joints, 3)``, any unit; NaN for joints that are not known.
        reference: ``(*batch, joints)`` or without the batch, mm; the root's entry is ignored, and
            so are bones whose entry is not above 0.
        skeleton: The tree of the joints.
        weights: ``(*batch, joints)``, of the bones, not negative; ones if None.
        robust: The median ratio in place of least squares; weights only leave bones out then.

    Returns:
        ``(*batch,)``, mm a unit: the least-squares solution of ``factor * length = reference``.
        NaN where no bone is known.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("poses", poses, "*batch frames joints 3", joints=len(skeleton))
    check_shape("reference", reference, "*batch joints", joints=len(skeleton))
    length = bone_lengths(poses, skeleton).nanmedian(dim=-2).values
    used = length.isfinite() & (length > 0) & (reference > 0)
    if weights is not None:
        check_shape("weights", weights, "*batch joints", joints=len(skeleton))
        used = used & (weights > 0)
    if robust:
        ratio = reference / torch.where(used, length, torch.nan)
        return torch.where(used, ratio, torch.nan).nanmedian(dim=-1).values
    share = used.to(length.dtype) if weights is None else torch.where(used, weights, 0.0)
    length = torch.where(used, length, 0.0)
    return (share * length * reference).sum(-1) / (share * length * length).sum(-1)
