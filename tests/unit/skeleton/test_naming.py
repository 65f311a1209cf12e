"""Names of bones and of markers to joints."""

from __future__ import annotations

import pytest

from lifting.errors import DataError
from lifting.skeleton.naming import LIMBS, named_joints

HALPE_26 = [
    "Nose", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist", "LHip", "RHip",
    "LKnee", "RKnee", "LAnkle", "RAnkle", "Head", "Neck", "Hip", "LBigToe", "RBigToe", "LSmallToe",
    "RSmallToe", "LHeel", "RHeel",
]  # fmt: skip


def test_markers_of_a_trc_file():
    found = named_joints(HALPE_26, bones=False)
    expected = {
        "hip": "Hip", "thorax": "Neck", "neck": "Nose", "head": "Head", "left_hip": "LHip",
        "right_knee": "RKnee", "left_ankle": "LAnkle", "right_shoulder": "RShoulder",
        "left_elbow": "LElbow", "left_wrist": "LWrist", "left_big_toe": "LBigToe",
        "right_small_toe": "RSmallToe", "left_heel": "LHeel",
    }  # fmt: skip
    assert {joint: found[joint] for joint in expected} == {j: (n,) for j, n in expected.items()}
    assert "spine" not in found


@pytest.mark.parametrize(
    "pattern", ["{side}_{part}", "{part}.{s}", "{part}_{s}", "{S}{Part}", "Subject1:{S}{Part}",
                "{s}-{part}_joint", "{s}{part}", "{S}{part}", "{part} rgt"],
)  # fmt: skip
def test_spellings_of_a_side(pattern):
    names = []
    for joint in LIMBS:
        side, _, part = joint.partition("_")
        words = {"side": side, "part": part, "s": side[0], "S": side[0].upper()}
        spelled = pattern.format(**words, Part=part.capitalize())
        names.append(spelled if side == "right" else spelled.replace("rgt", "lft"))
    assert named_joints(names, bones=False) == {
        joint: (name,) for joint, name in zip(LIMBS, names, strict=True)
    }


def test_two_ends_of_an_ankle_are_averaged():
    names = [n for n in LIMBS if n != "left_ankle"]
    names += ["L_Medial_Malleolus", "L.Lateral.Malleolus"]
    assert named_joints(names, bones=False)["left_ankle"] == (*names[-2:],)


def test_added_markers_stand_back_behind_plain_ones():
    names = [*HALPE_26, "r_knee_study", "r.ASIS_study", "L.PSIS_study"]
    assert named_joints(names, bones=False)["right_knee"] == ("RKnee",)
    alone = [f"{joint}_study" for joint in LIMBS]
    assert named_joints(alone, bones=False)["right_knee"] == ("right_knee_study",)


def test_markers_are_not_bones():
    bones = ["UpLeg", "Leg", "Foot", "Arm", "ForeArm", "Hand", "Shoulder"]
    names = [f"{side}{bone}" for side in ("Left", "Right") for bone in bones]
    found = named_joints(names, bones=True)
    assert found["left_knee"] == ("LeftLeg",)
    assert found["left_shoulder"] == ("LeftArm",)
    with pytest.raises(DataError, match=r"a person .* got none for left_hip, right_hip"):
        named_joints(names, bones=False)


def test_two_candidates_are_not_guessed_between():
    with pytest.raises(
        DataError,
        match=r"expected one name for each joint among the names, got more than one for "
        r"left_knee \(left_knee or Left\.Knee\); write a map.*names: left_hip, right_hip",
    ):
        named_joints([*LIMBS, "Left.Knee"], bones=False)
    # A joint that nobody needs is left out instead.
    assert "left_heel" not in named_joints([*LIMBS, "LHeel", "left_heel"], bones=False)


def test_needed_joint_without_a_name():
    with pytest.raises(DataError, match=r"expected one name for each joint.*got none for head;"):
        named_joints(LIMBS, bones=False, needed=("head",))


def test_animals_and_long_lists():
    names = ["nose", "tail", "left_hip", "right_hip", "left_knee", "right_knee"]
    names += [f"spot{i}" for i in range(70)]
    with pytest.raises(
        DataError,
        match=r"joints of a person \(both hips, knees, shoulders and elbows\) .*"
        r"got none for left_shoulder, .*spot53 and 16 more",
    ):
        named_joints(names, bones=False)
