"""Keeps the worst samples of an evaluation while its batches pass by."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.typing import PerJoint, PerSample, Pose2D, Pose3D


@dataclass(kw_only=True)
class Samples:
    """Some samples, one frame each. All tensors lead with the axis of samples.

    Attributes:
        error: Mean error of the whole sample, ``(samples,)``, mm.
        joint_error: Error of each joint of the shown frame, ``(samples, joints)``, mm, NaN where
            the label is not valid.
        keypoints_2d: ``(samples, joints, 2)``, pixels.
        confidence: ``(samples, joints)``, 0 to 1.
        truth: ``(samples, joints, 3)``, camera frame, root-relative, mm.
        predicted: ``(samples, joints, 3)``, camera frame, root-relative, mm.
        size: Width and height of the image, ``(samples, 2)``, pixels.
        rotation: World to camera, ``(samples, 3, 3)``; the level camera's where it is unknown.
        sequence: ``(samples,)`` int, -1 where unknown; as the next two.
        action: ``(samples,)``.
        frame: Frame that is shown, ``(samples,)``.
    """

    error: PerSample
    joint_error: PerJoint
    keypoints_2d: Pose2D
    confidence: PerJoint
    truth: Pose3D
    predicted: Pose3D
    size: Tensor
    rotation: Tensor
    sequence: Tensor
    action: Tensor
    frame: Tensor

    def __len__(self) -> int:
        return int(self.error.shape[0])

    def select(self, index: Tensor) -> Samples:
        """Some of the samples, in the given order."""
        return Samples(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def cpu(self) -> Samples:
        """The same samples on the CPU."""
        return Samples(**{f.name: getattr(self, f.name).cpu() for f in fields(self)})


class WorstSamples:
    """The samples of greatest mean error, at most one a track.

    Neighbouring frames of a track fail in the same way, so each track shows only its worst.

    Args:
        count: Samples to keep.
        root: Index of the root joint.
        window_stride: Frames between two neighbours inside a window.
    """

    def __init__(self, count: int, root: int, window_stride: int = 1) -> None:
        self.count = count
        self.root = root
        self.window_stride = window_stride
        self.samples: Samples | None = None

    @torch.no_grad()
    def update(self, prediction: Prediction, batch: PoseBatch) -> None:
        """Look at a batch; unlabelled ones and non-finite samples are passed over.

        Args:
            prediction: ``joints_3d`` is ``(batch, targets, joints, 3)``, root-relative, mm.
            batch: The labelled input, one view a sample.
        """
        if self.count == 0 or batch.joints_3d is None or batch.keypoints_2d.ndim != 4:
            return
        found = self._worst_of(prediction, batch)
        if self.samples is not None:
            found = _joined(self.samples, found)
        self.samples = found.select(worst_rows_of(found.error, found.sequence, self.count))

    def _worst_of(self, prediction: Prediction, batch: PoseBatch) -> Samples:
        """The batch's candidates: only their rows are gathered, not the whole batch."""
        assert batch.joints_3d is not None
        truth = root_relative(batch.joints_3d, self.root)
        joint_error = (prediction.joints_3d - truth).norm(dim=-1)  # (batch, targets, joints)
        if batch.visible is not None:
            joint_error = joint_error.masked_fill(~batch.visible, torch.nan)
        per_frame = joint_error.nanmean(-1)
        error = per_frame.nanmean(-1).nan_to_num(-torch.inf, posinf=-torch.inf)
        row = worst_rows_of(error, batch.sequence, self.count)
        shown = per_frame[row].nan_to_num(-torch.inf).argmax(-1)  # target that is drawn
        return self._rows(prediction, batch, truth, joint_error, error, row, shown)

    def _rows(
        self,
        prediction: Prediction,
        batch: PoseBatch,
        truth: Pose3D,
        joint_error: Tensor,
        error: Tensor,
        row: Tensor,
        shown: Tensor,
    ) -> Samples:
        frames, targets = batch.keypoints_2d.shape[1], truth.shape[1]
        middle = frames // 2
        seen = shown if targets == frames else torch.full_like(shown, middle)
        keypoints = batch.keypoints_2d[row, seen]
        confidence = keypoints.new_ones(keypoints.shape[:-1])
        if batch.confidence is not None:
            confidence = batch.confidence[row, seen]
        rotation = batch.camera.rotation
        unknown = torch.full_like(row, -1)
        frame = unknown if batch.frame is None else batch.frame[row]
        return Samples(
            error=error[row],
            joint_error=joint_error[row, shown],
            keypoints_2d=keypoints,
            confidence=confidence,
            truth=truth[row, shown],
            predicted=prediction.joints_3d[row, shown],
            size=batch.camera.size[row],
            rotation=_level(row) if rotation is None else rotation[row],
            sequence=unknown if batch.sequence is None else batch.sequence[row],
            action=unknown if batch.action is None else batch.action[row],
            frame=frame + (seen - middle) * self.window_stride,
        )


def worst_rows_of(error: PerSample, sequence: Tensor | None, count: int) -> Tensor:
    """Rows of the greatest finite errors, at most one a known sequence, the greatest first.

    Args:
        error: ``(rows,)``.
        sequence: ``(rows,)`` int, -1 or None where unknown.
        count: Rows wanted.

    Returns:
        ``(<= count,)`` int64.
    """
    order = error.argsort(descending=True, stable=True)
    order = order[error[order].isfinite()]
    if sequence is None:
        return order[:count]
    position = torch.arange(len(order), device=order.device)
    # Samples of unknown sequence count as all different.
    group = torch.where(sequence[order] >= 0, sequence[order], -1 - position)
    names, inverse = torch.unique(group, return_inverse=True)
    first = position.new_full((len(names),), len(order))
    first = first.scatter_reduce(0, inverse, position, reduce="amin")
    return order[first.sort().values[:count]]


def _level(row: Tensor) -> Tensor:
    """World to camera of a level camera that looks along the world's y, ``(rows, 3, 3)``."""
    level = torch.tensor(((1.0, 0, 0), (0, 0, -1.0), (0, 1.0, 0)), device=row.device)
    return level.expand(len(row), 3, 3)


def _joined(a: Samples, b: Samples) -> Samples:
    return Samples(
        **{f.name: torch.cat((getattr(a, f.name), getattr(b, f.name))) for f in fields(Samples)}
    )
