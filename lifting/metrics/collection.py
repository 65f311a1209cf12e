"""Everything an evaluation logs, from one pass over the errors of each batch.

Errors are computed once, aligned once, and added to a few tables by action and joint; every score
is read from those tables at the end (see :mod:`lifting.metrics.report`). Nothing here waits for
the device before ``compute``. Samples that a distributed sampler repeats to fill its last batch
count twice: evaluate with a sampler that does not pad.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Self

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.errors import DataError, check_shape
from lifting.geometry.alignment import optimal_scale
from lifting.metrics.clusters import PoseClusters
from lifting.metrics.functional.calibration import coverage_histogram, floored, gaussian_nll
from lifting.metrics.functional.errors import (
    JointErrors,
    PosePair,
    distances,
    indices,
    pooled_sums,
    pose_pair,
    select_joints,
    to_working_precision,
)
from lifting.metrics.functional.hypotheses import (
    diversity_sums,
    j_best_sums,
    p_best_sums,
    unaligned_errors,
)
from lifting.metrics.functional.position import similar_pose, too_few
from lifting.metrics.functional.ranking import ranking_sums
from lifting.metrics.functional.structure import (
    bone_and_side_differences,
    structure_matches,
)
from lifting.metrics.functional.threshold import count_cells, cps_histogram, threshold_bins
from lifting.metrics.motion import Motion, Tracks
from lifting.metrics.protocol import Protocol, group_actions
from lifting.metrics.report import Layout, action_scores, joint_scores, scores
from lifting.metrics.sums import Sums
from lifting.skeleton import Skeleton

log = logging.getLogger(__name__)

Watcher = Callable[[Prediction, PoseBatch, JointErrors], None]
"""Sees every scored batch: its prediction, the batch, and the error of every joint,
``(*batch, targets, joints)``, mm."""


class PoseMetrics:
    """Scores of one split, streamed over batches and processes.

    Args:
        protocol: Rules of the benchmark.
        skeleton: Joints of predictions and labels.
        action_names: Names by ``PoseBatch.action``; equal names are one action.
        clusters: Clusters of the pose structure score, logged as ``pss_<number of clusters>``;
            none leaves that score out.
        tracks: Tracks behind ``PoseBatch.sequence``, for scores of each and of motion; None for
            neither.

    Attributes:
        watchers: Called with the errors of every batch that is added.

    Raises:
        ConfigError: The protocol does not cover the skeleton, or the clusters were fitted on
            other joints.
    """

    def __init__(
        self,
        protocol: Protocol,
        skeleton: Skeleton,
        action_names: Sequence[str],
        clusters: Sequence[PoseClusters] = (),
        tracks: Tracks | None = None,
    ) -> None:
        self.protocol = protocol.on(skeleton)
        self.skeleton = skeleton
        self.clusters = tuple(clusters)
        for one in self.clusters:
            one.check_joints(skeleton.joints, skeleton.joints[skeleton.root])
        actions, lookup = group_actions(action_names)
        self.layout = Layout.of(self.protocol, skeleton, actions)
        self._lookup = torch.tensor([*lookup, len(actions)])
        self._sums = Sums()
        self._totals: dict[str, Tensor] | None = None
        self._motion = None if tracks is None else Motion(tracks)
        self.watchers: list[Watcher] = []

    @torch.no_grad()
    def update(self, prediction: Prediction, batch: PoseBatch) -> None:
        """Add a batch.

        Args:
            prediction: Root-relative millimetres.
            batch: With labels; ``visible`` tells which of them count.

        Raises:
            DataError: The batch carries no labels, or joints are those of another skeleton.
            ShapeError: Prediction and labels differ in shape.
        """
        if batch.joints_3d is None:
            raise DataError(
                "expected 3D labels in the batch to score, got none; use `lifting predict` for "
                "unlabelled keypoints"
            )
        for what, got in (("labels", batch.skeleton), ("predictions", prediction.skeleton)):
            if got != self.skeleton:
                raise DataError(
                    f"expected {what} with the joints of {self.skeleton.name}, got {got.name}; "
                    "the data module converts the data to the method's joints"
                )
        self._totals = None
        target = root_relative(batch.joints_3d, self.skeleton.index(self.protocol.root))
        pair = pose_pair(prediction.joints_3d, target, batch.visible)
        pair = PosePair(*(field.flatten(0, -_trailing(i)) for i, field in enumerate(pair)))
        group = self._groups(batch, len(pair.usable))
        self._count("poses", (pair.usable | pair.nonfinite).any(-1))
        self._count("nonfinite", pair.nonfinite)
        self._count("bad_target", pair.bad_target)
        plain = distances(pair)
        self._add_thresholds("pck", plain, self.layout.threshold, group)
        scored = self._restricted(pair)
        selected = self._selected(plain)
        aligned = self._add_positions(selected, scored, group)
        self._add_structure(pair)
        if self._motion is not None and target.ndim == 4:
            self._add_tracks(self._motion, scored, selected, aligned, batch)
        for name, pose in prediction.extras.items():
            self._add_extra(name, pose, target, batch.visible)
        if prediction.sigma is not None:
            self._add_sigma(prediction.sigma, pair, plain)
        if prediction.hypotheses is not None:
            self._add_hypotheses(prediction.hypotheses, target, batch.visible)
        if self.watchers:
            lead = target.shape[:-2]
            seen = JointErrors(*(field.view(*lead, *field.shape[1:]) for field in plain))
            for watch in self.watchers:
                watch(prediction, batch, seen)

    def compute(self) -> dict[str, Tensor]:
        """Scores by key, over all processes; every process must call this.

        Returns:
            Scalars of shape ``()``, NaN where nothing was scored.

        Raises:
            DataError: A label that counts as visible was not finite.
        """
        values = scores(self._known_totals(), self.layout, self.protocol)
        if self._motion is not None and "mpjve_mm_per_frame" not in values:
            _say_no_motion()
        device = self._sums.device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        stacked = torch.tensor(list(values.values()), dtype=dtype).to(device)
        return dict(zip(values, stacked.unbind(), strict=True))

    def reset(self) -> None:
        """Forget everything."""
        self._sums.reset()
        self._totals = None
        if self._motion is not None:
            self._motion.reset()

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        self._sums.to(device)
        self._lookup = self._lookup.to(device)
        self.clusters = tuple(one.to(device) for one in self.clusters)
        if self._motion is not None:
            self._motion.to(device)
        return self

    def per_joint(self) -> dict[str, float]:
        """MPJPE by joint, mm; after :meth:`compute` no process waits for another."""
        return joint_scores(self._known_totals(), self.layout)

    def per_action(self) -> dict[str, dict[str, float]]:
        """Scores by action, then by key; after :meth:`compute` no process waits for another."""
        return action_scores(self._known_totals(), self.layout, self.protocol)

    def per_track(self) -> Tensor:
        """Joints scored, and the sums of their errors before and after alignment, of each track.

        Returns:
            ``(tracks, 3)`` float64, mm, on the processor; after :meth:`compute` no process waits
            for another. Without rows where no tracks are known.
        """
        return self._known_totals().get("tracks", torch.zeros(0, 3, dtype=torch.float64))

    def _known_totals(self) -> dict[str, Tensor]:
        if self._totals is None:
            if self._motion is not None:
                self._sums.add("motion", self._motion.settle())
            self._totals = self._sums.totals()
            if self._motion is not None:
                across = self._motion.across_processes()
                self._totals["motion"] = self._totals["motion"] + across.double()
        return self._totals

    def _groups(self, batch: PoseBatch, poses: int) -> Tensor:
        """Action of every pose; the last row stands for unknown."""
        if batch.action is None or len(self._lookup) == 1:
            return self._lookup[-1].expand(poses)
        action = self._lookup[batch.action.flatten()]
        return action[:, None].expand(-1, poses // max(1, len(action))).reshape(-1)

    def _restricted(self, pair: PosePair) -> PosePair:
        index = self.layout.position_index(pair.usable.device)
        if index is None:
            return pair
        return PosePair(*(f.movedim(0, -1).index_select(0, index).movedim(-1, 0) for f in pair))

    def _selected(self, errors: JointErrors) -> JointErrors:
        index = self.layout.position_index(errors.error.device)
        return errors if index is None else select_joints(errors, index)

    def _add_positions(self, plain: JointErrors, pair: PosePair, group: Tensor) -> JointErrors:
        """Add the tables of MPJPE, PA-MPJPE and N-MPJPE, and what shares their alignment.

        Returns:
            The errors after alignment.
        """
        excluded = too_few(pair)
        aligned = distances(pair, similar_pose(pair), excluded=excluded)
        scale = optimal_scale(pair.predicted, pair.target)
        scaled = distances(pair, pair.predicted * scale[:, None, None])
        self._count("excluded", excluded)
        self._count("negative_scale", scale < 0)
        kinds = (plain, aligned, scaled)
        self._add_by_group("error", torch.cat([k.error for k in kinds], dim=1), group)
        # Sums of ones are exact, and several times faster than those of integers.
        valid = torch.cat([k.valid for k in kinds], dim=1).to(plain.error.dtype)
        self._add_by_group("count", valid, group, whole=True)
        if self.protocol.pooling == "frame":
            per_pose = torch.stack([k.valid.sum(-1) for k in kinds], dim=1)
            total = torch.stack([k.error.sum(-1) for k in kinds], dim=1)
            mean = total / per_pose.clamp(min=1)
            self._add_by_group("frame_error", mean, group)
            self._add_by_group("frame_count", (per_pose > 0).long(), group)
        self._sums.add("cps", cps_histogram(aligned))
        self._add_thresholds("pa_pck", aligned, self.layout.threshold_of_position, group)
        return aligned

    def _add_by_group(
        self, name: str, values: Tensor, group: Tensor, *, whole: bool = False
    ) -> None:
        rows = len(self.layout.actions) + 1
        table = values.new_zeros(rows, values.shape[1]).index_add_(0, group, values)
        self._sums.add(name, table.long() if whole else table)

    def _add_tracks(
        self,
        motion: Motion,
        pair: PosePair,
        plain: JointErrors,
        aligned: JointErrors,
        batch: PoseBatch,
    ) -> None:
        """Add the sums of each track, and what motion is made of."""
        if batch.sequence is None:
            return
        targets = len(pair.usable) // max(1, len(batch.sequence))
        track = batch.sequence[:, None].expand(-1, targets).flatten()
        values = [plain.valid.sum(-1), plain.error.sum(-1), aligned.error.sum(-1)]
        rows = torch.stack([value.to(plain.error.dtype) for value in values], dim=-1)
        table = rows.new_zeros(len(motion.tracks), 3)
        self._sums.add("tracks", table.index_add_(0, track, rows))
        motion.add(pair, batch, targets)
        if motion.is_full:
            self._sums.add("motion", motion.settle())

    def _add_thresholds(
        self, name: str, errors: JointErrors, joints: tuple[int, ...], group: Tensor
    ) -> None:
        index = indices(joints, errors.error.device)
        chosen = errors if len(joints) == errors.error.shape[1] else select_joints(errors, index)
        bins = self.layout.bins
        cell = group * bins + threshold_bins(chosen.error.mT, self.layout.thresholds)
        rows = len(self.layout.actions) + 1
        counts = count_cells(cell, chosen.valid.mT, rows * bins)
        self._sums.add(name, counts.view(rows, bins))

    def _add_structure(self, pair: PosePair) -> None:
        bone, known, side, even = bone_and_side_differences(pair, self.skeleton)
        self._add_ratio("bone", bone.sum(), known.sum())
        self._add_ratio("symmetry", side.sum(), even.sum())
        counted = pair.usable | pair.nonfinite
        for clusters in self.clusters:
            whole = counted.all(-1)
            hit = structure_matches(pair.predicted, pair.target, clusters.centers)
            hit = hit & whole & ~pair.nonfinite.any(-1)
            self._add_ratio(f"pss_{len(clusters)}", hit.sum(), whole.sum())

    def _add_extra(self, name: str, pose: Tensor, target: Tensor, mask: Tensor | None) -> None:
        pair = pose_pair(pose, target, mask)
        pair = self._restricted(
            PosePair(*(f.flatten(0, -_trailing(i)) for i, f in enumerate(pair)))
        )
        aligned = distances(pair, similar_pose(pair), excluded=too_few(pair))
        self._add_ratio(f"extra/{name}_mpjpe_mm", *pooled_sums(distances(pair)))
        self._add_ratio(f"extra/{name}_pa_mpjpe_mm", *pooled_sums(aligned))

    def _add_sigma(self, sigma: Tensor, pair: PosePair, plain: JointErrors) -> None:
        """Add calibration sums, without the root, whose position is given."""
        check_shape("sigma", sigma, "*batch joints", joints=len(self.skeleton))
        index = indices(self.layout.calibrated, sigma.device)
        sigma = sigma.flatten(0, -2).index_select(1, index)
        mean, target, valid = (f.index_select(1, index) for f in pair[:3])
        error = plain.error.index_select(1, index)
        likelihood = torch.where(valid, gaussian_nll(mean, sigma, target), 0.0)
        self._add_ratio("nll", likelihood.sum(), valid.sum())
        self._sums.add("coverage", coverage_histogram(mean, sigma, target, valid))
        ranks = ranking_sums(floored(sigma), error, valid)
        for name, value in ranks._asdict().items():
            self._sums.add(f"ranking/{name}", value)

    def _add_hypotheses(self, poses: Tensor, target: Tensor, mask: Tensor | None) -> None:
        lead = target.ndim - 3
        poses, target = poses.flatten(0, lead - 1), target.flatten(0, lead - 1)
        check_shape("hypotheses", poses, "batch hypotheses frames joints 3", batch=len(target))
        if mask is None:
            mask = torch.ones_like(target[..., 0], dtype=torch.bool)
        mask = mask.reshape(target.shape[:-1]).bool()
        index = self.layout.position_index(poses.device)
        if index is not None:
            poses, target = poses.index_select(3, index), target.index_select(2, index)
            mask = mask.index_select(2, index)
        number = poses.shape[1]
        errors = unaligned_errors(poses, target, mask)
        self._add_ratio(f"oracle/p_best@H{number}_mm", *p_best_sums(errors))
        self._add_ratio(f"oracle/j_best@H{number}_mm", *j_best_sums(errors))
        self._add_ratio("diversity_mm", *diversity_sums(poses, mask))
        mean = distances(pose_pair(to_working_precision(poses).mean(1), target, mask))
        self._add_ratio("p_agg_mpjpe_mm", *pooled_sums(mean))

    def _add_ratio(self, name: str, total: Tensor, count: Tensor) -> None:
        self._sums.add(f"{name}:sum", total)
        self._sums.add(f"{name}:count", count)

    def _count(self, name: str, flags: Tensor) -> None:
        self._sums.add(f"n/{name}", flags.sum())


@cache
def _say_no_motion() -> None:
    """Once a process: the same holds for every evaluation of its data."""
    log.info(
        "no velocity or acceleration: no two neighbouring frames of a track are samples; "
        "data.eval_every=1 takes them all"
    )


def _trailing(field: int) -> int:
    """How far from the end the batch axes of a pair's field reach."""
    return 3 if field < 2 else 2
