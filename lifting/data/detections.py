"""Detector-like noise: what a 2D pose detector would have made of exact projections.

Six parts: errors that persist, heavy tails, hidden joints, exchanged limbs, lost joints, and a
confidence that is informative but not calibrated. All tracks, frames and joints are treated at
once; events that last (tails, exchanges, losses) are drawn as sparse runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from lifting.data.config import NoiseLevel
from lifting.data.occlusion import check_pose, hidden_joints, in_profile
from lifting.errors import ConfigError, DataError, check_shape, suggest
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, PerJoint, PerSample, Pose2D, Pose3D

# Of the person's box. With tails, hidden and lost joints on top, captured motion then has a mean
# error of about 7 px at a height of 450; 0.010, the deviation without them, gives 9.
BASE_SIGMA = 0.008
REFERENCE_FPS = 50.0
_ROWS = 8192  # frames worked on at a time: bounds memory and stays in the cache
_MIDLINE = {
    "hip": 0.9, "pelvis": 0.9, "spine": 1.0, "thorax": 0.7, "neck": 0.7, "head": 0.8,
    "head_top": 0.8,
}  # fmt: skip
_SIDED = {"hip": 1.1, "knee": 0.9, "ankle": 1.1, "shoulder": 0.9, "elbow": 1.2, "wrist": 1.5}
_SLOW, _FAST, _BIAS = 0.75, 0.45, 0.45
_SLOW_SECONDS = 0.25
_TAIL_SHARE, _TAIL_SHARE_ENDS, _TAIL_FRAMES, _TAIL_FACTORS = 0.05, 0.08, 6.0, (2.5, 8.0)
_SWAP_START, _SWAP_START_PROFILE, _SWAP_FRAMES, _SWAP_ALL = 0.002, 0.01, 4.0, 0.15
_LOST_START, _LOST_START_HIDDEN, _LOST_FRAMES, _LOST_FRAME = 0.003, 0.01, 8.0, 0.001
_SURE_SHARE, _SURE = 0.15, (0.6, 0.9)


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


@dataclass(frozen=True)
class Level:
    """How bad a detector is.

    Attributes:
        scale: Multiplies the standard deviation of every joint.
        swaps: Whether left and right are ever exchanged.
    """

    scale: float
    swaps: bool


LEVELS: Mapping[NoiseLevel, Level] = {
    "none": Level(0.0, swaps=False),
    "light": Level(0.5, swaps=False),
    "cpn": Level(1.0, swaps=True),
    "coarse": Level(2.0, swaps=True),
}


class Detections(NamedTuple):
    """What a detector reports. N frames.

    Attributes:
        keypoints_2d: ``(N, joints, 2)``, pixels.
        confidence: ``(N, joints)``, 0 to 1.
        sigma: ``(N, joints)``, standard deviation an axis before tails, pixels; zero for the
            level ``none``.
        swapped: ``(N, joints)`` bool, answered at the place of the other side's joint.
    """

    keypoints_2d: Pose2D
    confidence: PerJoint
    sigma: PerJoint
    swapped: PerJoint


class _Block(NamedTuple):
    """Whole tracks that are worked on together."""

    truth: Pose2D
    joints_3d: Pose3D
    start: Tensor  # (N,) row of the first frame of each frame's track
    left: Tensor  # (N,) frames from here to the track's end, this one included
    track: Tensor  # (N,) index of the track
    size: ImageSize  # (tracks, 2)

    def runs(self, share: Tensor, frames: float, generator: Generator) -> Runs:
        """Lasting events of these tracks."""
        return draw_runs(share, self.start, self.left, frames=frames, generator=generator)


def detect(
    keypoints_2d: Pose2D,
    joints_3d: Pose3D,
    offsets: Tensor,
    skeleton: Skeleton,
    *,
    level: NoiseLevel,
    fps: Tensor | float,
    generator: Generator,
    size: ImageSize,
) -> Detections:
    """Corrupt exact projections as a 2D detector does.

    Durations and rates are those of 50 frames a second and are converted. The scale of the
    errors is the longer side of the person's box, which is its height for upright people.
    Confidence compares the error with the deviation of a joint in plain sight, so hidden joints
    get less of it. Answers are kept inside the image.

    Args:
        keypoints_2d: ``(N, joints, 2)``, exact projections, pixels, finite.
        joints_3d: ``(N, joints, 3)``, camera frame, mm: who hides whom, and profile views.
        offsets: ``(S + 1,)`` int64; track i is rows ``offsets[i]:offsets[i + 1]``.
        skeleton: Joints, with shoulders and hips on both sides.
        level: ``none`` returns the projections as they are, with confidence 1.
        fps: Frames a second, of all tracks or ``(S,)``.
        generator: Source of the noise.
        size: Image width and height of each track, ``(S, 2)``, pixels.

    Returns:
        The detections, in the order of the input.

    Raises:
        ConfigError: Unknown level, or a frame rate that is not positive.
        DataError: The offsets do not cover the frames.
        ShapeError: Arrays that do not belong together.
    """
    if level not in LEVELS:
        raise ConfigError(f"unknown noise level '{level}'; {suggest(level, LEVELS)}")
    rates = torch.as_tensor(fps, dtype=torch.float64).expand(len(offsets) - 1)
    if not bool((rates > 0).all()):
        raise ConfigError(f"expected a positive frame rate, got fps={fps}; give frames a second")
    frames, joints = check_pose(keypoints_2d, joints_3d, skeleton)
    check_shape("size", size, "tracks 2", tracks=len(offsets) - 1)
    if int(offsets[-1]) != frames or int(offsets[0]) != 0 or bool((offsets.diff() <= 0).any()):
        raise DataError(
            f"expected rising offsets from 0 to {frames} frames, got {offsets.tolist()[:8]}; "
            "give one offset a track and the total"
        )
    if level == "none":
        zero = torch.zeros(frames, joints)
        return Detections(keypoints_2d.clone(), torch.ones_like(zero), zero, zero.bool())
    parts = [
        _detect(block, skeleton, LEVELS[level], rate, generator)
        for block, rate in _blocks(keypoints_2d, joints_3d, offsets, size, rates.tolist())
    ]
    return Detections(*(torch.cat(values) for values in zip(*parts, strict=True)))


def joint_factors(skeleton: Skeleton) -> Tensor:
    """How hard each joint is to find, relative to the average joint, ``(joints,)``.

    Joints for which there is no figure are as hard as the average.

    Source: design figures in the spirit of the COCO keypoint constants.
    """
    values = [
        (_SIDED if name.startswith(("left_", "right_")) else _MIDLINE).get(
            name.removeprefix("left_").removeprefix("right_"), 1.0
        )
        for name in skeleton.joints
    ]
    return torch.tensor(values)


def _blocks(
    truth: Pose2D, joints_3d: Pose3D, offsets: Tensor, size: ImageSize, rates: list[float]
) -> Iterator[tuple[_Block, float]]:
    """Groups of at most ``_ROWS`` frames (one track at least) of one rate, and the rate."""
    bounds = offsets.tolist()
    first = 0
    while first < len(bounds) - 1:
        last = first + 1
        while last < len(rates) and bounds[last + 1] - bounds[first] <= _ROWS:
            if rates[last] != rates[first]:
                break
            last += 1
        rows = slice(bounds[first], bounds[last])
        own = offsets[first : last + 1] - offsets[first]
        lengths = own.diff()
        track = torch.arange(len(lengths)).repeat_interleave(lengths)
        left = own[1:][track] - torch.arange(len(track))
        block = _Block(
            truth[rows], joints_3d[rows], own[:-1][track], left, track, size[first:last]
        )
        yield block, rates[first]
        first = last


def _detect(
    block: _Block, skeleton: Skeleton, level: Level, fps: float, generator: Generator
) -> Detections:
    rate = fps / REFERENCE_FPS
    truth = block.truth
    height = (truth.amax(1) - truth.amin(1)).amax(-1).clamp(min=1)
    hidden = hidden_joints(truth, block.joints_3d, skeleton, 0.06 * height)
    visible_sigma = level.scale * BASE_SIGMA * height[:, None] * joint_factors(skeleton)
    sigma = torch.where(hidden, 2 * visible_sigma, visible_sigma)

    factor, sure = _tails(block, skeleton, hidden, rate, generator)
    deviation = _deviation(block, fps, generator) * (sigma * factor)[..., None]
    swapped = torch.zeros_like(hidden)
    base = truth
    if level.swaps:
        swapped = _swaps(block, skeleton, rate, sure, generator)
        base = torch.where(swapped[..., None], truth[:, list(skeleton.flip_index)], truth)
    answer = base + deviation
    lost = _lose(block, answer, sigma, hidden, rate, generator)
    answer = torch.minimum(answer.clamp_(min=0), block.size[block.track][:, None])

    spread = ((answer - truth).square().sum(-1) / (3 * visible_sigma).square()).clamp(max=80)
    shape = lost.shape
    confidence = (-0.5 * spread).exp() * (0.85 + 0.15 * torch.rand(shape, generator=generator))
    confidence = torch.where(sure > 0, sure, confidence).clamp_(0.02, 1)
    weak = 0.2 * torch.rand(shape, generator=generator)
    return Detections(answer, torch.where(lost, weak, confidence), sigma, swapped & ~lost)


def _deviation(block: _Block, fps: float, generator: Generator) -> Tensor:
    """Slow, fast and constant errors in units of sigma, ``(N, joints, 2)``."""
    shape = block.truth.shape
    slow = persistent_noise(
        torch.randn(shape, generator=generator),
        torch.arange(shape[0]) - block.start,
        math.exp(-1 / (fps * _SLOW_SECONDS)),
    )
    fast = torch.randn(shape, generator=generator)
    bias = torch.randn(len(block.size), *shape[1:], generator=generator)
    return slow.mul_(_SLOW).add_(fast, alpha=_FAST).add_(bias[block.track], alpha=_BIAS)


def _tails(
    block: _Block, skeleton: Skeleton, hidden: Tensor, rate: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Factors of gross errors (1 elsewhere), and the confidence of the sure ones (0 elsewhere)."""
    ends = torch.tensor([name.endswith(("wrist", "ankle")) for name in skeleton.joints])
    share = torch.where(ends, _TAIL_SHARE_ENDS, _TAIL_SHARE)
    runs = block.runs(torch.where(hidden, 2 * share, share), _TAIL_FRAMES * rate, generator)
    low, high = (math.log(value) for value in _TAIL_FACTORS)
    factors = (low + (high - low) * torch.rand(runs.total, generator=generator)).exp()
    factor, sure = torch.ones(hidden.shape), torch.zeros(hidden.shape)
    cells = runs.row * hidden.shape[1] + runs.column
    factor.view(-1).scatter_reduce_(0, cells, factors[runs.event], "amax")
    sure.view(-1).scatter_reduce_(0, cells, _assurance(runs.total, generator)[runs.event], "amax")
    return factor, sure


