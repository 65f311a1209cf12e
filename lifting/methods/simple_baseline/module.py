"""The simple baseline: network, training and prediction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lifting.batch import PoseBatch, Prediction, answered_frames, root_relative
from lifting.errors import check_shape
from lifting.methods.base import LiftingModule
from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config
from lifting.nn.dropout import Dropout
from lifting.nn.pose_loss import pose_loss
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.typing import Pose2D, Pose3D

OUTPUT_SPREAD = 1e-3


class ResidualBlock(nn.Module):
    """Two linear layers, each with batch normalisation, ReLU and dropout, around a shortcut.

    Args:
        channels: Width.
        dropout: Probability of dropping a value.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_hidden(channels, channels, dropout), *_hidden(channels, channels, dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the layers' answer to their input, ``(batch, channels)``."""
        return x + self.layers(x)


class SimpleBaseline(nn.Module):
    """Residual multilayer perceptron from a 2D to a 3D pose.

    Args:
        joints: Joints of both poses.
        config: Width, depth and dropout.

    Source: Martinez et al. 2017, figure 1.
    """

    def __init__(self, joints: int, config: Config) -> None:
        super().__init__()
        self.joints = joints
        self.layers = nn.Sequential(
            *_hidden(2 * joints, config.channels, config.dropout),
            *(ResidualBlock(config.channels, config.dropout) for _ in range(config.blocks)),
            nn.Linear(config.channels, 3 * joints),
        )
        for layer in self.linear_layers():
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        # At full size the first answers are metres off, and most of an epoch goes into shrinking.
        nn.init.normal_(self.linear_layers()[-1].weight, std=OUTPUT_SPREAD)

    def linear_layers(self) -> list[nn.Linear]:
        """All linear layers, from input to output."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]

    def forward(self, keypoints: Pose2D) -> Pose3D:
        """Lift poses one by one.

        Args:
            keypoints: ``(*batch, joints, 2)``, screen units.

        Returns:
            ``(*batch, joints, 3)``, metres, before the root is subtracted.
        """
        check_shape("keypoints", keypoints, "*batch joints 2", joints=self.joints)
        flat = keypoints.reshape(-1, 2 * self.joints)
        return self.layers(flat).view(*keypoints.shape[:-1], 3)

    @torch.no_grad()
    def limit_norms(self, largest: float) -> None:
        """Scale down the weights into each unit whose norm is above ``largest``."""
        for layer in self.linear_layers():
            layer.weight.copy_(torch.renorm(layer.weight, p=2, dim=0, maxnorm=largest))


class Module(LiftingModule):
    """Trains and applies the simple baseline, one frame at a time.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = SimpleBaseline(len(self.skeleton), config)

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, in metres, of shape ``()``."""
        target = self.target(batch) / MM_PER_METRE
        loss = pose_loss(self._lift(batch), target, self.label_weights(batch), self.config.loss)
        return self.log_losses({"pose": loss}, batch)

    def on_train_batch_end(self, outputs: Any, batch: PoseBatch, batch_idx: int) -> None:
        """Enforce the limit on the weights' norm."""
        if self.config.max_norm:
            self.network.limit_norms(self.config.max_norm)

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the middle frame of each window, or each frame where all are the targets."""
        return Prediction(skeleton=self.skeleton, joints_3d=from_network_units(self._lift(batch)))

    def _lift(self, batch: PoseBatch) -> Pose3D:
        keypoints = answered_frames(batch.keypoints_2d, self.settings.target)
        answer = self.network(to_network_units(keypoints, batch.camera.size))
        return root_relative(answer, self.skeleton.root)


def _hidden(inputs: int, outputs: int, dropout: float) -> tuple[nn.Module, ...]:
    return (
        nn.Linear(inputs, outputs),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
        Dropout(dropout),
    )
