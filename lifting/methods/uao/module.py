"""GUMLP under Lightning: training, prediction, and its latents for test-time optimisation.

Its log error is trained by the likelihood of the errors it predicts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, answered_frames
from lifting.methods.base import LiftingModule
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao.config import Config
from lifting.methods.uao.network import Gumlp
from lifting.nn.pose_loss import mean_of_valid
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.tto.contract import LENGTH_PER_AXIS, Decoded, Latents
from lifting.typing import PerJoint, Pose2D, Pose3D

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


def uncertainty_loss(
    predicted: Pose3D, log_sigma: PerJoint, target: Pose3D, visible: PerJoint | None = None
) -> Tensor:
    """Mean over joints of the error relative to its expected size, plus that size's log.

    Where errors are distributed alike, the best log error is the log of their mean, so its
    exponential is the expected error. A joint that is hit exactly gets the gradient zero.

    Args:
        predicted: ``(*batch, joints, 3)``, metres.
        log_sigma: ``(*batch, joints)``, natural log of metres.
        target: ``(*batch, joints, 3)``, metres.
        visible: ``(*batch, joints)`` bool, False where a label does not count, or how much each
            counts; None for all.

    Returns:
        A scalar; zero where no label counts.

    Source: released code. The paper calls it a Gaussian likelihood; with the unsquared error it is
    that of a Laplace distribution, but for the constant factor of ``log_sigma``.
    """
    return mean_of_valid(joint_losses(predicted, log_sigma, target), visible)


def joint_losses(predicted: Pose3D, log_sigma: PerJoint, target: Pose3D) -> PerJoint:
    """The terms of :func:`uncertainty_loss` before their mean, ``(*batch, joints)``."""
    errors = (predicted - target).norm(dim=-1)
    return errors * (-log_sigma).exp() + log_sigma


def log_error_in_mm(log_sigma: PerJoint) -> PerJoint:
    """Natural log of the expected error, from metres to mm."""
    return log_sigma + math.log(MM_PER_METRE)


def axis_deviation(log_error: Tensor) -> Tensor:
    """Standard deviation on one axis of the error whose expected length is predicted, mm.

    The network learns the expected distance from the truth; the scores of an uncertainty read the
    standard deviation of each coordinate, as if it were Gaussian and the same on all three. For
    the Laplace distribution of the training loss the factor would be 3/2 in place of 1.596.

    Args:
        log_error: Natural log of the expected error in mm, ``(*batch, joints)``.
    """
    return log_error.exp() / LENGTH_PER_AXIS
