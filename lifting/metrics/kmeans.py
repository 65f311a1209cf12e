"""K-means with k-means++ starts, in float64 and reproducible from its seed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape
from lifting.metrics.functional.structure import nearest_center

MAX_STEPS = 300
_TOLERANCE = 1e-6


class KMeansFit(NamedTuple):
    """Result of one start.

    Attributes:
        centers: ``(clusters, size)`` float64.
        labels: ``(samples,)`` nearest centre of every sample.
        inertia: Sum of squared distances to the nearest centre.
        steps: Lloyd steps taken.
    """

    centers: Tensor
    labels: Tensor
    inertia: float
    steps: int


@torch.no_grad()
def kmeans(data: Tensor, clusters: int, *, seed: int = 0, steps: int = MAX_STEPS) -> KMeansFit:
    """Cluster samples by Lloyd's algorithm from a k-means++ start.

    Stops when the centres move, in the sum of squares, by no more than a millionth of the mean
    feature variance. An empty cluster starts again at the sample farthest from its centre.

    Args:
        data: ``(samples, size)``.
        clusters: Number of clusters, at most the number of samples.
        seed: Seed of the start.
        steps: Most Lloyd steps.

    Raises:
        ConfigError: The number of clusters is not between one and the number of samples.

    Source: Arthur and Vassilvitskii 2007 for the start.
    """
    check_shape("data", data, "samples size")
    if not 1 <= clusters <= len(data):
        raise ConfigError(
            f"expected between 1 and {len(data)} clusters (the samples), got {clusters}; "
            "give more samples or ask for fewer clusters"
        )
    data = data.double()
    generator = torch.Generator(device="cpu").manual_seed(seed)
    centers = plus_plus_start(data, clusters, generator)
    limit = _TOLERANCE * float(data.var(0, correction=0).mean())
    taken, shift = 0, float("inf")
    while taken < steps and shift > limit:
        moved = lloyd_step(data, centers)
        shift = float((moved - centers).square().sum())
        centers = moved
        taken += 1
    labels = nearest_center(data, centers)
    inertia = float((data - centers[labels]).square().sum())
    return KMeansFit(centers, labels, inertia, taken)


def plus_plus_start(data: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Centres drawn from the samples, each with probability by squared distance to the others.

    Args:
        data: ``(samples, size)`` float64.
        clusters: Number of centres.
        generator: Of the processor, whatever the device of the data.
    """
    first = int(torch.randint(len(data), (), generator=generator))
    chosen = [first]
    nearest = (data - data[first]).square().sum(-1)
    for _ in range(clusters - 1):
        cumulative = nearest.cumsum(0).cpu()
        draw = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
        index = int(torch.searchsorted(cumulative, draw, right=True).clamp(max=len(data) - 1))
        chosen.append(index)
        nearest = torch.minimum(nearest, (data - data[index]).square().sum(-1))
    return data[chosen].clone()


def lloyd_step(data: Tensor, centers: Tensor) -> Tensor:
    """Means of the samples nearest to each centre; see :func:`kmeans` for empty clusters.

    Args:
        data: ``(samples, size)`` float64.
        centers: ``(clusters, size)`` float64.
    """
    labels = nearest_center(data, centers)
    count = torch.zeros(len(centers), dtype=data.dtype, device=data.device)
    count.index_add_(0, labels, torch.ones_like(data[:, 0]))
    summed = torch.zeros_like(centers).index_add_(0, labels, data)
    moved = summed / count.clamp(min=1)[:, None]
    empty = (count == 0).nonzero()[:, 0]
    if len(empty):
        distance = (data - centers[labels]).square().sum(-1)
        moved[empty] = data[distance.topk(len(empty)).indices]
    return moved
