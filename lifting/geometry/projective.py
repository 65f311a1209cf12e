"""Cameras as matrices: calibration, projection, and what two of them say about each other."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape
from lifting.geometry.camera import Camera
from lifting.geometry.rotation import cross_matrix
from lifting.typing import Intrinsics

Projection = Annotated[Tensor, "*batch 3 4"]


def calibration_matrix(intrinsics: Intrinsics) -> Tensor:
    """Matrix K of a camera without its lens distortion, ``(*batch, 3, 3)``, pixels.

    Raises:
        ShapeError: The last axis is not 9.
    """
    check_shape("intrinsics", intrinsics, "*batch 9")
    fx, fy, cx, cy = intrinsics[..., :4].unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = torch.stack((fx, zero, cx, zero, fy, cy, zero, zero, one), dim=-1)
    return rows.reshape(*fx.shape, 3, 3)


def calibration_intrinsics(matrix: Tensor) -> Intrinsics:
    """Intrinsics of a calibration matrix, inverse of calibration_matrix; no distortion, no skew.

    Args:
        matrix: ``(*batch, 3, 3)``, pixels.

    Returns:
        ``(*batch, 9)``, pixels.
    """
    check_shape("matrix", matrix, "*batch 3 3")
    focal = matrix.diagonal(dim1=-2, dim2=-1)[..., :2]
    lens = torch.cat((focal, matrix[..., :2, 2]), dim=-1)
    return torch.cat((lens, lens.new_zeros(*lens.shape[:-1], 5)), dim=-1)


def projection_matrix(camera: Camera) -> Projection:
    """``P = K [R | -R C]`` of cameras, which maps world points in mm to pixels without distortion.

    Returns:
        ``(*batch, 3, 4)``.

    Raises:
        ConfigError: The cameras have no extrinsics.
    """
    if camera.rotation is None or camera.position is None:
        raise ConfigError(
            "expected cameras with rotation and position, got none; load a data set that has "
            "them, or estimate the rig from keypoints with lifting.geometry.robust"
        )
    shift = -(camera.rotation @ camera.position[..., None])
    return calibration_matrix(camera.intrinsics) @ torch.cat((camera.rotation, shift), dim=-1)


def fundamental_from_projections(first: Projection, second: Projection) -> Tensor:
    """Fundamental matrix F of two cameras, ``b' F a = 0`` for images a and b of one point.

    Args:
        first: ``(*batch, 3, 4)``; its left 3x3 part is invertible (the camera is not at infinity).
        second: ``(*batch, 3, 4)``.

    Returns:
        ``(*batch, 3, 3)`` of unit Frobenius norm.

    Raises:
        ShapeError: Not ``(3, 4)``.

    Source: Hartley and Zisserman, equation 9.1.
    """
    check_shape("first", first, "*batch 3 4")
    check_shape("second", second, "*batch 3 4")
    between = torch.linalg.solve(first[..., :3], second[..., :3], left=False)
    epipole = second[..., 3] - (between @ first[..., 3:])[..., 0]
    matrix = cross_matrix(epipole) @ between
    return matrix / torch.linalg.matrix_norm(matrix)[..., None, None]
