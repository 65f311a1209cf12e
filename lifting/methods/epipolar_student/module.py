"""The student of triangulated labels under Lightning."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.methods.base import LiftingModule
from lifting.methods.epipolar_student.config import Config
from lifting.methods.epipolar_student.student import KeypointStudent
from lifting.methods.on_base import ModuleOnBase
from lifting.methods.settings import ModuleSettings


class Module(ModuleOnBase):
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
    def below(self) -> LiftingModule:
        """The method that lifts."""
        return self.lifting.lifter

    def on_train_epoch_start(self) -> None:
        """Let the lifting method do what it does at the start of an epoch."""
        self.below.on_train_epoch_start()

    def on_train_batch_end(self, outputs: Any, batch: PoseBatch, batch_idx: int) -> None:
        """Let the lifting method do what it does after a step."""
        self.below.on_train_batch_end(outputs, batch, batch_idx)

    def describe(self) -> dict[str, Any]:
        """What the lifting method says of itself, and what it learns by."""
        own = {"lifter": self.below.settings.method, "losses": self.config.weights()}
        return self.below.describe() | own

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Sum of the losses that are switched on."""
        return self.log_losses(self.lifting.losses(batch), batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """The lifting method's answer."""
        return self.below.predict(batch)
