"""Parts of lifters that see a window by two streams and mix them, a joint and a frame at a time.

A part computes on sequences, ``(sequences, length, width)``: the joints of a frame, or the frames
of a joint.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

SLOW_WHEN_FUSED = range(24, 32)
"""Lengths at which the fused kernel takes up to a third longer on a processor than its parts."""


class SelfAttention(nn.Module):
    """Attention of the members of a sequence to one another.

    Args:
        width: Channels, a multiple of ``heads``.
        heads: Attention heads.
        bias: Whether queries, keys and values have an offset.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``(sequences, length, width)``."""
        query, key, value = rearrange(
            self.qkv(x), "n length (three heads c) -> three n heads length c",
            three=3, heads=self.heads,
        )  # fmt: skip
        mixed = _attend(query, key, value)
        merged: Tensor = self.out(rearrange(mixed, "n heads length c -> n length (heads c)"))
        return merged


class MixerBlock(nn.Module):
    """A mixer of the members and a perceptron, each normalised first and around a shortcut.

    Args:
        mixer: Maps ``(sequences, length, width)`` to the same shape.
        width: Channels.
        ratio: Width of the perceptron's hidden layer over ``width``.
        eps: Of the layer normalisations.
        scale: What the factors of both branches start at, one a channel; None has no factors.
    """

    def __init__(
        self, mixer: nn.Module, width: int, ratio: float, *, eps: float, scale: float | None = None
    ) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.mixer_norm = nn.LayerNorm(width, eps=eps)
        self.mixer = mixer
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.mixer_scale = None if scale is None else nn.Parameter(torch.full((width,), scale))
        self.mlp_scale = None if scale is None else nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(sequences, length, width)``."""
        x = _add(x, self.mixer(self.mixer_norm(x)), self.mixer_scale)
        inner = functional.gelu(self.expand(self.mlp_norm(x)))
        return _add(x, self.contract(inner), self.mlp_scale)


class StreamFusion(nn.Module):
    """Softmax over two logits that are read from both streams; it starts as their mean.

    Args:
        width: Channels of each stream.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.logits = nn.Linear(2 * width, 2)
        self.start()

    def start(self) -> None:
        """The starting weights, by which both logits are equal."""
        nn.init.zeros_(self.logits.weight)
        nn.init.constant_(self.logits.bias, 0.5)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Mix two streams, ``(*any, width)`` each.

        The softmax of two logits is a sigmoid of their difference, so one product is enough.
        """
        weight, bias = self.logits.weight, self.logits.bias
        for_a, for_b = (weight[0] - weight[1]).chunk(2)
        share = torch.sigmoid(a @ for_a + b @ for_b + (bias[0] - bias[1]))
        return torch.lerp(b, a, share[..., None])


def to_frames(x: Tensor, frames: int) -> Tensor:
    """Sequences of joints, ``(batch frames, joints, width)``, as those of frames.

    Returns:
        ``(batch joints, frames, width)``.
    """
    return rearrange(x, "(batch frames) joints c -> (batch joints) frames c", frames=frames)


def to_joints(x: Tensor, joints: int) -> Tensor:
    """Inverse of :func:`to_frames`.

    Returns:
        ``(batch frames, joints, width)``.
    """
    return rearrange(x, "(batch joints) frames c -> (batch frames) joints c", joints=joints)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of ``(sequences, heads, length, channels)``: fused where that is no slower."""
    parts = query.device.type == "cpu" and not torch.compiler.is_compiling()
    if parts and query.shape[2] in SLOW_WHEN_FUSED:
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        return scores.softmax(dim=-1) @ value
    return functional.scaled_dot_product_attention(query, key, value)


def _add(x: Tensor, branch: Tensor, scale: Tensor | None) -> Tensor:
    return x + branch if scale is None else torch.addcmul(x, scale, branch)
