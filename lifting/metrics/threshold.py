"""Streaming scores below thresholds: PCK, AUC, CPS, and the tables of MPI-INF-3DHP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lifting.metrics.functional.errors import NanPolicy
from lifting.metrics.functional.position import Alignment, joint_errors
from lifting.metrics.functional.threshold import (
    CPS_LIMIT_MM,
    PCK_MM,
    Endpoint,
    area,
    cps_from_histogram,
    cps_histogram,
    grouped_scores,
    percentage_below,
    threshold_histogram,
)
from lifting.metrics.protocol import AUC_THRESHOLDS_MM, DHP_GROUPS
from lifting.metrics.streaming import StreamingMetric
from lifting.skeleton import MPI_INF_3DHP_17, Skeleton
from lifting.typing import PerJoint, Pose3D


class ThresholdCounts(StreamingMetric):
    """Counts of each joint's errors between thresholds, from which PCK and AUC both follow.

    Args:
        joints: Number of joints.
        thresholds: Ascending, mm.
        align: What the prediction is forgiven; ``similarity`` for PA-PCK, ``scale`` for N-PCK.
        nan_policy: ``skip`` leaves a prediction that is not finite out; otherwise it misses.
        kwargs: Passed to torchmetrics.
    """

    higher_is_better = True
    counts: Tensor

    def __init__(
        self,
        joints: int,
        thresholds: Sequence[float] = AUC_THRESHOLDS_MM,
        *,
        align: Alignment = "none",
        nan_policy: NanPolicy = "penalise",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.thresholds = tuple(thresholds)
        self.align: Alignment = align
        self.nan_policy: NanPolicy = nan_policy
        self.add_count("counts", joints, len(self.thresholds) + 1)

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses.

        Args:
            predicted: ``(*batch, joints, 3)``, root-relative, mm.
            target: ``(*batch, joints, 3)``, root-relative, mm.
            mask: ``(*batch, joints)`` bool; None for all.
        """
        errors = joint_errors(
            predicted, target, mask, align=self.align, nan_policy=self.nan_policy
        )
        self.accumulate(counts=threshold_histogram(errors, self.thresholds))

    def compute(self) -> Tensor:
        """PCK in percent at every threshold, ``(thresholds,)``; NaN where nothing counted."""
        pooled = self.counts.sum(0)
        self.mean_of(self.counts.sum(), pooled.sum())
        return percentage_below(pooled)

    def per_joint(self) -> Tensor:
        """PCK in percent of this process by joint and threshold, ``(joints, thresholds)``."""
        return percentage_below(self.counts)


class PCK(ThresholdCounts):
    """Percentage of joints nearer to their label than a threshold.

    Args:
        joints: Number of joints.
        threshold: mm.
        kwargs: Options of :class:`ThresholdCounts`.
    """

    def __init__(self, joints: int, threshold: float = PCK_MM, **kwargs: Any) -> None:
        super().__init__(joints, (threshold,), **kwargs)

    def compute(self) -> Tensor:
        """Percent, a scalar; NaN where nothing counted."""
        return super().compute()[0]


class AUC(ThresholdCounts):
    """Mean PCK over the thresholds 0, 5, ..., 150 mm.

    Args:
        joints: Number of joints.
        endpoint: ``official`` keeps the threshold zero; perfection then scores 96.774.
        kwargs: Options of :class:`ThresholdCounts`.
    """

    def __init__(self, joints: int, *, endpoint: Endpoint = "official", **kwargs: Any) -> None:
        super().__init__(joints, AUC_THRESHOLDS_MM, **kwargs)
        self.endpoint: Endpoint = endpoint

    def compute(self) -> Tensor:
        """Percent, a scalar; NaN where nothing counted."""
        pooled = self.counts.sum(0)
        self.mean_of(self.counts.sum(), pooled.sum())
        return area(pooled, self.endpoint)


class DHPScores(ThresholdCounts):
    """PCK and AUC by joint group and in total, as MPI-INF-3DHP's script prints them.

    Args:
        skeleton: Skeleton whose joints carry that set's names.
        kwargs: Options of :class:`ThresholdCounts`.
    """

    def __init__(self, skeleton: Skeleton = MPI_INF_3DHP_17, **kwargs: Any) -> None:
        super().__init__(len(skeleton), AUC_THRESHOLDS_MM, **kwargs)
        self.groups = {
            name: tuple(skeleton.index(joint) for joint in joints)
            for name, joints in DHP_GROUPS.items()
        }

    def compute(self) -> dict[str, float]:  # type: ignore[override]
        """``pck/<group>`` and ``auc/<group>`` in percent, the group ``total`` included."""
        found: dict[str, float] = {}
        for name, (share, under) in grouped_scores(self.counts, self.groups).items():
            found |= {f"pck/{name}": share, f"auc/{name}": under}
        return found


class CPS(StreamingMetric):
    """Correct pose score: area under the share of poses with every aligned joint near enough."""

    higher_is_better = True
    counts: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_count("counts", CPS_LIMIT_MM + 1)

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses, as :meth:`ThresholdCounts.update`."""
        errors = joint_errors(predicted, target, mask, align="similarity", nan_policy="penalise")
        self.accumulate(counts=cps_histogram(errors))

    def compute(self) -> Tensor:
        """Area, 0 to 300 mm; NaN where no pose counted."""
        self.mean_of(self.counts.sum(), self.counts.sum())
        return cps_from_histogram(self.counts)
