"""Rendering and fitting of kernels in the straightforward form: every ray with every kernel.

The same mathematics as ``lifting.methods.nbf.render``, from the published equations: the
quantities of a hit for all pairs of ray and kernel, transmittance from all pairs of kernels on
each ray, and the exact opacity. A few rays at a time, computed anew for the gradient, since the
matrices of one image would take hundreds of megabytes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lifting.typing import Points3D

RAYS = 32
LEAST_WEIGHT = 1e-6


def dense_weights(means: Points3D, precisions: Tensor, directions: Points3D) -> Tensor:
    """Weights of all kernels on all rays, scaled to the exact opacity.

    Args:
        means: ``(batch, kernels, 3)``, camera frame.
        precisions: ``(batch, kernels, 3, 3)``.
        directions: Unit directions, ``(batch, rays, 3)``.

    Returns:
        ``(batch, rays, kernels)``.
    """
    parts = [
        torch.stack(
            [
                checkpoint(_weights, m, p, d, use_reentrant=False)
                for m, p, d in zip(means, precisions, part, strict=True)
            ]
        )
        for part in torch.split(directions, RAYS, dim=1)
    ]
    return torch.cat(parts, dim=1)


def dense_composite(
    means: Points3D, precisions: Tensor, directions: Points3D, features: Tensor
) -> tuple[Tensor, Tensor]:
    """Feature map, ``(batch, rays, channels)``, and opacity, ``(batch, rays)``."""
    weights = dense_weights(means, precisions, directions)
    return weights @ features, weights.sum(-1)


def _weights(means: Tensor, precisions: Tensor, directions: Tensor) -> Tensor:
    """Weights of one sample's kernels on a few rays, ``(rays, kernels)``."""
    a = torch.einsum("ri,kij,rj->rk", directions, precisions, directions)
    b = torch.einsum("ri,kij,kj->rk", directions, precisions, means)
    depth = b / a
    residual = means - depth[..., None] * directions[:, None]  # (rays, kernels, 3)
    distance = torch.einsum("rki,kij,rkj->rk", residual, precisions, residual)
    peak = torch.exp(-distance / 2)
    gap = depth[:, :, None] - depth[:, None, :]  # (rays, seen from, kernels)
    share = 0.5 * (1 + torch.erf((a[:, None] / 2).sqrt() * gap))
    weights = peak * torch.exp(-(peak[:, None] * share).sum(-1)) / torch.tensor(-0.5).exp()
    opacity = 1 - torch.exp(-peak.sum(-1, keepdim=True))
    return weights * opacity / weights.sum(-1, keepdim=True).clamp(min=LEAST_WEIGHT)
