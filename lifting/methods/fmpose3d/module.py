"""FMPose3D under Lightning: training, prediction, and its latents for test-time optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, answered_frames, flip_pose
from lifting.methods.base import LiftingModule
from lifting.methods.fmpose3d.aggregate import expectation
from lifting.methods.fmpose3d.config import Config
from lifting.methods.fmpose3d.flow import drawn_path, flow_loss, sample, unit_noise
from lifting.methods.fmpose3d.network import VelocityNetwork
from lifting.methods.settings import ModuleSettings
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.nn.hypotheses import (
    Posterior,
    average,
    by_projection,
    projection_errors,
    spread,
    weighted_keypoints,
)
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.tto.adapter import LEAST_SIGMA_MM
from lifting.tto.contract import Decoded, Latents
from lifting.typing import PerJoint, Points3D, Pose2D, Pose3D

KEYPOINTS, NOISE = "keypoints", "noise"
ORACLE_ROOT = "oracle_root"


class Module(LiftingModule):
    """Trains and applies FMPose3D, one frame at a time.

    It offers its 2D input as the latent of test-time optimisation (:mod:`lifting.tto`), the noise
    held.

    Args:
        config: The switches.
        settings: What the run gives to every method.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = VelocityNetwork(self.skeleton, config)

    def describe(self) -> dict[str, Any]:
        """What a record shall say: how many are drawn, in how many steps, how they become one."""
        config, told = self.config, super().describe()
        told |= {"hypotheses": config.drawn, "steps": config.steps, "mirrored": config.flip}
        if config.drawn > 1:
            told["aggregation"] = config.aggregation
        if config.projects and config.aggregation == "rpea":
            told["rpea"] = {"kept": config.kept, "temperature": config.temperature}
        return told

    @classmethod
    def uses_camera(cls, config: Config) -> bool:
        """Where several hypotheses are projected."""
        return config.projects

    def random_tables(self) -> dict[str, Tensor]:
        """Noise that the hypotheses of every pose start from."""
        return {NOISE: self._table(next(self.network.parameters()).device)}

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Squared error of the velocity at a random time of a random path, of shape ``()``."""
        weights = self.label_weights(batch)
        path = drawn_path(self.path_end(batch).flatten(0, 1))
        keypoints = self._screen(batch).flatten(0, 1)
        counted = None if weights is None else weights.flatten(0, 1)
        loss = flow_loss(self.network, keypoints, path, counted)
        return self.log_losses({"velocity": loss}, batch)

    def path_end(self, batch: PoseBatch) -> Pose3D:
        """Where the paths of a batch end, ``(batch, targets, joints, 3)``, metres.

        Root-relative; the root itself as ``root_target`` says.
        """
        end = self.target(batch)
        if self.config.root_target == "absolute":
            assert batch.joints_3d is not None
            end = end.clone()
            end[..., self.skeleton.root, :] = batch.joints_3d[..., self.skeleton.root, :]
        return end / MM_PER_METRE

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the middle frame of each window, or each frame where all are the targets."""
        hypotheses = self._sample(self._screen(batch), batch)
        several = len(hypotheses) > 1
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=self._aggregate(hypotheses, batch),
            hypotheses=hypotheses.transpose(0, 1) if several else None,
            sigma=spread(hypotheses) if several else None,
            extras=self._oracles(hypotheses, batch),
        )

    @property
    def lr_scale(self) -> Mapping[str, float]:
        """Factor of the learning rate for each latent."""
        return {KEYPOINTS: 1.0}

    def encode(self, batch: PoseBatch) -> Latents:
        """Start of test-time optimisation: the network's input.

        Args:
            batch: Pixels and image sizes.

        Returns:
            ``keypoints`` ``(batch, targets, joints, 2)``, screen units.
        """
        return {KEYPOINTS: self._screen(batch)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Lift the latent keypoints; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: Read for what hypotheses are projected to.

        Returns:
            The aggregated pose, and of several hypotheses the log of the expected error.
        """
        hypotheses = self._sample(latents[KEYPOINTS], batch)
        log_error = None
        if len(hypotheses) > 1:  # bounded below: where all agree it is not certain
            error = LENGTH_PER_AXIS * spread(hypotheses).detach()
            log_error = error.clamp(min=LEAST_SIGMA_MM).log()
        return Decoded(pose=self._aggregate(hypotheses, batch), log_sigma=log_error)

    def _sample(self, screen: Pose2D, batch: PoseBatch) -> Tensor:
        """Hypotheses of ``(batch, targets, joints, 2)``, the root at zero, mm."""
        config = self.config
        flat = screen.flatten(0, 1)
        noise = batch.extras.get(NOISE)
        if noise is None:
            noise = self._table(flat.device)
        start = noise.to(flat).expand(-1, len(flat), -1, -1)
        keypoints = flat.expand(config.hypotheses, *flat.shape)
        if config.flip:
            index = torch.tensor(self.skeleton.flip_index, device=flat.device)
            mirrored = flat.index_select(-2, index) * flat.new_tensor((-1.0, 1.0))
            keypoints = torch.cat((keypoints, mirrored.expand_as(keypoints)))
        found = sample(self.network, keypoints, start, config.steps)
        if config.flip:
            plain, turned = found[: config.hypotheses], found[config.hypotheses :]
            found = torch.cat((plain, flip_pose(turned, self.skeleton)))
        others = torch.ones(len(self.skeleton), 1, device=flat.device, dtype=flat.dtype)
        others[self.skeleton.root] = 0
        return from_network_units(found * others).view(-1, *screen.shape[:-1], 3)

    def _aggregate(
        self, hypotheses: Tensor, batch: PoseBatch, root: Points3D | None = None
    ) -> Pose3D:
        """One pose of all hypotheses; the root is solved for where none is given."""
        config = self.config
        if not config.projects:
            return average(hypotheses, "mean")
        errors = self.screen_errors(hypotheses, batch, root)
        if config.aggregation == "best_joint":
            return by_projection(hypotheses, "best_joint", errors, errors[0], Posterior(0.0, 0))
        return expectation(hypotheses, errors, config.kept, config.temperature)

    def screen_errors(
        self, hypotheses: Tensor, batch: PoseBatch, root: Points3D | None = None
    ) -> PerJoint:
        """Distance of projected joints from the keypoints, screen units.

        Args:
            hypotheses: ``(hypotheses, batch, targets, joints, 3)``, root-relative, mm.
            batch: Keypoints and cameras.
            root: ``(batch, targets, 3)``, mm, if known; None solves for it by hypothesis.

        Returns:
            ``(hypotheses, batch, targets, joints)``.
        """
        seen = weighted_keypoints(batch, self.settings.target)
        errors = projection_errors(hypotheses, seen, root)
        return errors * (2 / batch.camera.size[:, None, :1])

    def _oracles(self, hypotheses: Tensor, batch: PoseBatch) -> dict[str, Pose3D]:
        """The answer that reads the labelled root, by a name that says so; only if asked for."""
        if self.config.root == "estimated" or batch.joints_3d is None:
            return {}
        root = batch.joints_3d[..., self.skeleton.root, :]
        return {ORACLE_ROOT: self._aggregate(hypotheses, batch, root)}

    def _screen(self, batch: PoseBatch) -> Pose2D:
        """Keypoints of the target frames, ``(batch, targets, joints, 2)``, screen units."""
        keypoints = answered_frames(batch.keypoints_2d, self.settings.target)
        return to_network_units(keypoints, batch.camera.size)

    def _table(self, device: torch.device) -> Tensor:
        config, seed = self.config, self.settings.seed
        return unit_noise(config.drawn, len(self.skeleton), seed, device)
