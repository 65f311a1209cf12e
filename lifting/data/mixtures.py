"""Gaussian mixtures of 2D joints: fitted to heatmaps, or made from plain detections.

A mixture is ``(kernels, 5)``: weight, mean u, mean v, spread u, spread v. In the frame the means
are pixels and the spreads standard deviations in screen units (half image widths).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lifting.data.detections import BASE_SIGMA, Detections
from lifting.data.heatmaps import Crop, map_to_frame
from lifting.errors import ConfigError, DataError, check_shape
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, PerJoint, Pose2D

_DEAD, _LEAST_LOG_WEIGHT = 1e-6, 1e-12

_KEPT, _LEAST_VARIANCE, _LEAST_WEIGHT, _FIRST_VARIANCE = 0.05, 0.5, 1e-3, 4.0
_JITTER = 1.5  # cells between the copies of a peak that stand in for missing ones
_MAPS = 128  # maps fitted at a time
# weight and spread (in sigma) of each kernel made from a detection
_WEIGHTS = (0.75, 0.07, 0.07, 0.07, 0.04)
_SPREADS = (1.0, 1.5, 1.5, 1.5, 1.0)
_SCATTER, _LEAST_SPREAD = 2.5, 1.0
_MEAN_RADIUS = math.sqrt(math.pi / 2)  # mean length of a unit Gaussian in the plane
_RADIUS, _LEAST_CONFIDENCE = 3.0, 0.02


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


def detection_mixtures(
    detections: Detections,
    skeleton: Skeleton,
    width: Tensor,
    *,
    partner: bool,
    generator: Generator | None,
) -> Tensor:
    """Mixtures of five kernels around plain detections, where no heatmaps exist.

    The first kernel is the detection itself, three more lie around it, and the last is the joint
    of the other side, in case the two were exchanged.

    Args:
        detections: N frames.
        skeleton: Joints.
        width: Image width of each frame, ``(N,)``, pixels.
        partner: Let the last kernel lie on the other side's joint; False, for input without
            exchanges, and joints of the midline leave it at the detection.
        generator: Draws where the three lie; None puts them evenly around, as far as they lie on
            average. Differentiable in the keypoints.

    Returns:
        ``(N, joints, 5, 5)`` float32. Spreads are at least a pixel.

    Source: design figures, for the noise model of ``lifting.data.detections``.
    """
    centre, sigma = detections.keypoints_2d, detections.sigma
    frames, joints = sigma.shape
    check_shape("width", width, "frames", frames=frames)
    kernels = len(_WEIGHTS)
    result = torch.empty(frames, joints, kernels, 5, device=sigma.device)
    result[..., 0] = sigma.new_tensor(_WEIGHTS)
    result[..., 1:3] = centre[:, :, None]
    if generator is None:
        around = _MEAN_RADIUS * _ring(sigma.new_empty(kernels - 2))
    else:
        shape = (frames, joints, kernels - 2, 2)
        around = torch.randn(shape, generator=generator, device=generator.device)
    result[..., 1:-1, 1:3] += _SCATTER * sigma[..., None, None] * around
    if partner:
        result[..., -1, 1:3] = centre[:, list(skeleton.flip_index)]
    spread = sigma[..., None] * sigma.new_tensor(_SPREADS)
    result[..., 3:] = _screen_spread(spread, width)[..., None]
    return result


def point_mixtures(detections: Detections, width: Tensor) -> Tensor:
    """Mixtures of a single kernel at each detection.

    Args:
        detections: N frames.
        width: Image width of each frame, ``(N,)``, pixels.

    Returns:
        ``(N, joints, 1, 5)``. Spreads are at least a pixel.
    """
    sigma = detections.sigma[..., None]
    spread = _screen_spread(sigma, width)
    kernel = (torch.ones_like(sigma), detections.keypoints_2d, spread, spread)
    return torch.cat(kernel, dim=-1)[..., None, :]


def confidence_sigma(keypoints_2d: Pose2D, confidence: PerJoint) -> PerJoint:
    """Standard deviation an axis of detections, read from their confidence, pixels.

    A confidence ``exp(-d^2 / 2 r^2)`` of a detection that is off by d belongs to the deviation
    ``r sqrt(-ln c)``. The radius r is 2.4 % of the person's box; a third of it is added squared,
    since no detection is exact.

    Args:
        keypoints_2d: ``(N, joints, 2)``, pixels.
        confidence: ``(N, joints)``, 0 to 1; below 0.02 it counts as that.

    Source: design figures, for the noise model of ``lifting.data.detections``; the law is that of
        COCO's object keypoint similarity.
    """
    box = (keypoints_2d.amax(-2) - keypoints_2d.amin(-2)).amax(-1, keepdim=True)
    doubt = -confidence.clamp(_LEAST_CONFIDENCE, 1.0).log()
    return BASE_SIGMA * box * (1 + _RADIUS**2 * doubt).sqrt()


def fit_mixtures(heatmaps: Tensor, kernels: int = 5, iterations: int = 15) -> Tensor:
    """Fit axis-aligned Gaussian mixtures to heatmaps by weighted expectation maximisation.

    Cells below a twentieth of a map's maximum are ignored. Kernels start at the strongest local
    maxima; a map with fewer has copies around its strongest. An empty map counts as uniform.

    Args:
        heatmaps: ``(batch, joints, height, width)``, finite, not negative.
        kernels: Number of Gaussians a map.
        iterations: Number of EM steps.

    Returns:
        ``(batch, joints, kernels, 5)``: weight, mean u, mean v, spread u, spread v, by falling
        weight, in map coordinates. Weights sum to 1; those below 0.001 are set to zero.

    Raises:
        ConfigError: No kernel is asked for.
        DataError: A map is negative or not finite.

    Source: DiffPose (Gong et al., 2023), section 3; initialisation and limits are our design.
    """
    check_shape("heatmaps", heatmaps, "batch joints height width")
    if kernels < 1:
        raise ConfigError(f"expected at least one kernel, got kernels={kernels}; ask for 1 to 5")
    maps = heatmaps.flatten(0, 1).float()
    low, peak = maps.amin((1, 2)), maps.amax((1, 2))
    if not bool(((low >= 0) & peak.isfinite()).all()):
        raise DataError(
            "expected finite heatmaps that are not negative, got values from "
            f"{float(low.min())} to {float(peak.max())}; apply a softmax or clip at 0"
        )
    result = maps.new_empty(len(maps), kernels, 5)
    # maps of like extent are fitted together, so that few cells are padding
    cells = (maps >= (_KEPT * peak)[:, None, None]).sum((1, 2))
    for part in torch.split(cells.argsort(), _MAPS):
        result[part] = _fit(maps[part], int(cells[part[-1]]), kernels, iterations)
    return result.view(*heatmaps.shape[:2], kernels, 5)


def mixtures_to_frame(mixtures: Tensor, crop: Crop, size: ImageSize) -> Tensor:
    """Mixtures in map coordinates to means in pixels and spreads in screen units.

    Args:
        mixtures: ``(batch, joints, kernels, 5)``, see ``fit_mixtures``.
        crop: Where the maps lie.
        size: Image width and height, ``(batch, 2)``, pixels.

    Returns:
        ``(batch, joints, kernels, 5)``: weight, mean u, mean v (pixels), spread u, spread v
        (half image widths).
    """
    weight, mean, spread = mixtures[..., :1], mixtures[..., 1:3], mixtures[..., 3:]
    placed = map_to_frame(mean.flatten(1, 2), crop).view_as(mean)
    scale = 2 * crop.cell / size[:, 0]
    return torch.cat((weight, placed, spread * scale[:, None, None, None]), dim=-1)


def _fit(maps: Tensor, most: int, kernels: int, iterations: int) -> Tensor:
    """EM on the ``most`` highest cells of maps ``(maps, height, width)``, less the ignored."""
    height, width = maps.shape[-2:]
    peak = maps.amax((1, 2), keepdim=True)
    maps = torch.where(peak > 0, maps, 1.0)
    maps = torch.where(maps >= _KEPT * peak, maps, 0.0)
    value, index = maps.flatten(1).topk(most, dim=1, sorted=False)
    value = value / value.sum(-1, keepdim=True)
    # coordinates from the map's centre, so that their squares stay small in float32
    middle = maps.new_tensor((width - 1, height - 1)) / 2
    place = torch.stack((index % width, index // width), dim=1) - middle[:, None]
    mean, weight = _strongest_peaks(maps, kernels)
    mean = mean - middle
    start = Gaussians(weight, mean, torch.full_like(mean, _FIRST_VARIANCE))
    weight, mean, variance = fit_gaussians(
        place.transpose(1, 2), value, start, iterations, _LEAST_VARIANCE
    )
    weight = torch.where(weight < _LEAST_WEIGHT, torch.zeros_like(weight), weight)
    weight = weight / weight.sum(-1, keepdim=True)
    fitted = torch.cat((weight[..., None], mean + middle, variance.sqrt()), dim=-1)
    order = weight.argsort(dim=-1, descending=True, stable=True)
    return fitted.gather(1, order[..., None].expand_as(fitted))


def _strongest_peaks(maps: Tensor, kernels: int) -> tuple[Tensor, Tensor]:
    """Places ``(maps, kernels, 2)`` and relative heights ``(maps, kernels)`` of local maxima."""
    width = maps.shape[-1]
    highest = functional.max_pool2d(maps[:, None], 3, stride=1, padding=1)[:, 0]
    peaks = torch.where(maps == highest, maps, torch.zeros_like(maps)).flatten(1)
    peaks = functional.pad(peaks, (0, max(kernels - peaks.shape[1], 0)))
    value, index = peaks.topk(kernels, dim=1)
    place = torch.stack((index % width, index // width), dim=-1).to(maps)
    jitter = _JITTER * _ring(maps.new_empty(kernels))
    missing = value <= 0
    place = torch.where(missing[..., None], place[:, :1] + jitter, place)
    value = torch.where(missing, value[:, :1] / kernels, value)
    return place, value / value.sum(-1, keepdim=True)


def _ring(like: Tensor) -> Tensor:
    """Points evenly spaced on the unit circle, one for each entry of a vector, ``(points, 2)``."""
    angle = torch.arange(len(like), dtype=like.dtype, device=like.device) * (
        2 * math.pi / len(like)
    )
    return torch.stack((angle.cos(), angle.sin()), dim=-1)


def _screen_spread(spread: Tensor, width: Tensor) -> Tensor:
    """Spreads ``(N, joints, kernels)`` in half image widths, at least that of a pixel."""
    return spread.clamp(min=_LEAST_SPREAD) / (width / 2)[:, None, None]
