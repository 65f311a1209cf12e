"""Rotations of a body: six numbers to a matrix, a matrix to its vector, and the flipped body.

Source: Zhou et al., "On the Continuity of Rotation Representations", 2019, for the six numbers;
3DNBF's released code for the flip, whose exact form is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import check_shape
from lifting.typing import Points3D, RotationMatrix

_LEAST = 1e-12


class BodyPose(NamedTuple):
    """Where a body stands and how.

    Attributes:
        rotations: Each joint in its parent's frame, the root's in the camera's,
            ``(batch, joints, 3, 3)``.
        betas: Shape coefficients, ``(batch, shapes)``.
        translation: Of the root, ``(batch, 3)``, mm, camera frame.
    """

    rotations: RotationMatrix
    betas: Tensor
    translation: Points3D

    def to(self, like: Tensor) -> BodyPose:
        """The same on the device and in the precision of a tensor."""
        return BodyPose(*(part.to(like) for part in self))


def matrix_of_six(six: Tensor) -> RotationMatrix:
    """Rotation whose first two columns are spanned by two vectors (Gram-Schmidt).

    Args:
        six: First column, then second, ``(*batch, 6)``.

    Returns:
        ``(*batch, 3, 3)``.
    """
    check_shape("six", six, "*batch 6")
    first = functional.normalize(six[..., :3], dim=-1)
    rest = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = functional.normalize(rest, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second, dim=-1)), dim=-1)


def six_of_matrix(rotation: RotationMatrix) -> Tensor:
    """First and second column of a rotation, ``(*batch, 6)``; inverse of ``matrix_of_six``."""
    return rotation[..., :2].mT.flatten(-2)


def rotation_vector(rotation: RotationMatrix) -> Points3D:
    """Axis times angle of rotations, the angle from 0 to pi.

    Through the quaternion whose largest part is formed first, so it is exact near both ends.

    Args:
        rotation: ``(*batch, 3, 3)``.

    Returns:
        ``(*batch, 3)``, radians.
    """
    check_shape("rotation", rotation, "*batch 3 3")
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    x = torch.stack((1 + xx - yy - zz, r[..., 0, 1] + r[..., 1, 0],
                     r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] - r[..., 1, 2]), -1)  # fmt: skip
    y = torch.stack((x[..., 1], 1 - xx + yy - zz, r[..., 1, 2] + r[..., 2, 1],
                     r[..., 0, 2] - r[..., 2, 0]), -1)  # fmt: skip
    z = torch.stack((x[..., 2], y[..., 2], 1 - xx - yy + zz, r[..., 1, 0] - r[..., 0, 1]), -1)
    w = torch.stack((x[..., 3], y[..., 3], z[..., 3], 1 + xx + yy + zz), -1)
    rows = torch.stack((x, y, z, w), dim=-2)
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    quaternion = functional.normalize(rows.gather(-2, index)[..., 0, :], dim=-1)
    quaternion = torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    sine = quaternion[..., :3].norm(dim=-1, keepdim=True)
    half = torch.atan2(sine, quaternion[..., 3:])
    scale = torch.where(sine > _LEAST, 2 * half / sine.clamp(min=_LEAST), 2.0)
    return quaternion[..., :3] * scale


def mirror_sideways(pose: BodyPose, mirror: Sequence[int]) -> BodyPose:
    """The body in a mirrored image: x changes its sign, and sides are exchanged.

    Args:
        pose: The body, camera frame.
        mirror: Permutation of the joints that exchanges left and right.
    """
    sign = pose.rotations.new_tensor((-1.0, 1.0, 1.0))
    rotations = sign[:, None] * pose.rotations[:, list(mirror)] * sign
    return BodyPose(rotations, pose.betas, pose.translation * sign)


def flip_depth(pose: BodyPose, mirror: Sequence[int]) -> BodyPose:
    """The twin that looks alike from far away: relative to the root, z changes its sign.

    Sides are exchanged and local rotations mirrored; the root is mirrored in depth on its left
    and sideways on its right, which is a rotation again.

    Args:
        pose: The body.
        mirror: Permutation of the joints that exchanges left and right.

    Returns:
        The same shape at the same place.
    """
    sideways = pose.rotations.new_tensor((-1.0, 1.0, 1.0))
    depth = pose.rotations.new_tensor((1.0, 1.0, -1.0))
    local = mirror_sideways(pose, mirror).rotations
    root = depth[:, None] * pose.rotations[:, :1] * sideways
    return pose._replace(rotations=torch.cat((root, local[:, 1:]), dim=1))


def upright(like: Tensor) -> RotationMatrix:
    """Rotation of a body that stands upright and faces the camera: a half turn about x."""
    matrix: Tensor = torch.diag(like.new_tensor((1.0, -1.0, -1.0)))
    return matrix


def angle_between(a: RotationMatrix, b: RotationMatrix) -> Tensor:
    """Angle of the rotation from one to the other, ``(*batch,)``, radians, 0 to pi."""
    return rotation_vector(a.mT @ b).norm(dim=-1).clamp(max=math.pi)
