"""Names of joints that other programs expect. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from lifting.errors import DataError

_SIDED: dict[str, dict[str, str]] = {
    "mixamo": {
        "collar": "Shoulder", "clavicle": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm",
        "wrist": "Hand", "hand": "HandMiddle1", "hip": "UpLeg", "knee": "Leg", "ankle": "Foot",
        "foot": "ToeBase", "toe": "Toe_End",
    },
    "vrm": {
        "collar": "Shoulder", "clavicle": "Shoulder", "shoulder": "UpperArm",
        "elbow": "LowerArm", "wrist": "Hand", "hip": "UpperLeg", "knee": "LowerLeg",
        "ankle": "Foot", "foot": "Toes",
    },
    "blender": {
        "collar": "shoulder", "clavicle": "shoulder", "shoulder": "upper_arm",
        "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin", "ankle": "foot",
        "foot": "toe",
    },
    "opensim": {
        "shoulder": "Shoulder", "elbow": "Elbow", "wrist": "Wrist", "hip": "Hip", "knee": "Knee",
        "ankle": "Ankle", "big_toe": "BigToe", "small_toe": "SmallToe", "heel": "Heel",
        "eye": "Eye", "ear": "Ear",
    },
}  # fmt: skip
_MIDDLE: dict[str, dict[str, str]] = {
    "mixamo": {
        "hip": "Hips", "pelvis": "Hips", "spine": "Spine", "spine1": "Spine",
        "spine2": "Spine1", "spine3": "Spine2", "thorax": "Spine1", "neck_base": "Neck",
        "neck": "Head", "head": "HeadTop_End",
    },
    "vrm": {
        "hip": "hips", "pelvis": "hips", "spine": "spine", "spine1": "spine", "spine2": "chest",
        "spine3": "upperChest", "thorax": "chest", "neck_base": "neck", "neck": "head",
        "head": "headTop",
    },
    "blender": {
        "hip": "hips", "pelvis": "hips", "spine": "spine", "spine1": "spine",
        "spine2": "spine.001", "spine3": "chest", "thorax": "chest", "neck_base": "neck",
        "neck": "head", "head": "head_top",
    },
    "opensim": {
        "hip": "Hip", "mid_hip": "Hip", "pelvis": "Hip", "spine": "Spine", "thorax": "Neck",
        "neck": "Nose", "nose": "Nose", "head": "Head",
    },
}  # fmt: skip
_SIDES = {
    "mixamo": ("Left{}", "Right{}"),
    "vrm": ("left{}", "right{}"),
    "blender": ("{}.L", "{}.R"),
    "opensim": ("L{}", "R{}"),
}
PROFILES = ("h36m", *_SIDES)
"""``h36m`` keeps the names of the skeleton; joints that another profile lacks keep theirs, too."""


def named(joints: Sequence[str], profile: str) -> tuple[str, ...]:
    """Names of joints in the words of another program.

    Where a joint named ``neck`` is the base of the neck, because there is no ``thorax``, it bears
    the name of the base.

    Args:
        joints: Our names.
        profile: One of :data:`PROFILES`.

    Raises:
        DataError: Two joints get one name.
    """
    if profile == "h36m":
        return tuple(joints)
    middle = dict(_MIDDLE[profile])
    if "thorax" not in joints:
        base = middle.pop("neck_base", None)
        if base is None:
            middle["neck"] = "Neck"
        else:
            middle |= {"neck": base, "head": middle["neck"], "head_top": middle["head"]}
    found = []
    for joint in joints:
        side, _, stem = joint.partition("_")
        if side in ("left", "right") and stem in _SIDED[profile]:
            found.append(_SIDES[profile][side == "right"].format(_SIDED[profile][stem]))
        else:
            found.append(middle.get(joint, joint))
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        both = " and ".join(j for j, name in zip(joints, found, strict=True) if name == twice)
        raise DataError(
            f"expected each joint under a name of its own in the names of {profile}, got "
            f"'{twice}' for {both}; export with the names of h36m"
        )
    return tuple(found)
