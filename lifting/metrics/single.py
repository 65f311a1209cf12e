"""Errors in mm, each as a class of torchmetrics of its own, for a module of yours.

Classes are thin views on the pure functions of :mod:`lifting.metrics.functional`. States are
float64 sums and int64 counts, so that a result depends neither on the size and order of the
batches nor on the number of processes, up to rounding. What an evaluation logs does not come from
here but from :class:`lifting.metrics.collection.PoseMetrics`. Oracles over several hypotheses
improve with their number: log it in the key, as ``p_best@H20``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from lifting.errors import ConfigError, suggest
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
from lifting.metrics.functional.hypotheses import (
    Window,
    diversity_sums,
    hypothesis_errors,
    j_agg_sums,
    j_best_sums,
    p_best_sums,
)
from lifting.metrics.functional.position import (
    Alignment,
    Fit,
    joint_errors,
    negative_scales,
    procrustes_scale_errors,
)
from lifting.metrics.functional.temporal import difference_errors
from lifting.metrics.protocol import group_actions
from lifting.typing import PerJoint, Pose2D, Pose3D


class StreamingMetric(Metric):
    """A metric whose states are sums over samples."""

    is_differentiable = False
    full_state_update = False
    higher_is_better: bool | None = False

    def add_sum(self, name: str, *shape: int) -> None:
        """Declare a float64 sum."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add_count(self, name: str, *shape: int) -> None:
        """Declare an int64 count."""
        self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate(self, **values: Tensor) -> None:
        """Add to states.

        Args:
            values: By the name of the state, of its shape.
        """
        for name, value in values.items():
            state = getattr(self, name)
            setattr(self, name, state + value.to(state.dtype))

    def mean_of(self, total: Tensor, count: Tensor) -> Tensor:
        """Total over count; NaN and a warning where a metric was updated but nothing counted.

        Args:
            total: Any shape.
            count: A shape that broadcasts with it.
        """
        if self.update_called and int(count.sum()) == 0:
            warnings.warn(
                f"{type(self).__name__} was given no valid sample; its value is NaN", stacklevel=2
            )
        return ratio(total, count)


class RatioMetric(StreamingMetric):
    """A metric that is one sum over one count; subclasses write ``update``."""

    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("total")
        self.add_count("count")

    def add_ratio(self, sums: Sequence[Tensor]) -> None:
        """Add a pair (sum, count), each of shape ``()``."""
        self.accumulate(total=sums[0], count=sums[1])

    def compute(self) -> Tensor:
        """Mean over all samples, of shape ``()``; NaN where there were none."""
        return self.mean_of(self.total, self.count)


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
        """Share of this process's poses whose scale was negative, of shape ``()``, 0 to 1."""
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
        """Mean error by joint, ``(joints,)``, mm; NaN for a joint that was never valid."""
        return self.mean_of(self.total, self.count)

    def axes(self) -> Tensor:
        """Mean absolute error on this process, before alignment, ``(joints, 3)``, mm."""
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
        """Means and counts by name.

        Returns:
            ``action_mean``, ``frame_mean`` and ``action/<name>`` of every action, mm, and
            ``n_actions``; all of shape ``()``.
        """
        by_action = self.mean_of(self.total, self.count)
        present = self.count > 0
        found = {f"action/{name}": by_action[i] for i, name in enumerate(self.actions)}
        return found | {
            "action_mean": by_action[present].mean(),
            "frame_mean": ratio(self.total.sum(), self.count.sum()),
            "n_actions": present.sum(),
        }


class TimeDifference(StreamingMetric):
    """Error of differences along time, mm a frame to the power of the order.

    Every update brings whole sequences; no difference is taken across two of them.

    Args:
        order: 1 velocity (MPJVE), 2 acceleration, 3 jerk.
        weight: ``diffs`` weighs every difference alike, ``frames`` every sequence by its number of
            frames, although it has fewer differences, as VideoPose3D does.
        nan_policy: What to do with predictions that are not finite.
        kwargs: Passed to torchmetrics.

    Raises:
        ConfigError: The weight is unknown.
    """

    total: Tensor
    weight_sum: Tensor
    count: Tensor

    def __init__(
        self,
        order: int,
        *,
        weight: Literal["diffs", "frames"] = "diffs",
        nan_policy: NanPolicy = "propagate",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if weight not in ("diffs", "frames"):
            known = ("diffs", "frames")
            raise ConfigError(f"unknown weight '{weight}'; {suggest(weight, known)}")
        self.order = order
        self.weight = weight
        self.nan_policy: NanPolicy = nan_policy
        self.add_sum("total")
        self.add_sum("weight_sum")
        self.add_count("count")

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add whole sequences of one length.

        Args:
            predicted: ``(*sequences, frames, joints, 3)``, root-relative, mm.
            target: ``(*sequences, frames, joints, 3)``, root-relative, mm.
            mask: ``(*sequences, frames, joints)`` bool; None for all.
        """
        errors = difference_errors(
            predicted, target, mask, order=self.order, nan_policy=self.nan_policy
        )
        total = errors.error.sum((-2, -1))
        count = errors.valid.sum((-2, -1))
        if self.weight == "frames":
            frames = float(predicted.shape[-3])
            scale = torch.where(count > 0, frames, 0.0).to(total.dtype)
            total = total / count.clamp(min=1) * scale
            weights = scale
        else:
            weights = count.to(total.dtype)
        self.accumulate(total=total.sum(), weight_sum=weights.sum(), count=count.sum())

    def compute(self) -> Tensor:
        """Mean over all differences, of shape ``()``; NaN where no sequence was long enough."""
        self.mean_of(self.total, self.count)
        return torch.where(self.weight_sum > 0, self.total / self.weight_sum, torch.nan)


class MPJVE(TimeDifference):
    """Mean per-joint velocity error, mm a frame; options as :class:`TimeDifference`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1, **kwargs)


