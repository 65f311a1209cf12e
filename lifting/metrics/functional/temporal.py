"""Errors of differences along time: velocity, acceleration, jerk.

A difference counts only if all frames it involves belong to one sequence and are valid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape
from lifting.metrics.functional.errors import (
    CAP_MM,
    JointErrors,
    NanPolicy,
    PosePair,
    check_policy,
    check_target,
    distances,
    pool,
    pose_pair,
)
from lifting.typing import PerJoint, Pose3D


def mpjve(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    sequence: Tensor | None = None,
) -> Tensor:
    """Mean per-joint velocity error, mm a frame (times the frame rate for mm/s).

    Args:
        predicted: ``(*batch, frames, joints, 3)``, root-relative, mm.
        target: ``(*batch, frames, joints, 3)``, root-relative, mm.
        mask: ``(*batch, frames, joints)`` bool; None for all.
        sequence: ``(*batch, frames)`` int, which sequence a frame belongs to; None where the
            frames axis holds one sequence.

    Returns:
        A scalar, ``()``, every difference weighing alike; NaN where there is none.

    Source: VideoPose3D; its released code weighs sequences by frames instead of differences, for
    which see :class:`lifting.metrics.single.MPJVE`.
    """
    return pool(difference_errors(predicted, target, mask, sequence, order=1))


def acceleration_error(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    sequence: Tensor | None = None,
) -> Tensor:
    """Mean per-joint error of second differences, mm a squared frame; arguments as `mpjve`.

    Source: Kanazawa et al. 2019.
    """
    return pool(difference_errors(predicted, target, mask, sequence, order=2))


def mean_motion(pose: Pose3D, order: int, mask: PerJoint | None = None) -> Tensor:
    """Mean size of a pose's own differences, without a label: 2 acceleration, 3 jerk.

    Args:
        pose: ``(*batch, frames, joints, 3)``, mm.
        order: How often to difference.
        mask: ``(*batch, frames, joints)`` bool; None for all.

    Returns:
        A scalar, ``()``, mm a frame to that power.
    """
    return pool(difference_errors(pose, torch.zeros_like(pose), mask, order=order))


def difference_errors(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    sequence: Tensor | None = None,
    *,
    order: int = 1,
    nan_policy: NanPolicy = "propagate",
    cap_mm: float = CAP_MM,
) -> JointErrors:
    """Errors of differences along the frames axis, ``(*batch, frames - order, joints)``.

    Args:
        predicted: ``(*batch, frames, joints, 3)``, root-relative, mm.
        target: ``(*batch, frames, joints, 3)``, root-relative, mm.
        mask: ``(*batch, frames, joints)`` bool; None for all.
        sequence: ``(*batch, frames)`` int, which sequence a frame belongs to.
        order: 1 velocity, 2 acceleration, 3 jerk.
        nan_policy: What to do with predictions that are not finite.
        cap_mm: Error of a difference that involves one, under ``penalise``.

    Raises:
        ConfigError: The order is below one.
        ShapeError: The shapes differ or there is no frames axis.
        DataError: A label that counts is not finite.
    """
    if order < 1:
        raise ConfigError(f"expected an order of at least 1, got {order}; 1 is the velocity")
    check_shape("predicted", predicted, "*batch frames joints 3")
    check_policy(nan_policy)
    pair = pose_pair(predicted, target, mask)
    check_target(pair)
    within = None if sequence is None else _same_sequence(sequence, pair, order)
    return distances(_differenced(pair, within, order), nan_policy=nan_policy, cap_mm=cap_mm)


def _differenced(pair: PosePair, within: Tensor | None, order: int) -> PosePair:
    if pair.usable.shape[-2] <= order:
        order_frames = slice(0, 0)
        return PosePair(
            pair.predicted[..., order_frames, :, :],
            pair.target[..., order_frames, :, :],
            *(flags[..., order_frames, :] for flags in pair[2:]),
        )
    labelled = _all_of(pair.usable | pair.nonfinite, order)
    if within is not None:
        labelled = labelled & within[..., None]
    usable = _all_of(pair.usable, order) & labelled
    return PosePair(
        pair.predicted.diff(n=order, dim=-3),
        pair.target.diff(n=order, dim=-3),
        usable,
        labelled & ~usable,
        torch.zeros_like(usable),
    )


def _all_of(flags: Tensor, order: int) -> Tensor:
    """True where a flag holds on a frame and on the following ``order`` ones."""
    frames = flags.shape[-2] - order
    together = flags[..., :frames, :]
    for shift in range(1, order + 1):
        together = together & flags[..., shift : shift + frames, :]
    return together


def _same_sequence(sequence: Tensor, pair: PosePair, order: int) -> Tensor:
    check_shape("sequence", sequence, " ".join(str(n) for n in pair.usable.shape[:-1]))
    same = (sequence[..., 1:] == sequence[..., :-1])[..., None]
    return (_all_of(same, order - 1) if order > 1 else same)[..., 0]
