"""Tells metres from millimetres, and one order of joints from another, by the length of thighs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from lifting.data.object_npz import Array
from lifting.errors import DataError
from lifting.skeleton import Skeleton

_THIGH_METRES = (0.2, 0.8)
_IN_METRES = {"m": 1.0, "mm": 0.001}


class UnitError(DataError):
    """Poses are not in the unit, or their joints not in the order, that a file should have."""


def check_unit(
    poses: Iterable[Array], skeleton: Skeleton, unit: Literal["m", "mm"], where: str
) -> None:
    """Check that people have the size of people in the unit that a file should have.

    Args:
        poses: Recordings, ``(frames, joints, 3)`` each; the median of their medians counts.
        skeleton: Their joints.
        unit: Unit that the file should have.
        where: Names the file in the message.

    Raises:
        UnitError: The right thigh is not 0.2 to 0.8 m long.
    """
    hip, knee = skeleton.index("right_hip"), skeleton.index("right_knee")
    thighs = (p[:, hip].astype(np.float64) - p[:, knee] for p in poses)
    lengths = [np.median(np.linalg.norm(thigh, axis=-1)) for thigh in thighs]
    thigh = float(np.median(lengths)) * _IN_METRES[unit] if lengths else _THIGH_METRES[0]
    if not _THIGH_METRES[0] <= thigh <= _THIGH_METRES[1]:
        raise UnitError(
            f"expected poses in {unit} in {where}, got a thigh of {thigh:.4g} m if they are; the "
            "unit or the joint order is another: use the published form"
        )
