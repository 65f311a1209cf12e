"""Names, units and axes of a file to the 17 joints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lifting.data.mocap.captured import CapturedMotion
from lifting.data.mocap.mapping import choose_map, read_joint_map, to_h36m17
from lifting.errors import DataError, MissingDataError
from lifting.skeleton import H36M_17


@pytest.mark.parametrize("scale", [1.0, 10.0, 0.01, 1 / 2.54, 0.045 / 0.254])
def test_unit_is_told_by_the_leg_and_y_becomes_z(bvh, scale, person_bvh):
    check_places(to_h36m17(bvh(person_bvh(2, scale))))


def test_z_up_files_stay_as_they_are(bvh, person_bvh):
    motion = bvh(person_bvh(2))
    x, y, z = np.moveaxis(motion.positions, -1, 0)
    turned = replace(motion, positions=np.stack((x, -z, y), axis=-1))
    np.testing.assert_allclose(to_h36m17(turned).pose, to_h36m17(motion).pose, atol=1e-9)


def test_unit_that_fits_nobody(bvh, person_bvh):
    with pytest.raises(DataError, match=r"expected a leg of 600 to 1100 mm.*got 4e\+06"):
        to_h36m17(bvh(person_bvh(2, scale=48780.0)))


def test_lying_body_has_no_vertical_axis(bvh, person_bvh):
    motion = bvh(person_bvh(2))
    lying = replace(motion, positions=motion.positions[..., [1, 0, 2]])
    with pytest.raises(DataError, match=r"stands along y, -y or z, got one of which .* along x"):
        to_h36m17(lying)


CONVENTIONS = {
    "mixamo": ("mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck "
               "mixamorig:Head",
               "mixamorig:{}Shoulder mixamorig:{}Arm mixamorig:{}ForeArm mixamorig:{}Hand "
               "mixamorig:{}UpLeg mixamorig:{}Leg mixamorig:{}Foot mixamorig:{}ToeBase"),
    "no colon": ("mixamorigHips mixamorigSpine mixamorigSpine1 mixamorigSpine2 mixamorigNeck "
                 "mixamorigHead",
                 "mixamorig{}Shoulder mixamorig{}Arm mixamorig{}ForeArm mixamorig{}Hand "
                 "mixamorig{}UpLeg mixamorig{}Leg mixamorig{}Foot mixamorig{}ToeBase"),
    "lafan": ("Hips Spine Spine1 Spine2 Neck Head",
              "{}Shoulder {}Arm {}ForeArm {}Hand {}UpLeg {}Leg {}Foot {}Toe"),
    "vrm": ("hips spine chest upperChest neck head",
            "{}Shoulder {}UpperArm {}LowerArm {}Hand {}UpperLeg {}LowerLeg {}Foot {}Toes",
            ("left", "right")),
    "unity": ("Hips Spine Chest UpperChest Neck Head",
              "{}Shoulder {}UpperArm {}LowerArm {}Hand {}UpperLeg {}LowerLeg {}Foot {}Toes"),
    "unreal": ("pelvis spine_01 spine_02 spine_03 neck_01 head",
               "clavicle_{0} upperarm_{0} lowerarm_{0} hand_{0} thigh_{0} calf_{0} foot_{0} "
               "ball_{0}", ("l", "r")),
    "named after joints": ("Pelvis Spine1_jnt Spine2_jnt Spine3_jnt Neck_jnt Head_jnt",
                           "{0}_Collar {0}_Shoulder {0}_Elbow {0}_Wrist {0}_Hip {0}_Knee "
                           "{0}_Ankle {0}_Foot", ("L", "R")),
}  # fmt: skip
PLACES = {
    "hip": (0, 0, 900), "left_hip": (100, 0, 900), "left_knee": (100, 0, 500),
    "right_ankle": (-100, 0, 80), "spine": (0, 0, 1170), "thorax": (0, 0, 1400),
    "neck": (0, 0, 1520), "head": (0, 0, 1630), "left_shoulder": (150, 0, 1370),
    "right_elbow": (-430, 0, 1370), "left_wrist": (680, 0, 1370),
}  # fmt: skip


def check_places(mapped):
    joint = dict(zip(H36M_17.joints, mapped.pose[0], strict=True))
    for name, expected in PLACES.items():
        np.testing.assert_allclose(joint[name], expected, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("names", CONVENTIONS.values(), ids=CONVENTIONS)
def test_names_of_other_programs(bvh, person_bvh, rig, names):
    mapped = to_h36m17(bvh(person_bvh(2, tree=rig(*names))))
    check_places(mapped)
    assert not mapped.notes


def test_a_head_that_ends_in_eyes_goes_on_along_the_neck(bvh, person_bvh, rig):
    tree = rig(*CONVENTIONS["vrm"]) | {"leftEye": ("head", (3, 4, 8)), "jaw": ("head", (0, 1, 5))}
    pose = to_h36m17(bvh(person_bvh(2, tree=tree))).pose
    np.testing.assert_allclose(pose[0, H36M_17.index("head")], (0, 0, 1635), atol=1e-3)


OWN_NAMES = ("a b c d e f", "{}1 {}2 {}3 {}4 {}5 {}6 {}7 {}8", ("p", "q"))
OWN_MAP = {
    "spine": "c", "thorax": "e", "neck": ["f"], "head": "f/end",
    "left_shoulder": "p2", "left_elbow": "p3", "left_wrist": "p4",
    "right_shoulder": "q2", "right_elbow": "q3", "right_wrist": "q4",
    "left_hip": "p5", "left_knee": "p6", "left_ankle": "p7",
    "right_hip": "q5", "right_knee": "q6", "right_ankle": "q7", "left_big_toe": "p8",
}  # fmt: skip


@pytest.mark.parametrize("ending", ["json", "toml"])
@pytest.mark.parametrize(("scale", "z_up"), [(1.0, False), (0.01, True), (1 / 2.54, True)])
def test_unknown_names_with_a_map(bvh, person_bvh, rig, tmp_path, ending, scale, z_up):
    tree, hips, leaf = rig(*OWN_NAMES), np.tile([0.0, 95.0, 0.0], (2, 1)), (0, 11, 0)
    if z_up:
        tree = {name: (parent, (x, -z, y)) for name, (parent, (x, y, z)) in tree.items()}
        hips, leaf = np.tile([0.0, 0.0, 95.0], (2, 1)), (0, 0, 11)
    path = tmp_path / f"map.{ending}"
    lines = (f"{joint} = {json.dumps(names)}\n" for joint, names in OWN_MAP.items())
    path.write_text(json.dumps(OWN_MAP) if ending == "json" else "".join(lines))
    motion = bvh(person_bvh(scale=scale, tree=tree, hips=hips, leaf=leaf))
    check_places(to_h36m17(motion, read_joint_map(path)))


def test_unknown_names_show_the_tree_and_how_to_write_a_map(bvh, person_bvh, rig):
    message = (
        r"01_01\.bvh: expected the joints of a person .*got none for left_hip, .*_wrist.*; "
        r'write a map, .*\{"left_hip": "LeftUpLeg".*--map.*names: \na\n  b\n    c\n      d\n'
    )
    with pytest.raises(DataError, match=f"(?s){message}"):
        choose_map(bvh(person_bvh(2, tree=rig(*OWN_NAMES))))


def test_the_tree_is_limited(bvh, person_bvh):
    assert bvh(person_bvh(2)).tree(3) == "Hips\n  LeftUpLeg\n    LeftLeg\n... and 19 more"


def test_bones_of_an_unknown_asf(bvh, person_bvh):
    motion = replace(bvh(person_bvh(2)), form="amc")
    with pytest.raises(DataError, match=r"bones of the CMU database, got none named head; these"):
        choose_map(motion)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"map\.json: expected JSON or TOML, got .*; write a map"),
        ("[1]", r"expected joints, each with a name .*, got '' with \[1\]; write a map"),
        ('{"left_hop": "a"}', r"got 'left_hop' with 'a'; did you mean 'left_hip'"),
        ('{"left_hip": ["a", 1]}', r"a name or a list of names, got 'left_hip' with \['a'"),
        ('{"left_hip": []}', r"a name or a list of names, got 'left_hip' with \[\]"),
        ('{"left_hip": "a"}', r"every joint but the hip, got none for right_hip, left_knee"),
    ],
)
def test_a_map_that_is_none(tmp_path, content, message):
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_joint_map(path)


def test_a_map_that_is_missing(tmp_path):
    with pytest.raises(MissingDataError, match=r"expected a map at .*none\.toml, found no file"):
        read_joint_map(tmp_path / "none.toml")


def test_a_map_of_another_file(bvh, person_bvh, tmp_path):
    path = tmp_path / "map.json"
    path.write_text(json.dumps(OWN_MAP))
    message = r"names of map map\.json, got none for c, e, f, f/end.*correct the map\. .*\nHips\n"
    with pytest.raises(DataError, match=message):
        to_h36m17(bvh(person_bvh(2)), read_joint_map(path))


def test_two_neck_joints_put_the_neck_between_them(bvh, person_bvh):
    text = (
        person_bvh(2)
        .replace("JOINT Head", "JOINT Neck1")
        .replace(
            "End Site\n{\nOFFSET 0.0 11.0 0.0\n}\n",
            "JOINT Head\n{\nOFFSET 0 10 0\nCHANNELS 0\nEnd Site\n{\nOFFSET 0 11 0\n}\n}\n",
            1,
        )
    )
    # The first leaf belongs to a foot: give the head joint to the neck instead.
    start, stop = text.index("JOINT Head"), text.index("}\n}\n", text.index("JOINT Head")) + 4
    head, text = text[start:stop], text[:start] + text[stop:]
    place = text.index("End Site", text.index("JOINT Neck1"))
    text = text[:place] + head + text[text.index("}\n", place) + 2 :]
    foot = text.index("CHANNELS", text.index("JOINT LeftFoot"))
    foot = text.index("\n", foot) + 1
    text = text[:foot] + "End Site\n{\nOFFSET 0 1 0\n}\n" + text[foot:]
    pose = dict(zip(H36M_17.joints, to_h36m17(bvh(text)).pose[0], strict=True))
    np.testing.assert_allclose(pose["neck"], [0, 0, 1570], atol=1e-3)
    np.testing.assert_allclose(pose["head"], [0, 0, 1730], atol=1e-3)


@pytest.mark.parametrize(
    ("form", "names", "expected"),
    [
        (
            "amc",
            "lhipjoint rhipjoint lfemur rfemur ltibia rtibia lowerback upperback thorax lowerneck "
            "upperneck head lclavicle rclavicle lhumerus rhumerus lradius rradius lwrist rwrist",
            {
                "right_hip": ["rhipjoint"], "left_knee": ["lfemur"], "right_ankle": ["rtibia"],
                "spine": ["lowerback"], "thorax": ["thorax"], "head": ["head"],
                "neck": ["lowerneck", "upperneck"], "hip": ["lhipjoint", "rhipjoint"],
                "left_shoulder": ["lclavicle"], "left_elbow": ["lhumerus"],
                "left_wrist": ["lwrist"],
            },
        ),
        (
            "bvh",
            "lfemur rfemur ltibia rtibia lfoot rfoot upperback lowerneck upperneck head head/end "
            "lhumerus rhumerus lradius rradius lhand rhand",
            {
                "right_hip": ["rfemur"], "left_knee": ["ltibia"], "right_ankle": ["rfoot"],
                "spine": ["upperback"], "thorax": ["lowerneck"], "head": ["head/end"],
                "neck": ["upperneck", "head"], "hip": ["lfemur", "rfemur"],
                "left_shoulder": ["lhumerus"], "left_elbow": ["lradius"], "left_wrist": ["lhand"],
            },
        ),
    ],
)  # fmt: skip
def test_same_names_mean_bone_ends_in_asf_and_joints_in_bvh(form, names, expected):
    points = tuple(names.split())
    positions = np.random.default_rng(0).normal(size=(3, len(points), 3))
    motion = CapturedMotion(
        path=Path("x"), form=form, names=points, positions=positions,
        rotations=np.zeros((3, len(points), 3, 3)), fps=120, unit_mm=10, up="z",
    )  # fmt: skip
    pose = to_h36m17(motion).pose
    for joint, sources in expected.items():
        place = np.mean([positions[:, points.index(name)] for name in sources], axis=0) * 10
        np.testing.assert_allclose(pose[:, H36M_17.index(joint)], place, err_msg=joint)
