"""Streaming position errors: MPJPE and its aligned forms, by joint and by action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lifting.metrics.functional.errors import (
    CAP_MM,
    JointErrors,
    NanPolicy,
    Pooling,
    check_policy,
    pooled_sums,
    ratio,
    to_working_precision,
)
from lifting.metrics.functional.position import (
    Alignment,
    Fit,
    joint_errors,
    negative_scales,
    procrustes_scale_errors,
)
from lifting.metrics.protocol import group_actions
from lifting.metrics.streaming import RatioMetric, StreamingMetric
from lifting.typing import PerJoint, Pose3D


class PooledPosition(RatioMetric):
    """Pooled joint error after an alignment, mm.

    Args:
        align: What the prediction is forgiven.
        fit: Joints the alignment is made on: those the mask admits, or all.
        pooling: Over joints, or over means of poses.
        nan_policy: What to do with predictions that are not finite.
        cap_mm: Error of such a joint under ``penalise``.
        exclude: Indices of joints that do not count, for example the root.
        kwargs: Passed to torchmetrics.

    Raises:
        ConfigError: The policy is unknown.
    """

    n_nonfinite: Tensor
    n_excluded: Tensor

    def __init__(
        self,
        align: Alignment = "none",
        *,
        fit: Fit = "valid",
        pooling: Pooling = "joint",
        nan_policy: NanPolicy = "propagate",
        cap_mm: float = CAP_MM,
        exclude: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_policy(nan_policy)
        self.align: Alignment = align
        self.fit: Fit = fit
        self.pooling: Pooling = pooling
        self.nan_policy: NanPolicy = nan_policy
        self.cap_mm = cap_mm
        self.exclude = tuple(exclude)
        self.add_count("n_nonfinite")
        self.add_count("n_excluded")

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses.

        Args:
            predicted: ``(*batch, joints, 3)``, root-relative, mm.
            target: ``(*batch, joints, 3)``, root-relative, mm.
            mask: ``(*batch, joints)`` bool; None for all.
        """
        errors = self._without_excluded(self._errors(predicted, target, mask))
        self.add_ratio(pooled_sums(errors, self.pooling))
        self.accumulate(n_nonfinite=errors.nonfinite.sum(), n_excluded=errors.excluded.sum())

    def _errors(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None) -> JointErrors:
        return joint_errors(
            predicted,
            target,
            mask,
            align=self.align,
            fit=self.fit,
            nan_policy=self.nan_policy,
            cap_mm=self.cap_mm,
        )

    def _without_excluded(self, errors: JointErrors) -> JointErrors:
        if not self.exclude:
            return errors
        keep = torch.ones(errors.error.shape[-1], dtype=torch.bool, device=errors.error.device)
        keep[list(self.exclude)] = False
        return errors._replace(
            error=torch.where(keep, errors.error, 0.0), valid=errors.valid & keep
        )


class MPJPE(PooledPosition):
    """Mean per-joint position error (protocol 1), mm; options as :class:`PooledPosition`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("none", **kwargs)


class PAMPJPE(PooledPosition):
    """Mean per-joint position error after a similarity (protocol 2), mm.

    Args:
        scale: False allows a rigid motion only.
        kwargs: Options of :class:`PooledPosition`.
    """

    def __init__(self, *, scale: bool = True, **kwargs: Any) -> None:
        super().__init__("similarity" if scale else "rigid", **kwargs)


class NMPJPE(PooledPosition):
    """Mean per-joint position error after the best scale, mm.

    ``negative_rate`` tells how many poses were forgiven their mirror.
    """

    n_negative: Tensor
    n_poses: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("scale", **kwargs)
        self.add_count("n_negative")
        self.add_count("n_poses")

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses, as :meth:`PooledPosition.update`."""
        super().update(predicted, target, mask)
        negative = negative_scales(predicted, target, mask)
        count = torch.tensor(negative.numel(), device=negative.device)
        self.accumulate(n_negative=negative.sum(), n_poses=count)

    def negative_rate(self) -> Tensor:
        """Share of this process's poses whose scale was negative, 0 to 1."""
        return ratio(self.n_negative.double(), self.n_poses)


