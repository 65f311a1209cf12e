"""Scores of poses, each as a class of torchmetrics of its own: thresholds, bones, structure.

See :mod:`lifting.metrics.single` for what they have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.metrics.clusters import PoseClusters
from lifting.metrics.functional.errors import (
    NanPolicy,
    check_target,
    pose_pair,
    ratio,
    to_working_precision,
)
from lifting.metrics.functional.position import Alignment, joint_errors
from lifting.metrics.functional.structure import (
    bone_differences,
    extent,
    lengths_by_bone,
    structure_matches,
    symmetry_differences,
)
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
from lifting.metrics.single import RatioMetric, StreamingMetric
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
        """Percent, of shape ``()``; NaN where nothing counted."""
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
        """Percent, of shape ``()``; NaN where nothing counted."""
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
        """Area, of shape ``()``, 0 to 300 mm; NaN where no pose counted."""
        self.mean_of(self.counts.sum(), self.counts.sum())
        return cps_from_histogram(self.counts)


class PSS(RatioMetric):
    """Pose structure score: percent of poses nearest to the same cluster as their label.

    A pose with an invalid joint is left out and counted in ``n_skipped``; a prediction that is not
    finite, or of no extent, misses and is counted in ``n_degenerate``.

    Args:
        clusters: Fitted clusters.
        joint_names: Joints of the poses that will be scored.
        root: The joint they are centred on.
        rotate: Turn predictions onto labels first; report that as ``pss-aligned``.
        kwargs: Passed to torchmetrics.

    Raises:
        ConfigError: The clusters were fitted on other joints.
    """

    higher_is_better = True
    n_skipped: Tensor
    n_degenerate: Tensor

    def __init__(
        self,
        clusters: PoseClusters,
        joint_names: Sequence[str],
        root: str,
        *,
        rotate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        clusters.check_joints(joint_names, root)
        self.rotate = rotate
        self.fingerprint = clusters.fingerprint
        self.joints = len(clusters.joint_names)
        self.register_buffer("centers", clusters.centers.clone(), persistent=False)
        self.add_count("n_skipped")
        self.add_count("n_degenerate")

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses.

        Args:
            predicted: ``(*batch, joints, 3)``, root-relative, camera frame, any unit.
            target: ``(*batch, joints, 3)``, root-relative, camera frame, any unit.
            mask: ``(*batch, joints)`` bool; None for all.
        """
        check_shape("predicted", predicted, "*batch joints 3", joints=self.joints)
        pair = pose_pair(predicted, target, mask)
        check_target(pair)
        pose, label = pair.predicted.flatten(0, -3), pair.target.flatten(0, -3)
        whole = (pair.usable | pair.nonfinite).all(-1).flatten()
        size = extent(label)
        floor = 1e-8 * (size[whole].median() if bool(whole.any()) else size.sum())
        sound = pair.usable.all(-1).flatten() & (extent(pose) > floor)
        centers = self.get_buffer("centers")
        hit = structure_matches(pose, label, centers, rotate=self.rotate) & whole & sound
        self.add_ratio((100 * hit.sum(), whole.sum()))
        self.accumulate(n_skipped=(~whole).sum(), n_degenerate=(whole & ~sound).sum())


class BoneMAE(RatioMetric):
    """Mean absolute error of bone lengths, mm, or relative to the label's.

    Args:
        skeleton: Gives the bones.
        relative: Divide every difference by the label's length.
        kwargs: Passed to torchmetrics.
    """

    def __init__(self, skeleton: Skeleton, *, relative: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skeleton = skeleton
        self.relative = relative

    def update(self, predicted: Pose3D, target: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses ``(*batch, joints, 3)``, mm; a bone counts if both its ends do."""
        pair = pose_pair(predicted, target, mask)
        check_target(pair)
        difference, lengths, valid = bone_differences(pair, self.skeleton)
        if self.relative:
            valid = valid & (lengths > 0)
            difference = difference / torch.where(lengths > 0, lengths, 1.0)
            difference = torch.where(valid, difference, 0.0)
        self.add_ratio((difference.sum(), valid.sum()))


class Symmetry(RatioMetric):
    """Mean absolute difference between left and right bone lengths, mm.

    Args:
        skeleton: Gives the bones and the mirror.
        kwargs: Passed to torchmetrics.
    """

    def __init__(self, skeleton: Skeleton, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skeleton = skeleton

    def update(self, pose: Pose3D, mask: PerJoint | None = None) -> None:
        """Add poses ``(*batch, joints, 3)``, mm."""
        difference, valid = symmetry_differences(pose, self.skeleton, mask)
        self.add_ratio((difference.sum(), valid.sum()))


class BoneTemporalStd(StreamingMetric):
    """Standard deviation of bone lengths within sequences, averaged over bones and sequences, mm.

    Args:
        skeleton: Gives the bones.
        sequences: Number of sequences.
        kwargs: Passed to torchmetrics.
    """

    total: Tensor
    square: Tensor
    count: Tensor

    def __init__(self, skeleton: Skeleton, sequences: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skeleton = skeleton
        self.add_sum("total", sequences, len(skeleton.bones))
        self.add_sum("square", sequences, len(skeleton.bones))
        self.add_count("count", sequences)

    def update(self, pose: Pose3D, sequence: Tensor) -> None:
        """Add frames.

        Args:
            pose: ``(frames, joints, 3)``, mm.
            sequence: ``(frames,)`` int, which sequence a frame belongs to.
        """
        check_shape("pose", pose, "frames joints 3", frames=len(sequence))
        lengths = lengths_by_bone(to_working_precision(pose), self.skeleton)
        add = torch.zeros_like
        self.accumulate(
            total=add(self.total).index_add_(0, sequence, lengths),
            square=add(self.square).index_add_(0, sequence, lengths.square()),
            count=add(self.count).index_add_(0, sequence, torch.ones_like(sequence)),
        )

    def compute(self) -> Tensor:
        """Mean over the sequences that occurred, of shape ``()``, mm; NaN where none did."""
        mean = self.mean_of(self.total, self.count[:, None])
        variance = ratio(self.square, self.count[:, None]) - mean.square()
        return variance.clamp(min=0).sqrt()[self.count > 0].mean()
