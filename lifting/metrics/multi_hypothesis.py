"""Streaming scores of several hypotheses for one pose.

Oracles improve with the number of hypotheses: log that number in the key, as ``p_best@H20``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lifting.metrics.functional.errors import pooled_sums, to_working_precision
from lifting.metrics.functional.hypotheses import (
    Window,
    diversity_sums,
    hypothesis_errors,
    j_agg_sums,
    j_best_sums,
    p_best_sums,
)
from lifting.metrics.functional.position import Alignment, joint_errors
from lifting.metrics.streaming import RatioMetric
from lifting.typing import PerJoint, Pose2D, Pose3D


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
