"""MixSTE as the released code computes it: the yardstick of benchmarks.

Weight names and shapes are the official ones, so that ``lifting.nn.mixste``'s export of our
weights loads. Kept on purpose: attention with its scores and their softmax as
tensors of their own, tokens regrouped around every block.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.nn.mixste import MixsteSize
from lifting.typing import Pose2D, Pose3D

NORM_EPS = 1e-6
MLP_RATIO = 2


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )  # (sequences, heads, length, width / heads)
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
        mixed = torch.matmul(scores.softmax(dim=-1), value)
        merged: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return merged


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return answer


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ReferenceMixste(nn.Module):
    """The network with official names, in evaluation only: no stochastic depth.

    Args:
        joints: Joints of both poses.
        size: Length of the window, width, depth, heads.
        inputs: Channels of a joint that come in.
    """

    def __init__(self, joints: int, size: MixsteSize, inputs: int = 2) -> None:
        super().__init__()
        width = size.width
        self.Spatial_patch_to_embedding = nn.Linear(inputs, width)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, size.frames, width))
        self.STEblocks = nn.ModuleList(_Block(width, size.heads) for _ in range(size.layers))
        self.TTEblocks = nn.ModuleList(_Block(width, size.heads) for _ in range(size.layers))
        self.Spatial_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.Temporal_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, uv: Pose2D, told: Tensor | None = None) -> Pose3D:
        """Lift ``(batch, frames, joints, inputs)`` to ``(batch, frames, joints, 3)``.

        Args:
            uv: The input.
            told: Added to the features of a window, ``(batch, width)``; None adds nothing.
        """
        batch, frames, joints, _ = uv.shape
        x = self.Spatial_patch_to_embedding(uv) + self.Spatial_pos_embed
        if told is not None:
            x = x + told[:, None, None]
        for i, (over_joints, over_frames) in enumerate(
            zip(self.STEblocks, self.TTEblocks, strict=True)
        ):
            x = self.Spatial_norm(over_joints(x.reshape(batch * frames, joints, -1)))
            x = x.view(batch, frames, joints, -1).transpose(1, 2)
            x = x.reshape(batch * joints, frames, -1)
            if i == 0:
                x = x + self.Temporal_pos_embed
            x = self.Temporal_norm(over_frames(x))
            x = x.view(batch, joints, frames, -1).transpose(1, 2)
        pose: Pose3D = self.head(x)
        return pose
