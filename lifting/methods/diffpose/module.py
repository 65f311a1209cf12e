"""DiffPose under Lightning: stages of context encoder, denoiser and student; prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from lifting.batch import PoseBatch, Prediction, answered_frames, root_relative
from lifting.errors import ConfigError, check_shape
from lifting.methods.base import LiftingModule
from lifting.methods.diffpose.checkpoint import load_context
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.guidance import Guide
from lifting.methods.diffpose.mixture import batch_mixtures
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.diffpose.sampler import CHOICES, NOISE, Samples
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.nn.hypotheses import (
    Posterior,
    average,
    by_projection,
    projection_errors,
    weighted_keypoints,
)
from lifting.nn.pose_loss import pose_loss
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.tto.adapter import LEAST_SIGMA_MM
from lifting.tto.contract import Decoded, Latents
from lifting.typing import PerJoint, PerSample, Points3D, Pose2D, Pose3D

CONTEXT, TRAIN, DISTIL = "context", "train", "distil"
ORACLE_ROOT = "oracle_root"
CONDITIONING = "conditioning"
LR_SCALE: Mapping[str, float] = {CONDITIONING: 1.0, NOISE: 100.0}
"""Beside a step of 1e-3 screen units, half a pixel, one of a tenth of the noise's deviation."""


