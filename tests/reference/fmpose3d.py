"""FMPose3D's network as the released code computes it: a yardstick.

Weight names and shapes are the official ones, so that ``lifting.methods.fmpose3d.checkpoint``'s
export of our weights loads. Kept on purpose: a graph convolution that widens its features four
times before it mixes joints, attention in single operations, PyTorch's dropout.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.methods.fmpose3d.config import Config
from lifting.typing import Pose2D, Pose3D

NORM_EPS = 1e-6


class _Pair(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int, rate: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.drop(self.fc2(self.drop(functional.gelu(self.fc1(x)))))
        return answer


class _Time(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("B", torch.randn(width // 2))
        self.proj = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, time: Tensor) -> Tensor:
        angle = (2 * math.pi * time.float())[:, None] * self.get_buffer("B")
        answer: Tensor = self.proj(torch.cat((angle.sin(), angle.cos()), dim=-1).to(time.dtype))
        return answer


class _Graph(nn.Module):
    def __init__(self, graph: Tensor, channels: int) -> None:
        super().__init__()
        self.register_buffer("adj", graph)
        self.conv1d = nn.Conv1d(channels, len(graph) * channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        graph = self.get_buffer("adj")
        wide = self.conv1d(x.transpose(1, 2)).unflatten(1, (len(graph), -1))
        return torch.einsum("bkcv,kvw->bwc", wide, graph)


class _Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.drop = nn.Dropout(config.attention_dropout)
        self.proj_drop = nn.Dropout(config.projection_dropout)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        seen = self.drop(scores.softmax(dim=-1)) @ value
        answer: Tensor = self.proj_drop(self.proj(seen.transpose(1, 2).reshape(x.shape)))
        return answer


class _Block(nn.Module):
    def __init__(self, graph: Tensor, config: Config, rate: float) -> None:
        super().__init__()
        width = config.width
        self.rate = rate
        self.norm1 = nn.LayerNorm(graph.shape[-1], NORM_EPS)
        self.gcn1 = _Graph(graph, width)
        self.norm_att1 = nn.LayerNorm(width, NORM_EPS)
        self.attn = _Attention(config)
        self.norm_mlp = nn.LayerNorm(width, NORM_EPS)
        self.mlp = _Pair(width, config.perceptron, width, config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        graph = self.gcn1(self.norm1(x.transpose(1, 2)).transpose(1, 2))
        x = x + self._path(graph + self.attn(self.norm_att1(x)))
        return x + self._path(self.mlp(self.norm_mlp(x)))

    def _path(self, x: Tensor) -> Tensor:
        if self.rate == 0 or not self.training:
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class _Trunk(nn.Module):
    def __init__(self, graph: Tensor, config: Config) -> None:
        super().__init__()
        rates = torch.linspace(0, config.drop_path, config.layers).tolist()
        self.blocks = nn.ModuleList(_Block(graph, config, rate) for rate in rates)
        self.norm_mu = nn.LayerNorm(config.width, NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        answer: Tensor = self.norm_mu(x)
        return answer


class ReferenceVelocity(nn.Module):
    """Velocity of poses.

    Args:
        graph: Partitioned adjacency, ``(4, joints, joints)``.
        config: Widths, depth, dropout.
    """

    def __init__(self, graph: Tensor, config: Config) -> None:
        super().__init__()
        half = config.width // 2
        self.register_buffer("A", graph)
        self.time_embed = _Time(config.time_width)
        self.encoder = _Pair(5 + config.time_width, half, config.width)
        self.FMPose3D = _Trunk(graph, config)
        self.pred_mu = _Pair(config.width, half, 3)

    def forward(self, keypoints: Pose2D, pose: Pose3D, time: Tensor) -> Pose3D:
        """Velocity, ``(batch, joints, 3)``; arguments as of our network."""
        told = self.time_embed(time)[:, None].expand(*pose.shape[:2], -1)
        x = self.encoder(torch.cat((keypoints, pose, told), dim=-1))
        answer: Tensor = self.pred_mu(self.FMPose3D(x))
        return answer
