"""Tells metres from millimetres, and one order of joints from another, by the length of thighs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from lifting.data.doctor.body import LIMB_JOINTS, limb_faults
from lifting.data.doctor.specimen import spread
from lifting.errors import DataError
from lifting.files.containers import Array
from lifting.skeleton import Skeleton, sets_of

log = logging.getLogger(__name__)

_THIGH_METRES = (0.2, 0.8)
_IN_METRES = {"m": 1.0, "mm": 0.001}
_JUDGED_FRAMES = 50


class UnitError(DataError):
    """Poses are not in the unit, or their joints not in the order, that a file should have."""


def check_unit(
    poses: Iterable[Array], skeleton: Skeleton, unit: Literal["m", "mm"], where: str
) -> None:
    """Check that people have the limbs and the size of people, in the unit of a file.

    Limbs that nobody has, in the order that the file should have, are refused where another known
    order makes them sound, and else said.

    Args:
        poses: Recordings, ``(frames, joints, 3)`` each; the median of their medians counts.
        skeleton: Their joints.
        unit: Unit that the file should have.
        where: Names the file in the message.

    Raises:
        UnitError: The joints are in another order, or the right thigh is not 0.2 to
            0.8 m long.
    """
    poses = [pose for pose in poses if len(pose)]
    faults = _check_order(poses, skeleton, unit, where)
    hip, knee = skeleton.index("right_hip"), skeleton.index("right_knee")
    thighs = (p[:, hip].astype(np.float64) - p[:, knee] for p in poses)
    lengths = [np.median(np.linalg.norm(thigh, axis=-1)) for thigh in thighs]
    thigh = float(np.median(lengths)) * _IN_METRES[unit] if lengths else _THIGH_METRES[0]
    if not _THIGH_METRES[0] <= thigh <= _THIGH_METRES[1]:
        raise UnitError(
            f"expected poses in {unit} in {where}, got a thigh of {thigh:.4g} m if they are; the "
            "unit or the joint order is another: use the published form"
        )
    if faults:
        log.warning("%s has limbs that nobody has: %s", where, ", ".join(faults[:3]))


def _check_order(
    poses: Sequence[Array], skeleton: Skeleton, unit: Literal["m", "mm"], where: str
) -> list[str]:
    """Limbs that nobody has; refused where another order of as many joints has sound ones."""
    rows = [pose[spread(np.arange(len(pose)), _JUDGED_FRAMES)] for pose in poses]
    judged = np.concatenate([np.empty((0, len(skeleton), 3)), *rows]) * (1000 * _IN_METRES[unit])
    faults = limb_faults(judged, skeleton) if len(judged) else []
    for other in sets_of(len(skeleton)) if faults else ():
        if set(other.joints) >= LIMB_JOINTS and not limb_faults(judged, other):
            raise UnitError(
                f"expected joints in the order of {skeleton.name} in {where}, got limbs that "
                f"nobody has ({', '.join(faults[:3])}), and sound ones in the order of "
                f"{other.name}; use the published form, or put the joints in its order"
            )
    return faults
