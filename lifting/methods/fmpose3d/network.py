"""The velocity of a pose on its way from noise, given the 2D pose and the time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import check_shape
from lifting.methods.fmpose3d.config import Config
from lifting.nn.dropout import drop_path, dropout
from lifting.nn.graph import PartitionedConv
from lifting.skeleton import Skeleton
from lifting.typing import Pose2D, Pose3D

NORM_EPS = 1e-6
TIME_HIDDEN = 64


class Perceptron(nn.Module):
    """Linear, GELU, linear; where coordinates enter and leave, so in float32 under autocast.

    Args:
        inputs: Channels in.
        hidden: Channels between.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis of ``(*batch, inputs)`` to ``(*batch, outputs)``."""
        if not torch.is_autocast_enabled(x.device.type):
            return self._map(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._map(x.float())

    def _map(self, x: Tensor) -> Tensor:
        answer: Tensor = self.second(functional.gelu(self.first(x)))
        return answer


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time at fixed random frequencies, then a perceptron.

    The frequencies are drawn once and belong to the weights.

    Args:
        width: Numbers that a time becomes.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(width // 2))
        self.perceptron = Perceptron(width, TIME_HIDDEN, width)

    def forward(self, time: Tensor) -> Tensor:
        """Embed times ``(*batch,)`` between 0 and 1, ``(*batch, width)``."""
        # Released code rounds the angle to float32, whatever the network computes in.
        angle = (2 * math.pi * time.float())[..., None] * self.frequencies
        embedded: Tensor = self.perceptron(torch.cat((angle.sin(), angle.cos()), -1).to(time))
        return embedded


class Attention(nn.Module):
    """Self-attention over the joints of a pose.

    Args:
        config: Width, heads, dropout.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.rate, self.projection_rate = config.attention_dropout, config.projection_dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.projection = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in ``(batch, joints, channels)``."""
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (batch, heads, joints, channels)
        if self.training:
            weights = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1)
            seen = dropout(weights, self.rate) @ value
        else:
            seen = functional.scaled_dot_product_attention(query, key, value)
        answer = self.projection(seen.transpose(1, 2).flatten(2))
        return dropout(answer, self.projection_rate if self.training else 0.0)


class Block(nn.Module):
    """Graph convolution beside attention, then a perceptron over channels.

    Args:
        config: Widths and dropout.
        skeleton: The graph.
        rate: Probability with which a sample skips a branch in training.
    """

    def __init__(self, config: Config, skeleton: Skeleton, rate: float) -> None:
        super().__init__()
        width = config.width
        self.path_rate, self.rate = rate, config.dropout
        self.graph_norm = nn.LayerNorm(len(skeleton), NORM_EPS)
        self.graph = PartitionedConv(width, skeleton)
        self.attention_norm = nn.LayerNorm(width, NORM_EPS)
        self.attention = Attention(config)
        self.perceptron_norm = nn.LayerNorm(width, NORM_EPS)
        self.enter = nn.Linear(width, config.perceptron)
        self.leave = nn.Linear(config.perceptron, width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, joints, channels)``."""
        path, rate = (self.path_rate, self.rate) if self.training else (0.0, 0.0)
        graph = self.graph(self.graph_norm(x.mT).mT)
        x = x + drop_path(graph + self.attention(self.attention_norm(x)), path)
        inner = dropout(functional.gelu(self.enter(self.perceptron_norm(x))), rate)
        return x + drop_path(dropout(self.leave(inner), rate), path)


class VelocityNetwork(nn.Module):
    """Velocity of poses on their way, one by one.

    Args:
        skeleton: Joints of both poses.
        config: Widths, depth, dropout.

    Source: arXiv 2602.05755, released code.
    """

    def __init__(self, skeleton: Skeleton, config: Config) -> None:
        super().__init__()
        width, half = config.width, config.width // 2
        self.joints = len(skeleton)
        self.time = TimeEmbedding(config.time_width)
        self.encoder = Perceptron(5 + config.time_width, half, width)
        steps = max(1, config.layers - 1)
        self.blocks = nn.ModuleList(
            Block(config, skeleton, config.drop_path * i / steps) for i in range(config.layers)
        )
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.head = Perceptron(width, half, 3)

    def forward(self, keypoints: Pose2D, pose: Pose3D, time: Tensor) -> Pose3D:
        """Velocity, metres, ``(batch, joints, 3)``.

        Args:
            keypoints: ``(batch, joints, 2)``, screen units.
            pose: Where it is now, ``(batch, joints, 3)``, metres.
            time: ``(batch,)``, or ``(1,)`` for all; 0 is noise, 1 the pose.

        Raises:
            ShapeError: Shapes that do not go together.
        """
        check_shape("keypoints", keypoints, "batch joints 2", joints=self.joints)
        check_shape("pose", pose, "batch joints 3", joints=self.joints)
        told = self.time(time)[:, None].expand(len(pose), self.joints, -1)
        x = self.encoder(torch.cat((keypoints, pose, told), dim=-1))
        for block in self.blocks:
            x = block(x)
        velocity: Tensor = self.head(self.norm(x))
        return velocity
