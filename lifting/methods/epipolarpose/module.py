"""EpipolarPose's network of images under Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Generator, Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.images.raycast import BEHIND_BODY, BEHIND_OBJECT, SEEN
from lifting.data.sampler import stream
from lifting.errors import ConfigError
from lifting.methods.base import LiftingModule
from lifting.methods.epipolarpose.checkpoint import start_network
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.student import Student
from lifting.methods.settings import ModuleSettings, Stage
from lifting.metrics.sums import Sums
from lifting.skeleton import Skeleton
from lifting.tto.contract import Decoded, Latents
from lifting.typing import Pose3D

PLACE = "normalised"


class Module(LiftingModule):
    """Trains and applies the network of images.

    Args:
        config: The switches.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Windows of several frames, or a skeleton that the network cannot be built for.
    """

    reads_pictures = True
    config: Config
    lr_scale: Mapping[str, float] = {}

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        if settings.frames != 1:
            raise ConfigError(
                "expected data.frames 1, whose pictures show single frames, got "
                f"{settings.frames}; set data.frames=1"
            )
        self.student = Student(config, self.skeleton)

    def begin_stage(self, stage: Stage) -> None:
        """Give the network the weights to start from, and freeze a copy if one labels."""
        super().begin_stage(stage)
        if self.config.start is not None:
            start_network(self.student.network, Path(self.config.start))
        self.student.begin(stream(self.settings.seed, 0))
        self.student.network.requires_grad_(True)
        self.train(self.training)

    def configure_callbacks(self) -> list[Callback]:
        """Scores of joints that pictures show and hide."""
        return [SightErrors(self.skeleton)]

    def describe(self) -> dict[str, Any]:
        """What a record shall say: that the box gives the depth of the root."""
        return super().describe() | {"root_depth": "that of the box"}

    @classmethod
    def uses_camera(cls, config: Config) -> bool:
        """The network is told of depth by the camera."""
        return True

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Distance of the answers to changed crops from their labels."""
        if batch_idx == 0:
            self.student.check_margin(batch)
        loss = self.student.loss(batch, self._draws(batch_idx))
        return self.log_losses({"joints": loss}, batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """The network's answer."""
        joints = self.student.pose(self.student.locate(batch), batch)[:, None]
        root = self.skeleton.root
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=root_relative(joints, root),
            trajectory=joints[..., root, :],
        )

    def encode(self, batch: PoseBatch) -> Latents:
        """Start of test-time optimisation: the network's answer.

        Returns:
            ``normalised`` ``(batch, joints, 3)``, nominally -0.5 to 0.5 of the crop.
        """
        return {PLACE: self.student.locate(batch)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Poses of the latents; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: For cameras and crops.
        """
        joints = self.student.pose(latents[PLACE], batch)[:, None]
        root = joints[..., self.skeleton.root, None, :]
        return Decoded(pose=joints - root, root=root)

    def _draws(self, batch_idx: int) -> Generator:
        return stream(self.settings.seed, self.current_epoch, batch_idx, self.global_rank)


SIGHT = "sight"
"""Extra of rendered pictures, ``(batch, 1, joints)``: which joints are seen."""
SIGHT_SCORES = {
    "seen_mpjpe_mm": SEEN,
    "behind_body_mpjpe_mm": BEHIND_BODY,
    "behind_object_mpjpe_mm": BEHIND_OBJECT,
}


class SightErrors(Callback):
    """Logs the mean joint error of a test by what hides a joint; without the root.

    Args:
        skeleton: Joints of predictions and labels.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self._sums = Sums()

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the last test."""
        self._sums.to(pl_module.device)
        self.reset()

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Prediction,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score what the callbacks before left in the prediction."""
        self.update(outputs.joints_3d, batch)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the test scores."""
        pl_module.log_dict({f"test/{key}": value for key, value in self.compute().items()})

    def reset(self) -> None:
        """Forget everything."""
        self._sums.reset()

    @torch.no_grad()
    def update(self, joints: Pose3D, batch: PoseBatch) -> None:
        """Add a batch; nothing where its pictures do not tell what they show.

        Args:
            joints: Root-relative, ``(batch, 1, joints, 3)``, mm.
            batch: With labels.
        """
        if batch.joints_3d is None or SIGHT not in batch.extras:
            return
        root = self.skeleton.root
        error = (joints - root_relative(batch.joints_3d, root)).norm(dim=-1)
        counts = torch.ones_like(error, dtype=torch.bool)
        if batch.visible is not None:
            counts = counts & batch.visible
        counts[..., root] = False
        for key, state in SIGHT_SCORES.items():
            chosen = counts & (batch.extras[SIGHT] == state)
            self._sums.add(f"{key}/error", torch.where(chosen, error, 0.0).sum())
            self._sums.add(f"{key}/count", chosen.sum())

    def compute(self) -> dict[str, Tensor]:
        """Mean errors by key, mm; every process must call this. Keys without joints are absent."""
        totals = self._sums.totals()
        return {
            key: (totals[f"{key}/error"] / totals[f"{key}/count"]).to(self._sums.device)
            for key in SIGHT_SCORES
            if f"{key}/count" in totals and totals[f"{key}/count"] > 0
        }
