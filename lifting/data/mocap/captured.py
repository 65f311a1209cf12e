"""What the readers of motion-capture files return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Form = Literal["amc", "bvh"]


@dataclass(frozen=True)
class CapturedMotion:
    """Named points of one recording. T frames, P points.

    Attributes:
        path: File the motion was read from.
        form: ``amc``: a point is the far end of its bone; ``bvh``: a point is its joint.
        names: One a point.
        ends: Name of a point -> index of the point that ends it (child or end site).
        positions: ``(T, P, 3)``, in the file's own axes and unit.
        rotations: ``(T, P, 3, 3)``, from the point's own axes to the file's.
        fps: Frames a second.
        unit_mm: Millimetres in one unit of ``positions``; None when the file does not say.
        up: Vertical axis; None when the file does not say.
        parents: Index of each point's parent, -1 for a root; empty when the file has no tree.
    """

    path: Path
    form: Form
    names: tuple[str, ...]
    ends: Mapping[str, int]
    positions: FloatArray
    rotations: FloatArray
    fps: float
    unit_mm: float | None
    up: Literal["y", "z"] | None
    parents: tuple[int, ...] = ()

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
