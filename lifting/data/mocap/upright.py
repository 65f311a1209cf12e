"""Which way is up and how long a unit is, told by the people in a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from lifting.data.mocap.captured import FloatArray

Up = Literal["z", "y", "-y"]
LENGTHS_MM: Mapping[str, float] = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
MIN_SHARE = 0.6
# From a world whose vertical axis is the key to one with z up; rows are its axes.
TURNS: Mapping[Up, FloatArray] = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


class Ends(NamedTuple):
    """Joints at the ends of a body.

    Attributes:
        head: Indices of joints of the head.
        ankles: Indices of both ankles.
    """

    head: tuple[int, ...]
    ankles: tuple[int, ...]


def ends_of(joints: Sequence[str]) -> Ends | None:
    """Ends of a body by the words in its joints' names; None where a word is not among them."""
    lower = [joint.lower() for joint in joints]

    def having(*words: str) -> tuple[int, ...]:
        found = (tuple(i for i, name in enumerate(lower) if word in name) for word in words)
        return next(filter(None, found), ())

    ends = Ends(having("head", "nose"), having("ankle", "foot"))
    return ends if all(ends) else None


def guess_up(poses: FloatArray, ends: Ends) -> tuple[Up | None, str]:
    """Vertical axis: the one along which the head is farthest from the ankles.

    Args:
        poses: ``(T, J, 3)``, any unit; NaN where missing.
        ends: Joints to compare.

    Returns:
        The axis, None where no one of ``TURNS`` has 60 % of the distance; and what was found.
    """
    body = poses[:, ends.head].mean(axis=1) - poses[:, ends.ankles].mean(axis=1)
    body = body[np.isfinite(body).all(axis=1)]
    if not len(body):
        return None, "no pose with head and ankles"
    middle = np.median(body, axis=0)
    axis = int(np.abs(middle).argmax())
    share = float(abs(middle[axis]) / max(np.median(np.linalg.norm(body, axis=1)), 1e-12))
    name = ("-" if middle[axis] < 0 else "") + "xyz"[axis]
    up = next((up for up in TURNS if up == name and share >= MIN_SHARE), None)
    return up, f"from ankles to head it is {share:.0%} along {name}"
