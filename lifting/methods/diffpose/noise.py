"""Tables of what sampling draws, the same for every pose: unit noise, and which components."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=4)
def unit_noise(shape: tuple[int, ...], seed: int, device: torch.device, *, starts: bool) -> Tensor:
    """Table of unit noise, kept: its way to the device would hold every pass up.

    Args:
        shape: Start and steps first, then the hypotheses.
        seed: Seed of the table.
        device: Where it is needed.
        starts: Whether there is noise at the start.
    """
    # It outlives this call, so it must not be a tensor of inference mode, which has no gradient.
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        drawn = shape[1]
        if drawn > 1:
            # Each entry is still a unit Gaussian, but over the hypotheses they sum to zero.
            unit = (unit - unit.mean(dim=1, keepdim=True)) * math.sqrt(drawn / (drawn - 1))
        if not starts:
            unit[0] = 0
        return unit.to(device)


@lru_cache(maxsize=4)
def choices(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    """Table of numbers in [0, 1) that components are drawn by, kept as the noise is.

    Over the hypotheses they are stratified, one in each of as many equal parts, so that every
    component is drawn about as often as it weighs.

    Args:
        shape: Hypotheses along axis 1.
        seed: Seed of the table.
        device: Where it is needed.
    """
    with torch.inference_mode(False), torch.no_grad():
        # A seed of its own, since equal ones would tie the components to the noise.
        own = torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(seed))
        generator = torch.Generator().manual_seed(int(own))
        part = torch.rand(shape, generator=generator).argsort(dim=1)
        within = torch.rand(shape, generator=generator)
        return ((part + within) / shape[1]).clamp(max=1 - 2**-24).to(device)
