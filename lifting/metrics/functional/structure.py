"""Quality of the skeleton itself: bone lengths, symmetry, and the pose structure score."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.alignment import similarity
from lifting.metrics.functional.errors import (
    PosePair,
    all_true,
    check_target,
    euclidean,
    indices,
    pick,
    pose_pair,
    ratio,
    to_working_precision,
)
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D

_ROWS = 16384
# Least lead, in squared distance between unit poses, at which float32 decides the nearest centre.
_CLEAR_MARGIN = 1e-4


def bone_mae(
    predicted: Pose3D,
    target: Pose3D,
    skeleton: Skeleton,
    mask: PerJoint | None = None,
    *,
    relative: bool = False,
) -> Tensor:
    """Mean absolute error of bone lengths, mm, or relative to the label's length.

    Args:
        predicted: ``(*batch, joints, 3)``, mm.
        target: ``(*batch, joints, 3)``, mm.
        skeleton: Gives the bones.
        mask: ``(*batch, joints)`` bool; a bone counts if both its ends do.
        relative: Divide every difference by the label's length.
    """
    pair = pose_pair(predicted, target, mask)
    check_target(pair)
    difference, lengths, valid = bone_differences(pair, skeleton)
    if relative:
        valid = valid & (lengths > 0)
        difference = difference / torch.where(lengths > 0, lengths, 1.0)
    return ratio(torch.where(valid, difference, 0.0).sum(), valid.sum())


@torch.no_grad()
def bone_differences(pair: PosePair, skeleton: Skeleton) -> tuple[Tensor, Tensor, Tensor]:
    """Absolute length difference, the label's length, and validity of every bone.

    Args:
        pair: Prediction and label; a prediction that is not finite gives NaN.
        skeleton: Gives the bones.

    Returns:
        Three tensors ``(*batch, bones)``, bones in the order of ``skeleton.bones``; mm.
    """
    difference, lengths, _, valid = _bones(pair, skeleton)
    return difference, lengths, valid


@torch.no_grad()
def bone_and_side_differences(
    pair: PosePair, skeleton: Skeleton
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`bone_differences` and :func:`symmetry_differences` of the prediction, in one pass.

    Args:
        pair: Prediction and label; a prediction that is not finite gives NaN.
        skeleton: Gives the bones and the mirror.

    Returns:
        Difference and validity of the bones, ``(*batch, bones)``, then of the pairs of mirrored
        bones, ``(*batch, pairs)``; mm.
    """
    difference, _, found, valid = _bones(pair, skeleton)
    return difference, valid, *_sides(found, valid, skeleton)


def _bones(pair: PosePair, skeleton: Skeleton) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Difference, the label's and the predicted length, and validity of every bone."""
    lengths = lengths_by_bone(pair.target, skeleton)
    if all_true(pair.usable):
        found = lengths_by_bone(pair.predicted, skeleton)
        return (found - lengths).abs(), lengths, found, torch.ones_like(found, dtype=torch.bool)
    spoilt = torch.where(pair.nonfinite[..., None], torch.nan, pair.predicted)
    found = lengths_by_bone(spoilt, skeleton)
    valid = _both_ends(pair.usable | pair.nonfinite, skeleton)
    return torch.where(valid, (found - lengths).abs(), 0.0), lengths, found, valid


def symmetry(pose: Pose3D, skeleton: Skeleton, mask: PerJoint | None = None) -> Tensor:
    """Mean absolute difference between left and right bone lengths, mm.

    Bones pair up by the mirror of their child joint; a pose without symmetric bones gives NaN.

    Args:
        pose: ``(*batch, joints, 3)``, mm.
        skeleton: Gives the bones and the mirror.
        mask: ``(*batch, joints)`` bool; a pair counts if all four ends do.
    """
    difference, valid = symmetry_differences(pose, skeleton, mask)
    return ratio(difference.sum(), valid.sum())


@torch.no_grad()
def symmetry_differences(
    pose: Pose3D, skeleton: Skeleton, mask: PerJoint | None = None
) -> tuple[Tensor, Tensor]:
    """Absolute left/right difference and validity of every pair of mirrored bones.

    Args:
        pose: ``(*batch, joints, 3)``, mm.
        skeleton: Gives the bones and the mirror.
        mask: ``(*batch, joints)`` bool; a pair counts if all four ends do.

    Returns:
        Two tensors ``(*batch, pairs)``; mm.
    """
    check_shape("pose", pose, "*batch joints 3", joints=len(skeleton))
    lengths = lengths_by_bone(to_working_precision(pose), skeleton)
    valid = torch.ones_like(lengths, dtype=torch.bool)
    return _sides(lengths, valid if mask is None else _both_ends(mask, skeleton), skeleton)