def _assurance(events: int, generator: Generator) -> Tensor:
    """Confidence of the gross errors that a detector is sure of, 0 for the others."""
    low, high = _SURE
    level = low + (high - low) * torch.rand(events, generator=generator)
    return torch.where(torch.rand(events, generator=generator) < _SURE_SHARE, level, 0.0)


def _swaps(
    block: _Block, skeleton: Skeleton, rate: float, sure: Tensor, generator: Generator
) -> Tensor:
    """Joints answered on the wrong side, ``(N, joints)`` bool; raises ``sure`` for some."""
    profile = in_profile(block.joints_3d, skeleton)
    share = torch.where(profile, _SWAP_START_PROFILE, _SWAP_START)[:, None] * _SWAP_FRAMES
    runs = block.runs(share, _SWAP_FRAMES * rate, generator)
    kind = torch.rand(runs.total, generator=generator)
    legs = kind < (1 + _SWAP_ALL) / 2
    arms = kind > (1 - _SWAP_ALL) / 2
    limbs = torch.stack((legs, arms), dim=-1)[runs.event]
    level = _assurance(runs.total, generator)[runs.event]
    of_leg, of_arm = _limb_masks(skeleton)
    cells = (limbs[:, :1] & of_leg) | (limbs[:, 1:] & of_arm)
    swapped = torch.zeros(sure.shape)
    row = runs.row[:, None].expand(cells.shape)
    swapped.scatter_reduce_(0, row, cells.float(), "amax")
    sure.scatter_reduce_(0, row, cells * level[:, None], "amax")
    return swapped > 0


