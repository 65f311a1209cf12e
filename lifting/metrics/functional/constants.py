"""Small constant tensors, made once per device: making one anew would wait for the device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=256)
def constant(
    values: tuple[int, ...] | tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Vector of the values; shared, so never write into it.

    Args:
        values: What it holds.
        device: Where it lives.
        dtype: Its type.
    """
    # Lightning evaluates in inference mode, whose tensors could not be used elsewhere later.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def indices(values: tuple[int, ...], device: torch.device) -> Tensor:
    """Vector of int64 indices; shared, so never write into it."""
    return constant(values, device, torch.int64)
