"""GUMLP with weights, and its latents for test-time optimisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, answered_frames
from lifting.errors import ConfigError
from lifting.geometry.camera import denormalize_screen
from lifting.methods.lifter import SeeingLifter
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao.config import Config
from lifting.methods.uao.network import Estimate, Gumlp
from lifting.nn.expected_error import axis_deviation
from lifting.nn.inputs import channels_of, over_frames
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.tto.contract import Decoded, Latents
from lifting.typing import PerJoint, Pose2D, Pose3D

KEYPOINTS = "keypoints"


class Lifter(SeeingLifter):
    """Applies GUMLP.

    It offers its 2D input as the latent of test-time optimisation (:mod:`lifting.tto`).

    Args:
        config: The switches.
        settings: What the run gives to every method.

    Raises:
        ConfigError: All frames of a window shall be answered by a network that sees a window.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        if config.sees == "window" and settings.target == "all":
            raise ConfigError(
                "expected data.target=middle with method.sees=window, got all; the middle frame "
                "of a window is answered"
            )
        frames = settings.frames if config.sees == "window" else 1
        self.network = Gumlp(self.skeleton, config, frames * channels_of(config.input))

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
        """Start of test-time optimisation: what the network sees, in screen units.

        Args:
            batch: Pixels and image sizes.

        Returns:
            ``keypoints`` ``(batch, frames, joints, 2)``, screen units; ``frames`` are those that
            are answered, or of a network that sees windows, all.
        """
        return {KEYPOINTS: to_network_units(self._frames(batch.keypoints_2d), batch.camera.size)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Lift the latent keypoints; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: For the confidences and cameras that ``method.input`` shows the network.

        Returns:
            The network's own pose, whose root is near zero but not there, and the log error.
        """
        estimate = self.estimate(latents[KEYPOINTS], batch)
        return Decoded(
            pose=from_network_units(estimate.pose),
            log_sigma=log_error_in_mm(estimate.log_sigma),
        )

    def estimate(self, keypoints: Pose2D, batch: PoseBatch) -> Estimate:
        """Lift keypoints, in the axes of the camera.

        Args:
            keypoints: ``(batch, frames, joints, 2)``, screen units, of the frames of a latent.
            batch: For the confidences and cameras.

        Returns:
            Of the frames that are answered; metres.
        """
        if self.config.input == "screen":
            shown = over_frames(keypoints) if self.config.sees == "window" else keypoints
            return self.network(shown)
        seen = self.see(self._moved(keypoints, batch))
        shown = seen.by_joint()
        if self.config.sees == "window":
            shown = over_frames(shown)
            if seen.turn is not None:
                seen = seen._replace(turn=answered_frames(seen.turn, "middle"))
        found = self.network(shown)
        return found._replace(pose=seen.back(found.pose))

    def _frames(self, values: Tensor) -> Tensor:
        """Of windows, the frames that the network sees at once or one by one."""
        whole = self.config.sees == "window"
        return values if whole else answered_frames(values, self.settings.target)

    def _moved(self, keypoints: Pose2D, batch: PoseBatch) -> PoseBatch:
        """The batch with a latent's keypoints; joints that are missing stay so."""
        confidence = batch.confidence
        return replace(
            batch,
            keypoints_2d=denormalize_screen(keypoints, batch.camera.size[:, None]),
            confidence=None if confidence is None else self._frames(confidence),
        )

    def _without_root(self, pose: Pose3D) -> Pose3D:
        """The pose with its root at zero; the other joints stay, as they are scored (released)."""
        others = torch.ones(len(self.skeleton), 1, device=pose.device, dtype=pose.dtype)
        others[self.skeleton.root] = 0
        return pose * others


def log_error_in_mm(log_sigma: PerJoint) -> PerJoint:
    """Natural log of the expected error, from metres to mm."""
    return log_sigma + math.log(MM_PER_METRE)
