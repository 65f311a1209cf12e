"""The diffusion process: noise schedules, forward noising, DDIM sampling.

Steps are counted 0 .. T-1; the step before the first is -1, where nothing is noisy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape

BetaShape = Literal["linear", "quad", "const", "sigmoid", "jsd"]
Prediction = Literal["eps", "x0", "next"]
Skip = Literal["uniform", "quad"]
Share = float | Tensor
SIGMOID_RANGE = 6.0
QUAD_SHARE = 0.8


class Trajectory(NamedTuple):
    """What a sampler went through.

    Attributes:
        states: The start and the state after every step, each of the shape of the start.
        clean: The clean form estimated in every step.
    """

    states: list[Tensor]
    clean: list[Tensor]


class Ends(NamedTuple):
    """Both ends of the path through a state, each of the shape of the state.

    Attributes:
        clean: The clean form.
        noise: The noise.
    """

    clean: Tensor
    noise: Tensor


def beta_schedule(shape: BetaShape, start: float, end: float, steps: int) -> Tensor:
    """Noise variances of the forward steps, ``(steps,)`` float64.

    Args:
        shape: ``linear``; ``quad``, linear in the root; ``const``, all ``end``; ``sigmoid``, the
            logistic curve on [-6, 6] between both; ``jsd``, 1/T, 1/(T-1), ..., 1.
        start: First variance.
        end: Last variance.
        steps: Number of steps T.

    Raises:
        ConfigError: Unknown shape.

    Source: released code; its setting is linear, 51 steps from 1e-4 to 1e-3.
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    if shape == "linear":
        return start + (end - start) * ramp
    if shape == "quad":
        return (math.sqrt(start) + (math.sqrt(end) - math.sqrt(start)) * ramp).square()
    if shape == "const":
        return torch.full_like(ramp, end)
    if shape == "sigmoid":
        return start + (end - start) * (SIGMOID_RANGE * (2 * ramp - 1)).sigmoid()
    if shape == "jsd":
        return 1 / torch.arange(steps, 0, -1, dtype=torch.float64)
    raise ConfigError(
        f"expected a beta shape among linear, quad, const, sigmoid, jsd, got '{shape}'; "
        "set method.beta_shape"
    )


def cumulative_signal(betas: Tensor) -> Tensor:
    """Share of the signal's variance left after each step, preceded by 1 for step -1.

    Args:
        betas: ``(steps,)``.

    Returns:
        ``(steps + 1,)`` float32: entry ``t + 1`` is the value at step t.
    """
    kept = (1 - betas.double()).cumprod(dim=0)
    return torch.cat((kept.new_ones(1), kept)).float()


def signal_at(signal: Tensor, t: Tensor) -> Tensor:
    """Signal share at steps ``t >= -1``, broadcastable over poses, ``(batch, 1, 1)``.

    Args:
        signal: Result of cumulative_signal.
        t: ``(batch,)``, integer or whole-number float.
    """
    return signal[t.long() + 1][:, None, None]


