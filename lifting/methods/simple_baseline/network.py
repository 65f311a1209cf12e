"""The residual multilayer perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifting.errors import check_shape
from lifting.methods.simple_baseline.config import Config
from lifting.nn.dropout import Dropout
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


def _hidden(inputs: int, outputs: int, dropout: float) -> tuple[nn.Module, ...]:
    return (
        nn.Linear(inputs, outputs),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
        Dropout(dropout),
    )
