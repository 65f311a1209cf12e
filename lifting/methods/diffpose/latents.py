"""What test-time optimisation moves in DiffPose, and what it is told of the hypotheses.

One of two latents, the other held: the 2D pose that context encoder and denoiser are given, or the
noise that sampling starts from.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.diffpose.samples import Samples
from lifting.tto.contract import LENGTH_PER_AXIS, Latents
from lifting.tto.generic import LEAST_SIGMA_MM
from lifting.typing import PerJoint, PerSample, Pose2D

CONDITIONING = "conditioning"
NOISE = "noise"
LR_SCALE: Mapping[str, float] = {CONDITIONING: 1.0, NOISE: 100.0}
"""Beside a step of 1e-3 screen units, half a pixel, one of a tenth of the noise's deviation."""


def conditioning_latent(uv: Pose2D) -> Latents:
    """The 2D pose itself, ``(batch, targets, joints, 2)``, screen units."""
    return {CONDITIONING: uv}


def noise_latent(network: Refiner, uv: Pose2D, seed: int) -> Latents:
    """Noise that sampling starts from, in units of its deviation.

    It is the mean over the hypotheses, from which each keeps its distance. The objective sees only
    their aggregate: were each to move on its own, it would leave open where they go, and their
    spread would mean nothing.

    Args:
        network: Gives the start.
        uv: ``(batch, targets, joints, 2)``.
        seed: Seed of the table of noise.

    Returns:
        ``noise`` ``(batch, targets, joints, channels)``.
    """
    return {NOISE: network.start_noise(seed).expand(*uv.shape[:2], -1, -1)}


def noise_prior(noise: Tensor) -> PerSample:
    """Half the noise's square, mean over frames, ``(batch,)``.

    As the hypotheses' distances from their mean sum to zero, this is but for a constant the mean
    over them of the negative log density of each one's noise.

    Args:
        noise: ``(batch, targets, joints, channels)``, unit.
    """
    return noise.square().sum((-2, -1)).mean(-1) / 2


def log_expected_error(samples: Samples) -> PerJoint:
    """Natural log of the expected error in mm, from the spread of the hypotheses; constant.

    It is bounded below: a joint on which all hypotheses agree is not certain.

    Args:
        samples: At least two hypotheses, mm.

    Returns:
        ``(batch, targets, joints)``.
    """
    error = LENGTH_PER_AXIS * samples.spread().detach()
    return error.clamp(min=LEAST_SIGMA_MM).log()
