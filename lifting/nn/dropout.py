"""Dropout whose random numbers are cheap on a processor, and whole branches left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BITS = 16


def dropout(x: Tensor, rate: float) -> Tensor:
    """Zero elements with probability ``rate`` and scale the rest to keep the mean.

    Args:
        x: Any shape.
        rate: Probability of zero; 0 returns ``x`` itself.
    """
    return x if rate == 0 else x * keep_mask(x, rate)


class Dropout(nn.Module):
    """:func:`dropout` in training, as a layer.

    Args:
        rate: Probability of zero.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements in training, and none in evaluation."""
        return dropout(x, self.rate) if self.training else x


def keep_mask(like: Tensor, rate: float) -> Tensor:
    """Random factors: zero with probability ``rate``, else the inverse of the rest.

    Made of 16 random bits an element, four from one 64-bit draw: several times cheaper on a
    processor than Bernoulli draws. The rate is rounded to a 65536th.

    Args:
        like: Gives shape, type and device.
        rate: Probability of zero.
    """
    per_draw = 64 // BITS
    draws = torch.empty(-(-like.numel() // per_draw), dtype=torch.int64, device=like.device)
    bits = draws.random_(-(2**63), None).view(torch.int16)[: like.numel()].view(like.shape)
    zeros = round(rate * 2**BITS)
    # As float32, which holds all of them, they compare in a quarter of the time of integers.
    kept = bits.float().ge_(zeros - 2 ** (BITS - 1))
    return kept.to(like.dtype).mul_(keep_scale(rate))


def keep_scale(rate: float) -> float:
    """Factor on what is kept, for the rate as it was rounded."""
    return 2**BITS / (2**BITS - round(rate * 2**BITS))


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples with probability ``rate`` and scale the rest to keep the mean.

    Args:
        x: ``(batch, *rest)``, a branch beside a shortcut.
        rate: Probability of zero; 0 returns ``x`` itself.

    Source: Huang et al. 2016, with the scale of training instead of testing.
    """
    if rate == 0:
        return x
    return x * keep_mask(x.new_empty((len(x), *(1,) * (x.ndim - 1))), rate)
