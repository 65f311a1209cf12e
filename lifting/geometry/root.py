"""Where in front of the camera a root-relative pose stands, from the keypoints it must explain."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.typing import PerJoint, Points2D, Points3D, Pose2D, Pose3D

NEAREST_MM = 100.0
"""Depth below which a joint counts as behind the camera."""


class ScaledOrthography(NamedTuple):
    """A camera that scales and shifts: ``uv = scale * (x, y) + offset``.

    Attributes:
        scale: ``(*batch,)``, pixels a mm.
        offset: ``(*batch, 2)``, pixels.
    """

    scale: Tensor
    offset: Points2D

    def project(self, pose: Pose3D) -> Pose2D:
        """Pixels of a pose, ``(*batch, joints, 3)``."""
        return self.scale[..., None, None] * pose[..., :2] + self.offset[..., None, :]


def solve_root(
    pose: Pose3D, rays: Pose2D, weights: PerJoint, *, nearest: float = NEAREST_MM
) -> Points3D:
    """Position of the root at which a pose fits the rays best, by weighted least squares.

    The first solve is in the plane of each joint's depth, so that far joints count for more; the
    second divides each joint by its depth and is a least-squares fit in the image up to the change
    of depth between both. Differentiable in the pose, the rays and the weights.

    Args:
        pose: ``(*batch, joints, 3)``, camera axes, root-relative, mm.
        rays: X/Z and Y/Z without distortion, ``(*batch, joints, 2)``, finite.
        weights: ``(*batch, joints)``, not negative; a residual is multiplied by its weight.
        nearest: Depth that a joint is given at least when it is divided by, mm.

    Returns:
        ``(*batch, 3)``, mm. With fewer than two distinct weighted rays the depth is not
        determined; what comes back is finite and means nothing.

    Raises:
        ShapeError: Shapes that do not go together.

    Source: linear resection with known rotation; two equations a joint,
    ``X + t_x = a_x (Z + t_z)`` and the same in y.
    """
    joints = pose.shape[-2]
    check_shape("pose", pose, "*batch joints 3")
    check_shape("rays", rays, "*batch joints 2", joints=joints)
    check_shape("weights", weights, "*batch joints", joints=joints)
    square = weights * weights
    first = _solve(pose, rays, square)
    depth = (pose[..., 2] + first[..., 2:]).clamp(min=nearest)
    return _solve(pose, rays, square / (depth * depth))


def fit_orthography(pose: Pose3D, pixels: Pose2D, weights: PerJoint) -> ScaledOrthography:
    """Scale and offset that bring a pose nearest to the keypoints, by weighted least squares.

    Args:
        pose: ``(*batch, joints, 3)``, camera axes, mm.
        pixels: ``(*batch, joints, 2)``, finite.
        weights: ``(*batch, joints)``, not negative.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    joints = pose.shape[-2]
    check_shape("pose", pose, "*batch joints 3")
    check_shape("pixels", pixels, "*batch joints 2", joints=joints)
    check_shape("weights", weights, "*batch joints", joints=joints)
    share = _shares(weights * weights)
    flat = pose[..., :2]
    middle, seen = (share * flat).sum(-2), (share * pixels).sum(-2)
    centred = flat - middle[..., None, :]
    spread = (share * centred * centred).sum((-2, -1))
    together = (share * centred * (pixels - seen[..., None, :])).sum((-2, -1))
    scale = together / spread.clamp(min=torch.finfo(pose.dtype).tiny)
    return ScaledOrthography(scale, seen - scale[..., None] * middle)


def _solve(pose: Pose3D, rays: Pose2D, square: PerJoint) -> Points3D:
    """Least squares after the mean over joints has removed the lateral unknowns."""
    share = _shares(square)
    offset = rays * pose[..., 2:] - pose[..., :2]  # t_xy - rays t_z for an exact fit
    mean_ray, mean_offset = (share * rays).sum(-2), (share * offset).sum(-2)
    ray = rays - mean_ray[..., None, :]
    spread = (share * ray * ray).sum((-2, -1))
    together = (share * ray * (offset - mean_offset[..., None, :])).sum((-2, -1))
    depth = -together / spread.clamp(min=torch.finfo(pose.dtype).eps ** 2)
    return torch.cat((mean_offset + mean_ray * depth[..., None], depth[..., None]), dim=-1)


def _shares(square: PerJoint) -> Tensor:
    """Weights that sum to one over the joints, ``(*batch, joints, 1)``; zeros stay zeros."""
    total = square.sum(-1, keepdim=True)
    return (square / torch.where(total > 0, total, 1.0))[..., None]
