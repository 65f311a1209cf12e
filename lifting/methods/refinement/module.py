"""The refinement unit under Lightning, on top of another method's module."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.sampler import Share
from lifting.errors import ConfigError
from lifting.methods.base import LiftingModule
from lifting.methods.on_base import ModuleOnBase
from lifting.methods.refinement.config import Config
from lifting.methods.refinement.network import Refiner, refiner_rate
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.start import start_from
from lifting.tto.contract import Decoded, Latents
from lifting.typing import PerJoint, Pose3D

STUDENT, UNREFINED = "student", "unrefined"
STATISTICS_BATCHES = 200


class Module(ModuleOnBase):
    """Trains and applies the unit; before that, if it is not trained yet, what lies below.

    Args:
        config: The switches.
        settings: What the run gives to every method.
        base: What is refined, trained and frozen where ``config.over`` names it, else with fresh
            weights.

    Raises:
        ConfigError: The base is of other windows or joints than the data, or trains in several
            stages; or the skeleton lacks joints of the unit.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings, base: LiftingModule) -> None:
        super().__init__(config, settings)
        self._check(base)
        self.base = base
        self.refiner = Refiner(self.skeleton, config)

    @property
    def below(self) -> LiftingModule:
        """What is refined."""
        return self.base

    def stages(self) -> tuple[Stage, ...]:
        """The base unless it is trained, then the unit."""
        unit = Stage("train")
        return (unit,) if self.config.over else (Stage(STUDENT, self.config.base_epochs), unit)

    def begin_stage(self, stage: Stage) -> None:
        """Let gradients into the stage's own part only, and give it the weights to start from."""
        super().begin_stage(stage)
        self.refiner.requires_grad_(self._refines)
        if not self._refines:
            self.base.begin_stage(stage)
        else:
            self.base.requires_grad_(False)
            if self.config.start is not None:
                start_from(
                    self.refiner.unit, Path(self.config.start), ("refiner.unit.",), "w1.weight"
                )
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is refined stays in evaluation mode."""
        super().train(mode)
        if self._refines:
            self.base.eval()
        return self

    def on_fit_start(self) -> None:
        """Measure what standardises the unit's input, unless a checkpoint has it."""
        if not self._refines:
            self.base.on_fit_start()
        elif not bool(self.refiner.fitted):
            self.refiner.fit_statistics(self._labelled_answers())

    def on_train_epoch_start(self) -> None:
        """Let the base do what it does at the start of an epoch of its training."""
        if not self._refines:
            self.base.on_train_epoch_start()

    def on_train_batch_start(self, batch: PoseBatch, batch_idx: int) -> None:
        """Let the base do what it does before a step of its training, too."""
        super().on_train_batch_start(batch, batch_idx)
        if not self._refines:
            self.base.on_train_batch_start(batch, batch_idx)

    def loss_weights(self, batch: PoseBatch) -> PerJoint | None:
        """Those of the stage's own part."""
        return batch.visible if self._refines else self.base.loss_weights(batch)

    def on_train_batch_end(self, outputs: Any, batch: PoseBatch, batch_idx: int) -> None:
        """Let the base do what it does after a step of its training."""
        if not self._refines:
            self.base.on_train_batch_end(outputs, batch, batch_idx)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read checkpoints of the time when EpipolarPose's own network alone was trained below."""
        weights = checkpoint["state_dict"]
        old = f"{STUDENT}."
        checkpoint["state_dict"] = {
            f"base.{k}" if k.startswith(old) else k: v for k, v in weights.items()
        }

    def describe(self) -> dict[str, Any]:
        """What the base says of itself, and that its answers are refined."""
        told = self.base.describe()
        told["refined"] = "by a unit trained on the labels of the data section"
        if self.config.over is not None:
            base = self.base
            told["refined_model"] = f"{base.settings.method}, {base.supervision.protocol}"
        return told

    def configure_optimizers(self) -> Any:
        """The base's while it is trained; the published ones for the unit."""
        if not self._refines:
            return self.base.configure_optimizers()
        optimizer = torch.optim.Adam(self.refiner.parameters(), lr=self.config.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, refiner_rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Any:
        """Loss of the stage's own part."""
        if not self._refines:
            # The base logs, too, but Lightning tells the outermost module alone which hook it is.
            self.base._current_fx_name = self._current_fx_name
            return self.base.training_step(batch, batch_idx)
        with torch.no_grad():
            pose = self.base.predict(batch).joints_3d
        loss = self.refiner.loss(pose, self.target(batch), batch.visible)
        return self.log_losses({"refined": loss}, batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """The base's answer, refined once the unit is at work."""
        first = self.base.predict(batch)
        if not self._refines:
            return first
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=self.refiner.refine(first.joints_3d),
            trajectory=first.trajectory,
            extras={UNREFINED: first.joints_3d},
        )

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Refined poses of the latents; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: For cameras and crops.
        """
        decoded = super().decode(latents, batch)
        if not self._refines:
            return decoded
        pose = root_relative(decoded.pose, self.skeleton.root)
        return decoded._replace(pose=self.refiner.refine(pose))

    def _labelled_answers(self) -> Iterator[tuple[Pose3D, Pose3D]]:
        """Answers to training batches and their labels, poses with all labels only."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        whole = data.train_dataloader(Share())  # the same in every process
        for found in islice(whole, STATISTICS_BATCHES):
            batch = data.transfer_batch_to_device(found, self.device, 0)
            pose, target = self.base.predict(batch).joints_3d, self.target(batch)
            if batch.visible is not None:
                labelled = batch.visible.all(-1)
                pose, target = pose[labelled], target[labelled]
            yield pose, target

    @property
    def _refines(self) -> bool:
        """The unit is at work: in its own stage, and in all that follows."""
        return self.stage == self.stages()[-1]

    def _check(self, base: LiftingModule) -> None:
        named = f"the model in {self.config.over}"
        if self.config.over is None and len(base.stages()) > 1:
            raise ConfigError(
                f"expected a method of one stage in method.base, got {base.settings.method}, "
                "which is trained in several; train it first and name its checkpoint in "
                "method.over"
            )
        if base.settings.frames != self.settings.frames:
            raise ConfigError(
                f"expected data.frames {base.settings.frames}, as {named} has, got "
                f"{self.settings.frames}; set data.frames={base.settings.frames}"
            )
        if base.skeleton != self.skeleton:
            raise ConfigError(
                f"expected the skeleton {base.skeleton.name}, which {named} answers, got "
                f"{self.skeleton.name}; set data.skeleton={base.skeleton.name} to convert the data"
            )
