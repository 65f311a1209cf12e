"""Which way is up and how long a unit is, told by the people in a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lifting.data.mocap.captured import BoolArray, FloatArray, Up

LENGTHS_MM: Mapping[str, float] = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
MIN_SHARE = 0.6
# From a world whose vertical axis is the key to one with z up; rows are its axes.
TURNS: Mapping[Up, FloatArray] = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


def z_up_mm(points: np.ndarray[Any, Any], up: Up, unit_mm: float) -> FloatArray:
    """Points of a file, ``(*, 3)``, in millimetres with z up."""
    return points.astype(np.float64) * unit_mm @ TURNS[up].T


def are_known(points: np.ndarray[Any, Any]) -> BoolArray:
    """Whether all coordinates of a point are there, of ``(*, 3)``."""
    known: BoolArray = np.logical_and.reduce(np.isfinite(points), axis=-1)
    return known


def unit_of(
    length: float, of_people: tuple[float, float], units: Mapping[str, float] = LENGTHS_MM
) -> str | None:
    """The unit in which a length is one of people; None where there is none.

    Args:
        length: What the file holds.
        of_people: Least and largest in people, mm.
        units: Millimetres of each unit.
    """
    low, high = of_people
    return next((unit for unit, mm in units.items() if low <= length * mm <= high), None)


def guess_up(poses: FloatArray, joints: Sequence[str]) -> tuple[Up | None, str]:
    """Vertical axis: the one along which the head is farthest from the ankles.

    Args:
        poses: ``(T, J, 3)``, any unit; NaN where missing.
        joints: Names; a joint that is missing in half of the poses or more is not looked at.

    Returns:
        The axis, None where no one of ``TURNS`` has 60 % of the distance; and what was found.
    """
    common = are_known(poses).mean(axis=0) > 0.5

    def mean_of(*words: str) -> FloatArray:
        named = [[i for i, n in enumerate(joints) if w in n.lower() and common[i]] for w in words]
        chosen = next(filter(None, named), None)
        return poses[:, chosen].mean(axis=1) if chosen else np.full((len(poses), 3), np.nan)

    body = mean_of("head", "nose", "shoulder") - mean_of("ankle", "foot")
    body = body[are_known(body)]
    if not len(body):
        return None, "no poses with a head and ankles, by the names of joints"
    middle = np.median(body, axis=0)
    axis = int(np.abs(middle).argmax())
    share = float(abs(middle[axis]) / max(np.median(np.linalg.norm(body, axis=1)), 1e-12))
    name = ("-" if middle[axis] < 0 else "") + "xyz"[axis]
    up = next((up for up in TURNS if up == name and share >= MIN_SHARE), None)
    return up, f"from ankles to head it is {share:.0%} along {name}"
