"""Losses of a lifting student without 3D truth: labels of a teacher, views, image, body, time.

All lengths are in metres, and every loss is a mean, so that weights compare.

Source: EpipolarPose, section 3.2 for the labels; the other terms are this project's.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lifting.geometry.camera import Camera, pixels_to_rays, undistort_rays
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.root import NEAREST_MM, solve_root
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D, RotationMatrix

_TINY = 1e-9


def label_loss(
    predicted: Pose3D,
    target: Pose3D,
    weights: PerJoint,
    kind: Literal["smooth_l1", "distance"] = "smooth_l1",
    threshold: float = 1.0,
) -> Tensor:
    """Weighted mean over joints of the distance from the labels.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, metres.
        target: Same shape.
        weights: ``(*batch, joints)``, not negative.
        kind: ``smooth_l1`` sums over a joint's coordinates; ``distance`` is Euclidean.
        threshold: Difference below which ``smooth_l1`` is quadratic, metres.

    Returns:
        A scalar; zero where nothing has weight.
    """
    if kind == "distance":
        errors = (predicted - target).norm(dim=-1)
    else:
        errors = functional.smooth_l1_loss(
            predicted, target, beta=threshold, reduction="none"
        ).sum(-1)
    return _mean(errors, weights)


def best_scale(
    predicted: Pose3D, target: Pose3D, weights: PerJoint, *, gradient: bool = True
) -> Tensor:
    """Factor that brings a window's poses nearest to their labels, ``s = <w Y, Y*> / <w Y, Y>``.

    Args:
        predicted: ``(batch, targets, joints, 3)``, root-relative.
        target: Same shape.
        weights: ``(batch, targets, joints)``.
        gradient: Let gradients through.

    Returns:
        ``(batch, 1, 1, 1)``; one where nothing has weight.
    """
    w = weights[..., None]
    dims = (-3, -2, -1)
    square = (w * predicted * predicted).sum(dims, keepdim=True)
    together = (w * predicted * target).sum(dims, keepdim=True)
    known = square > _TINY
    scale = torch.where(known, together / torch.where(known, square, 1.0), 1.0)
    return scale if gradient else scale.detach()


def cross_view_loss(
    predicted: Pose3D, weights: PerJoint, rotation: RotationMatrix | None
) -> Tensor:
    """Weighted mean distance of the answers to each two views of one instant, in one frame.

    Args:
        predicted: ``(batch, views, targets, joints, 3)``, root-relative, metres.
        weights: ``(batch, views, targets, joints)``, not negative.
        rotation: World to camera, ``(batch, views, 3, 3)``; None takes for each two views the
            rotation that fits their answers best, through which gradients flow.
    """
    terms = []
    for a, b in combinations(range(predicted.shape[1]), 2):
        first, second = predicted[:, a], predicted[:, b]
        both = torch.minimum(weights[:, a], weights[:, b])
        turn = (
            best_rotation(first, second, both)
            if rotation is None
            else rotation[:, b] @ rotation[:, a].mT
        )
        turned = torch.einsum("bij,btkj->btki", turn.to(first), first)
        terms.append(_mean((second - turned).norm(dim=-1), both))
    return torch.stack(terms).mean()


def best_rotation(first: Pose3D, second: Pose3D, weights: PerJoint) -> RotationMatrix:
    """Rotation that brings root-relative poses nearest to others; differentiable.

    Args:
        first: ``(batch, targets, joints, 3)``.
        second: Same shape.
        weights: ``(batch, targets, joints)``.

    Returns:
        ``(batch, 3, 3)``.

    Source: orthogonal Procrustes problem, Schoenemann 1966, with determinant one.
    """
    moment = torch.einsum("btk,btki,btkj->bij", weights, second, first)
    # Equal singular values have no gradient; a hint of difference leaves them apart.
    apart = torch.diag(torch.tensor([1.0, 2.0, 3.0], device=moment.device)).to(moment)
    size = torch.linalg.matrix_norm(moment.detach())[:, None, None]
    u, _, vt = torch.linalg.svd(moment + 1e-6 * (size + _TINY) * apart)
    sign = torch.linalg.det(u @ vt).detach()
    fix = torch.stack((torch.ones_like(sign), torch.ones_like(sign), sign), dim=-1)
    return (u * fix[:, None]) @ vt


def reprojection_loss(
    predicted: Pose3D, keypoints: Pose2D, confidence: PerJoint, camera: Camera
) -> Tensor:
    """Mean distance of a pose's projection from the keypoints, where it fits them best.

    The root is put where the projection fits best, so that only the pose's shape counts, and its
    scale does not.

    Args:
        predicted: ``(batch, targets, joints, 3)``, root-relative, metres.
        keypoints: ``(batch, targets, joints, 2)``, pixels.
        confidence: ``(batch, targets, joints)``.
        camera: ``(batch,)`` with intrinsics.

    Returns:
        A scalar: metres across the line of sight at the pose's own depth.
    """
    intrinsics = camera.intrinsics[:, None]
    rays = undistort_rays(pixels_to_rays(keypoints, intrinsics), intrinsics)
    pose = predicted * MM_PER_METRE
    root = solve_root(pose, rays, confidence)
    place = pose + root[..., None, :]
    depth = place[..., 2:].clamp(min=NEAREST_MM)
    distance = (place[..., :2] / depth - rays).norm(dim=-1)
    across = distance * root[..., None, 2].detach().clamp(min=NEAREST_MM) / MM_PER_METRE
    return _mean(across, confidence)


def bone_change_loss(predicted: Pose3D, skeleton: Skeleton) -> Tensor:
    """Mean deviation of bone lengths from their mean over the frames and views of a sample.

    Args:
        predicted: ``(batch, poses, joints, 3)``, metres, all of one person.
        skeleton: The bones.
    """
    lengths = bone_lengths(predicted, skeleton)
    return (lengths - lengths.mean(1, keepdim=True)).abs().mean()


def symmetry_loss(predicted: Pose3D, skeleton: Skeleton) -> Tensor:
    """Mean difference of left and right bones.

    Args:
        predicted: ``(*batch, joints, 3)``, metres.
        skeleton: The bones and their symmetry.
    """
    lengths = bone_lengths(predicted, skeleton)
    left, right = list(skeleton.left), list(skeleton.right)
    return (lengths[..., left] - lengths[..., right]).abs().mean()


def velocity_loss(predicted: Pose3D, target: Pose3D, weights: PerJoint) -> Tensor:
    """Weighted mean distance of the velocities from the labels', metres a frame.

    Args:
        predicted: ``(batch, targets, joints, 3)``, metres, two targets at least.
        target: Same shape.
        weights: ``(batch, targets, joints)``.

    Source: VideoPose3D's and most temporal methods' velocity error.
    """
    error = (predicted.diff(dim=-3) - target.diff(dim=-3)).norm(dim=-1)
    return _mean(error, torch.minimum(weights[:, 1:], weights[:, :-1]))


def _mean(errors: PerJoint, weights: PerJoint) -> Tensor:
    # What has no weight may be anything.
    kept = torch.where(weights > 0, errors, 0.0)
    return (kept * weights).sum() / weights.sum().clamp(min=_TINY)
