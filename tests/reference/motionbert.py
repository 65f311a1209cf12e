"""DSTformer as its straightforward form: the yardstick of golden tests and benchmarks.

Weight names and shapes are the official ones, so that the authors' weights load. Kept on purpose:
attention with its scores and their softmax as tensors of their own, streams joined before the two
logits of their mix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6


class ReferenceAttention(nn.Module):
    """Attention over the third axis, joints, or the second, frames, of (batch, frames, joints, c).

    Args:
        width: Channels.
        heads: Attention heads.
        over: ``joints`` or ``frames``.
        bias: Of queries, keys and values.
    """

    def __init__(self, width: int, heads: int, over: str, *, bias: bool = True) -> None:
        super().__init__()
        self.heads, self.over = heads, over
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = (part.unflatten(-1, (self.heads, -1)) for part in self.qkv(x).chunk(3, dim=-1))
        axes = (0, 1, 3, 2, 4) if self.over == "joints" else (0, 2, 3, 1, 4)
        query, key, value = (part.permute(axes) for part in parts)
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        mixed = scores.softmax(dim=-1) @ value  # (batch, frames or joints, heads, length, c)
        back = (0, 1, 3, 2, 4) if self.over == "joints" else (0, 3, 1, 2, 4)
        answer: Tensor = self.proj(mixed.permute(back).flatten(3))
        return answer


class ReferenceMlp(nn.Module):
    """Two linear maps around the exact GELU."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return answer


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float, order: str) -> None:
        super().__init__()
        self.order = order
        for letter, over in (("s", "joints"), ("t", "frames")):
            self.add_module(f"norm1_{letter}", nn.LayerNorm(width, eps=NORM_EPS))
            self.add_module(f"norm2_{letter}", nn.LayerNorm(width, eps=NORM_EPS))
            self.add_module(f"attn_{letter}", ReferenceAttention(width, heads, over))
            self.add_module(f"mlp_{letter}", ReferenceMlp(width, ratio))

    def forward(self, x: Tensor) -> Tensor:
        parts = dict(self.named_children())
        for letter in self.order:
            x = x + parts[f"attn_{letter}"](parts[f"norm1_{letter}"](x))
            x = x + parts[f"mlp_{letter}"](parts[f"norm2_{letter}"](x))
        return x


class ReferenceDstformer(nn.Module):
    """The network with official names.

    Args:
        joints: Joints of both poses.
        frames: Frames that have a place in time.
        width: Channels.
        depth: Layers.
        heads: Attention heads.
        ratio: Hidden channels of a perceptron over ``width``.
        representation: Channels of the motion representation.
    """

    def __init__(
        self,
        joints: int,
        frames: int,
        width: int,
        depth: int,
        heads: int,
        ratio: float,
        representation: int,
    ) -> None:
        super().__init__()
        self.joints_embed = nn.Linear(3, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, frames, 1, width))
        for name, order in (("blocks_st", "st"), ("blocks_ts", "ts")):
            blocks = (_Block(width, heads, ratio, order) for _ in range(depth))
            self.add_module(name, nn.ModuleList(blocks))
        self.ts_attn = nn.ModuleList(nn.Linear(2 * width, 2) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.pre_logits = nn.ModuleDict({"fc": nn.Linear(width, representation)})
        self.head = nn.Linear(representation, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift ``(batch, frames, joints, 3)``."""
        x = (
            self.joints_embed(keypoints)
            + self.pos_embed
            + self.temp_embed[:, : keypoints.shape[1]]
        )
        for first, second, logits in zip(
            self.blocks_st, self.blocks_ts, self.ts_attn, strict=True
        ):
            a, b = first(x), second(x)
            share = logits(torch.cat((a, b), dim=-1)).softmax(dim=-1)
            x = a * share[..., :1] + b * share[..., 1:]
        answer: Tensor = self.head(torch.tanh(self.pre_logits["fc"](self.norm(x))))
        return answer
