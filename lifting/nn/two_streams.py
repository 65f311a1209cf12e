"""Parts of lifters that see a window by two streams and mix them, a joint and a frame at a time.

Parts keep windows as they are, ``(batch, frames, joints, width)``; a mixer works on the sequences
in them, the joints of each frame or the frames of each joint.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Over = Literal["joints", "frames"]

SHORT, NARROW = 32, 32
"""Below both, members of a sequence and channels of a head, the fused kernel takes up to a third
longer on a processor than its parts, in training above all."""


class SelfAttention(nn.Module):
    """Attention of the members of a sequence to one another.

    Args:
        width: Channels, a multiple of ``heads``.
        heads: Attention heads.
        over: What a sequence is of.
        bias: Whether queries, keys and values have an offset.
    """

    def __init__(self, width: int, heads: int, over: Over, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.over = over
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``(batch, frames, joints, width)``."""
        parts = self.qkv(x).view(*x.shape[:3], 3, self.heads, -1)
        over_joints = self.over == "joints"
        query, key, value = parts.permute(
            (3, 0, 1, 4, 2, 5) if over_joints else (3, 0, 2, 4, 1, 5)
        )
        mixed = _attend(query, key, value)  # (batch, frames or joints, heads, length, channels)
        mixed = mixed.permute((0, 1, 3, 2, 4) if over_joints else (0, 3, 1, 2, 4))
        merged: Tensor = self.out(mixed.reshape(x.shape))
        return merged


class MixerBlock(nn.Module):
    """A mixer of the members and a perceptron, each normalised first and around a shortcut.

    Args:
        mixer: Maps ``(batch, frames, joints, width)`` to the same shape.
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

    def forward(self, x: Tensor, *, mix: bool = True) -> Tensor:
        """Transform ``(batch, frames, joints, width)``, with or without the mixer."""
        if mix:
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


def start_with_frames_apart(network: nn.Module) -> None:
    """Let the mixers of frames do nothing at first, where their blocks have a way around them."""
    for block in network.modules():
        if not isinstance(block, MixerBlock) or getattr(block.mixer, "over", None) == "joints":
            continue
        if block.mixer_scale is not None:
            nn.init.zeros_(block.mixer_scale)
        elif isinstance(block.mixer, SelfAttention):
            nn.init.zeros_(block.mixer.out.weight)
            nn.init.zeros_(block.mixer.out.bias)


def as_sequences(x: Tensor, over: Over) -> Tensor:
    """Windows, ``(batch, frames, joints, width)``, as their sequences.

    Returns:
        ``(batch frames, joints, width)`` or ``(batch joints, frames, width)``.
    """
    return (x if over == "joints" else x.transpose(1, 2)).flatten(0, 1)


def as_windows(sequences: Tensor, batch: int, over: Over) -> Tensor:
    """Inverse of :func:`as_sequences`.

    Args:
        sequences: Of all windows.
        batch: Number of windows.
        over: What a sequence is of.
    """
    x = sequences.reshape(batch, -1, *sequences.shape[1:])
    return x if over == "joints" else x.transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of ``(batch, sequences, heads, length, channels)``: fused where no slower."""
    parts = query.device.type == "cpu" and not torch.compiler.is_compiling()
    if parts and query.shape[3] < SHORT and query.shape[4] < NARROW:
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        return scores.softmax(dim=-1) @ value
    shape = query.shape
    query, key, value = (values.flatten(0, 1) for values in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value).view(shape)


def _add(x: Tensor, branch: Tensor, scale: Tensor | None) -> Tensor:
    return x + branch if scale is None else torch.addcmul(x, scale, branch)
