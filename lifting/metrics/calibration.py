"""Streaming quality of a predicted uncertainty."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lifting.metrics.functional.calibration import (
    LEVELS,
    CalibrationError,
    Region,
    axis_sigma,
    calibration_error,
    confidence_error,
    confidence_histogram,
    coverage_histogram,
    crps,
    energy_score,
    gaussian_nll,
    rank_histogram,
    standardised,
)
from lifting.metrics.functional.ranking import Sparsification, sparsification, spearman
from lifting.metrics.single import RatioMetric, StreamingMetric


class GaussianNLL(RatioMetric):
    """Negative log likelihood under independent Gaussians, nats a joint, lengths in mm."""

    def update(
        self, mean: Tensor, sigma: Tensor, target: Tensor, valid: Tensor | None = None
    ) -> None:
        """Add joints.

        Args:
            mean: ``(*batch, 3)``, mm.
            sigma: ``(*batch,)`` or ``(*batch, 3)``, standard deviation, mm.
            target: ``(*batch, 3)``, mm.
            valid: ``(*batch,)`` bool; None for all.
        """
        value = gaussian_nll(mean, sigma, target)
        if valid is None:
            valid = torch.ones_like(value, dtype=torch.bool)
        self.add_ratio((torch.where(valid, value, 0.0).sum(), valid.sum()))


class Coverage(StreamingMetric):
    """Coverage at the levels 0.05, ..., 0.95 and its calibration error.

    Args:
        region: ``axis`` intervals of every axis, ``radial`` ellipsoids of three axes.
        kwargs: Passed to torchmetrics.
    """

    counts: Tensor

    def __init__(self, region: Region = "axis", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.region: Region = region
        self.add_count("counts", len(LEVELS) + 1)

    def update(
        self, mean: Tensor, sigma: Tensor, target: Tensor, valid: Tensor | None = None
    ) -> None:
        """Add joints, ``(*batch, 3)``, mm, as :meth:`GaussianNLL.update`."""
        self.accumulate(counts=coverage_histogram(mean, sigma, target, valid, region=self.region))

    def compute(self) -> CalibrationError:
        """Coverage, mean absolute and mean signed difference; NaN where nothing counted."""
        self.mean_of(self.counts.sum(), self.counts.sum())
        return calibration_error(self.counts)


class Temperature(RatioMetric):
    """Factor on all deviations that maximises the likelihood; fit it on validation data only."""

    higher_is_better = None

    def update(
        self, mean: Tensor, sigma: Tensor, target: Tensor, valid: Tensor | None = None
    ) -> None:
        """Add joints, ``(*batch, 3)``, mm, as :meth:`GaussianNLL.update`."""
        z = standardised(mean, axis_sigma(sigma, mean), target)
        square = z.square().mean(-1)
        if valid is None:
            valid = torch.ones_like(square, dtype=torch.bool)
        self.add_ratio((torch.where(valid, square, 0.0).sum(), valid.sum()))

    def compute(self) -> Tensor:
        """The factor, of shape ``()``; NaN where nothing counted."""
        return super().compute().sqrt()


class UncertaintyRanking(Metric):
    """Sparsification and rank correlation over all samples, exactly, from samples kept in memory.

    Nine million joints take 150 MB on the processor, where the samples are kept.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    uncertainty: list[Tensor]
    error: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(compute_on_cpu=True, **kwargs)
        self.add_state("uncertainty", [], dist_reduce_fx="cat")
        self.add_state("error", [], dist_reduce_fx="cat")

    @torch.no_grad()
    def update(self, uncertainty: Tensor, error: Tensor, valid: Tensor | None = None) -> None:
        """Add samples of any shape.

        Args:
            uncertainty: Larger is less certain; the root of the summed variances of three axes.
            error: Same shape, mm.
            valid: Same shape, bool; None for all.
        """
        if valid is not None:
            uncertainty, error = uncertainty[valid], error[valid]
        self.uncertainty.append(uncertainty.detach().flatten().double())
        self.error.append(error.detach().flatten().double())

    def compute(self) -> dict[str, Tensor]:
        """``ause``, ``ause_mm`` and ``spearman``, of shape ``()``; NaN where nothing counted."""
        uncertainty, error = self._joined(self.uncertainty), self._joined(self.error)
        curves: Sparsification = sparsification(uncertainty, error)
        return {
            "ause": curves.ause,
            "ause_mm": curves.ause_mm,
            "spearman": spearman(uncertainty, error),
        }

    def _joined(self, parts: list[Tensor] | Tensor) -> Tensor:
        if isinstance(parts, Tensor):
            return parts
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


class SampleScores(StreamingMetric):
    """Mean CRPS by axis, mean energy score (mm), and rank histogram of samples.

    Args:
        samples: Number of samples.
        seed: Seed that breaks ties of ranks.
        kwargs: Passed to torchmetrics.
    """

    crps: Tensor
    energy: Tensor
    count: Tensor
    ranks: Tensor

    def __init__(self, samples: int, *, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.add_sum("crps")
        self.add_sum("energy")
        self.add_count("count")
        self.add_count("ranks", samples + 1)

    def update(self, samples: Tensor, target: Tensor) -> None:
        """Add points.

        Args:
            samples: ``(*batch, samples, 3)``, mm.
            target: ``(*batch, 3)``, mm.
        """
        generator = torch.Generator(device=samples.device).manual_seed(self.seed)
        energy = energy_score(samples, target)
        self.accumulate(
            crps=crps(samples, target).mean(-1).sum(),
            energy=energy.sum(),
            count=torch.tensor(energy.numel(), device=energy.device),
            ranks=rank_histogram(samples, target, generator),
        )

    def compute(self) -> dict[str, Tensor]:
        """Means and counts by name.

        Returns:
            ``crps_mm`` and ``energy_mm``, of shape ``()``, NaN where nothing counted;
            ``rank_histogram``, ``(samples + 1,)`` int64.
        """
        return {
            "crps_mm": self.mean_of(self.crps, self.count),
            "energy_mm": self.mean_of(self.energy, self.count),
            "rank_histogram": self.ranks,
        }


class ConfidenceECE(StreamingMetric):
    """Expected calibration error of a detector's confidence, 0 to 1.

    Args:
        bins: Number of equal-width bins.
        kwargs: Passed to torchmetrics.
    """

    counts: Tensor
    confidence: Tensor
    correct: Tensor

    def __init__(self, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins
        self.add_count("counts", bins)
        self.add_sum("confidence", bins)
        self.add_count("correct", bins)

    def update(self, confidence: Tensor, correct: Tensor) -> None:
        """Add detections.

        Args:
            confidence: Any shape, 0 to 1.
            correct: Same shape, bool: 2D error below the chosen threshold.
        """
        counts, summed, right = confidence_histogram(confidence, correct, bins=self.bins)
        self.accumulate(counts=counts, confidence=summed, correct=right)

    def compute(self) -> Tensor:
        """Mean absolute gap between accuracy and confidence, weighted by bin, of shape ``()``."""
        self.mean_of(self.confidence, self.counts.sum())
        return confidence_error(self.counts, self.confidence, self.correct)
