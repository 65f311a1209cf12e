"""The student of triangulated labels under Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.methods.base import LiftingModule
from lifting.methods.epipolar_student.config import Config
from lifting.methods.epipolar_student.student import KeypointStudent
from lifting.methods.settings import ModuleSettings
from lifting.tto.adapter import InputLatent
from lifting.tto.contract import Decoded, Latents, Refinable


class Module(LiftingModule):
    """Trains and applies a lifting method by the losses of a student without 3D truth.

    Args:
        config: The switches.
        settings: What the run gives to every method.
        base: The method that lifts, with fresh weights.

    Raises:
        ConfigError: The method cannot be trained by a loss on its answer.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings, base: LiftingModule) -> None:
        super().__init__(config, settings)
        self.lifting = KeypointStudent(config, base)

    @property
    def _lifter(self) -> LiftingModule:
        return self.lifting.lifter

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Those of the lifting method."""
        return self._lifter.configure_callbacks()

    def on_train_epoch_start(self) -> None:
        """Let the lifting method do what it does at the start of an epoch."""
        self._lifter.on_train_epoch_start()

    def on_train_batch_end(self, outputs: Any, batch: PoseBatch, batch_idx: int) -> None:
        """Let the lifting method do what it does after a step."""
        self._lifter.on_train_batch_end(outputs, batch, batch_idx)

    def describe(self) -> dict[str, Any]:
        """What the lifting method says of itself, and what it learns by."""
        lifter = self._lifter
        own = {"lifter": lifter.settings.method, "losses": self.config.weights()}
        return lifter.describe() | own

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Sum of the losses that are switched on."""
        return self.log_losses(self.lifting.losses(batch), batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """The lifting method's answer."""
        return self._lifter.predict(batch)

    @property
    def lr_scale(self) -> Mapping[str, float]:
        """Factor of the learning rate for each latent, those of the lifting method."""
        return self._latents().lr_scale

    def encode(self, batch: PoseBatch) -> Latents:
        """Start of test-time optimisation: the lifting method's latents."""
        return self._latents().encode(batch)

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Poses of the latents; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: For cameras.
        """
        return self._latents().decode(latents, batch)

    def _latents(self) -> Refinable | InputLatent:
        lifter = self._lifter
        return lifter if isinstance(lifter, Refinable) else InputLatent(lifter)
