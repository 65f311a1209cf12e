"""MotionBERT under training: masked pretraining, if it has epochs, then lifting."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lifting.batch import PoseBatch, answered_frames
from lifting.errors import ConfigError
from lifting.methods.clip_lifter import to_image
from lifting.methods.clip_training import ClipTraining
from lifting.methods.motionbert.config import Config
from lifting.methods.motionbert.corruption import (
    DetectorNoise,
    NoiseDraws,
    crop_scale,
    disturb,
    hide,
)
from lifting.methods.motionbert.lifter import Lifter
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.clip_loss import image_loss

PRETRAIN, TRAIN = "pretrain", "train"
SMALLEST_CROP = 0.25


class Module(Lifter, ClipTraining):
    """Pretrains and trains DSTformer.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Windows are longer than there are places in time, or are to be projected
            where middle frames only have labels.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        if config.noise_file is not None and settings.target != "all" and settings.frames > 1:
            raise ConfigError(
                "expected data.target 'all' with method.noise_file, which disturbs projections of "
                f"the labels of all frames, got '{settings.target}'; set data.target to all"
            )
        self.noise: DetectorNoise | None = None  # read when the pretraining begins

    def stages(self) -> tuple[Stage, ...]:
        """Pretraining, if it has epochs, and training."""
        config, stages = self.config, (Stage(TRAIN),)
        if config.pretrain_epochs == 0:
            return stages
        return (Stage(PRETRAIN, config.pretrain_epochs, config.pretrain_lr), *stages)

    def begin_stage(self, stage: Stage) -> None:
        """Read the detector's errors that a pretraining asks for."""
        super().begin_stage(stage)
        path = self.config.noise_file
        if stage.name == PRETRAIN and path is not None:
            self.noise = DetectorNoise.read(Path(path), len(self.skeleton))

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the loss terms; in pretraining of answers to what is left to see."""
        if self.stage.name != PRETRAIN:
            return super().training_step(batch, batch_idx)
        terms = self.losses_with_stills(batch, self.config.stills, self._pretraining_losses)
        return self.log_losses(terms, batch)

    def _pretraining_losses(self, batch: PoseBatch, place: int | None) -> dict[str, Tensor]:
        answer: Tensor = self.network(self._hidden(self._disturbed(batch)), place)
        losses = self.losses(answered_frames(answer, self.settings.target), batch)
        if self.config.from_2d is not None and self.current_epoch >= self.config.from_2d:
            losses["image"] = self._image_loss(batch, place)
        return losses

    def _disturbed(self, batch: PoseBatch) -> Tensor:
        """The data's own keypoints, or projections of the labels with errors of the file's."""
        if self.noise is None or batch.joints_3d is None:
            return self.network_input(batch)
        camera = batch.camera
        clean = to_image(batch.joints_3d, camera.intrinsics, camera.size, self.skeleton.root)
        return disturb(clean[..., :2], self.noise, NoiseDraws.draw(clean))

    def _hidden(self, keypoints: Tensor) -> Tensor:
        draws = torch.rand_like(keypoints[..., :1])
        frames = torch.rand_like(keypoints[:1, :, :1, :1])
        return hide(keypoints, draws, frames, self.config.mask_joints, self.config.mask_frames)

    def _image_loss(self, batch: PoseBatch, place: int | None) -> Tensor:
        """How far keypoints are found again in the image, from what of them is left to see."""
        given = self.network_input(batch)
        ratio = SMALLEST_CROP + (1 - SMALLEST_CROP) * torch.rand(len(given), device=given.device)
        seen = crop_scale(given, ratio)
        seen = seen * (seen[..., 2:] != 0)
        root = self.skeleton.root if self.config.root == "relative" else None
        uv = seen[..., :2]
        target = uv if root is None else uv - uv[..., root : root + 1, :]
        answer: Tensor = self.network(self._hidden(seen), place)
        return image_loss(answer[..., :2], target, seen[..., 2])
