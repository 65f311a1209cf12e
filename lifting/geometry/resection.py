"""Where a camera stands, from joints in space and their images, wrong ones among them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lifting.errors import DataError, check_shape
from lifting.geometry.camera import Camera, pixels_to_rays
from lifting.geometry.rotation import average_rotations, axis_angle_to_matrix
from lifting.geometry.solver import solve_least_squares
from lifting.typing import ImageSize, Intrinsics, Points2D, Points3D

LEAST_JOINTS = 8
_ROUNDS, _LINEAR_ROUNDS, _STEPS = 12, 6, 4
_WIDEST = 64.0  # sigmas; the kernel's width shrinks from here to one believed error
_WIDTH = 2.0
_NEAREST = 1e-9


@torch.no_grad()
def resect(
    joints: Points3D,
    keypoints: Points2D,
    intrinsics: Intrinsics,
    size: ImageSize,
    *,
    sigma: float,
    focal: bool = False,
) -> Camera:
    """Camera that sees joints where they were seen.

    A linear solution, reweighted, then least squares with Cauchy's kernel.

    Args:
        joints: ``(points, 3)``, world frame, mm, not all in one plane.
        keypoints: ``(points, 2)``, without distortion, pixels.
        intrinsics: ``(9,)``; distortion is not looked at.
        size: ``(2,)`` of the image, which the camera is given.
        sigma: Deviation of keypoints, pixels.
        focal: The given focal length is a guess and solved for.

    Returns:
        One camera, ``(1,)``.

    Raises:
        DataError: Fewer than eight joints.
        ShapeError: Shapes that do not go together.

    Source: Hartley and Zisserman, section 7.1, for the linear solution.
    """
    check_shape("joints", joints, "points 3")
    check_shape("keypoints", keypoints, "points 2", points=len(joints))
    if len(joints) < LEAST_JOINTS:
        raise DataError(
            f"expected at least {LEAST_JOINTS} joints to place a camera, got {len(joints)}; give "
            "more frames"
        )
    joints, keypoints = joints.double(), keypoints.double()
    lens = intrinsics.double().clone()
    lens[4:] = 0
    middle = joints.mean(0)
    spread = (joints - middle).norm(dim=-1).mean()
    points = (joints - middle) / spread
    rotation, shift = _linear(points, pixels_to_rays(keypoints, lens), sigma / float(lens[0]))
    scale = torch.ones((), dtype=joints.dtype, device=joints.device)
    seen = (keypoints - lens[2:4]) / lens[:2]
    for step in range(_ROUNDS):
        error = _residuals(points, seen, rotation, shift, scale, points.new_zeros(1, 7))[0]
        length = error.reshape(-1, 2).norm(dim=-1) * lens[0] / (_WIDTH * sigma)
        width = max(1.0, _WIDEST / 2**step)
        root = (1 + (length / width).square()).rsqrt().repeat_interleave(2)
        free = 7 if focal else 6
        residuals = partial(_weighted, root, points, seen, rotation, shift, scale)
        start = points.new_zeros(1, free)
        move = solve_least_squares(residuals, start, iterations=_STEPS).values[0]
        rotation = axis_angle_to_matrix(move[:3]) @ rotation
        shift = shift + move[3:6]
        if focal:
            scale = scale * move[6].exp()
    lens[:2] = lens[:2] * scale
    position = middle - spread * (rotation.mT @ shift)
    return Camera(
        intrinsics=lens[None], size=size.double()[None], rotation=rotation[None],
        position=position[None],
    )  # fmt: skip


def _linear(points: Tensor, rays: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Rotation and translation from the linear equations of a projection, reweighted."""
    wide = torch.cat((points, torch.ones_like(points[:, :1])), dim=-1)
    zero = torch.zeros_like(wide)
    rows = torch.stack(
        (
            torch.cat((wide, zero, -rays[:, :1] * wide), dim=-1),
            torch.cat((zero, wide, -rays[:, 1:] * wide), dim=-1),
        ),
        dim=1,
    )  # (points, 2, 12)
    weights = torch.ones_like(points[:, 0])
    matrix = torch.zeros(3, 4, dtype=points.dtype, device=points.device)
    for step in range(_LINEAR_ROUNDS):
        flat = (rows * weights[:, None, None]).flatten(0, 1)
        matrix = torch.linalg.eigh(flat.mT @ flat).eigenvectors[:, 0].reshape(3, 4)
        depth = (wide @ matrix[2]).abs().clamp(min=_NEAREST)
        error = (rows @ matrix.flatten()).norm(dim=-1) / depth
        width = 3 * reach * max(1.0, _WIDEST / 4**step)
        weights = (1 + (error / width).square()).rsqrt() / depth
        weights = weights / weights.mean()
    matrix = matrix * (wide @ matrix[2]).median().sign()
    length = torch.linalg.det(matrix[:, :3]).abs().clamp(min=_NEAREST) ** (1 / 3)
    rotation = average_rotations(matrix[None, :, :3] / length)
    return rotation, matrix[:, 3] / length


def _weighted(root: Tensor, *known: Tensor) -> Tensor:
    return root * _residuals(*known)


def _residuals(
    points: Tensor, seen: Tensor, rotation: Tensor, shift: Tensor, scale: Tensor, step: Tensor
) -> Tensor:
    """Errors over the given focal length, ``(1, 2 points)``, after a step ``(1, 6 or 7)``."""
    turned = points @ (axis_angle_to_matrix(step[:, :3]) @ rotation).mT
    local = turned + (shift + step[:, 3:6])[:, None]
    depth = local[..., 2:]
    depth = torch.where(depth.abs() < _NEAREST, _NEAREST, depth)
    zoom = scale * step[:, 6:].sum(-1).exp()[:, None, None]
    return (zoom * local[..., :2] / depth - seen).flatten(1)
