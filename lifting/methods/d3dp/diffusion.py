"""The diffusion of D3DP: a cosine schedule, forward noising, and the way back.

Levels are counted 0 .. N-1; the one before the first is -1, where nothing is noisy. States are in
units of the poses times ``signal_scale``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.typing import Pose3D

OFFSET = 0.008
LARGEST_BETA = 0.999


class Bounds(NamedTuple):
    """Units of the states, and how far they reach.

    Attributes:
        scale: Factor on the poses.
        clamp: Largest coordinate of a pose.
    """

    scale: float = 1.0
    clamp: float = 1.1

    def limited(self, state: Tensor) -> Tensor:
        """States within the largest coordinate."""
        reach = self.clamp * self.scale
        return state.clamp(-reach, reach)


class Ends(NamedTuple):
    """Both ends of the path through a state, of its shape and in its units.

    Attributes:
        clean: The clean poses, within the limits.
        noise: Unit noise.
    """

    clean: Tensor
    noise: Tensor


def cosine_betas(levels: int) -> Tensor:
    """Noise variances of the forward steps, ``(levels,)`` float64.

    Args:
        levels: Their number N.

    Source: Nichol and Dhariwal 2021, equation 17.
    """
    part = torch.linspace(0, levels, levels + 1, dtype=torch.float64) / levels
    signal = ((part + OFFSET) / (1 + OFFSET) * (math.pi / 2)).cos().square()
    signal = signal / signal[0]
    return (1 - signal[1:] / signal[:-1]).clamp(0, LARGEST_BETA)


def signal_shares(levels: int) -> Tensor:
    """Share of the signal's variance that is left at each level, ``(levels,)`` float64."""
    return (1 - cosine_betas(levels)).cumprod(dim=0)


def visited_levels(levels: int, steps: int) -> tuple[int, ...]:
    """Falling levels at which the denoiser is called, then -1.

    They are spread evenly from the last level to -1 and cut to whole numbers towards zero.

    Args:
        levels: N.
        steps: Calls, at most N.
    """
    spread = [(levels * i - steps) / steps for i in range(steps + 1)]
    return tuple(math.trunc(level) for level in reversed(spread))


def noisy(clean: Pose3D, noise: Tensor, share: Tensor, bounds: Bounds) -> Pose3D:
    """What the denoiser is given in training.

    Args:
        clean: Poses, metres, ``(*batch, joints, 3)``.
        noise: Unit noise, same shape.
        share: Signal share, broadcastable.
        bounds: Units and limits.

    Returns:
        Poses, metres.
    """
    state = share.sqrt() * (clean * bounds.scale) + (1 - share).sqrt() * noise
    return bounds.limited(state) / bounds.scale


def reverse(
    denoise: Callable[[Pose3D, int], Pose3D],
    noise: Sequence[Tensor],
    levels: Sequence[int],
    shares: Sequence[float],
    bounds: Bounds,
    eta: float = 1.0,
) -> list[Pose3D]:
    """Clean poses that the denoiser sees at every level, from pure noise to the answer.

    Args:
        denoise: Its answer, metres, to noisy poses, metres, at a level.
        noise: Unit noise of the start, then of every level but the last.
        levels: Falling, then -1.
        shares: Signal share of all levels.
        bounds: Units and limits.
        eta: Share of fresh noise; with 1 the steps are those of the skipped chain itself.

    Returns:
        One for each level, metres, of the shape of the noise; the last is the answer.

    Source: Song et al. 2021 (DDIM), equation 12; the released code for the limits: the denoiser
    sees the limited state, and the noise follows from the unlimited one.
    """
    state, answers = noise[0], []
    for i, (level, before) in enumerate(pairwise(levels)):
        answer = denoise(bounds.limited(state) / bounds.scale, level)
        share = shares[level]
        clean, residual = ends_of(state, answer, share, bounds)
        answers.append(clean / bounds.scale)
        if before < 0:
            break
        earlier = shares[before]
        fresh = eta * math.sqrt((1 - share / earlier) * (1 - earlier) / (1 - share))
        kept = math.sqrt(max(0.0, 1 - earlier - fresh**2))
        state = math.sqrt(earlier) * clean + kept * residual + fresh * noise[i + 1]
    return answers


def ends_of(state: Tensor, answer: Pose3D, share: float, bounds: Bounds) -> Ends:
    """Clean poses, and the noise that made the state of them.

    Args:
        state: Not limited.
        answer: The denoiser's, metres.
        share: Signal share of the state.
        bounds: Units and limits.
    """
    clean = bounds.limited(answer * bounds.scale)
    return Ends(clean, (state / math.sqrt(share) - clean) / math.sqrt(1 / share - 1))
