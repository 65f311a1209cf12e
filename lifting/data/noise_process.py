"""Random processes in time, for many tracks at once: noise that persists, and events that last."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from lifting.typing import PerSample


class Runs(NamedTuple):
    """Cells (frame, column) that lasting events cover; a cell may be covered twice.

    Attributes:
        event: Which event covers the cell, ``(cells,)`` int64.
        row: Frame of the cell, ``(cells,)`` int64.
        column: Column of the cell, ``(cells,)`` int64.
        total: Number of events.
    """

    event: Tensor
    row: Tensor
    column: Tensor
    total: int


def persistent_noise(noise: Tensor, age: PerSample, coefficient: float) -> Tensor:
    """Stationary AR(1) noise of unit variance from white noise, along the first axis.

    Works by doubling: after the step with shift k, every value holds the last 2k innovations of
    its track. The steps end when older ones weigh less than a millionth.

    Args:
        noise: ``(frames, joints, channels)``, standard normal; tracks one after another.
        age: ``(frames,)``, frames since the track began. The first frame of a track is already
            stationary, and knows nothing of the track before.
        coefficient: Correlation of neighbouring frames, from 0 to below 1.

    Returns:
        ``(frames, joints, channels)``.
    """
    scale = torch.where(age == 0, 1.0, math.sqrt(1 - coefficient**2))
    result = noise * scale[:, None, None]
    shift, weight = 1, coefficient
    while weight > 1e-6 and shift < len(result):
        gain = torch.where(age[shift:] >= shift, weight, 0.0)
        older = result[:-shift] * gain[:, None, None]
        result[shift:] += older
        shift, weight = 2 * shift, weight * weight
    return result


def draw_runs(
    share: Tensor, start: PerSample, left: PerSample, *, frames: float, generator: Generator
) -> Runs:
    """Events that last a geometric time and cover a given share of the frames.

    Events already under way when a track begins are added in its first frame, so that short
    tracks have as many as long ones.

    Args:
        share: Probability of being within an event, ``(frames, columns)``; an event's chance to
            start is this over the duration.
        start: Row at which each frame's track begins, ``(frames,)`` int64.
        left: Frames to the end of the track, this one included, ``(frames,)`` int64; no event
            outlives its track.
        frames: Mean duration, frames; less than one counts as one.
        generator: Source of the draws.

    Returns:
        Every cell that an event covers.
    """
    frames = max(frames, 1.0)
    begins = (start == torch.arange(len(share)))[:, None]
    drawn = torch.rand(share.shape, generator=generator)
    row, column = (drawn < torch.where(begins, share, share / frames)).nonzero().unbind(-1)
    luck = torch.rand(len(row), generator=generator).clamp_(min=1e-12)
    stay = math.log(1 - 1 / frames) if frames > 1 else -math.inf
    length = torch.minimum((luck.log() / stay).floor().long() + 1, left[row])
    event = torch.arange(len(row)).repeat_interleave(length)
    within = torch.arange(len(event)) - (length.cumsum(0) - length)[event]
    return Runs(event, row[event] + within, column[event], len(row))
