"""Expectation maximisation of axis-aligned Gaussian mixtures, for many sets of points at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_DEAD, _LEAST_LOG_WEIGHT = 1e-6, 1e-12


class Gaussians(NamedTuple):
    """One mixture a set, on any device.

    Attributes:
        weight: ``(sets, kernels)``.
        mean: ``(sets, kernels, axes)``.
        variance: ``(sets, kernels, axes)``.
    """

    weight: Tensor
    mean: Tensor
    variance: Tensor


def fit_gaussians(
    points: Tensor, share: Tensor, start: Gaussians, iterations: int, least_variance: float
) -> Gaussians:
    """Raise the likelihood of weighted points, a fixed number of times.

    A kernel that no point is drawn to stays where it is with no weight. Nothing waits for the
    device.

    Args:
        points: ``(sets, points, axes)``; squares must not lose the spread, so put the origin near.
        share: Weight of each point, ``(sets, points)``, summing to one.
        start: First mixtures.
        iterations: Number of steps.
        least_variance: Bound of every variance.

    Source: Dempster, Laird, Rubin 1977, with diagonal covariances.
    """
    axes = points.shape[-1]
    place = points.transpose(1, 2)
    moments = torch.cat((torch.ones_like(place[:, :1]), place, place.square()), dim=1)
    weight, mean, variance = start
    for _ in range(iterations):
        precision = variance.reciprocal()
        constant = (
            weight.clamp(min=_LEAST_LOG_WEIGHT).log()
            - 0.5 * (variance.log() + mean.square() * precision).sum(-1)
        )[..., None]
        terms = torch.cat((constant, mean * precision, -0.5 * precision), dim=-1)
        owned = (terms @ moments).softmax(1) * share[:, None]  # sets kernels points
        total = owned @ moments.transpose(1, 2)  # sets kernels moments
        weight = total[..., 0]
        average = total[..., 1:] / weight[..., None].clamp(min=1e-9)
        first, second = average[..., :axes], average[..., axes:]
        alive = weight[..., None] > _DEAD
        mean = torch.where(alive, first, mean)
        variance = torch.where(alive, second - first.square(), variance).clamp(least_variance)
    return Gaussians(weight, mean, variance)


def start_by_rank(points: Tensor, kernels: int) -> Gaussians:
    """Equal kernels at points evenly spaced by rank along the axis of greatest variance.

    Args:
        points: ``(sets, points, axes)``, at least as many as kernels.
        kernels: Number of Gaussians a set.
    """
    sets, count, axes = points.shape
    variance = points.var(dim=1, correction=0)
    widest = variance.argmax(dim=-1)[:, None, None].expand(sets, count, 1)
    order = points.gather(2, widest)[..., 0].argsort(dim=1, stable=True)
    rank = (torch.arange(kernels, device=points.device) * 2 + 1) * count // (2 * kernels)
    chosen = order[:, rank, None].expand(sets, kernels, axes)
    spread = (variance / kernels).clamp(min=torch.finfo(points.dtype).eps)
    return Gaussians(
        points.new_full((sets, kernels), 1 / kernels),
        points.gather(1, chosen),
        spread[:, None].repeat(1, kernels, 1),
    )
