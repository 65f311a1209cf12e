"""Frames in the order of the video, numbers in their names, and what a detector missed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lifting.data.keypoints.plausibility import BoolArray, FloatArray

IntArray = np.ndarray[Any, np.dtype[np.int64]]
MAX_GAP = 10
_DIGITS = re.compile(r"([0-9]+)")
_LONGEST = 18  # digits that 64 bits hold


class Timeline(NamedTuple):
    """When each frame was taken.

    Attributes:
        number: ``(frames,)``, place in the video counted from the first frame, rising.
        step: Distance of the names' numbers that counts as one frame.
        numbered: Whether the names gave the numbers; if not, frames count in their order.
        first: Number in the name of the first frame; 0 where names give none.
    """

    number: IntArray
    step: int
    numbered: bool
    first: int = 0


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts ``10.jpg`` after ``9.jpg``.

    Runs of digits compare by value, through their length, so that a run of any length will do.
    """
    parts = _DIGITS.split(name)
    key = []
    for i, part in enumerate(parts):
        digits = part.lstrip("0")
        key.append((len(digits), digits) if i % 2 else (0, part))
    return (*key, (0, name))


def timeline(names: Sequence[str]) -> Timeline:
    """Place of each frame in the video.

    Names that differ in one number only hold the frame number, so that a frame nobody was seen in
    leaves a gap. Numbers that rise by a common step are those of every n-th frame. Where the
    typical distance is still larger than a gap that is filled, the numbers are times or keys of
    images and not frame numbers: the frames then follow one another.

    Args:
        names: Names of the frames in natural order, each once.
    """
    in_order = Timeline(np.arange(len(names), dtype=np.int64), 1, numbered=False)
    numbers = _numbers(names)
    if numbers is None or len(names) < 2:
        return in_order
    steps = np.diff(numbers)
    step = int(np.gcd.reduce(steps))
    if (steps <= 0).any() or np.median(steps) > step * (MAX_GAP + 1):
        return in_order
    return Timeline((numbers - numbers[0]) // step, step, numbered=True, first=int(numbers[0]))


def _numbers(names: Sequence[str]) -> IntArray | None:
    """The one number that changes from name to name; None when they differ in anything else."""
    parts = [_DIGITS.split(name) for name in names]
    first = parts[0] if parts else []
    if any(part[::2] != first[::2] for part in parts):
        return None
    changing = [i for i in range(1, len(first), 2) if any(p[i] != first[i] for p in parts)]
    if len(changing) != 1 or any(len(part[changing[0]]) > _LONGEST for part in parts):
        return None
    return np.array([int(part[changing[0]]) for part in parts], dtype=np.int64)


class Filled(NamedTuple):
    """One person without gaps, in one or more pieces. T frames.

    Attributes:
        joints: ``(T, joints, 3)``: x, y, confidence; all positions are finite.
        number: ``(T,)``, frame numbers.
        offsets: ``(pieces + 1,)``; piece i is rows ``offsets[i]:offsets[i + 1]``.
        frames: Number of frames that were filled in.
    """

    joints: FloatArray
    number: IntArray
    offsets: IntArray
    frames: int


def fill_gaps(joints: FloatArray, number: IntArray, longest: int = MAX_GAP) -> Filled:
    """Fill what is missing of one person.

    Gaps up to the longest are filled linearly, longer ones cut the track into pieces. A joint
    that is missing in a frame goes linearly from where it was to where it will be, or stays at
    the nearest such place at the ends of a piece; a joint that a piece never shows goes to the
    mean of those shown. Whatever is filled in has confidence 0.

    Args:
        joints: ``(n, joints, 3)``: x, y, confidence; a missing joint has position NaN. Every
            frame shows a joint.
        number: ``(n,)``, frame numbers, rising.
        longest: Gap that is filled, frames.
    """
    steps = np.diff(number)
    cut = steps > longest + 1
    place = np.concatenate(([0], np.cumsum(np.where(cut, 1, steps))))
    total = int(place[-1]) + 1
    starts = np.concatenate(([0], place[1:][cut]))
    offsets = np.append(starts, total)
    lengths = np.diff(offsets)
    whole = np.full((total, *joints.shape[1:]), np.nan)
    whole[place] = joints
    first = np.concatenate(([0], np.flatnonzero(cut) + 1))
    numbers = np.arange(total) + np.repeat(number[first] - starts, lengths)
    begin, end = np.repeat(starts, lengths), np.repeat(offsets[1:], lengths)
    seen = np.isfinite(whole[..., 0])
    xy = _interpolate(whole[..., :2], seen, begin[:, None], end[:, None])
    never = np.isnan(xy[..., 0])
    centre = np.nanmean(xy, axis=1)
    xy = np.where(never[..., None], centre[:, None], xy)
    confidence = np.where(seen, whole[..., 2], 0.0)
    filled = np.concatenate((xy, confidence[..., None]), axis=-1)
    return Filled(filled, numbers, offsets, total - len(number))


def _interpolate(xy: FloatArray, seen: BoolArray, begin: IntArray, end: IntArray) -> FloatArray:
    """Linear in time between the frames that show a joint, constant before and after.

    Args:
        xy: ``(T, joints, 2)``.
        seen: ``(T, joints)``, where ``xy`` counts.
        begin: ``(T, 1)``, first row of each row's piece.
        end: ``(T, 1)``, row after the last of each row's piece.

    Returns:
        ``(T, joints, 2)``; NaN where a piece never shows the joint.
    """
    total = len(xy)
    time = np.arange(total)[:, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, time, total)[::-1], axis=0)[::-1]
    has_before, has_after = before >= begin, after < end
    low = np.where(has_before, before, np.where(has_after, after, time))
    high = np.where(has_after, after, low)
    share = ((time - low) / np.maximum(high - low, 1)).clip(0, 1)[..., None]
    joint = np.arange(xy.shape[1])
    return xy[low, joint] * (1 - share) + xy[high, joint] * share
