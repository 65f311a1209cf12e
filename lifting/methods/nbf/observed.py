"""What an image shows of each kernel, given where the kernels are; and what its background shows.

Source: 3DNBF, arXiv 2308.10123, section 3.3; released code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.methods.nbf.render import Rendering, normalise_features

LEAST_SHARE = 0.05
BODY_OPACITY = 0.05
_LEAST_TOTAL = 1e-8


class Observed(NamedTuple):
    """Features of the kernels of a batch.

    Attributes:
        features: ``(batch, kernels, channels)``, unit where visible.
        visible: ``(batch, kernels)`` bool.
    """

    features: Tensor
    visible: Tensor


def observed_features(
    feature_map: Tensor, rendering: Rendering, occluded: Tensor | None = None
) -> Observed:
    """Mean feature of each kernel's pixels by its weight there: the transpose of rendering.

    The gradient goes to the features only.

    Args:
        feature_map: Unit features, ``(batch, rays, channels)``.
        rendering: Of the true body.
        occluded: Pixels where something stands before the body, ``(batch, rays)`` bool; they show
            nothing of it.
    """
    weights = rendering.dense().detach()  # (batch, rays, kernels)
    if occluded is not None:
        weights = torch.where(occluded[..., None], 0.0, weights)
    total = weights.sum(1)
    sums = torch.bmm(weights.mT.to(feature_map.dtype), feature_map)
    mean = sums / (total + _LEAST_TOTAL)[..., None].to(feature_map.dtype)
    return Observed(normalise_features(mean), total > LEAST_SHARE)


@torch.no_grad()
def background_pixels(
    rendering: Rendering,
    count: int,
    generator: torch.Generator | None = None,
    occluded: Tensor | None = None,
) -> Tensor:
    """Draw pixels that show no body, uniformly.

    Args:
        rendering: Of the true body.
        count: Pixels of each sample.
        generator: Draws.
        occluded: Pixels where something stands before the body, ``(batch, rays)`` bool; they are
            background, too.

    Returns:
        Indices of rays, ``(batch, count)``; any pixels where the body fills the image.
    """
    free = rendering.opacity < BODY_OPACITY
    if occluded is not None:
        free = free | occluded
    free = free | ~free.any(-1, keepdim=True)
    return torch.multinomial(free.float(), count, replacement=True, generator=generator)


def pixel_features(feature_map: Tensor, pixels: Tensor) -> Tensor:
    """Features at pixels, ``(batch, count, channels)``.

    Args:
        feature_map: ``(batch, rays, channels)``.
        pixels: ``(batch, count)`` int64.
    """
    index = pixels[..., None].expand(-1, -1, feature_map.shape[-1])
    return feature_map.gather(1, index)
