"""How far triangulated joints may be off: their covariance, and the angle they are seen under."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.projective import Projection
from lifting.typing import PerJoint, Points3D, Pose3D


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
