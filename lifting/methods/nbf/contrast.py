"""What an image shows of kernels and background, and the losses that tell those features apart.

They tell kernel from kernel, orientation from orientation, body from rest. ``info_nce`` is what
the released code trains with: a softmax over the whole bank. ``pairwise_*`` are the sums of
squared distances of the paper.

Source: 3DNBF, arXiv 2308.10123, section 3.3; released code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import check_shape
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


@dataclass(frozen=True)
class ContrastOptions:
    """The softmax over the bank.

    Attributes:
        temperature: Of the cosines.
        clutter_weight: What a background feature counts beside a kernel's.
    """

    temperature: float = 0.07
    clutter_weight: float = 0.005


@dataclass(frozen=True)
class Rows:
    """What features are told apart from.

    Attributes:
        bank: ``(orientations, kernels, channels)``, unit.
        clutter: ``(count, channels)``, unit.
        adjacency: Neighbours, ``(kernels, kernels)`` bool, False on the diagonal.
        options: Temperature and weight of the background.
    """

    bank: Tensor
    clutter: Tensor
    adjacency: Tensor
    options: ContrastOptions = field(default_factory=ContrastOptions)

    def cross_entropy(self, features: Tensor, kernel: Tensor, label: Tensor) -> Tensor:
        """Of features with the bank's rows they should be; neighbours are no negatives.

        Args:
            features: Unit, ``(n, channels)``.
            kernel: ``(n,)`` int64.
            label: Orientation, ``(n,)`` int64.

        Returns:
            ``(n,)``.
        """
        orientations, kernels, _ = self.bank.shape
        every = torch.cat((self.bank.flatten(0, 1), self.clutter))
        shift = features.new_zeros(len(every))
        shift[orientations * kernels :] = math.log(self.options.clutter_weight)
        logits = torch.addmm(shift, features / self.options.temperature, every.T)
        near = self.adjacency.repeat(1, orientations)[kernel]
        logits[:, : near.shape[1]].masked_fill_(near, -math.inf)
        return functional.cross_entropy(logits, label * kernels + kernel, reduction="none")


def info_nce(
    observed: Tensor, visible: Tensor, labels: Tensor, rows: Rows
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each observed feature with the bank's row it should be.

    Args:
        observed: Unit features, ``(batch, kernels, channels)``.
        visible: ``(batch, kernels)`` bool.
        labels: Orientation of each kernel, ``(batch, kernels)`` int64.
        rows: What they are told apart from.

    Returns:
        The mean over visible kernels, zero with a gradient of zero where none is; and the loss of
        each kernel, ``(batch, kernels)``, also where it is not visible.
    """
    check_shape("observed", observed, "b k c", k=rows.bank.shape[1], c=rows.bank.shape[2])
    kernel = torch.arange(visible.shape[1], device=visible.device).expand_as(visible)
    every = rows.cross_entropy(observed.flatten(0, 1), kernel.flatten(), labels.flatten())
    every = every.view_as(visible)
    return _mean_where(every, visible), every


