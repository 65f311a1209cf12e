"""Frames in the order of the video, and the numbers that their names hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

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
