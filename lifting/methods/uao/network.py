"""GUMLP: from one 2D pose to a 3D pose and the log of each joint's expected error.

The arithmetic is the cheapest equivalent of the released one: pairs of linear layers with nothing
between them act as one, the graph convolution mixes joints before it mixes channels, so that
nothing four times as wide is written, and layers between odd numbers of channels (17, 51, 102) are
filled up with zeros, for matrix products of such shapes run at half the speed of their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import check_shape
from lifting.methods.uao.config import Config
from lifting.nn.dropout import drop_path, dropout
from lifting.nn.expected_error import bounded
from lifting.nn.graph import PartitionedConv
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D

NORM_EPS = 1e-6
GRAIN, LEAST_SHARE = 4, 32
"""Numbers of hidden channels are filled up to multiples of the one, which is 16 bytes, where that
adds no more than one in so many: of smaller layers it costs more than it brings."""


class Estimate(NamedTuple):
    """A pose and how far off it is expected to be.

    Attributes:
        pose: ``(*batch, joints, 3)``, metres; the root is near zero, not exactly there.
        log_sigma: ``(*batch, joints)``, natural log of the expected error in metres.
    """

    pose: Pose3D
    log_sigma: PerJoint


class LinearPair(nn.Module):
    """Two linear layers without anything between them, applied as the one they amount to.

    It stands where coordinates enter and leave the network, which half precision would round to
    millimetres, so it computes in float32 also under autocast.

    Args:
        inputs: Channels in.
        hidden: Channels between.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight ``(outputs, inputs)`` and bias ``(outputs,)`` of the one layer."""
        weight = self.second.weight @ self.first.weight
        return weight, self.second.weight @ self.first.bias + self.second.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis of ``(*batch, inputs)`` to ``(*batch, outputs)``."""
        if not torch.is_autocast_enabled(x.device.type):
            return functional.linear(x, *self.folded())
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(x.float(), *self.folded())


class UMlp(nn.Module):
    """Linear layers out to another width and back, the middle one around a shortcut.

    Each is followed by GELU and dropout, the last one too.

    Args:
        widths: From that of the input to that of the middle.
        rate: Dropout.
    """

    def __init__(self, widths: Sequence[int], rate: float) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.rate = rate
        self.enter = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.middle = nn.Linear(widths[-1], widths[-1])
        self.leave = nn.ModuleList(nn.Linear(b, a) for a, b in reversed(pairs))

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis of ``(*batch, channels)``, whose width is kept."""
        for layer in self.enter:
            x = self._activate(x, layer)
        x = x + self._activate(x, self.middle)
        for layer in self.leave:
            x = self._activate(x, layer)
        return x

    def _activate(self, x: Tensor, layer: nn.Module) -> Tensor:
        """A linear layer, whose inputs ``x`` may be filled up with zeros, as its outputs are."""
        assert isinstance(layer, nn.Linear)
        outputs = -layer.out_features % GRAIN
        if layer is self.leave[-1] or outputs * LEAST_SHARE > layer.out_features:
            outputs = 0
        inputs = x.shape[-1] - layer.in_features
        if inputs or outputs:
            weight = functional.pad(layer.weight, (0, inputs, 0, outputs))
            x = functional.linear(x, weight, functional.pad(layer.bias, (0, outputs)))
        else:
            x = layer(x)
        return dropout(functional.gelu(x), self.rate if self.training else 0.0)


class Block(nn.Module):
    """Graph convolution, then a perceptron over channels beside one over joints.

    Args:
        config: Widths and dropout.
        skeleton: The graph.
        rate: Probability with which a sample skips a branch in training.
    """

    def __init__(self, config: Config, skeleton: Skeleton, rate: float) -> None:
        super().__init__()
        joints, factor = len(skeleton), config.spatial_factor
        self.rate = rate
        self.graph_norm = nn.LayerNorm(joints, NORM_EPS)
        self.graph = PartitionedConv(config.hidden, skeleton)
        self.channel_norm = nn.LayerNorm(config.hidden, NORM_EPS)
        self.channel = UMlp((config.hidden, config.channel_hidden), config.channel_dropout)
        self.spatial_norm = nn.LayerNorm(joints, NORM_EPS)
        self.spatial = UMlp((joints, joints * factor, 2 * joints * factor), config.spatial_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, joints, channels)``."""
        rate = self.rate if self.training else 0.0
        graph = self.graph(self.graph_norm(x.transpose(1, 2)).transpose(1, 2))
        x = x + drop_path(graph, rate)
        spatial = self.spatial(self.spatial_norm(x.transpose(1, 2))).transpose(1, 2)
        return x + drop_path(self.channel(self.channel_norm(x)) + spatial, rate)


class Gumlp(nn.Module):
    """Lifts poses one by one.

    Args:
        skeleton: Joints of both poses.
        config: Widths, depth, dropout, limits.
        inputs: Channels of a joint.

    Source: arXiv 2402.02339, released code.
    """

    def __init__(self, skeleton: Skeleton, config: Config, inputs: int = 2) -> None:
        super().__init__()
        self.joints, self.inputs = len(skeleton), inputs
        self.limits = config.sigma_limits
        self.encoder = LinearPair(inputs, config.encoder_hidden, config.hidden)
        steps = max(1, config.blocks - 1)
        self.blocks = nn.ModuleList(
            Block(config, skeleton, config.drop_path * i / steps) for i in range(config.blocks)
        )
        self.pose_norm = nn.LayerNorm(config.hidden, NORM_EPS)
        self.sigma_norm = nn.LayerNorm(config.hidden, NORM_EPS)
        self.pose_head = LinearPair(config.hidden, config.head_hidden, 3)
        self.sigma_head = LinearPair(config.hidden, config.head_hidden, 1)

    def forward(self, keypoints: Tensor) -> Estimate:
        """Lift poses.

        Args:
            keypoints: ``(*batch, joints, inputs)``; of the released network, screen units.

        Raises:
            ShapeError: Another number of joints.
        """
        check_shape("keypoints", keypoints, "*batch joints n", joints=self.joints, n=self.inputs)
        x = self.encoder(keypoints.reshape(-1, self.joints, self.inputs))
        for block in self.blocks:
            x = block(x)
        pose = self.pose_head(self.pose_norm(x))
        log_sigma = self.sigma_head(self.sigma_norm(x))
        if self.limits is not None:
            log_sigma = bounded(log_sigma, *self.limits)
        shape = keypoints.shape[:-1]
        return Estimate(pose.view(*shape, 3), log_sigma.view(shape))
