"""Scores that count errors below thresholds: PCK, its area AUC, and CPS.

All of them come from one histogram of the errors between the thresholds, so that they stream as
integer counts. The inequality is strict, as published.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape
from lifting.metrics.functional.errors import JointErrors, constant, ratio
from lifting.metrics.functional.position import Alignment, joint_errors
from lifting.metrics.protocol import AUC_THRESHOLDS_MM
from lifting.typing import PerJoint, PerSample, Pose2D, Pose3D

PCK_MM = 150.0
HEAD_SHARE = 0.5
CPS_LIMIT_MM = 300
_CPS_STEPS = tuple(float(t) for t in range(1, CPS_LIMIT_MM + 1))

Endpoint = Literal["official", "exclude0"]


def pck(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    threshold: float = PCK_MM,
    align: Alignment = "none",
) -> Tensor:
    """Percentage of joints nearer to their label than a threshold.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        threshold: mm.
        align: ``similarity`` gives PA-PCK, ``scale`` N-PCK.

    Returns:
        A scalar, ``()``, 0 to 100; NaN where no joint is valid. A prediction that is not finite
        misses.

    Source: Mehta et al. 2017; agrees with mmpose 0.x given the same unit.
    """
    errors = joint_errors(predicted, target, mask, align=align, nan_policy="penalise")
    counts = threshold_histogram(errors, (threshold,)).sum(0)
    return percentage_below(counts)[0]


def auc(
    predicted: Pose3D,
    target: Pose3D,
    mask: PerJoint | None = None,
    *,
    align: Alignment = "none",
    endpoint: Endpoint = "official",
) -> Tensor:
    """Mean of PCK over the thresholds 0, 5, ..., 150 mm.

    Args:
        predicted: ``(*batch, joints, 3)``, root-relative, mm.
        target: ``(*batch, joints, 3)``, root-relative, mm.
        mask: ``(*batch, joints)`` bool; None for all.
        align: As for :func:`pck`.
        endpoint: ``official`` keeps the threshold zero, which nothing passes, so that perfection
            scores 96.774; ``exclude0`` drops it.

    Source: Mehta et al. 2017, evaluation script; agrees with mmpose 0.x.
    """
    errors = joint_errors(predicted, target, mask, align=align, nan_policy="penalise")
    return area(threshold_histogram(errors, AUC_THRESHOLDS_MM).sum(0), endpoint)


@torch.no_grad()
def pckh(
    predicted: Pose2D, target: Pose2D, head: tuple[int, int], mask: PerJoint | None = None
) -> PerSample:
    """Percentage of each person's joints within half a head of their label in the picture.

    Args:
        predicted: ``(*batch, joints, 2)``, pixels.
        target: ``(*batch, joints, 2)``, pixels.
        head: Joints at the ends of the head, whose labels say how long it is.
        mask: ``(*batch, joints)`` bool, joints that count; None for all.

    Returns:
        ``(*batch,)``, 0 to 100; NaN where no joint counts. A prediction that is not finite misses.

    Raises:
        ShapeError: The shapes differ.

    Source: Andriluka et al. 2014; the head goes from ``thorax`` to ``head`` of Human3.6M's joints
    in the released code of 3DNBF.
    """
    check_shape("predicted", predicted, "*batch joints 2")
    check_shape("target", target, " ".join(str(n) for n in predicted.shape))
    length = (target[..., head[0], :] - target[..., head[1], :]).norm(dim=-1)
    hits = (predicted - target).norm(dim=-1) <= HEAD_SHARE * length[..., None]
    counted = torch.ones_like(hits) if mask is None else mask
    return 100 * (hits & counted).sum(-1) / counted.sum(-1)


@torch.no_grad()
def threshold_histogram(errors: JointErrors, thresholds: Sequence[float]) -> Tensor:
    """Counts of each joint's errors between the thresholds.

    Args:
        errors: Errors of the joints, ``(*batch, joints)``.
        thresholds: Ascending, mm.

    Returns:
        ``(joints, thresholds + 1)`` int64: entry k counts errors in [threshold k-1, threshold k),
        the last one those at or above all, and those that are not finite.

    Raises:
        ConfigError: The thresholds do not ascend.
    """
    joints = errors.error.shape[-1]
    bins = threshold_bins(errors.error, thresholds)
    cell = torch.arange(joints, device=bins.device) * (len(thresholds) + 1) + bins
    size = joints * (len(thresholds) + 1)
    return count_cells(cell, errors.valid, size).reshape(joints, -1)


def threshold_bins(error: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Index of the first threshold that each error is below; their number where it is below none.

    Args:
        error: Any shape, mm.
        thresholds: Ascending, mm.

    Returns:
        The same shape, int64.

    Raises:
        ConfigError: The thresholds do not ascend.
    """
    if any(b <= a for a, b in itertools.pairwise(thresholds)):
        raise ConfigError(
            f"expected ascending thresholds in mm, got {tuple(thresholds)}; sort them"
        )
    edges = constant(tuple(thresholds), error.device, error.dtype)
    # NaN must not pass any threshold, wherever the search would put it.
    return torch.bucketize(error.nan_to_num(nan=torch.inf).contiguous(), edges, right=True)


