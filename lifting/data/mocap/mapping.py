"""Named points of a recording to the 17 joints, in millimetres with z up.

Human3.6M's joints are matched by where they lie in the body, not by what a file calls them: the
hip is between the two hip joints, the neck halfway up the neck, the wrist at the base of the
hand. Files of markers and keypoints may lack joints of the trunk, and hold some only nearly.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.mocap.captured import (
    CapturedMotion,
    FloatArray,
    Form,
    guess_up,
    unit_of,
    z_up_mm,
)
from lifting.data.mocap.cleaning import continued, estimate_lost, restore_cmu
from lifting.errors import DataError, MissingDataError, suggest
from lifting.skeleton import H36M_17
from lifting.skeleton.naming import FEET, HOW_TO_MAP, LIMBS, named_joints

LEG_MM = (600.0, 1100.0)  # thigh and shank of a person
UNITS_MM: Mapping[str, float] = {
    "mm": 1.0, "cm": 10.0, "inch": 25.4, "asf": 25.4 / 0.45, "m": 1000.0,
}  # fmt: skip
HEAD_ABOVE_SKULL_BASE_MM = 115.0
TRUNK = ("spine", "thorax", "neck", "head")


@dataclass(frozen=True)
class Point:
    """Where a joint is found: the mean of named points, possibly moved.

    Attributes:
        names: Points of the file.
        above_mm: Distance along the first name's own y axis.
        beyond_mm: Distance along the bone that leads to the first name, as that turns it.
    """

    names: tuple[str, ...]
    above_mm: float = 0.0
    beyond_mm: float = 0.0


@dataclass(frozen=True)
class JointMap:
    """How one naming convention gives the 17 joints.

    Attributes:
        name: For messages.
        form: The kind of file it applies to; None for any.
        points: Sources of joints of ``h36m17``; without one the hip is between its sides.
        approximate: Joints that lie only near their source.
    """

    name: str
    form: Form | None
    points: Mapping[str, Point]
    approximate: tuple[str, ...] = ()

    def missing(self, motion: CapturedMotion) -> list[str]:
        """Points the map needs and the recording lacks."""
        wanted = {name for point in self.points.values() for name in point.names}
        return sorted(wanted - set(motion.names))


def _map(name: str, form: Form, sides: str, table: str, **points: Point) -> JointMap:
    """A map from words ``joint=point+point``; ``{}`` stands for the words of left and right."""
    for word in table.split():
        joint, _, names = word.partition("=")
        owners = ("left_", "right_") if "{}" in names else ("",)
        for owner, side in zip(owners, sides.split(), strict=False):
            points[owner + joint] = Point((*names.format(side).split("+"),))
    return JointMap(name, form, points)


# The wrist is the end of `wrist`: the forearm is split in two for its twist.
ASF_BONES = _map(
    "asf bones",
    "amc",
    "l r",
    """hip={}hipjoint knee={}femur ankle={}tibia shoulder={}clavicle elbow={}humerus wrist={}wrist
    spine=lowerback thorax=thorax neck=lowerneck+upperneck head=head""",
)
FEMUR_BVH = _map(
    "lfemur style",
    "bvh",
    "l r",
    """hip={}femur knee={}tibia ankle={}foot shoulder={}humerus elbow={}radius wrist={}hand
    spine=upperback thorax=lowerneck neck=upperneck+head head=head/end""",
)
TWO_NECKS_BVH = _map(
    "LeftUpLeg style, two neck joints",
    "bvh",
    "Left Right",
    """hip={}UpLeg knee={}Leg ankle={}Foot shoulder={}Arm elbow={}ForeArm wrist={}Hand
    spine=Spine thorax=Neck neck=Neck1+Head head=Head/end""",
)
AVATAR_BVH = _map(
    "CC_Base style",
    "bvh",
    "CC_Base_L CC_Base_R",
    """hip={}_Thigh knee={}_Calf ankle={}_Foot shoulder={}_Upperarm elbow={}_Forearm wrist={}_Hand
    spine=CC_Base_Spine02 thorax=CC_Base_L_Clavicle+CC_Base_R_Clavicle neck=CC_Base_Head""",
    head=Point(("CC_Base_Head",), above_mm=HEAD_ABOVE_SKULL_BASE_MM),
)
JOINT_MAPS = (ASF_BONES, FEMUR_BVH, TWO_NECKS_BVH, AVATAR_BVH)


class MappedPose(NamedTuple):
    """The 17 joints of a recording. T frames.

    Attributes:
        pose: ``(T, 17, 3)``, mm, z up, where the file placed them; NaN where it has none.
        approximate: Joints that are near what was measured, or placed by guessed lengths: to be
            masked.
        notes: What the file lacks and what was done about it, in words.
        inferred: Unit and vertical axis, where the file does not say them, in words.
    """

    pose: FloatArray
    approximate: tuple[str, ...]
    notes: tuple[str, ...]
    inferred: tuple[str, ...]


def read_joint_map(path: Path) -> JointMap:
    """A map that a user wrote: joints of ``h36m17`` to names of a file.

    Args:
        path: JSON or, by its ending, TOML: a name a joint, or a list of names for their mean. The
            hip may be left out, with markers the trunk too; joints of the feet may be given.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no such map; the message names the joint.
    """
    if not path.is_file():
        raise MissingDataError(f"expected a map at {path}, found no file; {HOW_TO_MAP}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON or TOML, got {error}; {HOW_TO_MAP}") from None
    points: dict[str, Point] = {}
    known = (*H36M_17.joints, *FEET)
    for joint, value in (content if isinstance(content, dict) else {"": content}).items():
        names = [value] if isinstance(value, str) else value
        worded = isinstance(names, list) and names and all(isinstance(n, str) for n in names)
        if joint not in known or not worded:
            raise DataError(
                f"{path}: expected joints, each with a name or a list of names, got '{joint}' "
                f"with {value!r:.60}; {suggest(joint, known) if worded else HOW_TO_MAP}"
            )
        points[joint] = Point(tuple(names))
    _check_complete(path, points, LIMBS)
    return JointMap(f"map {path.name}", None, points)


def _check_complete(path: Path, points: Mapping[str, Point], wanted: Sequence[str]) -> None:
    if lacking := [joint for joint in wanted if joint not in points]:
        raise DataError(
            f"{path}: expected a name for every joint but the hip, got none for "
            f"{', '.join(lacking)}; complete the map"
        )


def choose_map(motion: CapturedMotion) -> JointMap:
    """The first map whose points the recording has; else one by the stems of its names.

    Raises:
        DataError: None fits; the message shows the file's names and how to write a map.
    """
    fitting = [joint_map for joint_map in JOINT_MAPS if joint_map.form == motion.form]
    for joint_map in fitting:
        if not joint_map.missing(motion):
            return joint_map
    if motion.form == "amc":
        lacking = [joint_map.missing(motion)[0] for joint_map in fitting]
        raise DataError(
            f"{motion.path}: expected the bones of the CMU database, got none named "
            f"{', '.join(lacking)}; these are:\n{motion.tree()}"
        )
    bones = motion.form == "bvh"
    needed, listing = ((*LIMBS, *TRUNK), f"\n{motion.tree()}") if bones else (LIMBS, "")
    try:
        found = named_joints(motion.names, bones=bones, needed=needed, listing=listing)
    except DataError as error:
        raise DataError(f"{motion.path}: {error}") from None
    points = {joint: Point(names) for joint, names in found.items() if joint != "hip"}
    if bones and found["head"] == found["neck"][-1:]:
        points["head"] = Point(found["head"], beyond_mm=HEAD_ABOVE_SKULL_BASE_MM)
    # A nose is near the neck, a neck near the thorax; bones are matched by their place instead.
    near = [j for j in TRUNK[:3] if not bones and j in found and j not in found[j][0].lower()]
    return JointMap("names of its own", motion.form, points, (*near,))


def to_h36m17(motion: CapturedMotion, joint_map: JointMap | None = None) -> MappedPose:
    """The 17 joints of a recording, with the bones that its file lost.

    Args:
        motion: The recording.
        joint_map: Naming convention; None chooses a built-in one or goes by the names.

    Raises:
        DataError: The names, the unit or the vertical axis cannot be told.
    """
    chosen = joint_map or choose_map(motion)
    if lacking := chosen.missing(motion):
        raise DataError(
            f"{motion.path}: expected the names of {chosen.name}, got none for "
            f"{', '.join(lacking)}; correct the map. The file's names:\n{motion.tree()}"
        )
    inferred: list[str] = []
    unit = motion.unit_mm or _guess_unit(motion, chosen, inferred)
    motion, restored = restore_cmu(motion, unit)
    located = {name: _locate(motion, point, unit) for name, point in chosen.points.items()}
    located.setdefault("hip", (located["left_hip"] + located["right_hip"]) / 2)
    approximate, estimated = chosen.approximate, tuple[str, ...]()
    if motion.form in ("amc", "bvh"):
        _check_complete(motion.path, chosen.points, TRUNK)
        sources = {name: point.names for name, point in chosen.points.items()}
        approximate, estimated = estimate_lost(motion, located, sources, unit)
    nowhere = np.full_like(located["hip"], np.nan)
    pose = np.stack([located.get(name, nowhere) for name in H36M_17.joints], axis=1)
    up = motion.up
    if up is None:
        up, why = guess_up(pose, H36M_17.joints)
        inferred.append(f"up not given: {why}, so {up} was taken")
        if up is None:
            raise DataError(
                f"{motion.path}: expected a body that stands along y, -y or z, got one of which "
                f"{why}; turn the file so that y or z points up"
            )
    return MappedPose(z_up_mm(pose, up, 1.0), approximate, restored + estimated, (*inferred,))


def _locate(motion: CapturedMotion, point: Point, unit_mm: float) -> FloatArray:
    """Position of one joint, ``(T, 3)`` mm, in the file's axes."""
    indices = [motion.names.index(name) for name in point.names]
    place: FloatArray = motion.positions[:, indices].mean(axis=1) * unit_mm
    if point.above_mm and motion.rotations is not None:
        place = place + point.above_mm * motion.rotations[:, indices[0], :, 1]
    if point.beyond_mm:
        along = continued(motion, indices[0], unit_mm)
        size = np.linalg.norm(along, axis=-1, keepdims=True)
        place = place + along * (point.beyond_mm / np.maximum(size, 1e-9))
    return place


def _guess_unit(motion: CapturedMotion, joint_map: JointMap, inferred: list[str]) -> float:
    """Millimetres a file unit, told by the length of the left leg."""
    hip, knee, ankle = (
        _locate(motion, joint_map.points[f"left_{name}"], 1.0) for name in ("hip", "knee", "ankle")
    )
    thigh, shank = np.linalg.norm(hip - knee, axis=-1), np.linalg.norm(knee - ankle, axis=-1)
    leg = float(np.median(thigh + shank))
    if unit := unit_of(leg, LEG_MM, UNITS_MM):
        inferred.append(f"unit not given: a leg is {leg:.4g} long, so {unit} was taken")
        return UNITS_MM[unit]
    raise DataError(
        f"{motion.path}: expected a leg of {LEG_MM[0]:g} to {LEG_MM[1]:g} mm in one of "
        f"{', '.join(UNITS_MM)}, got {leg:.4g} file units; scale the file to centimetres"
    )