class Module(LiftingModule):
    """Trains a context encoder, then a denoiser around it; answers with the denoiser's samples.

    With a student it goes on to train that after the denoiser, and the student answers. It offers
    its 2D input or its starting noise as the latent of test-time optimisation
    (:mod:`lifting.tto`).

    Args:
        config: The switches.
        settings: What the run gives to every method.

    Raises:
        ConfigError: A skeleton whose root is no hip, or a video context encoder that is to answer
            middle frames only.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        if config.context == "mixste" and settings.target != "all":
            raise ConfigError(
                "expected data.target 'all' with method.context 'mixste', which lifts all frames "
                f"of a window, got '{settings.target}'; set data.target to all"
            )
        self.network = Refiner(config, self.skeleton, settings.frames)

    def describe(self) -> dict[str, Any]:
        """What a record shall say: the network that answers, and how it samples."""
        told = super().describe()
        if self._in_context_stage:
            return told | {"answering": "context encoder"}
        config, network = self.config, self.network
        told["answering"] = "student" if network.by_student else "denoiser"
        told["hypotheses"] = network.drawn
        told["steps"] = network.calls
        if network.drawn > 1:
            told["aggregation"] = config.aggregation
            if config.aggregation == "posterior":
                told["posterior"] = {
                    "sharpness": config.posterior_sharpness,
                    "kept": config.posterior_kept,
                }
        if config.guidance.is_on:
            told["guidance"] = asdict(config.guidance)
        return told

    @classmethod
    def uses_camera(cls, config: Config) -> bool:
        """Where several hypotheses are projected, or the sampling is led by their projection."""
        projects = config.drawn > 1 and config.aggregation not in ("mean", "median")
        return projects or config.guidance.weight_projection > 0

    def random_tables(self) -> dict[str, Tensor]:
        """Noise, and choices between components, where hypotheses can differ."""
        if self._in_context_stage or not self.config.is_random:
            return {}
        return self.network.tables(self.settings.seed)

    def stages(self) -> tuple[Stage, ...]:
        """Those of the context encoder, unless it is given or has no epochs, denoiser, student."""
        config = self.config
        stages = [Stage(TRAIN)]
        if config.context_checkpoint is None and config.context_epochs > 0:
            stages.insert(0, Stage(CONTEXT, config.context_epochs, config.context_lr))
        if config.student != "none":
            stages.append(Stage(DISTIL, config.student_epochs))
        return tuple(stages)

    def begin_stage(self, stage: Stage) -> None:
        """Let gradients into the stage's own network only; fetch a given context encoder."""
        super().begin_stage(stage)
        config, network, student = self.config, self.network, self.network.student
        given = config.context_checkpoint
        if given is not None and stage.name == TRAIN:
            load_context(network.context, Path(given), config, self.skeleton)
        network.context.requires_grad_(self._trains_context)
        for denoiser in (network.denoiser, network.stack):
            denoiser.requires_grad_(stage.name == TRAIN)
        network.by_student = stage.name == DISTIL
        if student is not None:
            student.network.requires_grad_(network.by_student)
            if network.by_student:
                student.begin(network.denoiser)
        self.train(self.training)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step of the optimiser, after which the student's average follows it."""
        super().optimizer_step(*args, **kwargs)
        if self.stage.name == DISTIL and self.network.student is not None:
            self.network.student.follow()

    def on_fit_start(self) -> None:
        """Give the process the depths of the training set, where it starts from them."""
        if self.network.student is not None:
            self.network.student.check_answering()
        statistics = self.network.process.endpoint.statistics
        if statistics is not None:
            tracks = self.trainer.datamodule.tracks("train")  # type: ignore[attr-defined]
            labels = root_relative(tracks.labels(), self.skeleton.root)
            statistics.fit((labels / MM_PER_METRE).to(self.device), tracks.visible)

    def setup(self, stage: str) -> None:
        """Build the metrics; refuse to answer by a student that was never trained."""
        super().setup(stage)
        student = self.network.student
        if stage in ("test", "predict") and student is not None and self.network.by_student:
            student.check_distilled()

    def train(self, mode: bool = True) -> Self:
        """Set the mode; networks that learn nothing in this stage stay in evaluation mode."""
        super().train(mode)
        if not self._trains_context:
            self.network.context.eval()
        if self.stage.name == DISTIL:
            self.network.eval()
        return self

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Lifting loss of the context encoder, denoising or consistency loss, of shape ``()``."""
        target = self.target(batch).flatten(0, 1)
        keypoints = self._screen(batch)
        uv, xyz = keypoints.flatten(0, 1), target / MM_PER_METRE
        visible = None if batch.visible is None else batch.visible.flatten(0, 1)
        if self._in_context_stage:
            loss = pose_loss(self.network.lift(uv), xyz, visible, self.config.context_loss)
            return self.log_losses({"context": loss}, batch)
        mixture = self._mixtures(keypoints, batch)
        if self.stage.name == DISTIL:
            loss = self.network.student_loss(uv, xyz, visible, mixture)
            return self.log_losses({"consistency": loss}, batch)
        return self.log_losses({"denoising": self.network.loss(uv, xyz, visible, mixture)}, batch)

    def loss_weights(self, batch: PoseBatch) -> PerJoint | None:
        """Valid labels where a loss is their mean; the released ones are means over poses."""
        sampled = self.stage.name == DISTIL or self.config.loss != "distance"
        return None if sampled and not self._in_context_stage else batch.visible

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift and, after the context stage, refine each frame that is a target."""
        uv = self._screen(batch)
        if self._in_context_stage:
            return Prediction(skeleton=self.skeleton, joints_3d=self._lift(uv, batch))
        samples = self._sample(uv, batch)
        several = self.config.hypotheses > 1
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=self._aggregate(samples, batch),
            hypotheses=samples.hypotheses.transpose(0, 1) if several else None,
            sigma=samples.spread() if several else None,
            extras={CONTEXT: samples.context, **self._oracles(samples, batch)},
        )

    @property
    def lr_scale(self) -> Mapping[str, float]:
        """Factor of the learning rate for each latent."""
        return LR_SCALE

    def encode(self, batch: PoseBatch) -> Latents:
        """Start of test-time optimisation, by ``method.tto_latent``.

        Args:
            batch: Pixels and image sizes.

        Returns:
            ``conditioning`` ``(batch, targets, joints, 2)``, screen units; or ``noise``
            ``(batch, targets, joints, channels)``, unit.
        """
        uv = self._screen(batch)
        if self.config.tto_latent == "noise" and not self._in_context_stage:
            return noise_latent(self.network, uv, self.settings.seed)
        return {CONDITIONING: uv}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Lift and, after the context stage, refine; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: Read for the keypoints where they are no latent.

        Returns:
            The aggregated pose; its expected error if hypotheses can differ; the prior of a noise.
        """
        uv = latents.get(CONDITIONING, self._screen(batch))
        noise = latents.get(NOISE)
        if self._in_context_stage:
            return Decoded(pose=self._lift(uv, batch))
        samples = self._sample(uv, batch, noise)
        return Decoded(
            pose=self._aggregate(samples, batch),
            log_sigma=log_expected_error(samples) if self.network.drawn > 1 else None,
            prior=None if noise is None else noise_prior(noise),
        )

    def _lift(self, uv: Pose2D, batch: PoseBatch) -> Pose3D:
        """The context encoder's poses of ``(batch, targets, joints, 2)``, mm."""
        return self._shared(self.network.lift(uv.flatten(0, 1)), batch)

    def _sample(self, uv: Pose2D, batch: PoseBatch, noise: Tensor | None = None) -> Samples:
        """Samples of ``(batch, targets, joints, 2)``, mm."""
        flat = uv.flatten(0, 1)
        start = None if noise is None else noise.flatten(0, 1)
        mixture = self._mixtures(uv, batch)
        guide = self._guide(batch)
        tables = {name: batch.extras[name] for name in (NOISE, CHOICES) if name in batch.extras}
        samples = self.network.sample(flat, self.settings.seed, start, mixture, guide, tables)
        return Samples(*(self._shared(pose, batch) for pose in samples))

    def _shared(self, pose: Pose3D, batch: PoseBatch) -> Pose3D:
        """Poses of all target frames in mm, ``(..., batch, targets, joints, 3)``."""
        shared = from_network_units(pose)
        poses = batch.keypoints_2d.shape[0]
        return shared.reshape(*shared.shape[:-3], poses, -1, *shared.shape[-2:])

    def _screen(self, batch: PoseBatch) -> Pose2D:
        """Keypoints of the target frames, ``(batch, targets, joints, 2)``, screen units."""
        keypoints = batch.keypoints_2d
        sizes = {"joints": len(self.skeleton)}
        if self.config.context == "mixste":
            sizes["frames"] = self.settings.frames
        check_shape("keypoints_2d", keypoints, "batch frames joints 2", **sizes)
        return to_network_units(
            answered_frames(keypoints, self.settings.target), batch.camera.size
        )

    @property
    def _in_context_stage(self) -> bool:
        return self.stage.name == CONTEXT

    @property
    def _trains_context(self) -> bool:
        joint = not self.config.context_frozen and self.stage.name == TRAIN
        return joint or self._in_context_stage

    def _mixtures(self, uv: Pose2D, batch: PoseBatch) -> Tensor | None:
        """2D mixtures around ``(batch, targets, joints, 2)``; None for a single point."""
        source, target = self.config.mixture, self.settings.target
        return batch_mixtures(batch, uv, source, target, self.skeleton)

    def _guide(self, batch: PoseBatch) -> Guide | None:
        """What leads the sampling; None where no energy has a weight."""
        guidance, target = self.config.guidance, self.settings.target
        if not guidance.is_on:
            return None
        seen = weighted_keypoints(batch, target)
        return Guide(guidance, seen, self._sizes(batch), self.skeleton)

    def _aggregate(
        self, samples: Samples, batch: PoseBatch, root: Points3D | None = None
    ) -> Pose3D:
        """One pose of all hypotheses; the root is solved for where none is given."""
        how, config = self.config.aggregation, self.config
        if how == "mean" or how == "median":
            return average(samples.hypotheses, how)
        seen = weighted_keypoints(batch, self.settings.target)
        errors = projection_errors(samples.hypotheses, seen, root)
        posterior = Posterior(config.posterior_sharpness, config.posterior_kept)
        return by_projection(samples.hypotheses, how, errors, seen.weights, posterior)

    def _oracles(self, samples: Samples, batch: PoseBatch) -> dict[str, Pose3D]:
        """Answers that read labels, by a name that says so; none unless asked for."""
        if not self.config.oracle_root or batch.joints_3d is None:
            return {}
        root = batch.joints_3d[..., self.skeleton.root, :]
        return {ORACLE_ROOT: self._aggregate(samples, batch, root)}

    def _sizes(self, batch: PoseBatch) -> Tensor:
        """Image size of each target frame, ``(batch targets, 2)``, pixels."""
        frames = batch.keypoints_2d.shape[1] if self.settings.target == "all" else 1
        return batch.camera.size.repeat_interleave(frames, dim=0)


