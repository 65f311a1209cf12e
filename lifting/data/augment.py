"""Random changes to a training batch: mirroring and bone lengths.

Whatever is random is drawn by the caller's generator on the CPU, so that a stream of batches is
the same on every device and for any number of loader processes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from lifting.batch import MIRRORED, PoseBatch, flip_batch
from lifting.data.sequence import map_tensors
from lifting.errors import DataError
from lifting.geometry.camera import Camera, project
from lifting.geometry.kinematics import scale_bones
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint

FACTOR_RANGE = (0.5, 1.5)
_IMAGE_AND_LABELS = ("keypoints_2d", "confidence", "joints_3d", "visible", "image", "crop")


def random_half(size: int, generator: Generator) -> Tensor:
    """Choose each of ``size`` samples with probability one half.

    Returns:
        ``(chosen,)`` int64, rising indices, on the CPU.
    """
    return torch.nonzero(torch.rand(size, generator=generator) < 0.5)[:, 0]


def mirror_samples(batch: PoseBatch, chosen: Tensor, skeleton: Skeleton) -> None:
    """Mirror the chosen samples of a batch, in place: image, labels, intrinsics, left and right.

    Extrinsics are dropped from the whole batch, since no rigid camera sees a mirrored world. Where
    the batch has extras, which only their owner can mirror, ``extras["mirrored"]`` tells
    ``(batch,)`` which samples were.

    Args:
        batch: A batch that owns its tensors, which are overwritten.
        chosen: ``(chosen,)`` int64, indices of the samples to mirror, on the batch's device.
        skeleton: Gives the symmetry of the joints.
    """
    batch.camera = Camera(intrinsics=batch.camera.intrinsics, size=batch.camera.size)
    part = map_tensors(replace(batch, extras={}), lambda values: values.index_select(0, chosen))
    mirrored = flip_batch(part, skeleton)
    for name in _IMAGE_AND_LABELS:
        old = getattr(batch, name)
        if old is not None:
            old.index_copy_(0, chosen, getattr(mirrored, name))
    batch.camera.intrinsics.index_copy_(0, chosen, mirrored.camera.intrinsics)
    if batch.extras:
        mask = torch.zeros(len(batch), dtype=torch.bool, device=chosen.device)
        batch.extras = {**batch.extras, MIRRORED: mask.index_fill_(0, chosen, True)}


def random_bone_factors(
    size: int, spread: float, skeleton: Skeleton, generator: Generator
) -> PerJoint:
    """Draw a length factor for each bone, the same on both sides of the body.

    Args:
        size: Number of samples.
        spread: Standard deviation about one; factors are limited to 0.5 and 1.5.
        skeleton: Gives the bones and their symmetry.
        generator: Source of the random numbers, on the CPU.

    Returns:
        ``(size, joints)``, a bone named by its child joint; the root's entry has no meaning.
    """
    draws = 1 + spread * torch.randn(size, len(skeleton), generator=generator)
    factors = draws.clamp(*FACTOR_RANGE)
    factors[:, list(skeleton.right)] = factors[:, list(skeleton.left)]
    return factors


def jitter_bones(batch: PoseBatch, factors: PerJoint, skeleton: Skeleton) -> PoseBatch:
    """Give every sample other bone lengths and carry its 2D noise over to the new pose.

    The new keypoints are the projection of the new pose plus the deviation that the old ones had
    from the projection of the old pose. A sample with a joint whose label is not valid in some
    frame keeps its bones, since the joints beyond would hang on an unknown parent.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        factors: ``(batch, joints)``, one a bone.
        skeleton: The tree of the joints.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """
    old = batch.joints_3d
    if old is None or old.shape[:-1] != batch.keypoints_2d.shape[:-1]:
        came = "none" if old is None else f"shape {tuple(old.shape)}"
        raise DataError(
            "expected 3D labels of every frame of a window for new bone lengths, got "
            f"{came} beside keypoints {tuple(batch.keypoints_2d.shape)}; set data.bone_jitter to 0"
        )
    new = scale_bones(old, factors.to(old)[:, None, :], skeleton)
    intrinsics = batch.camera.intrinsics[:, None, :]
    keypoints = batch.keypoints_2d + project(new, intrinsics) - project(old, intrinsics)
    if batch.visible is not None:
        whole = batch.visible.flatten(1).all(dim=1)
        new = _choose(whole, new, old)
        keypoints = _choose(whole, keypoints, batch.keypoints_2d)
    return replace(batch, joints_3d=new, keypoints_2d=keypoints)


def _choose(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *(1,) * (no.dim() - 1)), yes, no)
