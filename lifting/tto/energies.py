"""What a pose is asked to satisfy at test time; every term is per sample and knows no other.

Terms that are lengths come in metres and distances in the image in screen units (half the image's
width), so that the published weights apply as they stand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.geometry.kinematics import bone_lengths
from lifting.skeleton import Skeleton
from lifting.tto.config import Penalty
from lifting.typing import PerJoint, PerSample, Pose2D, Pose3D

MM_PER_METRE = 1000.0


def projection_energy(
    residual: Pose2D,
    weights: PerJoint,
    *,
    penalty: Penalty = "plain",
    scale: Tensor | float = 1.0,
) -> PerSample:
    """Weighted mean distance between projected joints and keypoints.

    Args:
        residual: Projection minus keypoint, ``(samples, frames, joints, 2)``, screen units.
        weights: ``(samples, frames, joints)``, 0 for keypoints that do not count. All ones give
            the published mean.
        penalty: ``plain`` is the distance; ``huber`` and ``geman_mcclure`` grow linearly and not
            at all beyond ``scale``.
        scale: Distance at which a robust penalty lets go, broadcastable to the weights.

    Returns:
        ``(samples,)``, screen units; zero for a sample without weights.
    """
    distance = robust(torch.linalg.vector_norm(residual, dim=-1), penalty, scale)
    return _mean(distance, weights)


def robust(distance: Tensor, penalty: Penalty, scale: Tensor | float) -> Tensor:
    """Penalty of distances, in their unit.

    Source: Huber 1964; Geman and McClure 1987.
    """
    if penalty == "plain":
        return distance
    x = distance / scale
    if penalty == "huber":
        return scale * torch.where(x < 1, x * x / 2, x - 0.5)
    return scale * x * x / (1 + x * x)


def anchor_energy(
    pose: Pose3D, anchor: Pose3D, log_sigma: PerJoint, first: PerJoint, weights: PerJoint
) -> PerSample:
    """Distance from the first answer over each joint's expected error, and that error's growth.

    Args:
        pose: ``(samples, frames, joints, 3)``, mm.
        anchor: The first answer, same shape.
        log_sigma: ``(samples, frames, joints)``, natural log of mm, held constant.
        first: The same at the first answer.
        weights: ``(samples, frames, joints)``, 0 for joints that are not held.

    Returns:
        ``(samples,)``: mean of ``|pose - anchor| / sigma + log(sigma / first sigma)``; the
        logarithm moves no joint and makes values of different sigma comparable.

    Source: released code, where it is the training loss with the first answer as its target; there
    without the first sigma, a constant.
    """
    log_sigma = log_sigma.detach()
    distance = torch.linalg.vector_norm(pose - anchor, dim=-1)
    return _mean(distance * (-log_sigma).exp() + log_sigma - first.detach(), weights)


def bone_energy(pose: Pose3D, anchor: Pose3D, skeleton: Skeleton) -> PerSample:
    """Mean change of bone lengths since the first answer, metres, ``(samples,)``."""
    change = bone_lengths(pose, skeleton) - bone_lengths(anchor, skeleton)
    bones = len(skeleton) - 1
    return change.abs().sum(-1).mean(-1) / (bones * MM_PER_METRE)


def symmetry_energy(pose: Pose3D, skeleton: Skeleton) -> PerSample:
    """Mean difference between left and right bone lengths, metres, ``(samples,)``."""
    lengths = bone_lengths(pose, skeleton)
    other = lengths.index_select(-1, torch.tensor(skeleton.flip_index, device=pose.device))
    sides = sum(a != b for a, b in enumerate(skeleton.flip_index))
    return (lengths - other).abs().sum(-1).mean(-1) / (max(1, sides) * MM_PER_METRE)


def smoothness_energy(pose: Pose3D) -> PerSample:
    """Mean acceleration of joints between frames, metres a frame squared, ``(samples,)``.

    Args:
        pose: ``(samples, frames, joints, 3)``, mm; absolute where the root is known. Zero for
            fewer than three frames.
    """
    if pose.shape[1] < 3:
        return pose.new_zeros(len(pose))
    second = pose[:, 2:] - 2 * pose[:, 1:-1] + pose[:, :-2]
    return torch.linalg.vector_norm(second, dim=-1).mean((1, 2)) / MM_PER_METRE


def shares(weights: PerJoint) -> PerJoint:
    """Weights that sum to one over a sample's frames and joints; zeros stay zeros."""
    total = weights.sum((-2, -1), keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)


def _mean(values: PerJoint, weights: PerJoint) -> PerSample:
    total = weights.sum((-2, -1))
    return (values * weights).sum((-2, -1)) / torch.where(total > 0, total, 1.0)
