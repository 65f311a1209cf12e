"""Quality of a predicted uncertainty: likelihood, coverage, scores of samples.

Lengths are millimetres, on which the likelihood depends. A deviation below one micrometre is
raised to it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape, suggest
from lifting.metrics.functional.errors import constant, ratio, to_working_precision
from lifting.metrics.functional.threshold import count_cells

SIGMA_FLOOR_MM = 1e-3
LEVELS = tuple(k / 20 for k in range(1, 20))

Region = Literal["axis", "radial"]


class CalibrationError(NamedTuple):
    """How far observed coverage is from the nominal levels 0.05, ..., 0.95.

    Attributes:
        coverage: ``(19,)`` observed shares.
        ece: Mean absolute difference.
        signed: Mean difference; negative is overconfident.
    """

    coverage: Tensor
    ece: Tensor
    signed: Tensor


def chi2_3_quantile(probability: float) -> float:
    """Quantile of the chi-square distribution with three degrees of freedom.

    Newton's method on the closed form ``erf(sqrt(x/2)) - sqrt(2x/pi) exp(-x/2)``.
    """
    x = 3.0 * (1 - 2 / 27 + NormalDist().inv_cdf(probability) * math.sqrt(2 / 27)) ** 3
    for _ in range(50):
        root = math.sqrt(x)
        density = root * math.exp(-x / 2) / math.sqrt(2 * math.pi)
        value = math.erf(root / math.sqrt(2)) - 2 * density
        x = max(x - (value - probability) / density, x / 10)
    return x


AXIS_LIMITS = tuple(NormalDist().inv_cdf(0.5 + p / 2) for p in LEVELS)
RADIAL_LIMITS = tuple(math.sqrt(chi2_3_quantile(p)) for p in LEVELS)


def floored(sigma: Tensor) -> Tensor:
    """Deviation in working precision, not below the floor; NaN stays NaN.

    Args:
        sigma: Any shape, mm.

    Returns:
        The same shape, mm.
    """
    return to_working_precision(sigma).clamp(min=SIGMA_FLOOR_MM)


def axis_sigma(sigma: Tensor, mean: Tensor) -> Tensor:
    """Deviation by axis, from one a joint or one an axis.

    Args:
        sigma: ``(*batch,)`` or ``(*batch, 3)``, mm.
        mean: ``(*batch, 3)``, mm.

    Raises:
        ShapeError: Neither shape fits.
    """
    shape = mean.shape[:-1] if sigma.ndim == mean.ndim - 1 else mean.shape
    check_shape("sigma", sigma, " ".join(str(n) for n in shape))
    sigma = floored(sigma)
    return sigma if sigma.ndim == mean.ndim else sigma[..., None].expand(mean.shape)


@torch.no_grad()
def gaussian_nll(mean: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
    """Negative log likelihood of labels under independent Gaussians, nats a joint.

    Args:
        mean: ``(*batch, 3)``, mm.
        sigma: ``(*batch,)`` or ``(*batch, 3)``, standard deviation, mm.
        target: ``(*batch, 3)``, mm.

    Returns:
        ``(*batch,)``, summed over the three axes.
    """
    deviation = axis_sigma(sigma, mean)
    z = standardised(mean, deviation, target)
    return (deviation.log() + z * z / 2 + math.log(2 * math.pi) / 2).sum(-1)


def standardised(mean: Tensor, deviation: Tensor, target: Tensor) -> Tensor:
    """Residual in units of the deviation.

    Args:
        mean: ``(*batch, 3)``, mm.
        deviation: ``(*batch, 3)``, mm, above 0.
        target: ``(*batch, 3)``, mm.

    Returns:
        ``(*batch, 3)``.
    """
    return (to_working_precision(target) - to_working_precision(mean)) / deviation


@torch.no_grad()
def coverage_histogram(
    mean: Tensor,
    sigma: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    *,
    region: Region = "axis",
) -> Tensor:
    """Counts of residuals between the limits of the coverage levels.

    Args:
        mean: ``(*batch, 3)``, mm.
        sigma: ``(*batch,)`` or ``(*batch, 3)``, mm.
        target: ``(*batch, 3)``, mm.
        valid: ``(*batch,)`` bool; None for all.
        region: ``axis`` central intervals of every axis, ``radial`` ellipsoids of three axes.

    Returns:
        ``(20,)`` int64, the last entry beyond the highest level or not finite.

    Raises:
        ConfigError: The region is unknown.
    """
    limits = {"axis": AXIS_LIMITS, "radial": RADIAL_LIMITS}.get(region)
    if limits is None:
        raise ConfigError(f"unknown region '{region}'; {suggest(region, ('axis', 'radial'))}")
    z = standardised(mean, axis_sigma(sigma, mean), target)
    size = z.abs() if region == "axis" else z.norm(dim=-1)
    edges = constant(limits, size.device, size.dtype)
    level = torch.bucketize(size.nan_to_num(nan=torch.inf), edges)
    if valid is None:
        keep = torch.ones_like(level, dtype=torch.bool)
    else:
        keep = valid[..., None].expand(level.shape) if region == "axis" else valid
    return count_cells(level, keep, len(LEVELS) + 1)


def calibration_error(counts: Tensor) -> CalibrationError:
    """Expected calibration error from the counts of :func:`coverage_histogram`.

    Args:
        counts: ``(20,)`` int64.
    """
    nominal = torch.tensor(LEVELS, dtype=torch.float64, device=counts.device)
    below = counts.cumsum(0)
    coverage = ratio(below[:-1].double(), below[-1])
    difference = coverage - nominal
    return CalibrationError(coverage, difference.abs().mean(), difference.mean())


@torch.no_grad()
def optimal_temperature(mean: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
    """Factor on all deviations that maximises the likelihood; fit it on validation data only.

    Args:
        mean: ``(*batch, 3)``, mm.
        sigma: ``(*batch,)`` or ``(*batch, 3)``, standard deviation, mm.
        target: ``(*batch, 3)``, mm.

    Returns:
        A scalar, ``()``.
    """
    z = standardised(mean, axis_sigma(sigma, mean), target)
    return z.square().mean().sqrt()


@torch.no_grad()
def crps(samples: Tensor, target: Tensor) -> Tensor:
    """Continuous ranked probability score of samples by axis, mm.

    Args:
        samples: ``(*batch, samples, axes)``, mm.
        target: ``(*batch, axes)``, mm.

    Returns:
        ``(*batch, axes)``: the estimator that counts every sample as its own partner too.

    Source: Gneiting and Raftery 2007, equation 20.
    """
    check_shape("samples", samples, "*batch samples axes", axes=target.shape[-1])
    x = to_working_precision(samples).sort(-2).values
    near = (x - to_working_precision(target)[..., None, :]).abs().mean(-2)
    number = x.shape[-2]
    # In sorted order the sum over all pairs is linear in the samples.
    weight = 2 * torch.arange(number, dtype=x.dtype, device=x.device) - (number - 1)
    pairs = 2 * (weight[:, None] * x).sum(-2) / number**2
    return near - pairs / 2


@torch.no_grad()
def energy_score(samples: Tensor, target: Tensor) -> Tensor:
    """Energy score of sampled points, mm: CRPS with the Euclidean norm.

    Args:
        samples: ``(*batch, samples, 3)``, mm.
        target: ``(*batch, 3)``, mm.

    Returns:
        ``(*batch,)``.

    Source: Gneiting and Raftery 2007, equation 22.
    """
    check_shape("samples", samples, "*batch samples axes", axes=target.shape[-1])
    x = to_working_precision(samples)
    near = (x - to_working_precision(target)[..., None, :]).norm(dim=-1).mean(-1)
    number = x.shape[-2]
    pairs = x.new_zeros(x.shape[:-2])
    for shift in range(1, number):
        pairs = pairs + (x - x.roll(shift, -2)).norm(dim=-1).sum(-1)
    return near - pairs / (2 * number**2)


@torch.no_grad()
def rank_histogram(samples: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    """Counts of the label's rank among the samples, flat if the samples are calibrated.

    Args:
        samples: ``(*batch, samples, axes)``, mm.
        target: ``(*batch, axes)``, mm.
        generator: Breaks ties; on the device of the samples.

    Returns:
        ``(samples + 1,)`` int64.
    """
    check_shape("samples", samples, "*batch samples axes", axes=target.shape[-1])
    below = (samples < target[..., None, :]).sum(-2)
    tied = (samples == target[..., None, :]).sum(-2)
    draw = torch.rand(below.shape, generator=generator, device=below.device)
    rank = below + (draw * (tied + 1)).long().clamp(max=samples.shape[-2])
    return count_cells(rank, torch.ones_like(rank, dtype=torch.bool), samples.shape[-2] + 1)


@torch.no_grad()
def sample_coverage(samples: Tensor, target: Tensor) -> Tensor:
    """Share of labels within the samples' central intervals at the 19 levels.

    Args:
        samples: ``(count, samples, axes)``, mm.
        target: ``(count, axes)``, mm.

    Returns:
        ``(19,)``; limits are empirical quantiles with linear interpolation.
    """
    check_shape("samples", samples, "count samples axes", axes=target.shape[-1])
    x = to_working_precision(samples)
    y = to_working_precision(target)
    level = torch.tensor(LEVELS, dtype=x.dtype, device=x.device)
    low = torch.quantile(x, (1 - level) / 2, dim=-2)  # (19, count, axes)
    high = torch.quantile(x, (1 + level) / 2, dim=-2)
    return ((low <= y) & (y <= high)).double().mean((1, 2))


@torch.no_grad()
def confidence_histogram(
    confidence: Tensor, correct: Tensor, *, bins: int = 15
) -> tuple[Tensor, Tensor, Tensor]:
    """Count, summed confidence and number correct of equal-width bins of a detector's confidence.

    Args:
        confidence: Any shape, 0 to 1.
        correct: Same shape, bool: 2D error below the chosen threshold.
        bins: Number of bins.

    Returns:
        Three tensors ``(bins,)``: int64, float64, int64; all add up over batches.
    """
    value = to_working_precision(confidence).flatten()
    # Right-closed bins, as usual for this score; a confidence of zero joins the first.
    index = (value * bins).ceil().long().sub(1).clamp(0, bins - 1)
    counts = torch.zeros(bins, dtype=torch.int64, device=value.device)
    ones = torch.ones_like(index)
    summed = torch.zeros(bins, dtype=value.dtype, device=value.device).index_add_(0, index, value)
    right = counts.clone().index_add_(0, index, correct.flatten().long())
    return counts.index_add_(0, index, ones), summed, right


def confidence_error(counts: Tensor, summed: Tensor, right: Tensor) -> Tensor:
    """Expected calibration error from the sums of :func:`confidence_histogram`.

    Args:
        counts: ``(bins,)`` int64.
        summed: ``(bins,)`` float64, summed confidence.
        right: ``(bins,)`` int64, number correct.

    Returns:
        A scalar, ``()``, 0 to 1.
    """
    total = counts.sum()
    return ratio((right.to(summed.dtype) - summed).abs().sum(), total)
