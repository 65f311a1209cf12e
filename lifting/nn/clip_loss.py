"""Losses of answers to whole windows: position, scale-free position, motion, limbs and angles.

Answers and targets are ``(batch, frames, joints, 3)`` in one unit; weights say how much each label
counts, ``(batch, frames, joints)``, None where all count alike. What is between two frames or
joints counts by the product of both. Motion and variance of a single frame are zero.

Source: Zhu et al. 2023 (MotionBERT), section 3 and released code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lifting.nn.pose_loss import mean_of_valid, pose_loss
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

COSINE_LIMIT = 1 - 1e-7
_LEFT_OUT = {("neck", "left_shoulder")}
"""Ends of two bones that meet, whose angle the released list does not have."""

Pairs = Sequence[tuple[int, int]]


def scale_loss(predicted: Pose3D, target: Pose3D, weights: PerJoint | None) -> Tensor:
    """Mean distance after each frame's best factor on the prediction, which has a gradient, too.

    Args:
        predicted: As answered; a frame of zeros has the factor 0.
        target: Same shape.
        weights: Of the labels.
    """
    valid = predicted if weights is None else predicted * weights.to(predicted)[..., None]
    square = (valid * predicted).sum((-2, -1), keepdim=True)
    factor = (valid * target).sum((-2, -1), keepdim=True) / torch.where(square > 0, square, 1.0)
    return pose_loss(factor * predicted, target, weights, "distance")


def velocity_loss(predicted: Pose3D, target: Pose3D, weights: PerJoint | None) -> Tensor:
    """Mean length of the difference of both motions from a frame to the next."""
    if predicted.shape[1] < 2:
        return predicted.new_zeros(())
    return pose_loss(predicted.diff(dim=1), target.diff(dim=1), _both(weights), "distance")


def limb_variance(predicted: Pose3D, bones: Pairs) -> Tensor:
    """Mean over limbs of the unbiased variance of their length over time."""
    if predicted.shape[1] < 2:
        return predicted.new_zeros(())
    return limb_lengths(predicted, bones).var(dim=1).mean()


def limb_loss(predicted: Pose3D, target: Pose3D, weights: PerJoint | None, bones: Pairs) -> Tensor:
    """Mean absolute difference of limb lengths."""
    off = (limb_lengths(predicted, bones) - limb_lengths(target, bones)).abs()
    return mean_of_valid(off, _of_ends(weights, bones))


def angle_loss(
    predicted: Pose3D, target: Pose3D, weights: PerJoint | None, bones: Pairs, pairs: Pairs
) -> Tensor:
    """Mean absolute difference of the angles between limbs, radians."""
    off = (limb_angles(predicted, bones, pairs) - limb_angles(target, bones, pairs)).abs()
    return mean_of_valid(off, _of_ends(_of_ends(weights, bones), pairs))


def angle_velocity_loss(
    predicted: Pose3D, target: Pose3D, weights: PerJoint | None, bones: Pairs, pairs: Pairs
) -> Tensor:
    """Mean absolute difference of how those angles change from a frame to the next, radians."""
    if predicted.shape[1] < 2:
        return predicted.new_zeros(())
    ours, theirs = (limb_angles(pose, bones, pairs).diff(dim=1) for pose in (predicted, target))
    return mean_of_valid((ours - theirs).abs(), _both(_of_ends(_of_ends(weights, bones), pairs)))


def image_loss(predicted: Pose2D, target: Pose2D, confidence: PerJoint) -> Tensor:
    """Mean distance in the image, each difference multiplied by its confidence.

    The mean is over all joints, also those of confidence 0.

    Args:
        predicted: ``(batch, frames, joints, 2)``.
        target: Same shape and unit.
        confidence: ``(batch, frames, joints)``.
    """
    return ((predicted - target) * confidence[..., None]).norm(dim=-1).mean()


def limb_lengths(pose: Pose3D, bones: Pairs) -> Tensor:
    """Length of every bone, ``(*batch, bones)``."""
    return _vectors(pose, bones).norm(dim=-1)


def limb_angles(pose: Pose3D, bones: Pairs, pairs: Pairs) -> Tensor:
    """Angle between the bones of every pair, radians, ``(*batch, pairs)``."""
    vectors = _vectors(pose, bones)
    first, second = (vectors[..., list(ends), :] for ends in zip(*pairs, strict=True))
    cosine = functional.cosine_similarity(first, second, dim=-1)
    return torch.acos(cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT))


def meeting_bones(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Pairs of bones that have a joint in common, but for one that the release leaves out."""
    bones, joints = skeleton.bones, skeleton.joints
    return tuple(
        (i, j)
        for i, first in enumerate(bones)
        for j, second in enumerate(bones[:i])
        if set(first) & set(second) and (joints[second[1]], joints[first[1]]) not in _LEFT_OUT
    )


def _vectors(pose: Pose3D, bones: Pairs) -> Tensor:
    parents, children = (list(ends) for ends in zip(*bones, strict=True))
    return pose[..., parents, :] - pose[..., children, :]


def _of_ends(weights: Tensor | None, pairs: Pairs) -> Tensor | None:
    if weights is None:
        return None
    first, second = (list(ends) for ends in zip(*pairs, strict=True))
    return weights[..., first] * weights[..., second]


def _both(weights: Tensor | None) -> Tensor | None:
    return None if weights is None else weights[:, 1:] * weights[:, :-1]
