"""GUMLP under training.

Its log error is trained by the likelihood of the errors it predicts.
"""

from __future__ import annotations

from torch import Tensor

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.methods.uao.lifter import KEYPOINTS, Lifter
from lifting.nn.pose_loss import mean_of_valid
from lifting.nn.units import MM_PER_METRE
from lifting.typing import PerJoint, Pose3D


class Module(Lifter, LiftingModule):
    """Trains and applies GUMLP.

    Args:
        config: The switches.
        settings: What the run gives to every method.
    """

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss over all joints, the root with its true position zero, of shape ``()``."""
        estimate = self.estimate(self.encode(batch)[KEYPOINTS], batch)
        target = self.target(batch) / MM_PER_METRE
        loss = uncertainty_loss(
            estimate.pose, estimate.log_sigma, target, self.label_weights(batch)
        )
        return self.log_losses({"uncertainty": loss}, batch)


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