class NMPJPEProcrustesScale(PooledPosition):
    """EpipolarPose's normalised error: scale of the full similarity, re-centred on the root, mm.

    Args:
        root: Index of the root joint.
        kwargs: Options of :class:`PooledPosition` that concern pooling.
    """

    def __init__(self, root: int = 0, **kwargs: Any) -> None:
        super().__init__("none", **kwargs)
        self.root = root

    def _errors(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None) -> JointErrors:
        return procrustes_scale_errors(predicted, target, mask, root=self.root)


class PerJointMPJPE(StreamingMetric):
    """Mean error of every joint, ``(joints,)`` mm, and by axis from :meth:`axes`.

    Args:
        joints: Number of joints.
        align: What the prediction is forgiven.
        kwargs: Passed to torchmetrics.
    """

    total: Tensor
    absolute: Tensor
    count: Tensor

    def __init__(self, joints: int, align: Alignment = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.align: Alignment = align
        self.add_sum("total", joints)
        self.add_sum("absolute", joints, 3)
        self.add_count("count", joints)

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses, as :meth:`PooledPosition.update`."""
        errors = joint_errors(predicted, target, mask, align=self.align)
        apart = (to_working_precision(predicted) - to_working_precision(target)).abs()
        apart = torch.where(errors.valid[..., None], apart, 0.0)
        self.accumulate(
            total=errors.error.flatten(0, -2).sum(0),
            absolute=apart.flatten(0, -3).sum(0),
            count=errors.valid.flatten(0, -2).sum(0),
        )

    def compute(self) -> Tensor:
        """Mean error by joint; NaN for a joint that was never valid."""
        return self.mean_of(self.total, self.count)

    def axes(self) -> Tensor:
        """Mean absolute error by joint and axis on this process, before alignment, mm."""
        return ratio(self.absolute, self.count[:, None])


class ActionMPJPE(StreamingMetric):
    """Position error by action: the published mean over actions beside the mean over frames.

    Args:
        action_names: Names by index; equal names are one action.
        align: What the prediction is forgiven.
        kwargs: Passed to torchmetrics.
    """

    total: Tensor
    count: Tensor

    def __init__(
        self, action_names: Sequence[str], align: Alignment = "none", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.actions, lookup = group_actions(action_names)
        self.lookup = lookup
        self.align: Alignment = align
        self.add_sum("total", len(self.actions))
        self.add_count("count", len(self.actions))

    def update(
        self, predicted: Pose3D, target: Pose3D, action: Tensor, mask: PerJoint | None = None
    ) -> None:
        """Add poses.

        Args:
            predicted: ``(poses, joints, 3)``, root-relative, mm.
            target: ``(poses, joints, 3)``, root-relative, mm.
            action: ``(poses,)`` int, indices into the names.
            mask: ``(poses, joints)`` bool; None for all.
        """
        errors = joint_errors(predicted, target, mask, align=self.align)
        row = torch.tensor(self.lookup, device=action.device)[action]
        self.accumulate(
            total=torch.zeros_like(self.total).index_add_(0, row, errors.error.sum(-1)),
            count=torch.zeros_like(self.count).index_add_(0, row, errors.valid.sum(-1)),
        )

    def compute(self) -> dict[str, Tensor]:
        """``action_mean``, ``frame_mean``, ``n_actions``, and the error of every action."""
        by_action = self.mean_of(self.total, self.count)
        present = self.count > 0
        found = {f"action/{name}": by_action[i] for i, name in enumerate(self.actions)}
        return found | {
            "action_mean": by_action[present].mean(),
            "frame_mean": ratio(self.total.sum(), self.count.sum()),
            "n_actions": present.sum(),
        }