def _limb_masks(skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Joints of both legs, and of both arms, ``(joints,)`` bool each."""
    sided = torch.tensor([i != j for i, j in enumerate(skeleton.flip_index)])
    leg = torch.tensor([name.endswith(("hip", "knee", "ankle")) for name in skeleton.joints])
    return sided & leg, sided & ~leg


def _lose(
    block: _Block,
    answer: Pose2D,
    sigma: PerJoint,
    hidden: PerJoint,
    rate: float,
    generator: Generator,
) -> PerJoint:
    """Freeze lost joints where they were last found, in place; which ones, ``(N, joints)``."""
    share = torch.where(hidden, _LOST_START_HIDDEN, _LOST_START) * _LOST_FRAMES
    runs = block.runs(share, _LOST_FRAMES * rate, generator)
    lost = torch.rand(len(answer), 1, generator=generator).expand(hidden.shape) < _LOST_FRAME
    lost[runs.row, runs.column] = True
    rows = torch.arange(len(answer))[:, None]
    found = torch.where(lost, -1, rows).cummax(0).values
    row, column = lost.nonzero().unbind(-1)
    # a joint lost since its track began stays at that first frame's guess
    last = torch.maximum(found[row, column], block.start[row])
    noise = torch.randn(len(row), 2, generator=generator) * (_FAST * sigma[row, column])[:, None]
    answer[row, column] = answer[last, column] + noise
    return lost
