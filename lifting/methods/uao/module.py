"""GUMLP under Lightning: training, prediction, and its latents for test-time optimisation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, answered_frames
from lifting.methods.base import LiftingModule
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao.config import Config
from lifting.methods.uao.network import Gumlp
from lifting.methods.uao.uncertainty import axis_deviation, log_error_in_mm, uncertainty_loss
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.tto.contract import Decoded, Latents
from lifting.typing import Pose2D, Pose3D

KEYPOINTS = "keypoints"


class Module(LiftingModule):
    """Trains and applies GUMLP, one frame at a time.

    It offers its 2D input as the latent of test-time optimisation (:mod:`lifting.tto`).

    Args:
        config: The switches.
        settings: What the run gives to every method.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = Gumlp(self.skeleton, config)

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss over all joints, the root with its true position zero, of shape ``()``."""
        estimate = self.network(self._keypoints(batch))
        target = self.target(batch) / MM_PER_METRE
        loss = uncertainty_loss(
            estimate.pose, estimate.log_sigma, target, self.label_weights(batch)
        )
        return self.log_losses({"uncertainty": loss}, batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the middle frame of each window, or each frame where all are the targets."""
        answer = self.decode(self.encode(batch), batch)
        assert answer.log_sigma is not None
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=self._without_root(answer.pose),
            sigma=axis_deviation(answer.log_sigma),
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
        return {KEYPOINTS: self._keypoints(batch)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Lift the latent keypoints; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: Not read: the latent is all that the network sees.

        Returns:
            The network's own pose, whose root is near zero but not there, and the log error.
        """
        estimate = self.network(latents[KEYPOINTS])
        return Decoded(
            pose=from_network_units(estimate.pose),
            log_sigma=log_error_in_mm(estimate.log_sigma),
        )

    def _keypoints(self, batch: PoseBatch) -> Pose2D:
        """Keypoints of the target frames, ``(batch, targets, joints, 2)``, screen units."""
        keypoints = answered_frames(batch.keypoints_2d, self.settings.target)
        return to_network_units(keypoints, batch.camera.size)

    def _without_root(self, pose: Pose3D) -> Pose3D:
        """The pose with its root at zero; the other joints stay, as they are scored (released)."""
        others = torch.ones(len(self.skeleton), 1, device=pose.device, dtype=pose.dtype)
        others[self.skeleton.root] = 0
        return pose * others