def _sides(lengths: Tensor, valid: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Absolute left/right difference and validity, ``(*batch, pairs)``, from those of bones."""
    children = [child for _, child in skeleton.bones]
    left = indices(tuple(children.index(joint) for joint in skeleton.left), lengths.device)
    right = indices(tuple(children.index(joint) for joint in skeleton.right), lengths.device)
    difference = (pick(lengths, left) - pick(lengths, right)).abs()
    both = pick(valid, left) & pick(valid, right)
    return torch.where(both, difference, 0.0), both


@torch.no_grad()
def bone_temporal_std(pose: Pose3D, skeleton: Skeleton) -> Tensor:
    """Standard deviation over time of the bone lengths of a sequence, averaged over bones, mm.

    Args:
        pose: ``(*batch, frames, joints, 3)``, one sequence a batch entry, mm.
        skeleton: Gives the bones.
    """
    lengths = lengths_by_bone(to_working_precision(pose), skeleton)
    return lengths.std(-2, correction=0).mean()


def lengths_by_bone(pose: Pose3D, skeleton: Skeleton) -> Tensor:
    """Bone lengths in the order of ``skeleton.bones``, ``(*batch, bones)``.

    Args:
        pose: ``(*batch, joints, 3)``.
        skeleton: Gives the bones.
    """
    check_shape("pose", pose, "*batch joints 3", joints=len(skeleton))
    start, end = _ends(skeleton, pose.device)
    return euclidean(*(pick(axis, end) - pick(axis, start) for axis in pose.unbind(-1)))


def _ends(skeleton: Skeleton, device: torch.device) -> tuple[Tensor, Tensor]:
    parents, children = zip(*skeleton.bones, strict=True)
    return indices(parents, device), indices(children, device)


def _both_ends(valid: PerJoint, skeleton: Skeleton) -> Tensor:
    start, end = _ends(skeleton, valid.device)
    return pick(valid, start) & pick(valid, end)


@torch.no_grad()
def unit_pose(pose: Pose3D) -> Tensor:
    """Root-relative pose as a unit vector, joint by joint: the feature of the structure score.

    Args:
        pose: ``(*batch, joints, 3)``, root-relative, camera frame, any unit.

    Returns:
        ``(*batch, 3 joints)`` float64; zeros for a pose of zeros.
    """
    pose = to_working_precision(pose)
    size = extent(pose)[..., None]
    return pose.flatten(-2) / torch.where(size > 0, size, 1.0)


def extent(pose: Pose3D) -> Tensor:
    """Frobenius norm of every pose, ``(*batch,)``.

    Args:
        pose: ``(*batch, joints, 3)``.
    """
    return pose.square().sum((-2, -1)).sqrt()


@torch.no_grad()
def nearest_center(features: Tensor, centers: Tensor) -> Tensor:
    """Index of the nearest centre by squared Euclidean distance, the smallest index on a tie.

    Distances are taken in float32 first; wherever the best two are close, again in float64.

    Args:
        features: ``(poses, size)``, unit vectors.
        centers: ``(clusters, size)`` float64.

    Returns:
        ``(poses,)`` int64.
    """
    check_shape("features", features, "poses size", size=centers.shape[1])
    if features.device.type != "cpu" or len(centers) < 2:
        return _exact_nearest(features, centers)
    single = centers.float()
    half_square = (single * single).sum(-1) / 2
    nearest = torch.empty(len(features), dtype=torch.int64)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS]
        score = torch.addmm(half_square, rows.float(), single.T, alpha=-1)
        best, choice = score.min(1)
        second = score.scatter_(1, choice[:, None], torch.inf).amin(1)
        close = ~(second - best >= _CLEAR_MARGIN / 2)
        doubtful = close.nonzero()[:, 0]
        choice[doubtful] = _exact_nearest(rows[doubtful], centers)
        nearest[start : start + _ROWS] = choice
    return nearest


def _exact_nearest(features: Tensor, centers: Tensor) -> Tensor:
    half_square = (centers * centers).sum(-1) / 2
    return torch.addmm(half_square, features.to(centers.dtype), centers.T, alpha=-1).argmin(-1)


def structure_matches(
    predicted: Pose3D, target: Pose3D, centers: Tensor, *, rotate: bool = False
) -> Tensor:
    """Whether prediction and label are nearest to the same cluster of poses.

    Args:
        predicted: ``(poses, joints, 3)``, root-relative, camera frame, any unit.
        target: ``(poses, joints, 3)``, root-relative, camera frame, any unit.
        centers: ``(clusters, 3 joints)`` float64.
        rotate: Turn the prediction onto the label first (``pss-aligned``); by default the score
            punishes a wrong orientation.

    Returns:
        ``(poses,)`` bool.

    Source: Kocabas et al. 2019 (EpipolarPose), section 3.4; clusters are our own.
    """
    if rotate:
        motion = similarity(to_working_precision(predicted), to_working_precision(target))
        predicted = to_working_precision(predicted) @ motion.rotation.mT
    found = nearest_center(unit_pose(predicted), centers)
    return found == nearest_center(unit_pose(target), centers)
