"""Alignment of one pose to another: by root, by scale, by a rigid motion, by a similarity.

The similarity is Procrustes' least-squares one. Its rotation comes from a unit quaternion (see
:mod:`lifting.geometry.rotation`) and not from a batched singular value decomposition, which loops
over the poses on a processor, waits for the device, and fails for a whole batch on one bad pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.rotation import dominant_quaternion, quaternion_to_matrix
from lifting.typing import PerJoint, Points3D, Pose3D, RotationMatrix

VANISHING = 1e-12
"""A pose whose extent is below this fraction of the other's is a single point."""


class Similarity(NamedTuple):
    """A similarity ``x -> scale * rotation @ x + translation``.

    Attributes:
        scale: ``(*batch,)``.
        rotation: ``(*batch, 3, 3)``, acts on column vectors.
        translation: ``(*batch, 3)``, in the unit of the target.
    """

    scale: Tensor
    rotation: RotationMatrix
    translation: Points3D

    def apply(self, pose: Pose3D) -> Pose3D:
        """Move a pose, ``(*batch, joints, 3)``."""
        matrix = self.scale[..., None, None] * self.rotation
        flat = torch.baddbmm(
            self.translation.reshape(-1, 1, 3),
            pose.reshape(-1, *pose.shape[-2:]),
            matrix.reshape(-1, 3, 3).mT,
        )
        return flat.reshape(pose.shape)


def center(pose: Pose3D, root: int | Sequence[int]) -> Pose3D:
    """Pose relative to its root, which is a joint or the mean of several.

    Args:
        pose: ``(*batch, joints, 3)``.
        root: Index of the root, or the indices whose midpoint is the root (the two hips where a
            data set marks no pelvis).

    Raises:
        ShapeError: The last axis is not 3.
    """
    check_shape("pose", pose, "*batch joints 3")
    if isinstance(root, int):
        return pose - pose[..., root : root + 1, :]
    index = torch.tensor(tuple(root), device=pose.device)
    return pose - pose.index_select(-2, index).mean(-2, keepdim=True)


def optimal_scale(pose: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> Tensor:
    """Scale that brings a pose nearest to the target without turning or moving it.

    Args:
        pose: ``(*batch, joints, 3)``, centred.
        target: ``(*batch, joints, 3)``, centred alike.
        mask: ``(*batch, joints)`` bool, joints that take part; None for all.

    Returns:
        ``(*batch,)``: ``<target, pose> / <pose, pose>``, negative for a mirrored pose, and zero
        for a pose of zeros.

    Raises:
        ShapeError: The shapes differ.
    """
    _check_pair(pose, target, mask)
    if mask is not None:
        pose = torch.where(mask[..., None], pose, torch.zeros_like(pose))
        target = torch.where(mask[..., None], target, torch.zeros_like(target))
    square = (pose * pose).sum((-2, -1))
    ratio = (pose * target).sum((-2, -1)) / torch.where(square > 0, square, 1.0)
    return torch.where(square > 0, ratio, torch.zeros_like(ratio))


@torch.no_grad()
def similarity(
    pose: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    scale: bool = True,
    reflection: bool = False,
    unit: float = 1.0,
) -> Similarity:
    """Least-squares similarity that takes a pose to the target (Procrustes analysis).

    No gradient flows through the result: that of the decomposition explodes where singular values
    meet. Work is in the precision of the arguments, so give float64 where it matters.

    Args:
        pose: ``(*batch, joints, 3)``; values where the mask is False are ignored, NaN included.
        target: ``(*batch, joints, 3)``.
        mask: ``(*batch, joints)`` bool, joints that take part; None for all.
        scale: False keeps the scale at one (rigid motion).
        reflection: True also admits mirror images; never for a reported score.
        unit: One millimetre in the unit of the poses, the floor of the test for a single point.

    Returns:
        The motion. A pose that is a single point gets scale zero, and lands on the target's mean.

    Raises:
        ShapeError: The shapes differ.

    Source: Horn, "Closed-form solution of absolute orientation using unit quaternions", 1987;
    Schoenemann and Carroll for the scale.
    """
    _check_pair(pose, target, mask)
    x, x_mean = _centred(pose, mask)
    y, y_mean = _centred(target, mask)
    x_size = x.flatten(-2).norm(dim=-1)
    y_size = y.flatten(-2).norm(dim=-1)
    point = x_size <= VANISHING * y_size.clamp(min=unit)
    x_safe = torch.where(point, torch.ones_like(x_size), x_size)
    y_safe = torch.where(y_size > 0, y_size, torch.ones_like(y_size))
    moment = (x.mT @ y) / (x_safe * y_safe)[..., None, None]
    rotation = _best_rotation(moment, reflection=reflection)
    factor = torch.ones_like(x_size)
    if scale:
        alignment = (rotation.mT * moment).sum((-2, -1))
        factor = torch.where(point, 0.0, alignment * y_size / x_safe)
    moved = (rotation @ x_mean[..., None])[..., 0]
    return Similarity(factor, rotation, y_mean - factor[..., None] * moved)


def align(
    pose: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    scale: bool = True,
    reflection: bool = False,
) -> Pose3D:
    """Pose after the least-squares similarity onto the target; see :func:`similarity`.

    Gradients reach the pose as if the motion were constant.

    Args:
        pose: ``(*batch, joints, 3)``, mm.
        target: ``(*batch, joints, 3)``, mm.
        mask: ``(*batch, joints)`` bool, joints that take part in the fit; None for all.
        scale: False keeps the scale at one.
        reflection: True also admits mirror images.

    Returns:
        ``(*batch, joints, 3)``, in the target's frame.
    """
    motion = similarity(pose, target, mask, scale=scale, reflection=reflection)
    return motion.apply(pose)


def _check_pair(pose: Pose3D, target: Pose3D, mask: PerJoint | None) -> None:
    check_shape("pose", pose, "*batch joints 3")
    check_shape("target", target, _pattern(pose.shape))
    if mask is not None:
        check_shape("mask", mask, _pattern(pose.shape[:-1]))


def _pattern(shape: Sequence[int]) -> str:
    return " ".join(str(size) for size in shape)


def _centred(pose: Pose3D, mask: PerJoint | None) -> tuple[Pose3D, Points3D]:
    """Pose minus the mean of its valid joints, zero at the others, and that mean."""
    if mask is None:
        weight = pose.new_full((1, pose.shape[-2]), 1 / max(1, pose.shape[-2]))
        mean = weight @ pose
        return pose - mean, mean[..., 0, :]
    pose = torch.where(mask[..., None], pose, 0.0)
    weight = mask.to(pose.dtype)
    mean = (weight / weight.sum(-1, keepdim=True).clamp(min=1))[..., None, :] @ pose
    return torch.where(mask[..., None], pose - mean, 0.0), mean[..., 0, :]


def _best_rotation(moment: Tensor, *, reflection: bool) -> RotationMatrix:
    """Rotation R with the largest ``trace(R @ moment)``, ``(*batch, 3, 3)``."""
    flat = moment.reshape(-1, 3, 3)
    rotation = quaternion_to_matrix(dominant_quaternion(flat))
    if reflection:
        mirrored = -quaternion_to_matrix(dominant_quaternion(-flat))
        gain = ((mirrored - rotation).mT * flat).sum((-2, -1))
        rotation = torch.where(gain[:, None, None] > 0, mirrored, rotation)
    return rotation.reshape(moment.shape)
