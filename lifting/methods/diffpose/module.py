"""DiffPose under Lightning: the context stage, the denoiser stage, prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.errors import check_shape
from lifting.methods.base import LiftingModule
from lifting.methods.diffpose.checkpoint import read_context
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.diffpose.units import PosePair, from_network_units, to_network_units
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.pose_loss import pose_loss
from lifting.typing import Pose2D, Pose3D

CONTEXT = "context"


class Module(LiftingModule):
    """Trains a context encoder, then a denoiser around it; answers with the denoiser's samples.

    Args:
        config: The switches.
        settings: What the run gives to every method.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = Refiner(config, self.skeleton)

    def stages(self) -> tuple[Stage, ...]:
        """The context stage, unless its weights are given or it has no epochs, and the rest."""
        if self.config.context_checkpoint is not None or self.config.context_epochs == 0:
            return (Stage("train"),)
        return (Stage(CONTEXT, self.config.context_epochs), Stage("train"))

    def begin_stage(self, stage: Stage) -> None:
        """Let gradients into the stage's own network only; fetch a given context encoder."""
        super().begin_stage(stage)
        given = self.config.context_checkpoint
        if given is not None:
            imported = read_context(Path(given), self.config.layers)
            self.network.context.load_state_dict(imported.state)
        self.network.context.requires_grad_(self._in_context_stage)
        self.network.denoiser.requires_grad_(not self._in_context_stage)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen context encoder stays in evaluation mode."""
        super().train(mode)
        if not self._in_context_stage:
            self.network.context.eval()
        return self

    def configure_optimizers(self) -> Any:
        """The base's, with the context stage's own learning rate where one is given."""
        configured = super().configure_optimizers()
        rate = self.config.context_lr
        if self._in_context_stage and rate is not None:
            schedule = configured["lr_scheduler"]["scheduler"]
            schedule.base_lrs = [rate for _ in schedule.base_lrs]
            for group, factor in zip(
                configured["optimizer"].param_groups, schedule.lr_lambdas, strict=True
            ):
                group["initial_lr"] = rate
                group["lr"] = rate * factor(0)
        return configured

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Lifting loss of the context stage, denoising loss of the other."""
        target = self.target(batch).flatten(0, 1)
        uv, xyz = to_network_units(PosePair(self._keypoints(batch), target), self._sizes(batch))
        assert xyz is not None
        visible = None if batch.visible is None else batch.visible.flatten(0, 1)
        if self._in_context_stage:
            loss = pose_loss(self.network.lift(uv), xyz, visible, self.config.context_loss)
            return self.log_losses({"context": loss}, batch)
        return self.log_losses({"denoising": self.network.loss(uv, xyz, visible)}, batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift and, after the context stage, refine each frame that is a target."""
        size = self._sizes(batch)
        uv, _ = to_network_units(PosePair(self._keypoints(batch)), size)
        targets = len(uv) // len(batch)

        def answer(pose: Tensor) -> Tensor:
            shared = from_network_units(PosePair(uv, pose), size).joints_3d
            assert shared is not None
            return shared.view(*shared.shape[:-3], len(batch), targets, *shared.shape[-2:])

        if self._in_context_stage:
            return Prediction(joints_3d=answer(self.network.lift(uv)))
        samples = self.network.sample(uv, self.settings.seed)
        hypotheses = answer(samples.hypotheses).transpose(0, 1)
        several = hypotheses.shape[1] > 1
        return Prediction(
            joints_3d=self._aggregate(hypotheses),
            hypotheses=hypotheses if several else None,
            sigma=hypotheses.var(dim=1).mean(dim=-1).sqrt() if several else None,
            extras={CONTEXT: answer(samples.context)},
        )

    @property
    def _in_context_stage(self) -> bool:
        return self.stage.name == CONTEXT

    def _aggregate(self, hypotheses: Tensor) -> Pose3D:
        """One pose from ``(batch, hypotheses, targets, joints, 3)``."""
        if self.config.aggregation == "median":
            return hypotheses.median(dim=1).values
        return hypotheses.mean(dim=1)

    def _keypoints(self, batch: PoseBatch) -> Pose2D:
        """Keypoints of the target frames, ``(batch targets, joints, 2)``, pixels."""
        keypoints = batch.keypoints_2d
        joints = len(self.skeleton)
        check_shape("keypoints_2d", keypoints, "batch frames joints 2", joints=joints)
        if self.settings.target == "middle":
            half = keypoints.shape[1] // 2
            keypoints = keypoints[:, half : half + 1]
        return keypoints.flatten(0, 1)

    def _sizes(self, batch: PoseBatch) -> Tensor:
        """Image size of each target frame, ``(batch targets, 2)``, pixels."""
        frames = batch.keypoints_2d.shape[1] if self.settings.target == "all" else 1
        return batch.camera.size.repeat_interleave(frames, dim=0)
