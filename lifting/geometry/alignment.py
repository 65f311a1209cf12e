"""Alignment of one pose to another: by root, by scale, by a rigid motion, by a similarity.

The similarity is Procrustes' least-squares one. Its rotation comes from a polynomial (see
:mod:`lifting.geometry.rotation`) and not from a batched singular value decomposition, which loops
over the poses on a processor, waits for the device, and fails for a whole batch on one bad pose.
Results have the poses innermost in memory: a processor then works on many poses at once, where
three coordinates are too few for its vector units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.rotation import best_rotation
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
        matrix = (self.scale[..., None, None] * self.rotation)[..., None, :, :]
        moved = self.translation[..., None, :]
        for axis in range(3):
            moved = torch.addcmul(moved, pose[..., axis, None], matrix[..., axis])
        return moved


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
    batch = pose.shape[:-2]
    used = None if mask is None else mask.reshape(-1, 1, mask.shape[-1]).permute(2, 1, 0)
    x, x_mean = _centred(_poses_last(pose), used)
    y, y_mean = _centred(_poses_last(target), used)
    x_size = x.square().sum((0, 1)).sqrt()
    y_size = y.square().sum((0, 1)).sqrt()
    point = x_size <= VANISHING * y_size.clamp(min=unit)
    x_safe = torch.where(point, 1.0, x_size)
    y_safe = torch.where(y_size > 0, y_size, 1.0)
    moment = torch.stack([(x[:, axis, None] * y).sum(0) for axis in range(3)])
    moment = moment / (x_safe * y_safe)
    turn = _transposed_rotation(moment, reflection=reflection)
    factor = torch.ones_like(x_size)
    if scale:
        factor = torch.where(point, 0.0, (turn * moment).sum((0, 1)) * y_size / x_safe)
    shift = y_mean - factor * (turn * x_mean[:, None]).sum(0)
    return Similarity(
        factor.reshape(batch),
        turn.permute(2, 1, 0).reshape(*batch, 3, 3),
        shift.mT.reshape(*batch, 3),
    )


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


def _poses_last(pose: Pose3D) -> Tensor:
    """Poses ``(*batch, joints, 3)`` as ``(joints, 3, poses)``, contiguous."""
    joints = pose.shape[-2]
    return pose.reshape(-1, 3 * joints).mT.contiguous().reshape(joints, 3, -1)


def _centred(pose: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Pose minus the mean of its valid joints, zero at the others, and that mean.

    Args:
        pose: ``(joints, 3, poses)``.
        mask: ``(joints, 1, poses)`` bool.

    Returns:
        ``(joints, 3, poses)`` and ``(3, poses)``.
    """
    if mask is None:
        mean = pose.sum(0) / max(1, len(pose))
        return pose - mean, mean
    pose = torch.where(mask, pose, 0.0)
    mean = pose.sum(0) / mask.sum(0).clamp(min=1)
    return torch.where(mask, pose - mean, 0.0), mean


def _transposed_rotation(moment: Tensor, *, reflection: bool) -> Tensor:
    """Transpose of the rotation R with the largest ``trace(R @ moment)``, ``(3, 3, poses)``."""
    poses_first = moment.permute(2, 0, 1)
    turn = best_rotation(poses_first).permute(2, 1, 0)
    if reflection:
        mirrored = -best_rotation(-poses_first).permute(2, 1, 0)
        gain = ((mirrored - turn) * moment).sum((0, 1))
        turn = torch.where(gain > 0, mirrored, turn)
    return turn
