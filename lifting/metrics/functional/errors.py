"""Joint errors: the one quantity that every position metric pools.

Masked values are replaced before any arithmetic, because NaN times zero is NaN. A prediction that
is not finite is dealt with by a policy: ``propagate`` makes the result NaN, ``skip`` leaves the
joint out, ``penalise`` gives it a fixed error. A label that is not finite must be masked out.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from lifting.errors import ConfigError, DataError, check_shape, suggest
from lifting.typing import PerJoint, Pose3D

NanPolicy = Literal["propagate", "skip", "penalise"]
Pooling = Literal["joint", "frame"]
CAP_MM = 1000.0


class PosePair(NamedTuple):
    """A prediction and its label, made safe for arithmetic.

    Attributes:
        predicted: ``(*batch, joints, 3)``, zero where it was masked or not finite.
        target: ``(*batch, joints, 3)``, zero where it was masked or not finite.
        usable: ``(*batch, joints)`` bool, joints that alignments may use.
        nonfinite: ``(*batch, joints)`` bool, labelled joints whose prediction is not finite.
        bad_target: ``(*batch, joints)`` bool, labels that count as valid but are not finite.
    """

    predicted: Pose3D
    target: Pose3D
    usable: PerJoint
    nonfinite: PerJoint
    bad_target: PerJoint


class JointErrors(NamedTuple):
    """Error of every joint.

    Attributes:
        error: ``(*batch, joints)``, mm; exactly zero where not counted.
        valid: ``(*batch, joints)`` bool, joints that count.
        nonfinite: ``(*batch, joints)`` bool, labelled joints whose prediction was not finite.
        excluded: ``(*batch,)`` bool, poses left out because they could not be aligned.
    """

    error: PerJoint
    valid: PerJoint
    nonfinite: PerJoint
    excluded: Tensor


def to_working_precision(values: Tensor) -> Tensor:
    """Values of any shape in float64, or in float32 on a device that has no float64."""
    return values.float() if values.device.type == "mps" else values.double()


def check_policy(policy: str) -> None:
    """Check the name of a policy for values that are not finite.

    Raises:
        ConfigError: No policy has that name.
    """
    if policy not in get_args(NanPolicy):
        raise ConfigError(f"unknown nan_policy '{policy}'; {suggest(policy, get_args(NanPolicy))}")


def check_target(pair: PosePair) -> None:
    """Check that every label that counts is finite; waits for the device.

    Raises:
        DataError: A label that counts is not finite.
    """
    bad = int(pair.bad_target.sum())
    if bad:
        raise DataError(
            f"expected finite labels where the mask is True, got {bad} joints that are not; "
            "set the mask to False where a label is missing"
        )


def check_pair(predicted: Pose3D, target: Pose3D, mask: PerJoint | None) -> None:
    """Check that a prediction, its label and its mask have matching shapes.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("predicted", predicted, "*batch joints 3")
    check_shape("target", target, " ".join(str(n) for n in predicted.shape))
    if mask is not None:
        check_shape("mask", mask, " ".join(str(n) for n in predicted.shape[:-1]))


