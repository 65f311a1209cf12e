"""Lengths of people's bones, as fractions of their stature. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from lifting.skeleton.sets import Skeleton

MEAN_STATURE_MM = 1688.5
"""Mean of the means of men (1759 mm) and women (1618 mm)."""

ANKLE_HEIGHT = 0.045
"""Of the ankle above the floor while the foot stands flat, over stature."""

# Length over stature, by the names of a bone's ends without their side; some joints go by two
# names. The project's anthropometric table, which the procedural people are drawn from as well.
_FRACTIONS: Mapping[tuple[str, str], float] = {
    ("hip", "hip"): 0.060, ("pelvis", "hip"): 0.060,
    ("hip", "knee"): 0.245, ("knee", "ankle"): 0.246,
    ("hip", "spine"): 0.128, ("pelvis", "spine"): 0.128,
    ("spine", "thorax"): 0.140, ("pelvis", "thorax"): 0.268,
    ("thorax", "neck"): 0.075, ("neck", "head"): 0.070,
    ("thorax", "shoulder"): 0.100,
    ("shoulder", "elbow"): 0.165, ("elbow", "wrist"): 0.146,
}  # fmt: skip


def population_lengths(skeleton: Skeleton, stature: float = MEAN_STATURE_MM) -> tuple[float, ...]:
    """Lengths that the bones of a person have in the mean.

    Args:
        skeleton: The joints.
        stature: Height of the person, mm.

    Returns:
        One a joint, of the bone from its parent, mm; 0 for the root and where nothing is known.

    Source: the project's anthropometric table.
    """
    found = [0.0] * len(skeleton)
    for parent, child in skeleton.bones:
        ends = (_sideless(skeleton.joints[parent]), _sideless(skeleton.joints[child]))
        found[child] = stature * _FRACTIONS.get(ends, 0.0)
    return tuple(found)


def _sideless(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")
