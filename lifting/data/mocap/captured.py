"""What the readers of motion-capture files return; which way is up there and how long a unit is.

The people in a recording tell the latter two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lifting.errors import DataError

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
Form = Literal["amc", "bvh", "trc", "c3d", "npz"]
Up = Literal["z", "y", "-y"]
MAX_RATE = 10_000.0
# Words for a unit of length in TRC and C3D files, without the s of a plural.
UNIT_WORDS: Mapping[str, float] = {
    "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "centimeter": 10.0,
    "centimetre": 10.0, "m": 1000.0, "meter": 1000.0, "metre": 1000.0, "in": 25.4, "inch": 25.4,
    "inche": 25.4,
}  # fmt: skip
_WIDEST_M = 20.0  # markers that spread further are in millimetres

LENGTHS_MM: Mapping[str, float] = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
MIN_SHARE = 0.6
# From a world whose vertical axis is the key to one with z up; rows are its axes.
TURNS: Mapping[Up, FloatArray] = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


@dataclass(frozen=True)
class CapturedMotion:
    """Named points of one recording. T frames, P points.

    Attributes:
        path: File the motion was read from.
        form: ``amc``: a point is the far end of its bone; ``bvh``: a point is its joint; ``trc``,
            ``c3d`` and ``npz``: a point is a marker or keypoint.
        names: One a point.
        positions: ``(T, P, 3)``, in the file's own axes and unit; NaN where a marker is missing.
        rotations: ``(T, P, 3, 3)``, from the point's own axes to the file's; None for markers.
        fps: Frames a second.
        unit_mm: Millimetres in one unit of ``positions``; None when the file does not say.
        up: Vertical axis; None when the file does not say.
        parents: Index of each point's parent, -1 for a root; empty when the file has no tree.
        notes: What was assumed or left out while reading, a sentence each.
    """

    path: Path
    form: Form
    names: tuple[str, ...]
    positions: FloatArray
    rotations: FloatArray | None
    fps: float
    unit_mm: float | None
    up: Up | None
    parents: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def tree(self, limit: int = 40) -> str:
        """The names, one a line, each indented below its parent.

        Args:
            limit: Lines shown; the rest is counted.
        """
        depth: list[int] = []
        for parent in self.parents or (-1,) * len(self.names):
            depth.append(0 if parent < 0 else depth[parent] + 1)
        lines = ["  " * d + name for d, name in zip(depth, self.names, strict=True)]
        more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
        return "\n".join(lines[:limit] + more)


def whole_rate(rate: float) -> float:
    """Frames a second; a period written with few digits stands for the whole number near it."""
    nearest = float(round(rate))
    return nearest if math.isclose(rate, nearest, rel_tol=2e-3) else rate


def marker_motion(
    path: Path,
    form: Literal["trc", "c3d"],
    names: Sequence[str],
    positions: FloatArray,
    fps: float,
    units: Sequence[str],
    notes: Sequence[str],
) -> CapturedMotion:
    """Markers as a recording: unlabelled ones left out, the unit told by word or by range.

    Args:
        path: The file.
        form: Its kind.
        names: One a marker; an empty one and ``*12`` are no labels.
        positions: ``(T, P, 3)``, file units; NaN where missing.
        fps: Frames a second.
        units: Words of the file: one, one a marker, or none.
        notes: What the reader already has to say.

    Raises:
        DataError: No labelled marker was measured, or the rate is no rate.
    """
    said = list(notes)
    if not 0 < fps <= MAX_RATE:
        raise DataError(
            f"{path}: expected a rate above 0 and at most {MAX_RATE:g} frames a second, got "
            f"{fps:g}; correct the header"
        )
    index = {name: i for i, name in reversed(list(enumerate(names))) if name and name[0] != "*"}
    kept = sorted(index.values())
    if left := len(names) - len(kept):
        said.append(f"{left} of {len(names)} markers left out: unlabelled, or named twice")
    points = positions[:, kept]
    measured = points[np.isfinite(points).all(axis=-1)]
    if not measured.size:
        raise DataError(
            f"{path}: expected a labelled marker that was measured, got {len(kept)} labelled of "
            f"{len(names)} in {len(points)} frames; label the markers and export again"
        )
    words = {unit.strip().lower().removesuffix("s") for unit in units}
    unit = UNIT_WORDS.get(words.pop()) if len(words) == 1 else None
    if unit is None:
        widest = float(np.ptp(measured, axis=0).max())
        unit = 1.0 if widest > _WIDEST_M else 1000.0
        said.append(
            f"the file names no known unit ({', '.join(units)[:40] or 'none'}); its markers "
            f"spread over {widest:.4g}, so {'mm' if unit == 1 else 'm'} was assumed"
        )
    return CapturedMotion(
        path=path, form=form, names=tuple(names[i] for i in kept), positions=points,
        rotations=None, fps=fps, unit_mm=unit, up=None, notes=tuple(said),
    )  # fmt: skip


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
