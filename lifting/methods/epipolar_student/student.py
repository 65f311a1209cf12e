"""A lifting method and the losses it learns by: labels of a teacher, views, image, body, time."""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.batch import PoseBatch, label_weights, root_relative
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera
from lifting.methods.base import LiftingModule
from lifting.methods.epipolar_student.config import Config
from lifting.methods.epipolar_student.losses import (
    best_scale,
    bone_change_loss,
    cross_view_loss,
    label_loss,
    reprojection_loss,
    symmetry_loss,
    velocity_loss,
)
from lifting.nn.units import MM_PER_METRE
from lifting.typing import PerJoint, Pose3D

_SHARED = ("subject", "action", "sequence", "frame")


class Views(NamedTuple):
    """A batch whose views lie one after the other.

    Attributes:
        batch: ``(instants * views, ...)``.
        number: Views of an instant; 1 where they are apart.
    """

    batch: PoseBatch
    number: int

    def by_instant(self, values: Tensor) -> Tensor:
        """Values of the samples with the axis of views again, ``(instants, views, ...)``."""
        return values.reshape(-1, self.number, *values.shape[1:])


class Learnt(NamedTuple):
    """Answers and labels of a step, metres.

    Attributes:
        predicted: ``(samples, targets, joints, 3)``, root-relative.
        target: Same shape, labels.
        weights: ``(samples, targets, joints)``, of the labels.
    """

    predicted: Pose3D
    target: Pose3D
    weights: PerJoint


class KeypointStudent(nn.Module):
    """A lifting method and the losses it learns by instead of its own.

    Args:
        config: The weights of the losses.
        lifter: The method.

    Raises:
        ConfigError: The method trains in several stages.
    """

    def __init__(self, config: Config, lifter: LiftingModule) -> None:
        super().__init__()
        self.config = config
        self.lifter = lifter
        self.skeleton = self.lifter.skeleton
        if len(self.lifter.stages()) > 1:
            raise self._unfit("is trained in several stages")

    def losses(self, batch: PoseBatch) -> dict[str, Tensor]:
        """Weighted losses of a batch by name.

        Args:
            batch: Views apart, or together with an axis of views after the first.

        Raises:
            ConfigError: A loss needs views or frames that the data section does not give.
            DataError: The batch has no labels, or no extrinsics where the rig's are asked for.
        """
        together = batch.keypoints_2d.ndim == 5
        views = fold_views(batch, self._drawn(batch) if together else None)
        learnt = self._learnt(views.batch)
        return {
            name: weight * self._loss(name, learnt, views)
            for name, weight in self.config.weights().items()
        }

    def _learnt(self, batch: PoseBatch) -> Learnt:
        if batch.joints_3d is None:
            raise DataError(
                "expected labels in the batch, got none; set data.labels to epipolar, or use "
                "labelled data"
            )
        predicted = self.lifter.predict(batch).joints_3d / MM_PER_METRE
        if self.training and not predicted.requires_grad:
            raise self._unfit("gives an answer without a gradient")
        target = root_relative(batch.joints_3d, self.skeleton.root) / MM_PER_METRE
        weights = label_weights(batch, self.skeleton)
        if weights is None:
            weights = torch.ones_like(target[..., 0])
        weights = weights.to(target)
        if self.config.scale == "free":
            scale = best_scale(predicted, target, weights, gradient=self.config.scale_gradient)
            # A negative one would teach a mirrored pose.
            predicted = predicted * scale.clamp(min=0.1)
        return Learnt(predicted, target, weights)

    def _loss(self, name: str, learnt: Learnt, views: Views) -> Tensor:
        config, batch = self.config, views.batch
        predicted, target, weights = learnt
        if name == "label":
            return label_loss(predicted, target, weights, config.loss, config.threshold)
        if name == "symmetry":
            return symmetry_loss(predicted, self.skeleton)
        if name == "reprojection":
            half, frames = batch.keypoints_2d.shape[1] // 2, predicted.shape[1]
            rows = slice(None) if frames > 1 else slice(half, half + 1)
            seen = batch.keypoints_2d[:, rows]
            sure = batch.confidence
            confidence = torch.ones_like(seen[..., 0]) if sure is None else sure[:, rows]
            return reprojection_loss(predicted, seen, confidence, batch.camera)
        if name == "velocity":
            self._need(predicted.shape[1] > 1, name, "data.target all and data.frames above 1")
            return velocity_loss(predicted, target, weights)
        by_instant = views.by_instant(predicted)
        if name == "bones":
            poses = by_instant.flatten(1, 2)
            self._need(poses.shape[1] > 1, name, "data.target all, or data.views together")
            return bone_change_loss(poses, self.skeleton)
        self._need(views.number > 1, name, "data.views together")
        rotation = None
        if config.rotation == "rig":
            if batch.camera.rotation is None:
                raise DataError(
                    "expected cameras with extrinsics for method.rotation rig, got none; "
                    "set it to procrustes"
                )
            rotation = views.by_instant(batch.camera.rotation)
        return cross_view_loss(by_instant, views.by_instant(weights), rotation)

    def _drawn(self, batch: PoseBatch) -> Tensor | None:
        """Views of this step; None for all."""
        count, wanted = batch.keypoints_2d.shape[1], self.config.views
        if wanted == 0 or wanted >= count:
            return None
        # On the CPU, so that a step draws the same on every device.
        return torch.randperm(count)[:wanted].to(batch.keypoints_2d.device)

    def _need(self, holds: bool, loss: str, needed: str) -> None:
        if not holds:
            raise ConfigError(
                f"expected {needed} for method.{loss} above 0, got other batches; change "
                "the data section or set it to 0"
            )

    def _unfit(self, why: str) -> ConfigError:
        return ConfigError(
            "expected a lifter that a loss on its answer can train, got "
            f"{self.lifter.settings.method}, which {why}; train it by its own losses: its "
            "experiment with data.labels=epipolar"
        )


def fold_views(batch: PoseBatch, chosen: Tensor | None = None) -> Views:
    """Lay the views of a batch one after the other.

    Args:
        batch: With or without an axis of views.
        chosen: Views to keep, ``(kept,)`` int64; None keeps all.
    """
    if batch.keypoints_2d.ndim == 4:
        return Views(batch, 1)
    picked = batch.keypoints_2d.shape[1] if chosen is None else len(chosen)

    def folded(value: Tensor) -> Tensor:
        kept = value if chosen is None else value.index_select(1, chosen)
        return kept.flatten(0, 1)

    parts: dict[str, object] = {"skeleton": batch.skeleton}
    for f in fields(PoseBatch):
        value = getattr(batch, f.name)
        if isinstance(value, Camera):
            parts[f.name] = value.map(folded)
        elif isinstance(value, Tensor):
            shared = f.name in _SHARED
            parts[f.name] = value.repeat_interleave(picked) if shared else folded(value)
    parts["extras"] = {name: folded(value) for name, value in batch.extras.items()}
    return Views(PoseBatch(**parts), picked)  # type: ignore[arg-type]
