"""EpipolarPose's network of images under Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from torch import Generator, Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.sampler import stream
from lifting.errors import ConfigError
from lifting.methods.base import LiftingModule
from lifting.methods.epipolarpose.checkpoint import start_network
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.sight import SightErrors
from lifting.methods.epipolarpose.student import Student
from lifting.methods.settings import ModuleSettings, Stage
from lifting.tto.contract import Decoded, Latents

PLACE = "normalised"


class Module(LiftingModule):
    """Trains and applies the network of images.

    Args:
        config: The switches.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Windows of several frames, or a skeleton that the network cannot be built for.
    """

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