class Acceleration(TimeDifference):
    """Mean per-joint acceleration error, mm a squared frame; options as `TimeDifference`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(2, **kwargs)


class _HypothesisMetric(RatioMetric):
    """A score of hypotheses after an alignment of each of them.

    Args:
        align: What the prediction is forgiven.
        kwargs: Passed to torchmetrics.
    """

    def __init__(self, align: Alignment = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.align: Alignment = align


class JBest(_HypothesisMetric):
    """Oracle that takes the best hypothesis of every joint, mm."""

    def update(self, hypotheses: Tensor, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses.

        Args:
            hypotheses: ``(batch, hypotheses, frames, joints, 3)``, root-relative, mm.
            target: ``(batch, frames, joints, 3)``, root-relative, mm.
            mask: ``(batch, frames, joints)`` bool; None for all.
        """
        errors = hypothesis_errors(hypotheses, target, mask, align=self.align)
        self.add_ratio(j_best_sums(errors))


class PBest(_HypothesisMetric):
    """Oracle that takes the best hypothesis of every pose, mm.

    Args:
        window: Over how much one choice holds. ``batch`` repeats the D3DP release, whose value
            depends on the batch size, so its sums cannot be joined across processes.
        align: What every hypothesis is forgiven.
        kwargs: Passed to torchmetrics.
    """

    def __init__(self, window: Window = "pose", align: Alignment = "none", **kwargs: Any) -> None:
        if window == "batch":
            kwargs["sync_on_compute"] = False
        super().__init__(align, **kwargs)
        self.window: Window = window

    def update(self, hypotheses: Tensor, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses, as :meth:`JBest.update`."""
        errors = hypothesis_errors(hypotheses, target, mask, align=self.align)
        self.add_ratio(p_best_sums(errors, self.window))


class PAgg(_HypothesisMetric):
    """Error of the mean hypothesis, mm; the mean is aligned, not its parts."""

    def update(self, hypotheses: Tensor, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses, as :meth:`JBest.update`."""
        mean = to_working_precision(hypotheses).mean(1)
        self.add_ratio(pooled_sums(joint_errors(mean, target, mask, align=self.align)))


class JAgg(_HypothesisMetric):
    """Error of a pose put together joint by joint from what projects nearest, mm."""

    def update(
        self,
        hypotheses: Tensor,
        target: Pose3D,
        projected: Tensor,
        keypoints: Pose2D,
        mask: PerJoint | None = None,
    ) -> None:
        """Add poses.

        Args:
            hypotheses: ``(batch, hypotheses, frames, joints, 3)``, root-relative, mm.
            target: ``(batch, frames, joints, 3)``, root-relative, mm.
            projected: ``(batch, hypotheses, frames, joints, 2)``, px.
            keypoints: ``(batch, frames, joints, 2)``, px.
            mask: ``(batch, frames, joints)`` bool; None for all.
        """
        errors = hypothesis_errors(hypotheses, target, mask, align=self.align)
        self.add_ratio(j_agg_sums(errors, projected, keypoints))


class MeanOverHypotheses(_HypothesisMetric):
    """Mean error over all hypotheses, mm."""

    def update(self, hypotheses: Tensor, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses, as :meth:`JBest.update`."""
        self.add_ratio(pooled_sums(hypothesis_errors(hypotheses, target, mask, align=self.align)))


class Diversity(RatioMetric):
    """Mean distance between the joints of two different hypotheses, mm."""

    higher_is_better = None

    @torch.no_grad()
    def update(self, hypotheses: Tensor, mask: PerJoint | None = None) -> None:
        """Add hypotheses ``(batch, hypotheses, frames, joints, 3)``, mm."""
        self.add_ratio(diversity_sums(hypotheses, mask))
