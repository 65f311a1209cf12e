"""Training samples changed at random: mirrored, turned, with other bones; draws and changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Generator, Tensor

from lifting.batch import MIRRORED, PoseBatch, flip_batch
from lifting.data.sequence import PoseTracks, map_tensors
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera, project
from lifting.geometry.kinematics import scale_bones
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, PerSample, Points3D, Pose3D, RotationMatrix

FACTOR_RANGE = (0.5, 1.5)
_IMAGE_AND_LABELS = ("keypoints_2d", "confidence", "joints_3d", "visible", "image", "crop")


def random_half(size: int, generator: Generator) -> Tensor:
    """Choose each of ``size`` samples with probability one half.

    Returns:
        ``(size,)`` bool, on the CPU.
    """
    return torch.rand(size, generator=generator) < 0.5


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


def random_angles(size: int, largest: float, generator: Generator) -> PerSample:
    """Draw angles of turns, to either side.

    Args:
        size: Number of samples.
        largest: Largest angle, degrees; all up to it are alike.
        generator: Source of the random numbers, on the CPU.

    Returns:
        ``(size,)``, radians.
    """
    return math.radians(largest) * (2 * torch.rand(size, generator=generator) - 1)


def change_poses(batch: PoseBatch, change: Callable[[Pose3D], Pose3D], option: str) -> PoseBatch:
    """Give every sample another pose and carry its 2D noise over to it.

    The new keypoints are the projection of the new pose plus the deviation that the old ones had
    from the projection of the old pose. A sample with a joint whose label is not valid in some
    frame keeps its pose, since what hangs on an unknown joint is unknown, too.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        change: From old poses to new ones, ``(batch, frames, joints, 3)``, camera frame, mm.
        option: The option, below ``data``, that asks for it, for the message.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """
    old = batch.joints_3d
    if old is None or old.shape[:-1] != batch.keypoints_2d.shape[:-1]:
        came = "none" if old is None else f"shape {tuple(old.shape)}"
        raise DataError(
            f"expected 3D labels of every frame of a window for data.{option}, got {came} beside "
            f"keypoints {tuple(batch.keypoints_2d.shape)}; set it to 0"
        )
    new = change(old)
    intrinsics = batch.camera.intrinsics[:, None, :]
    keypoints = batch.keypoints_2d + project(new, intrinsics) - project(old, intrinsics)
    if batch.visible is not None:
        whole = batch.visible.flatten(1).all(dim=1)
        new = _choose(whole, new, old)
        keypoints = _choose(whole, keypoints, batch.keypoints_2d)
    return replace(batch, joints_3d=new, keypoints_2d=keypoints)


def jitter_bones(batch: PoseBatch, factors: PerJoint, skeleton: Skeleton) -> PoseBatch:
    """Give every sample other bone lengths, see :func:`change_poses`.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        factors: ``(batch, joints)``, one a bone.
        skeleton: The tree of the joints.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """
    return change_poses(
        batch, lambda old: scale_bones(old, factors.to(old)[:, None, :], skeleton), "bone_jitter"
    )


def turn_poses(batch: PoseBatch, turns: RotationMatrix, skeleton: Skeleton) -> PoseBatch:
    """Turn every sample about its root, all frames of it alike, see :func:`change_poses`.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        turns: ``(batch, 3, 3)``.
        skeleton: Says which joint is the root.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """

    def turned(old: Pose3D) -> Pose3D:
        root = old[..., skeleton.root, None, :]
        return (old - root) @ turns.to(old)[:, None].mT + root

    return change_poses(batch, turned, "turn")


def _choose(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *(1,) * (no.dim() - 1)), yes, no)


def verticals(tracks: PoseTracks) -> Points3D:
    """Up in the camera frame of each track, ``(tracks, 3)``, of unit length."""
    rotation = tracks.cameras.rotation
    if tracks.world != "z up" or rotation is None:
        raise ConfigError(
            "expected cameras whose vertical is known, about which data.turn turns people, got "
            f"none in {tracks.source.get('dataset', 'the data')}; set data.turn to 0"
        )
    return rotation[tracks.camera, :, 2]
