"""Rotations: quaternion, axis-angle, Euler angles and matrices.

Matrices act on column vectors from the left. Quaternions are (w, x, y, z).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import ConfigError, check_shape
from lifting.typing import Points3D, Quaternion, RotationMatrix


def quaternion_to_matrix(quaternion: Quaternion) -> RotationMatrix:
    """Rotation matrix of a quaternion, which is normalised first.

    Args:
        quaternion: ``(*batch, 4)``, (w, x, y, z), not zero.

    Returns:
        ``(*batch, 3, 3)``.

    Raises:
        ShapeError: The last axis is not 4.
    """
    check_shape("quaternion", quaternion, "*batch 4")
    w, x, y, z = functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*quaternion.shape[:-1], 3, 3)


def axis_angle_to_matrix(axis_angle: Points3D) -> RotationMatrix:
    """Rotation matrix of a rotation vector (Rodrigues), differentiable at zero.

    Args:
        axis_angle: ``(*batch, 3)``, axis times angle, radians.

    Returns:
        ``(*batch, 3, 3)``.

    Raises:
        ShapeError: The last axis is not 3.
    """
    check_shape("axis_angle", axis_angle, "*batch 3")
    square = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = square < 1e-8
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - square / 6, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    cross = cross_matrix(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sine * cross + cosine * (cross @ cross)


def axis_angle_to_quaternion(axis_angle: Points3D) -> Quaternion:
    """Unit quaternion of a rotation vector, differentiable at zero.

    Args:
        axis_angle: ``(*batch, 3)``, axis times angle, radians.

    Returns:
        ``(*batch, 4)``, (w, x, y, z).

    Raises:
        ShapeError: The last axis is not 3.
    """
    check_shape("axis_angle", axis_angle, "*batch 3")
    square = (axis_angle * axis_angle).sum(-1, keepdim=True)
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    scale = torch.where(small, 0.5 - square / 48, (angle / 2).sin() / angle)
    cosine = torch.where(small, 1 - square / 8, (angle / 2).cos())
    return torch.cat((cosine, axis_angle * scale), dim=-1)


def cross_matrix(vector: Points3D) -> Tensor:
    """Matrix of the cross product with a vector: ``cross_matrix(a) @ b == a x b``.

    Args:
        vector: ``(*batch, 3)``.

    Returns:
        ``(*batch, 3, 3)``, antisymmetric.
    """
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
    return rows.reshape(*vector.shape[:-1], 3, 3)


def euler_to_matrix(angles: Tensor, order: str) -> RotationMatrix:
    """Product of rotations about coordinate axes, applied to a column vector left to right.

    Args:
        angles: ``(*batch, n)``, radians, one an axis in ``order``.
        order: Axis letters; ``"XYZ"`` gives ``Rx @ Ry @ Rz``.

    Returns:
        ``(*batch, 3, 3)``.

    Raises:
        ConfigError: A letter is not x, y or z.
        ShapeError: The number of angles is not the number of letters.
    """
    check_shape("angles", angles, "*batch angles", angles=len(order))
    result = torch.eye(3, dtype=angles.dtype, device=angles.device)
    for i, letter in enumerate(order.lower()):
        axis = "xyz".find(letter)
        if axis < 0:
            raise ConfigError(f"expected axes among x, y, z, got '{letter}' in '{order}'")
        vector = torch.zeros(3, dtype=angles.dtype, device=angles.device)
        vector[axis] = 1
        result = result @ axis_angle_to_matrix(angles[..., i, None] * vector)
    return result.expand(*angles.shape[:-1], 3, 3)


def look_at(position: Points3D, target: Points3D, roll: Tensor | None = None) -> RotationMatrix:
    """World-to-camera rotation of a camera that looks at a point, world z up.

    Args:
        position: Camera centre, ``(*batch, 3)``, world frame.
        target: Point on the optical axis, ``(*batch, 3)``, world frame, not above the camera.
        roll: Rotation about the optical axis, ``(*batch,)``, radians.

    Returns:
        ``(*batch, 3, 3)`` with rows right, down, forward.
    """
    forward = functional.normalize(target - position, dim=-1)
    up = torch.zeros_like(forward)
    up[..., 2] = 1
    right = functional.normalize(torch.linalg.cross(forward, up, dim=-1), dim=-1)
    down = torch.linalg.cross(forward, right, dim=-1)
    rotation = torch.stack((right, down, forward), dim=-2)
    if roll is None:
        return rotation
    axis = torch.zeros_like(forward)
    axis[..., 2] = roll
    return axis_angle_to_matrix(axis) @ rotation
