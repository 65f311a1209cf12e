"""Joints from several views of which some are wrong, and how far off they may be.

The point that most views agree on: every pair of views proposes one; the one with the least
truncated error in all views wins, and is solved again from the views that agree with it. Two views
have nothing to disagree with but the epipolar line, and are triangulated as they are. What is
found has a covariance, and an angle that it is seen under.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.triangulation import Projection, Triangulation, triangulate_least_squares
from lifting.typing import PerJoint, Points3D, Pose2D, Pose3D


class Consensus(NamedTuple):
    """Points and the views that agree on them.

    Attributes:
        found: Points, NaN and not ``valid`` where no two views have weight.
        agree: ``(*batch, views, joints)`` bool, the view has weight and its error is in reach.
        distance: ``(*batch, views, joints)``, from the keypoints, pixels; zero where a view has no
            weight, infinite behind a camera.
        loss: ``(*batch, joints)``, weighted sum over views of the squared error over the squared
            reach, at most one: about the weight of the views that disagree.
    """

    found: Triangulation
    agree: Tensor
    distance: PerJoint
    loss: PerJoint


@torch.no_grad()
def triangulate_consensus(
    keypoints: Pose2D, projections: Projection, weights: PerJoint, *, reach: float
) -> Consensus:
    """Triangulation that leaves wrong views out.

    Args:
        keypoints: ``(*batch, views, joints, 2)``, without distortion, pixels.
        projections: World in mm to pixels, ``(*batch, views, 3, 4)`` or without the batch.
        weights: ``(*batch, views, joints)``, not negative.
        reach: Error, pixels, from which a view disagrees.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("keypoints", keypoints, "*batch views joints 2")
    views = keypoints.shape[-3]
    used = weights > 0
    clean = torch.where(used[..., None], keypoints, 0.0)
    best = triangulate_least_squares(clean, projections, weights)
    error = _errors(best, clean, projections, used)
    if views > 2:
        loss = _loss(error, weights, reach)
        for pair in combinations(range(views), 2):
            own = triangulate_least_squares(
                clean[..., pair, :, :], projections[..., pair, :, :], weights[..., pair, :]
            )
            errors = _errors(own, clean, projections, used)
            tried = _loss(errors, weights, reach)
            better = own.valid & ((tried < loss) | ~best.valid)
            loss = torch.where(better, tried, loss)
            error = torch.where(better[..., None, :], errors, error)
        agree = used & (error <= reach)
        kept = torch.where((agree.sum(-2) >= 2)[..., None, :], agree, used)
        best = triangulate_least_squares(clean, projections, torch.where(kept, weights, 0.0))
        error = _errors(best, clean, projections, used)
    return Consensus(best, used & (error <= reach), error, _loss(error, weights, reach))


def reprojection_distance(points: Pose3D, keypoints: Pose2D, projections: Projection) -> PerJoint:
    """Distance of projected points from keypoints in every view, pixels.

    Args:
        points: ``(*batch, joints, 3)``, world frame, mm.
        keypoints: ``(*batch, views, joints, 2)``, without distortion, pixels.
        projections: ``(*batch, views, 3, 4)`` or without the batch.

    Returns:
        ``(*batch, views, joints)``; infinite for points behind the camera, NaN for NaN.
    """
    seen = points[..., None, :, :] @ projections[..., :3].mT + projections[..., None, :, 3]
    depth = seen[..., 2]
    front = torch.where(depth > 0, depth, 1.0)
    error = (seen[..., :2] / front[..., None] - keypoints).norm(dim=-1)
    return torch.where(depth <= 0, torch.inf, error)


def _errors(
    found: Triangulation, keypoints: Pose2D, projections: Projection, used: Tensor
) -> PerJoint:
    """Distances, zero where a view has no weight and infinite where there is no point."""
    error = reprojection_distance(found.points, keypoints, projections).nan_to_num(nan=torch.inf)
    return torch.where(used, error, 0.0)


def _loss(error: PerJoint, weights: PerJoint, reach: float) -> PerJoint:
    return (weights * (error / reach).square().clamp(max=1)).sum(-2)


def triangulation_covariance(
    points: Pose3D,
    projections: Projection,
    weights: PerJoint | None = None,
    *,
    sigma: float = 1.0,
) -> Tensor:
    """Covariance of triangulated joints for independent errors in the image.

    Args:
        points: ``(*batch, joints, 3)``, world frame, mm.
        projections: World in mm to pixels, ``(*batch, views, 3, 4)`` or without the batch.
        weights: ``(*batch, views, joints)``; the error of a keypoint is sigma over its weight.
        sigma: Standard deviation of each coordinate of a keypoint, pixels.

    Returns:
        ``sigma^2 (J' W^2 J)^-1`` with J the derivative of the keypoints, ``(*batch, joints, 3,
        3)``, mm^2. Infinite where under two views have weight.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("points", points, "*batch joints 3")
    check_shape("projections", projections, "*batch views 3 4")
    joints, views = points.shape[-2], projections.shape[-3]
    matrix = projections[..., None, :, :].double()  # (*batch, views, 1, 3, 4)
    seen = (matrix[..., :3] @ points[..., None, :, :, None].double())[..., 0] + matrix[..., 3]
    depth, image = seen[..., 2:], seen[..., :2] / seen[..., 2:]
    slope = (matrix[..., :2, :3] - image[..., None] * matrix[..., 2:, :3]) / depth[..., None]
    enough = torch.full((joints,), views >= 2, device=points.device)
    if weights is not None:
        check_shape("weights", weights, "*batch views joints", views=views, joints=joints)
        used = weights > 0
        slope = torch.where(used[..., None, None], slope * weights[..., None, None], 0.0)
        enough = used.sum(-2) >= 2
    rows = slope.movedim(-4, -3).flatten(-3, -2)  # (*batch, joints, views 2, 3)
    normal = rows.mT @ rows
    identity = torch.eye(3, dtype=normal.dtype, device=normal.device)
    inverse = torch.linalg.inv_ex(torch.where(enough[..., None, None], normal, identity)).inverse
    covariance = torch.where(enough[..., None, None], sigma**2 * inverse, torch.inf)
    return covariance.to(points.dtype)


def parallax(points: Pose3D, positions: Points3D, used: Tensor | None = None) -> PerJoint:
    """Largest angle at a point between the rays to two of the cameras.

    Args:
        points: ``(*batch, joints, 3)``, world frame, mm.
        positions: Camera centres, ``(*batch, views, 3)`` or without the batch, mm.
        used: ``(*batch, views, joints)`` bool, cameras that see the point; None for all.

    Returns:
        ``(*batch, joints)``, radians; zero where fewer than two see it. The error in depth grows
        with the reciprocal of its sine.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("points", points, "*batch joints 3")
    check_shape("positions", positions, "*batch views 3")
    rays = points[..., None, :] - positions[..., None, :, :]  # (*batch, joints, views, 3)
    first, second = rays[..., :, None, :], rays[..., None, :, :]
    across = torch.linalg.cross(first, second, dim=-1).norm(dim=-1)
    angle = torch.atan2(across, (first * second).sum(-1))
    if used is not None:
        views, joints = positions.shape[-2], points.shape[-2]
        check_shape("used", used, "*batch views joints", views=views, joints=joints)
        seen = used.mT
        angle = torch.where(seen[..., :, None] & seen[..., None, :], angle, 0.0)
    return angle.flatten(-2).amax(-1)
