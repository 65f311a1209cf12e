"""MixSTE under training."""

from __future__ import annotations

from torch import Tensor

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.methods.mixste.lifter import Lifter
from lifting.nn.pose_loss import mean_of_valid, pose_loss
from lifting.nn.units import MM_PER_METRE
from lifting.typing import PerJoint, Pose3D


class Module(Lifter, LiftingModule):
    """Trains and applies the network.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.
    """

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss over all joints, the root with its true position zero, of shape ``()``."""
        losses = self.losses_with_stills(batch, self.config.stills, self.losses)
        return self.log_losses(losses, batch)

    def losses(self, batch: PoseBatch, place: int | None) -> dict[str, Tensor]:
        """The terms that count, times their weights.

        Args:
            batch: With labels.
            place: That of single frames in a window; None for whole windows.
        """
        target = self.target(batch) / MM_PER_METRE
        predicted, weights = self.lift(batch, place), self.label_weights(batch)
        losses = {"pose": pose_loss(predicted, target, weights, self.config.loss)}
        if self.config.velocity > 0:
            apart = velocity_loss(predicted, target, weights)
            losses["velocity"] = self.config.velocity * apart
        return losses


def velocity_loss(predicted: Pose3D, target: Pose3D, weights: PerJoint | None = None) -> Tensor:
    """Mean distance of the velocities, from each frame of a window to the next.

    Args:
        predicted: ``(batch, frames, joints, 3)``, metres.
        target: Same shape.
        weights: ``(batch, frames, joints)`` bool, or how much each label counts; a velocity counts
            as much as both of its ends together. None when all count alike.

    Returns:
        A scalar, metres a frame; zero for windows of a single frame.

    Source: mean per-joint velocity error of Pavllo et al. 2019, as a loss.
    """
    errors = (predicted - target).diff(dim=1).norm(dim=-1)
    if errors.numel() == 0:
        return predicted.sum() * 0
    if weights is not None:
        weights = weights[:, 1:] * weights[:, :-1]
    return mean_of_valid(errors, weights)