@torch.no_grad()
def pose_pair(predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> PosePair:
    """Make a prediction and its label safe for arithmetic, in float64, without gradients.

    Args:
        predicted: ``(*batch, joints, 3)``, mm.
        target: ``(*batch, joints, 3)``, mm.
        mask: ``(*batch, joints)`` bool, labels that count; None for all.

    Raises:
        ShapeError: The shapes differ.
    """
    check_pair(predicted, target, mask)
    joints = predicted.shape[-2]
    predicted = to_working_precision(_poses_innermost(predicted.detach(), 3 * joints))
    target = to_working_precision(_poses_innermost(target.detach(), 3 * joints))
    if mask is None:
        labelled = torch.ones_like(predicted[..., 0], dtype=torch.bool)
    else:
        labelled = _poses_innermost(mask.bool(), joints)
    if _finite(predicted, target):
        none = torch.zeros_like(labelled)
        if all_true(labelled):
            return PosePair(predicted, target, labelled, none, none)
        keep = labelled[..., None]
        predicted, target = torch.where(keep, predicted, 0.0), torch.where(keep, target, 0.0)
        return PosePair(predicted, target, labelled, none, none)
    # A sum is finite only if its terms are: cheaper than testing three numbers a joint.
    fine_target = target.sum(-1).isfinite()
    fine = predicted.sum(-1).isfinite()
    usable = labelled & fine & fine_target
    return PosePair(
        torch.where(usable[..., None], predicted, 0.0),
        torch.where((labelled & fine_target)[..., None], target, 0.0),
        usable,
        labelled & fine_target & ~fine,
        labelled & ~fine_target,
    )


def _poses_innermost(values: Tensor, size: int) -> Tensor:
    """The same values, those of neighbouring poses side by side in memory.

    Shapes stay; but a processor then works on many poses at once, not on three coordinates.

    Args:
        values: Any shape.
        size: How many values a pose has.
    """
    if values.device.type != "cpu":
        return values
    return values.reshape(-1, size).mT.contiguous().mT.reshape(values.shape)


def _finite(predicted: Pose3D, target: Pose3D) -> bool:
    """Whether all numbers are known to be finite, as :func:`all_true`; one sum tells."""
    return predicted.device.type == "cpu" and math.isfinite(float(predicted.sum() + target.sum()))


def all_true(flags: Tensor) -> bool:
    """Whether flags are known to be all true, which only a processor can tell without waiting.

    Args:
        flags: Any shape, bool.
    """
    return flags.device.type == "cpu" and bool(flags.all())


@torch.no_grad()
def distances(
    pair: PosePair,
    aligned: Pose3D | None = None,
    *,
    excluded: Tensor | None = None,
    nan_policy: NanPolicy = "propagate",
    cap_mm: float = CAP_MM,
) -> JointErrors:
    """Euclidean errors of a pair under a policy for predictions that are not finite.

    Args:
        pair: The prediction and its label.
        aligned: The prediction after an alignment; None scores it as it is. An alignment spreads a
            bad joint over its whole pose, so under ``propagate`` all errors of that pose are NaN.
        excluded: ``(*batch,)`` bool, poses that do not count.
        nan_policy: What to do with a prediction that is not finite.
        cap_mm: Error of such a joint under ``penalise``.
    """
    moved = pair.predicted if aligned is None else aligned
    error = euclidean(*(moved - pair.target).unbind(-1))
    whole = all_true(pair.usable)
    if excluded is None:
        excluded = torch.zeros_like(pair.usable[..., 0])
    elif whole:
        whole = all_true(~excluded)
    if whole:
        return JointErrors(error, pair.usable, pair.nonfinite, excluded)
    error = torch.where(pair.usable, error, 0.0)
    valid = pair.usable
    if nan_policy == "penalise":
        error = torch.where(pair.nonfinite, cap_mm, error)
        valid = valid | pair.nonfinite
    elif nan_policy == "propagate":
        valid = valid | pair.nonfinite
        spoilt = pair.nonfinite
        if aligned is not None:
            spoilt = valid & pair.nonfinite.any(-1, keepdim=True)
        error = torch.where(spoilt, torch.nan, error)
    valid = valid & ~excluded[..., None]
    error = torch.where(excluded[..., None], 0.0, error)
    return JointErrors(error, valid, pair.nonfinite, excluded)


def euclidean(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Lengths of vectors by their three coordinates, of one shape; a norm is slower on them."""
    return x.square().addcmul_(y, y).addcmul_(z, z).sqrt_()


def select_joints(errors: JointErrors, joints: Tensor) -> JointErrors:
    """Errors of some joints only.

    Args:
        errors: Errors of all joints.
        joints: Indices, ``(chosen,)``.
    """
    error, valid, nonfinite = (pick(values, joints) for values in errors[:3])
    return JointErrors(error, valid, nonfinite, errors.excluded)


def pick(values: Tensor, entries: Tensor) -> Tensor:
    """Entries of the last axis, each of which keeps its layout in memory.

    Args:
        values: ``(*batch, size)``.
        entries: Indices, ``(chosen,)``.

    Returns:
        ``(*batch, chosen)``.
    """
    return values.movedim(-1, 0).index_select(0, entries).movedim(0, -1)


def pooled_sums(errors: JointErrors, pooling: Pooling = "joint") -> tuple[Tensor, Tensor]:
    """Sum and count whose ratio is the pooled error; both add up over batches.

    Args:
        errors: Errors of the joints, ``(*batch, joints)``.
        pooling: ``joint`` weighs every valid joint alike, ``frame`` every pose that has one.

    Returns:
        Two scalars, ``()``, the sum in mm.
    """
    if pooling == "joint":
        return errors.error.sum(), errors.valid.sum()
    per_pose = errors.valid.sum(-1)
    return (errors.error.sum(-1) / per_pose.clamp(min=1)).sum(), (per_pose > 0).sum()


def pool(errors: JointErrors, pooling: Pooling = "joint") -> Tensor:
    """Pooled error, of shape ``()``, mm; NaN where nothing counts. See :func:`pooled_sums`."""
    total, count = pooled_sums(errors, pooling)
    return ratio(total, count)


def per_pose(errors: JointErrors) -> Tensor:
    """Mean error of every pose over its valid joints, ``(*batch,)``, NaN where none is valid."""
    return ratio(errors.error.sum(-1), errors.valid.sum(-1))


def ratio(total: Tensor, count: Tensor) -> Tensor:
    """Total over count, NaN where the count is zero.

    Args:
        total: Any shape.
        count: A shape that broadcasts with it.
    """
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


@lru_cache(maxsize=256)
def constant(
    values: tuple[int, ...] | tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Vector of the values, ``(values,)``; shared, so never write into it.

    Args:
        values: What it holds.
        device: Where it lives.
        dtype: Its type.
    """
    # Lightning evaluates in inference mode, whose tensors could not be used elsewhere later.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def indices(values: tuple[int, ...], device: torch.device) -> Tensor:
    """Vector of int64 indices, ``(values,)``; shared, so never write into it."""
    return constant(values, device, torch.int64)
