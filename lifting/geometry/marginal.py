"""Score and weight of an error whose noise is known by its largest size only.

Both are means over all noises up to that size, so that no threshold has to be chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor

REACH = 3.64
"""Quantile 0.99 of the distribution of errors in four dimensions, in standard deviations."""


def marginal_loss(error: Tensor, sigma_max: float) -> Tensor:
    """Mean of truncated squares over all thresholds up to 3.64 sigma_max, 0 to 1.

    Args:
        error: Distances of any shape.
        sigma_max: Largest standard deviation of the noise that is believed, same unit.
    """
    share = (error.abs() / (REACH * sigma_max)).clamp(max=1)
    return share * (2 - share)


def marginal_weight(error: Tensor, sigma_max: float) -> Tensor:
    """Weight of a squared error, marginal over the noise, one for no error and zero from afar.

    Args:
        error: Distances of any shape.
        sigma_max: Largest standard deviation of the noise that is believed, same unit.

    Source: Barath et al., "MAGSAC++", 2020, equation of the weight for four degrees of freedom.
    """
    square = (error / sigma_max).square() / 2
    end = torch.tensor(REACH**2 / 2, dtype=error.dtype, device=error.device)
    floor = _upper_gamma(end)
    return ((_upper_gamma(square) - floor) / (torch.pi**0.5 / 2 - floor)).clamp(min=0)


def _upper_gamma(x: Tensor) -> Tensor:
    """Upper incomplete gamma function of order 3/2."""
    root = x.sqrt()
    return root * (-x).exp() + torch.pi**0.5 / 2 * torch.erfc(root)