def sampled_info_nce(
    observed: Tensor,
    visible: Tensor,
    labels: Tensor,
    rows: Rows,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """The mean of ``info_nce`` from some visible kernels of each image.

    Args:
        observed: Unit features, ``(batch, kernels, channels)``.
        visible: ``(batch, kernels)`` bool.
        labels: Orientation of each kernel, ``(batch, kernels)`` int64.
        rows: What they are told apart from.
        count: Kernels of an image at most.
        generator: Draws, on the features' device.
    """
    drawn = torch.rand(visible.shape, generator=generator, device=visible.device)
    kernel = (drawn * visible).topk(min(count, visible.shape[1]), dim=1).indices
    flat = (kernel + visible.shape[1] * torch.arange(len(kernel), device=kernel.device)[:, None]
            ).flatten()  # fmt: skip
    chosen = observed.flatten(0, 1).index_select(0, flat)
    each = rows.cross_entropy(chosen, kernel.flatten(), labels.flatten()[flat])
    return _mean_where(each, visible.flatten()[flat])


def noise_regulariser(noise: Tensor, bank: Tensor) -> Tensor:
    """Mean cosine of background features and all kernels.

    Args:
        noise: Unit features, ``(batch, count, channels)``.
        bank: ``(orientations, kernels, channels)``, unit.
    """
    # The mean of all products is the product of the means.
    return noise.flatten(0, -2).mean(0) @ bank.flatten(0, 1).mean(0)


def background_contrast(
    noise: Tensor, bank: Tensor, background: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of background features with the background's own, against all kernels (ours).

    The released terms keep the background from looking like kernels. Fitting compares both, so a
    pixel beside the body must look like the background, too, or it pays to cover it.

    Args:
        noise: Unit features, ``(batch, count, channels)``.
        bank: ``(orientations, kernels, channels)``, unit.
        background: ``(centres, channels)``, unit; the nearest counts.
        temperature: Of the cosines.
    """
    flat = noise.flatten(0, -2)
    own = (flat @ background.T).amax(-1, keepdim=True)
    logits = torch.cat((own, flat @ bank.flatten(0, 1).T), dim=1) / temperature
    return (logits.logsumexp(1) - logits[:, 0]).mean()


def pairwise_kernels(observed: Tensor, visible: Tensor, *, hinge: bool = True) -> Tensor:
    """Contrast between the kernels of an image.

    Args:
        observed: Unit features, ``(batch, kernels, channels)``.
        visible: ``(batch, kernels)`` bool.
        hinge: A mean over pairs, and none below a cosine of zero is pushed further (ours); else
            the sum over ordered pairs of minus the squared distance, as written in the paper.
    """
    both = visible[:, :, None] & visible[:, None, :]
    both = both & ~torch.eye(visible.shape[1], dtype=torch.bool, device=visible.device)
    return _pairs(observed @ observed.mT, both, hinge=hinge)


def pairwise_background(
    observed: Tensor, visible: Tensor, noise: Tensor, *, hinge: bool = True
) -> Tensor:
    """Contrast between the kernels and the background of an image.

    Args:
        observed: Unit features, ``(batch, kernels, channels)``.
        visible: ``(batch, kernels)`` bool.
        noise: Unit features, ``(batch, count, channels)``.
        hinge: As in :func:`pairwise_kernels`.
    """
    cosine = observed @ noise.mT
    return _pairs(cosine, visible[..., None].expand_as(cosine), hinge=hinge)


def pairwise_orientations(
    observed: Tensor, visible: Tensor, labels: Tensor, *, hinge: bool = True
) -> Tensor:
    """Contrast between images that see the same kernel under different orientations.

    Args:
        observed: Unit features, ``(batch, kernels, channels)``.
        visible: ``(batch, kernels)`` bool.
        labels: Orientation of each kernel, ``(batch, kernels)`` int64.
        hinge: As in :func:`pairwise_kernels`.
    """
    by_kernel = observed.transpose(0, 1)
    seen, label = visible.T, labels.T
    both = seen[:, :, None] & seen[:, None, :] & (label[:, :, None] != label[:, None, :])
    return _pairs(by_kernel @ by_kernel.mT, both, hinge=hinge)


def feature_nll(
    observed: Tensor, visible: Tensor, labels: Tensor, bank: Tensor, kappa: float
) -> Tensor:
    """Mean of minus the log density of the observed features, up to the normaliser.

    Args:
        observed: Unit features, ``(batch, kernels, channels)``.
        visible: ``(batch, kernels)`` bool.
        labels: Orientation of each kernel, ``(batch, kernels)`` int64.
        bank: ``(orientations, kernels, channels)``, unit.
        kappa: Concentration.
    """
    own = bank[labels, torch.arange(bank.shape[1], device=bank.device)]
    return _mean_where(-kappa * (observed * own).sum(-1), visible)


def part_loss(logits: Tensor, parts: Tensor, body: float = 1.0) -> Tensor:
    """Cross-entropy of body parts, the background included.

    Args:
        logits: ``(batch, parts + 1, height, width)``; the first channel is the background.
        parts: ``(batch, height, width)`` int64, -1 for background, else the part.
        body: What a pixel of the body counts beside one of the background (released: 1).
    """
    weight = logits.new_full(logits.shape[1:2], body)
    weight[0] = 1.0
    return functional.cross_entropy(logits, parts + 1, weight=weight)


def _pairs(cosine: Tensor, both: Tensor, *, hinge: bool) -> Tensor:
    """Minus squared distance of unit vectors is twice their cosine less two."""
    if not hinge:
        return torch.where(both, 2 * cosine - 2, 0.0).sum()
    return _mean_where(cosine.clamp(min=0), both)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    kept = torch.where(mask, values, 0.0)
    return kept.sum() / mask.sum().clamp(min=1)
