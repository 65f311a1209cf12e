"""Scores of several hypotheses for one pose: ``(batch, hypotheses, frames, joints, 3)``.

Scores that choose with the label's help are oracles, and improve with the number of hypotheses:
log that number with them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape, suggest
from lifting.metrics.functional.errors import (
    JointErrors,
    distances,
    pool,
    pose_pair,
    ratio,
    to_working_precision,
)
from lifting.metrics.functional.position import Alignment, joint_errors
from lifting.typing import PerJoint, Pose2D, Pose3D

Window = Literal["pose", "sequence", "batch"]


class Spread(NamedTuple):
    """How far hypotheses lie apart, mm.

    Attributes:
        pairwise: Mean distance between joints of two different hypotheses.
        axis_std: ``(3,)`` standard deviation over hypotheses by axis, averaged over joints.
    """

    pairwise: Tensor
    axis_std: Tensor


def hypothesis_errors(
    hypotheses: Tensor,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    align: Alignment = "none",
) -> JointErrors:
    """Errors of every hypothesis, ``(batch, hypotheses, frames, joints)``.

    Args:
        hypotheses: ``(batch, hypotheses, frames, joints, 3)``, root-relative, mm.
        target: ``(batch, frames, joints, 3)``, root-relative, mm.
        mask: ``(batch, frames, joints)`` bool; None for all.
        align: What every hypothesis is forgiven by itself.
    """
    check_shape("hypotheses", hypotheses, "batch hypotheses frames joints 3")
    spread_mask = None if mask is None else mask[:, None].expand(hypotheses.shape[:-1])
    spread = target[:, None].expand(hypotheses.shape)
    return joint_errors(hypotheses, spread, spread_mask, align=align)


def j_best(errors: JointErrors) -> Tensor:
    """Oracle that takes the best hypothesis of every joint, mm.

    Args:
        errors: Of :func:`hypothesis_errors`, ``(batch, hypotheses, frames, joints)``.

    Returns:
        A scalar, ``()``.
    """
    total, count = j_best_sums(errors)
    return ratio(total, count)


def j_best_sums(errors: JointErrors) -> tuple[Tensor, Tensor]:
    """Sum and count of :func:`j_best`.

    Args:
        errors: ``(batch, hypotheses, frames, joints)``, mm.

    Returns:
        Two scalars, ``()``, the sum in mm.
    """
    return errors.error.amin(1).sum(), errors.valid[:, 0].sum()


def p_best(errors: JointErrors, window: Window = "pose") -> Tensor:
    """Oracle that takes the best hypothesis of every pose, mm.

    Args:
        errors: Of :func:`hypothesis_errors`, ``(batch, hypotheses, frames, joints)``.
        window: Over how much one choice holds: ``pose`` a frame, ``sequence`` all frames of a
            batch entry, ``batch`` the whole batch, as the D3DP release computes it, which then
            depends on the batch size and does not add up over batches.

    Returns:
        A scalar, ``()``.

    Raises:
        ConfigError: The window is unknown.
    """
    total, count = p_best_sums(errors, window)
    return ratio(total, count)


def p_best_sums(errors: JointErrors, window: Window = "pose") -> tuple[Tensor, Tensor]:
    """Sum and count of :func:`p_best`.

    Args:
        errors: ``(batch, hypotheses, frames, joints)``, mm.
        window: As for :func:`p_best`.

    Returns:
        Two scalars, ``()``, the sum in mm.

    Raises:
        ConfigError: The window is unknown.
    """
    axes: dict[str, tuple[int, ...]] = {"pose": (-1,), "sequence": (-2, -1), "batch": (0, -2, -1)}
    if window not in axes:
        raise ConfigError(f"unknown window '{window}'; {suggest(window, axes)}")
    total = errors.error.sum(axes[window])
    best = total.amin(0) if window == "batch" else total.amin(1)
    return best.sum(), errors.valid[:, 0].sum()


def p_agg(
    hypotheses: Tensor,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    align: Alignment = "none",
) -> Tensor:
    """Error of the mean hypothesis, mm; the mean is aligned, not its parts.

    Args:
        hypotheses: ``(batch, hypotheses, frames, joints, 3)``, root-relative, mm.
        target: ``(batch, frames, joints, 3)``, root-relative, mm.
        mask: ``(batch, frames, joints)`` bool; None for all.
        align: What the mean is forgiven.

    Returns:
        A scalar, ``()``.
    """
    mean = to_working_precision(hypotheses).mean(1)
    return pool(joint_errors(mean, target, mask, align=align))


def j_agg(errors: JointErrors, projected: Tensor, keypoints: Pose2D) -> Tensor:
    """Error of a pose put together joint by joint from what projects nearest to the image, mm.

    Args:
        errors: Of :func:`hypothesis_errors`, aligned or not,
            ``(batch, hypotheses, frames, joints)``.
        projected: ``(batch, hypotheses, frames, joints, 2)``, px.
        keypoints: ``(batch, frames, joints, 2)``, px.

    Returns:
        A scalar, ``()``.

    Source: Shan et al. 2023 (D3DP), joint-wise aggregation.
    """
    total, count = j_agg_sums(errors, projected, keypoints)
    return ratio(total, count)


@torch.no_grad()
def j_agg_sums(errors: JointErrors, projected: Tensor, keypoints: Pose2D) -> tuple[Tensor, Tensor]:
    """Sum and count of :func:`j_agg`.

    Args:
        errors: ``(batch, hypotheses, frames, joints)``, mm.
        projected: ``(batch, hypotheses, frames, joints, 2)``, px.
        keypoints: ``(batch, frames, joints, 2)``, px.

    Returns:
        Two scalars, ``()``, the sum in mm.
    """
    check_shape("projected", projected, "batch hypotheses frames joints 2")
    away = to_working_precision(projected) - to_working_precision(keypoints)[:, None]
    chosen = away.norm(dim=-1).nan_to_num(nan=torch.inf).argmin(1, keepdim=True)
    return errors.error.gather(1, chosen).sum(), errors.valid[:, 0].sum()


def mean_over_hypotheses(errors: JointErrors) -> Tensor:
    """Mean error over all hypotheses.

    Args:
        errors: ``(batch, hypotheses, frames, joints)``, mm.

    Returns:
        A scalar, ``()``, mm.
    """
    return pool(errors)


@torch.no_grad()
def diversity(hypotheses: Tensor, mask: PerJoint | None = None) -> Spread:
    """How far the hypotheses lie apart.

    Args:
        hypotheses: ``(batch, hypotheses, frames, joints, 3)``, mm.
        mask: ``(batch, frames, joints)`` bool; None for all.
    """
    total, count = diversity_sums(hypotheses, mask)
    safe = _masked(hypotheses, mask)
    std = safe.std(1, correction=0).flatten(0, -2).sum(0)
    joints = safe[:, 0, ..., 0].numel() if mask is None else int(mask.sum())
    return Spread(ratio(total, count), std / max(1, joints))


@torch.no_grad()
def diversity_sums(hypotheses: Tensor, mask: PerJoint | None = None) -> tuple[Tensor, Tensor]:
    """Sum and count of the pairwise distances; one hypothesis alone has none.

    Args:
        hypotheses: ``(batch, hypotheses, frames, joints, 3)``, mm.
        mask: ``(batch, frames, joints)`` bool; None for all.

    Returns:
        Two scalars, ``()``, the sum in mm.
    """
    check_shape("hypotheses", hypotheses, "batch hypotheses frames joints 3")
    safe = _masked(hypotheses, mask)
    number = safe.shape[1]
    total = safe.new_zeros(())
    # Every pair meets once among the cyclic shifts up to half the number, twice at exactly half.
    for shift in range(1, number // 2 + 1):
        apart = (safe - safe.roll(shift, 1)).norm(dim=-1).sum()
        total = total + (apart / 2 if 2 * shift == number else apart)
    pairs = number * (number - 1) // 2
    joints = torch.ones_like(safe[:, 0, ..., 0], dtype=torch.bool) if mask is None else mask
    return total, joints.sum() * pairs


def _masked(hypotheses: Tensor, mask: PerJoint | None) -> Tensor:
    values = to_working_precision(hypotheses)
    return values if mask is None else torch.where(mask[:, None, ..., None], values, 0.0)


@torch.no_grad()
def unaligned_errors(hypotheses: Tensor, target: Pose3D, mask: PerJoint) -> JointErrors:
    """As :func:`hypothesis_errors` without alignment and without waiting for the device."""
    shape = hypotheses.shape
    pair = pose_pair(hypotheses, target[:, None].expand(shape), mask[:, None].expand(shape[:-1]))
    return distances(pair)
