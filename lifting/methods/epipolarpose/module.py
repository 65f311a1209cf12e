"""EpipolarPose's forms and its refinement unit under Lightning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from torch import Generator, Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.sampler import stream
from lifting.errors import ConfigError
from lifting.methods.base import LiftingModule
from lifting.methods.discovery import load_module_class
from lifting.methods.epipolarpose.checkpoint import start_network, start_unit
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.keypoint import KeypointStudent
from lifting.methods.epipolarpose.refiner import Refiner, refiner_rate
from lifting.methods.epipolarpose.sight import SightErrors
from lifting.methods.epipolarpose.student import Student
from lifting.methods.epipolarpose.trained import load_model, trained_uses_camera
from lifting.methods.settings import ModuleSettings, Stage
from lifting.tto.adapter import InputLatent
from lifting.tto.contract import Decoded, Latents, Refinable
from lifting.typing import Pose3D

STUDENT, UNREFINED = "student", "unrefined"
REFINING = ("refined", "over")
STATISTICS_BATCHES = 200
PLACE = "normalised"


class Module(LiftingModule):
    """Trains and applies the network of images, a lifting student, or the refinement unit.

    Args:
        config: The switches.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Windows of several frames, a skeleton that the form cannot be built for, or a
            refined model of other windows or joints than the data.
        CheckpointError: The model to refine cannot be read.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.student: Student | None = None
        self.base: LiftingModule | None = None
        self.refiner: Refiner | None = None
        self.lifting: KeypointStudent | None = None
        if config.form == "keypoint":
            self.lifting = KeypointStudent(config.keypoint, settings)
        elif config.over is None:
            self._check_frames(1, "whose pictures show single frames")
            self.student = Student(config, self.skeleton)
        else:
            self.base = load_model(Path(config.over))
            self._check_frames(self.base.settings.frames, f"as the model in {config.over} has")
            if self.base.skeleton != self.skeleton:
                raise ConfigError(
                    f"expected the skeleton {self.base.skeleton.name}, which the model in "
                    f"{config.over} answers, got {self.skeleton.name}; set "
                    f"data.skeleton={self.base.skeleton.name} to convert the data"
                )
        if config.form in REFINING:
            self.refiner = Refiner(self.skeleton, config)
        self.sight = SightErrors(self.skeleton)

    def stages(self) -> tuple[Stage, ...]:
        """The network, the refinement unit, or one after the other."""
        if self.config.form == "refined":
            return (Stage(STUDENT, self.config.student_epochs), Stage("train"))
        return (Stage("train"),)

    def begin_stage(self, stage: Stage) -> None:
        """Let gradients into the stage's own part only, and give it the weights to start from."""
        super().begin_stage(stage)
        start, unit = self.config.start, self.config.refiner_start
        if self.student is not None and not self._refines:
            if start is not None:
                start_network(self.student.network, Path(start))
            self.student.begin(stream(self.settings.seed, 0))
        if self.refiner is not None:
            self.refiner.requires_grad_(self._refines)
            if self._refines and unit is not None:
                start_unit(self.refiner.unit, Path(unit))
        if self.student is not None:
            self.student.network.requires_grad_(not self._refines)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is refined stays in evaluation mode."""
        super().train(mode)
        if self._refines:
            for part in (self.student, self.base):
                if part is not None:
                    part.eval()
        return self

    def on_fit_start(self) -> None:
        """Measure what standardises the refinement unit's input, unless a checkpoint has it."""
        if self.refiner is not None and self._refines and not bool(self.refiner.fitted):
            self.refiner.fit_statistics(self._labelled_answers())

    def on_train_epoch_start(self) -> None:
        """Let a lifting student do what it does at the start of an epoch."""
        if self.lifting is not None:
            self.lifting.lifter.on_train_epoch_start()

    def on_train_batch_end(self, outputs: Any, batch: PoseBatch, batch_idx: int) -> None:
        """Let a lifting student do what it does after a step."""
        if self.lifting is not None:
            self.lifting.lifter.on_train_batch_end(outputs, batch, batch_idx)

    def describe(self) -> dict[str, Any]:
        """What a record shall say: the student and its losses, or the depth that the box gives.

        Where another method lifts, what that says of itself comes first.
        """
        told = super().describe() if self._lifter is None else self._lifter.describe()
        if self.lifting is not None:
            keypoint = self.config.keypoint
            return told | {"lifter": keypoint.lifter, "losses": keypoint.weights()}
        if self.student is not None:
            told["root_depth"] = "that of the box"
        if self.refiner is not None:
            told["refined"] = "by a unit trained on the labels of the data section"
        if self.base is not None:
            below = self.base
            told["refined_model"] = f"{below.settings.method}, {below.supervision.protocol}"
        return told

    @classmethod
    def uses_camera(cls, config: Config) -> bool:
        """As the method that lifts; the network of images is told of depth by the camera."""
        if config.form == "keypoint":
            keypoint = config.keypoint
            return load_module_class(keypoint.lifter).uses_camera(keypoint.lifter_config())
        if config.over is not None:
            return trained_uses_camera(Path(config.over))
        return True

    def configure_optimizers(self) -> Any:
        """The base's for the network; the published ones for the refinement unit."""
        if self.refiner is None or not self._refines:
            return super().configure_optimizers()
        optimizer = torch.optim.Adam(self.refiner.parameters(), lr=self.config.refiner_lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, refiner_rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss of the stage's own part."""
        if self.lifting is not None:
            return self.log_losses(self.lifting.losses(batch), batch)
        if self.refiner is not None and self._refines:
            with torch.no_grad():
                pose = self._first(batch).joints_3d
            loss = self.refiner.loss(pose, self.target(batch), batch.visible)
            return self.log_losses({"refined": loss}, batch)
        assert self.student is not None
        if batch_idx == 0:
            self.student.check_margin(batch)
        loss = self.student.loss(batch, self._draws(batch_idx))
        return self.log_losses({"joints": loss}, batch)

    def on_test_epoch_start(self) -> None:
        """Forget the last test."""
        super().on_test_epoch_start()
        self.sight.to(self.device).reset()

    def on_test_batch_end(
        self, outputs: Any, batch: PoseBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Score the prediction, also by what rendered pictures show and hide."""
        super().on_test_batch_end(outputs, batch, batch_idx, dataloader_idx)
        self.sight.update(outputs.joints_3d, batch)

    def on_test_epoch_end(self) -> None:
        """Log the test scores."""
        super().on_test_epoch_end()
        self.log_dict({f"test/{key}": value for key, value in self.sight.compute().items()})

    def predict(self, batch: PoseBatch) -> Prediction:
        """The network's or the other model's answer, refined if there is a unit."""
        first = self._first(batch)
        if self.refiner is None or not self._refines:
            return first
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=self.refiner.refine(first.joints_3d),
            trajectory=first.trajectory,
            extras={UNREFINED: first.joints_3d},
        )

    @property
    def lr_scale(self) -> Mapping[str, float]:
        """Factor of the learning rate for each latent."""
        return {} if self._lifter is None else self._latents().lr_scale

    def encode(self, batch: PoseBatch) -> Latents:
        """Start of test-time optimisation: the network's answer, or the other model's latents.

        Returns:
            ``normalised`` ``(batch, joints, 3)``, nominally -0.5 to 0.5 of the crop.
        """
        if self.student is None:
            return self._latents().encode(batch)
        return {PLACE: self.student.locate(batch)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Poses of the latents; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: For cameras and crops.
        """
        if self.student is None:
            decoded = self._latents().decode(latents, batch)
        else:
            joints = self.student.pose(latents[PLACE], batch)[:, None]
            root = joints[..., self.skeleton.root, None, :]
            decoded = Decoded(pose=joints - root, root=root)
        if self.refiner is None or not self._refines:
            return decoded
        pose = root_relative(decoded.pose, self.skeleton.root)
        return decoded._replace(pose=self.refiner.refine(pose))

    def _first(self, batch: PoseBatch) -> Prediction:
        """Answer before the refinement unit."""
        if self._lifter is not None:
            return self._lifter.predict(batch)
        assert self.student is not None
        joints = self.student.pose(self.student.locate(batch), batch)[:, None]
        root = self.skeleton.root
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=root_relative(joints, root),
            trajectory=joints[..., root, :],
        )

    def _latents(self) -> Refinable | InputLatent:
        lifter = self._lifter
        assert lifter is not None
        return lifter if isinstance(lifter, Refinable) else InputLatent(lifter)

    def _labelled_answers(self) -> Iterator[tuple[Pose3D, Pose3D]]:
        """Answers to training batches and their labels, poses with all labels only."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        for found in islice(data.train_dataloader(), STATISTICS_BATCHES):
            batch = data.transfer_batch_to_device(found, self.device, 0)
            pose, target = self._first(batch).joints_3d, self.target(batch)
            if batch.visible is not None:
                whole = batch.visible.all(-1)
                pose, target = pose[whole], target[whole]
            yield pose, target

    def _draws(self, batch_idx: int) -> Generator:
        return stream(self.settings.seed, self.current_epoch, batch_idx, self.global_rank)

    @property
    def _lifter(self) -> LiftingModule | None:
        """The method that lifts: the student, or the one below the refinement unit."""
        return self.base if self.lifting is None else self.lifting.lifter

    @property
    def _refines(self) -> bool:
        """The refinement unit is at work: in its own stage, and in all that follows."""
        return self.config.form in REFINING and self.stage == self.stages()[-1]

    def _check_frames(self, frames: int, why: str) -> None:
        if self.settings.frames != frames:
            raise ConfigError(
                f"expected data.frames {frames}, {why}, got {self.settings.frames}; set "
                f"data.frames={frames}"
            )