def count_cells(cell: Tensor, valid: Tensor, size: int) -> Tensor:
    """How often each of ``size`` cells occurs where valid, int64, without waiting for the device.

    Args:
        cell: Any shape, int64, below ``size``.
        valid: Same shape, bool.
        size: Number of cells.

    Returns:
        ``(size,)`` int64.
    """
    spill = torch.where(valid, cell, size).flatten()
    if spill.device.type == "cpu":
        return torch.bincount(spill, minlength=size + 1)[:size]
    counts = torch.zeros(size + 1, dtype=torch.int64, device=cell.device)
    return counts.scatter_add_(0, spill, torch.ones_like(spill))[:size]


def percentage_below(counts: Tensor) -> Tensor:
    """PCK at every threshold from counts between them.

    Args:
        counts: ``(*batch, thresholds + 1)`` int64.

    Returns:
        ``(*batch, thresholds)``, percent; NaN where nothing was counted.
    """
    below = counts.cumsum(-1)
    return 100 * ratio(below[..., :-1].double(), below[..., -1:])


def area(counts: Tensor, endpoint: Endpoint = "official") -> Tensor:
    """Mean PCK over the thresholds, of which the first is zero, from counts between them.

    Args:
        counts: ``(*batch, thresholds + 1)`` int64.
        endpoint: Whether the threshold zero takes part.

    Returns:
        ``(*batch,)``, percent.
    """
    curve = percentage_below(counts)
    return curve.mean(-1) if endpoint == "official" else curve[..., 1:].mean(-1)


def grouped_scores(
    counts: Tensor, groups: Mapping[str, Sequence[int]], threshold: float = PCK_MM
) -> dict[str, tuple[float, float]]:
    """PCK and AUC of groups of joints and of their union, as the MPI-INF-3DHP script prints them.

    Args:
        counts: ``(joints, 32)`` counts between :data:`AUC_THRESHOLDS_MM`.
        groups: Joint indices by name of the group.
        threshold: One of the steps, mm.

    Returns:
        PCK and AUC in percent by group, then ``total``, which weighs every joint alike.
    """
    every = [joint for group in groups.values() for joint in group]
    at = AUC_THRESHOLDS_MM.index(threshold)
    scores = {}
    for name, joints in {**groups, "total": every}.items():
        pooled = counts[list(joints)].sum(0)
        scores[name] = (float(percentage_below(pooled)[at]), float(area(pooled)))
    return scores


@torch.no_grad()
def cps_histogram(errors: JointErrors, limit: int = CPS_LIMIT_MM) -> Tensor:
    """Counts of poses by their largest aligned joint error.

    Args:
        errors: Errors after a similarity, ``(*batch, joints)``.
        limit: Largest threshold, mm.

    Returns:
        ``(limit + 1,)`` int64: entry k counts poses that are correct from threshold k + 1 on, the
        last one those that never are.
    """
    steps = _CPS_STEPS if limit == CPS_LIMIT_MM else tuple(float(t) for t in range(1, limit + 1))
    worst = errors.error.amax(-1)
    return count_cells(threshold_bins(worst, steps), errors.valid.any(-1), limit + 1)


def cps(predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> Tensor:
    """Correct pose score: area under the share of poses whose every joint is within a threshold.

    Args:
        predicted: ``(*batch, joints, 3)``, mm; aligned by a similarity here.
        target: ``(*batch, joints, 3)``, mm.
        mask: ``(*batch, joints)`` bool; None for all.

    Returns:
        A scalar, ``()``, 0 to 300 (mm), thresholds 1, 2, ..., 300 mm; NaN where no pose is valid.

    Source: Wandt et al. 2021 (CanonPose).
    """
    errors = joint_errors(predicted, target, mask, align="similarity", nan_policy="penalise")
    return cps_from_histogram(cps_histogram(errors))


def cps_from_histogram(counts: Tensor) -> Tensor:
    """Area of :func:`cps` from counts of :func:`cps_histogram`.

    Args:
        counts: ``(limit + 1,)`` int64.

    Returns:
        A scalar, ``()``, mm.
    """
    return percentage_below(counts).sum(-1) / 100
