"""What an image shows of each kernel, given where the kernels are; and what its background shows.

Source: 3DNBF, arXiv 2308.10123, section 3.3; released code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.methods.nbf.render import Rendering, normalise_features

LEAST_SHARE = 0.05
_LEAST_TOTAL = 1e-8
_BESIDE = 2


class Observed(NamedTuple):
    """Features of the kernels of a batch.

    Attributes:
        features: ``(batch, kernels, channels)``, unit where visible.
        visible: ``(batch, kernels)`` bool.
    """

    features: Tensor
    visible: Tensor


def observed_features(
    feature_map: Tensor, rendering: Rendering, background: Tensor | None = None
) -> Observed:
    """Mean feature of each kernel's pixels by its weight there: the transpose of rendering.

    The gradient goes to the features only.

    Args:
        feature_map: Unit features, ``(batch, rays, channels)``.
        rendering: Of the true body.
        background: Pixels that show no body, ``(batch, rays)`` bool, be it for what stands before
            it; kernels look alike there, however much of them reaches into such a pixel.
    """
    weights = rendering.dense().detach()  # (batch, rays, kernels)
    if background is not None:
        weights = torch.where(background[..., None], 0.0, weights)
    total = weights.sum(1)
    sums = torch.bmm(weights.mT.to(feature_map.dtype), feature_map)
    mean = sums / (total + _LEAST_TOTAL)[..., None].to(feature_map.dtype)
    return Observed(normalise_features(mean), total > LEAST_SHARE)


@torch.no_grad()
def background_pixels(
    background: Tensor, count: int, generator: torch.Generator | None = None, near: float = 1.0
) -> Tensor:
    """Draw pixels of the background.

    Args:
        background: Pixels that show no body, ``(batch, height, width)`` bool.
        count: Pixels of each sample.
        generator: Draws.
        near: What a pixel within two of the body counts beside any other (released: 1).

    Returns:
        Indices of rays, ``(batch, count)``; any pixels where the body fills the image.
    """
    body = (~background).float()[:, None]
    beside = functional.max_pool2d(body, 2 * _BESIDE + 1, 1, _BESIDE)[:, 0] > 0
    share = torch.where(beside, near, 1.0) * background
    share = share.flatten(1)
    share = torch.where(share.any(-1, keepdim=True), share, 1.0)
    return torch.multinomial(share, count, replacement=True, generator=generator)


def pixel_features(feature_map: Tensor, pixels: Tensor) -> Tensor:
    """Features at pixels, ``(batch, count, channels)``.

    Args:
        feature_map: ``(batch, rays, channels)``.
        pixels: ``(batch, count)`` int64.
    """
    index = pixels[..., None].expand(-1, -1, feature_map.shape[-1])
    return feature_map.gather(1, index)
