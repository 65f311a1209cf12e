"""Position errors: as predicted, after a similarity, after a scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lifting.geometry.alignment import center, optimal_scale, similarity
from lifting.metrics.functional.errors import (
    CAP_MM,
    JointErrors,
    NanPolicy,
    Pooling,
    PosePair,
    all_true,
    check_pair,
    check_policy,
    check_target,
    distances,
    pool,
    pose_pair,
    to_working_precision,
)
from lifting.typing import PerJoint, Pose3D

MIN_JOINTS = 3
"""Fewer points than this do not determine a similarity."""

_CHUNK = 8192

Alignment = Literal["none", "scale", "rigid", "similarity"]
Fit = Literal["valid", "all"]


def mpjpe(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    pooling: Pooling = "joint",
    nan_policy: NanPolicy = "propagate",
    cap_mm: float = CAP_MM,
) -> Tensor:
    """Mean per-joint position error (protocol 1), mm.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        pooling: See :func:`lifting.metrics.functional.errors.pooled_sums`.
        nan_policy: What to do with predictions that are not finite.
        cap_mm: Error of such a joint under ``penalise``.

    Returns:
        A scalar, ``()``, NaN where no joint is valid.

    Raises:
        ShapeError: The shapes differ.
        DataError: A label that counts is not finite.

    Source: Ionescu et al. 2014; agrees with the released VideoPose3D function.
    """
    errors = joint_errors(predicted, target, mask, nan_policy=nan_policy, cap_mm=cap_mm)
    return pool(errors, pooling)


@torch.no_grad()
def weighted_mpjpe(predicted: Pose3D, target: Pose3D, weights: Tensor) -> Tensor:
    """Mean of weighted joint errors, mm; not divided by the sum of the weights.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        weights: Broadcasts to ``(*batch, joints)``.

    Source: VideoPose3D, released code.
    """
    return (to_working_precision(weights) * joint_errors(predicted, target).error).mean()


def pa_mpjpe(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    scale: bool = True,
    fit: Fit = "valid",
    pooling: Pooling = "joint",
    nan_policy: NanPolicy = "propagate",
    cap_mm: float = CAP_MM,
) -> Tensor:
    """Mean per-joint position error after a similarity onto the label (protocol 2), mm.

    Args:
        predicted: ``(*batch, joints, 3)``, mm.
        target: ``(*batch, joints, 3)``, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        scale: False allows a rigid motion only.
        fit: ``valid`` fits on the joints the mask admits, ``all`` on all of them and masks the
            mean alone, as mmpose does.
        pooling: See :func:`lifting.metrics.functional.errors.pooled_sums`.
        nan_policy: What to do with predictions that are not finite.
        cap_mm: Error of such a joint under ``penalise``.

    Returns:
        A scalar, ``()``; poses with fewer than three valid joints do not count.

    Raises:
        ShapeError: The shapes differ.
        DataError: A label that counts is not finite.

    Source: Martinez et al. 2017; agrees with the released VideoPose3D function, which scales
    although its paper says rigid.
    """
    errors = joint_errors(
        predicted,
        target,
        mask,
        align="similarity" if scale else "rigid",
        fit=fit,
        nan_policy=nan_policy,
        cap_mm=cap_mm,
    )
    return pool(errors, pooling)


def n_mpjpe(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    fit: Fit = "valid",
    pooling: Pooling = "joint",
    nan_policy: NanPolicy = "propagate",
    cap_mm: float = CAP_MM,
) -> Tensor:
    """Mean per-joint position error after the best scale of every pose, mm.

    The scale may be negative; see :func:`negative_scale_rate`.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        fit: ``valid`` fits on the joints the mask admits, ``all`` on all of them.
        pooling: See :func:`lifting.metrics.functional.errors.pooled_sums`.
        nan_policy: What to do with predictions that are not finite.
        cap_mm: Error of such a joint under ``penalise``.

    Returns:
        A scalar, ``()``, NaN where no joint is valid. A prediction of zeros has scale zero.

    Raises:
        ShapeError: The shapes differ.
        DataError: A label that counts is not finite.

    Source: Rhodin et al. 2018; agrees with the released VideoPose3D function.
    """
    errors = joint_errors(
        predicted, target, mask, align="scale", fit=fit, nan_policy=nan_policy, cap_mm=cap_mm
    )
    return pool(errors, pooling)


def n_mpjpe_procrustes_scale(
    predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None, *, root: int = 0
) -> Tensor:
    """Mean per-joint position error after the scale of the full similarity, re-centred, mm.

    Not the same as :func:`n_mpjpe`: the scale is the one that is best together with a rotation.

    Args:
        predicted: ``(*batch, joints, 3)``, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        root: Index of the root joint.

    Source: EpipolarPose, released code ("norm").
    """
    return pool(procrustes_scale_errors(predicted, target, mask, root=root))


def procrustes_scale_errors(
    predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None, *, root: int = 0
) -> JointErrors:
    """Joint errors behind :func:`n_mpjpe_procrustes_scale`, same arguments."""
    pair = pose_pair(predicted, target, mask)
    check_target(pair)
    motion = similarity(pair.predicted, pair.target, pair.usable)
    scaled = center(pair.predicted * motion.scale[..., None, None], root)
    return distances(pair, scaled, excluded=too_few(pair))


def negative_scale_rate(predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> Tensor:
    """Share of poses whose best scale is negative, 0 to 1: N-MPJPE forgives them their mirror."""
    return to_working_precision(negative_scales(predicted, target, mask)).mean()


def negative_scales(predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> Tensor:
    """Poses whose best scale is negative, ``(*batch,)`` bool."""
    pair = pose_pair(predicted, target, mask)
    return optimal_scale(pair.predicted, pair.target) < 0


def joint_errors(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    align: Alignment = "none",
    fit: Fit = "valid",
    nan_policy: NanPolicy = "propagate",
    cap_mm: float = CAP_MM,
) -> JointErrors:
    """Joint errors after one of the alignments, for metrics that pool them in their own way.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        align: What the prediction is forgiven.
        fit: Joints that the alignment is made on: those the mask admits, or all.
        nan_policy: What to do with predictions that are not finite.
        cap_mm: Error of such a joint under ``penalise``.

    Raises:
        ConfigError: The policy is unknown.
        ShapeError: The shapes differ.
        DataError: A label that counts is not finite.
    """
    check_policy(nan_policy)
    if predicted.device.type == "cpu" and predicted.shape[:-2].numel() > 2 * _CHUNK:
        score = partial(joint_errors, align=align, fit=fit, nan_policy=nan_policy, cap_mm=cap_mm)
        return _in_chunks(predicted, target, mask, score)
    pair = pose_pair(predicted, target, mask)
    check_target(pair)
    fitted = pair if fit == "valid" else pose_pair(predicted, target)
    moved, excluded = None, None
    if align == "scale":
        scale = optimal_scale(fitted.predicted, fitted.target)
        moved = pair.predicted * scale[..., None, None]
    elif align != "none":
        moved = similar_pose(pair, fitted, scale=align == "similarity")
        excluded = too_few(fitted, nan_policy)
    return distances(pair, moved, excluded=excluded, nan_policy=nan_policy, cap_mm=cap_mm)


def _in_chunks(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None,
    score: Callable[[Pose3D, Pose3D, PerJoint | None], JointErrors],
) -> JointErrors:
    """Joint errors in parts that stay in the processor's cache."""
    check_pair(predicted, target, mask)
    lead = predicted.shape[:-2]
    poses = [torch.split(p.reshape(-1, *p.shape[-2:]), _CHUNK) for p in (predicted, target)]
    count = len(poses[0])
    masks: Sequence[Tensor | None] = [None] * count
    if mask is not None:
        masks = torch.split(mask.reshape(-1, mask.shape[-1]), _CHUNK)
    parts = [score(p, t, m) for p, t, m in zip(*poses, masks, strict=True)]
    joined = (torch.cat(fields) for fields in zip(*parts, strict=True))
    return JointErrors(*(f.reshape(*lead, *f.shape[1:]) for f in joined))


@torch.no_grad()
def similar_pose(pair: PosePair, fitted: PosePair | None = None, *, scale: bool = True) -> Pose3D:
    """Prediction of a pair after the similarity onto its label.

    Args:
        pair: The pair whose prediction is moved.
        fitted: The pair the motion is fitted on; None for the same.
        scale: False allows a rigid motion only.
    """
    fitted = pair if fitted is None else fitted
    mask = None if all_true(fitted.usable) else fitted.usable
    motion = similarity(fitted.predicted, fitted.target, mask, scale=scale)
    return motion.apply(pair.predicted)


def too_few(pair: PosePair, nan_policy: NanPolicy = "propagate") -> Tensor:
    """Poses with labels, but on too few joints for a similarity, ``(*batch,)`` bool."""
    if all_true(pair.usable):
        few = pair.usable.shape[-1] < MIN_JOINTS
        return torch.full_like(pair.usable[..., 0], few)
    labelled = pair.usable | pair.nonfinite
    count = (pair.usable if nan_policy == "skip" else labelled).sum(-1)
    return (count < MIN_JOINTS) & labelled.any(-1)