def noise_latent(network: Refiner, uv: Pose2D, seed: int) -> Latents:
    """Noise that sampling starts from, in units of its deviation.

    It is the mean over the hypotheses, from which each keeps its distance. The objective sees only
    their aggregate: were each to move on its own, it would leave open where they go, and their
    spread would mean nothing.

    Args:
        network: Gives the start.
        uv: ``(batch, targets, joints, 2)``.
        seed: Seed of the table of noise.

    Returns:
        ``noise`` ``(batch, targets, joints, channels)``.
    """
    return {NOISE: network.start_noise(seed).expand(*uv.shape[:2], -1, -1)}


def noise_prior(noise: Tensor) -> PerSample:
    """Half the noise's square, mean over frames, ``(batch,)``.

    As the hypotheses' distances from their mean sum to zero, this is but for a constant the mean
    over them of the negative log density of each one's noise.

    Args:
        noise: ``(batch, targets, joints, channels)``, unit.
    """
    return noise.square().sum((-2, -1)).mean(-1) / 2


def log_expected_error(samples: Samples) -> PerJoint:
    """Natural log of the expected error in mm, from the spread of the hypotheses; constant.

    It is bounded below: a joint on which all hypotheses agree is not certain.

    Args:
        samples: At least two hypotheses, mm.

    Returns:
        ``(batch, targets, joints)``.
    """
    error = LENGTH_PER_AXIS * samples.spread().detach()
    return error.clamp(min=LEAST_SIGMA_MM).log()
