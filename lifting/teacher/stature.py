"""Lengths of people's bones, for the scale of a rig whose cameras do not give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, suggest
from lifting.geometry.scale import scale_from_bones
from lifting.skeleton import Skeleton
from lifting.teacher.options import TeacherOptions
from lifting.typing import Pose3D

MEAN_STATURE_MM = 1688.5
"""Mean of the means of men (1759 mm) and women (1618 mm)."""

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


class Scale(NamedTuple):
    """A factor to millimetres and where it comes from.

    Attributes:
        factor: mm a unit.
        rule: What decided it, in words.
    """

    factor: float
    rule: str


def reference_lengths(skeleton: Skeleton, options: TeacherOptions) -> Tensor:
    """Lengths that bones are taken to have, ``(joints,)``, mm; zero where nothing is known.

    Args:
        skeleton: The joints.
        options: Known lengths or the stature; without, the population's mean.

    Raises:
        ConfigError: A joint that the skeleton has not, or nothing known of any of its bones.
    """
    found = torch.zeros(len(skeleton), dtype=torch.float64)
    if options.bone_lengths is not None:
        for joint, length in options.bone_lengths.items():
            index = skeleton.index(joint)
            if index == skeleton.root or length <= 0:
                raise ConfigError(
                    f"expected lengths above 0 of bones by their lower joint, got {length} for "
                    f"'{joint}'; {suggest(joint, set(skeleton.joints))}"
                )
            found[index] = length
    else:
        stature = options.stature or MEAN_STATURE_MM
        for parent, child in skeleton.bones:
            ends = tuple(_sideless(skeleton.joints[joint]) for joint in (parent, child))
            found[child] = stature * _FRACTIONS.get((ends[0], ends[1]), 0.0)
    if not bool((found > 0).any()):
        raise ConfigError(
            f"expected bones of known length, got none for skeleton {skeleton.name}; give "
            "bone_lengths by the names of their lower joints"
        )
    return found


def metric_scale(joints: Pose3D, skeleton: Skeleton, options: TeacherOptions) -> Scale:
    """Factor that brings the bones of a reconstruction nearest to their lengths.

    Args:
        joints: ``(frames, joints, 3)``, any unit, NaN where not known.
        skeleton: The joints.
        options: Lengths and rule.
    """
    reference = reference_lengths(skeleton, options).to(joints)
    factor = scale_from_bones(joints, reference, skeleton, robust=options.scale_rule == "median")
    if options.bone_lengths is not None:
        source = f"{len(options.bone_lengths)} given bone lengths"
    else:
        source = f"bone lengths of people {options.stature or MEAN_STATURE_MM:g} mm tall"
    rule = options.scale_rule.replace("_", " ")
    return Scale(float(factor), f"{source}, by {rule}")


def _sideless(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")
