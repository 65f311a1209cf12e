"""The residual multilayer perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifting.errors import check_shape
from lifting.methods.simple_baseline.config import Config
from lifting.nn.dropout import Dropout
from lifting.nn.expected_error import ErrorHead, Lifted
from lifting.nn.inputs import Seen, numbers_of

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
        config: Width, depth, dropout, input, and whether errors are stated.

    Source: Martinez et al. 2017, figure 1.
    """

    def __init__(self, joints: int, config: Config) -> None:
        super().__init__()
        self.joints = joints
        self.layers = nn.Sequential(
            *_hidden(numbers_of(config.input, joints), config.channels, config.dropout),
            *(ResidualBlock(config.channels, config.dropout) for _ in range(config.blocks)),
            nn.Linear(config.channels, 3 * joints),
        )
        self.error_head = ErrorHead(config.channels, joints) if config.expected_error else None
        for layer in self.linear_layers():
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        # At full size the first answers are metres off, and most of an epoch goes into shrinking.
        nn.init.normal_(self.linear_layers()[-1].weight, std=OUTPUT_SPREAD)

    def linear_layers(self) -> list[nn.Linear]:
        """All linear layers from the input to the pose."""
        return [layer for layer in self.layers.modules() if isinstance(layer, nn.Linear)]

    def forward(self, seen: Seen) -> Lifted:
        """Lift poses one by one.

        Args:
            seen: Of frames ``*batch``.

        Returns:
            Poses ``(*batch, joints, 3)``, before the root is subtracted.

        Raises:
            ShapeError: Another number of joints.
        """
        check_shape("joints", seen.joints, "*batch joints channels", joints=self.joints)
        flat = seen.flat()
        features = self.layers[:-1](flat.reshape(-1, flat.shape[-1]))
        shape = seen.joints.shape[:-1]
        log_error = None if self.error_head is None else self.error_head(features).view(shape)
        return Lifted(self.layers[-1](features).view(*shape, 3), log_error)

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
