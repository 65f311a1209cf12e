"""Streaming errors of differences along time: velocity and acceleration."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lifting.errors import ConfigError, suggest
from lifting.metrics.functional.errors import NanPolicy
from lifting.metrics.functional.temporal import difference_errors
from lifting.metrics.streaming import StreamingMetric
from lifting.typing import PerJoint, Pose3D


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
        """Mean over all differences; NaN where no sequence was long enough."""
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