def add_noise(clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Noisy pose ``sqrt(a) x_0 + sqrt(1 - a) e``.

    Args:
        clean: ``(batch, joints, channels)``.
        noise: Noise, already scaled, same shape.
        share: Signal share a, broadcastable.
    """
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def antithetic_steps(batch: int, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Random training steps in mirrored pairs t and T-1-t, ``(batch,)`` int64.

    Args:
        batch: Number of samples.
        steps: Number of diffusion steps T.
        generator: Source of randomness; None is the global one.

    Source: released code.
    """
    half = torch.randint(0, steps, (batch // 2 + 1,), generator=generator)
    return mirror_steps(half, batch, steps)


def mirror_steps(half: Tensor, batch: int, steps: int) -> Tensor:
    """Steps followed by their mirrors T-1-t, cut to the batch, ``(batch,)``."""
    return torch.cat((half, steps - 1 - half))[:batch]


def step_list(level: int, count: int, skip: Skip = "uniform") -> tuple[int, ...]:
    """Rising steps that the sampler visits, from the last one down.

    Args:
        level: R, above every step.
        count: n, at most R. ``uniform`` gives more when R is not a multiple of it.
        skip: ``uniform`` takes every (R // n)-th, ``quad`` squares of an even spread.

    Raises:
        ConfigError: More steps than levels.

    Source: released code.
    """
    if not 1 <= count <= level:
        raise ConfigError(
            f"expected 1 to start_level={level} sampling steps, got {count}; "
            "set method.sampling_steps"
        )
    if skip == "uniform":
        return tuple(range(0, level, level // count))
    roots = torch.linspace(0, math.sqrt(level * QUAD_SHARE), count, dtype=torch.float64)
    return tuple(sorted({int(r * r) for r in roots.tolist()}))


def ddim(
    denoise: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    steps: Sequence[int],
    signal: Tensor,
    *,
    prediction: Prediction = "eps",
    eta: float = 0.0,
    noise: Sequence[Tensor] | None = None,
    correct: Callable[[Tensor, int], Tensor] | None = None,
) -> Trajectory:
    """Run the reverse process from the last of the steps to a clean pose.

    Args:
        denoise: Network's answer to a state and a step of shape ``(1,)``.
        start: State at the last step, ``(batch, joints, channels)``.
        steps: Rising steps; the one before the first is -1.
        signal: Result of cumulative_signal.
        prediction: What the network answers: the noise, the clean state, or the state one step
            earlier on the same path from clean to noise. Of two states on it both ends follow, so
            steps can be skipped then too.
        eta: Share of fresh noise, 0 to 1.
        noise: Noise of every visited step in order of execution, broadcastable to the state;
            needed when eta is above 0. The released code draws unit noise here, whatever the
            scale of the forward noise.
        correct: Changes the clean estimate of a visited step, counted from 0 in order of
            execution; the estimate of the noise stays.

    Returns:
        States and estimates; the answer is the last state.

    Raises:
        ShapeError: The start is no batch of poses.
        ConfigError: eta is above 0 and there is not one noise a step.

    Source: Song et al. 2021 (DDIM), equation 12.
    """
    check_shape("start", start, "batch joints channels")
    if eta > 0 and (noise is None or len(noise) != len(steps)):
        raise ConfigError(
            f"expected one noise for each of {len(steps)} steps with eta={eta}, got "
            f"{'none' if noise is None else len(noise)}; pass them or set eta to 0"
        )
    shares = signal.tolist()
    states, clean = [start], []
    for i in range(len(steps) - 1, -1, -1):
        step, before = steps[i], steps[i - 1] if i else -1
        x = states[-1]
        answer = denoise(x, torch.full((1,), float(step), device=x.device))
        estimate, residual = ends_of(x, answer, shares[step : step + 2], prediction)
        if correct is not None:
            estimate = correct(estimate, len(steps) - 1 - i)
        x, fresh = _step(estimate, residual, shares[step + 1], shares[before + 1], eta)
        if fresh > 0 and noise is not None:
            x = x + fresh * noise[len(steps) - 1 - i]
        states.append(x)
        clean.append(estimate)
    return Trajectory(states, clean)


def ends_of(x: Tensor, answer: Tensor, shares: Sequence[Share], prediction: Prediction) -> Ends:
    """Clean pose and noise that a network sees in a state.

    Args:
        x: The state, ``(batch, joints, channels)``.
        answer: The network's.
        shares: Signal share one step earlier, and of the state; numbers, or broadcastable.
        prediction: What the answer is.
    """
    earlier, share = shares
    if prediction == "eps":
        return Ends((x - answer * _root(1 - share)) / _root(share), answer)
    if prediction == "x0":
        return Ends(answer, (x - answer * _root(share)) / _root(1 - share))
    apart = _root(earlier * (1 - share)) - _root(share * (1 - earlier))
    clean = (_root(1 - share) * answer - _root(1 - earlier) * x) / apart
    return Ends(clean, (_root(earlier) * x - _root(share) * answer) / apart)


def _step(
    estimate: Tensor, residual: Tensor, share: float, before: float, eta: float
) -> tuple[Tensor, float]:
    """State one visited step earlier, without its fresh noise, and the size of that noise."""
    fresh = eta * math.sqrt((1 - share / before) * (1 - before) / (1 - share))
    kept = math.sqrt(max(0.0, 1 - before - fresh**2))
    return math.sqrt(before) * estimate + kept * residual, fresh


def _root(share: Share) -> Share:
    return share.sqrt() if isinstance(share, Tensor) else math.sqrt(share)
