"""Names, units and axes of a file to the 17 joints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lifting.data.mocap.captured import CapturedMotion
from lifting.data.mocap.mapping import JointMap, Point, choose_map, to_h36m17
from lifting.errors import DataError
from lifting.skeleton import H36M_17


@pytest.mark.parametrize("scale", [1.0, 10.0, 0.01, 1 / 2.54, 0.045 / 0.254])
def test_unit_is_told_by_the_leg_and_y_becomes_z(bvh, scale, person_bvh):
    pose = to_h36m17(bvh(person_bvh(2, scale)))[0]
    joint = dict(zip(H36M_17.joints, pose, strict=True))
    for name, expected in {
        "hip": (0, 0, 900), "left_knee": (100, 0, 500), "right_ankle": (-100, 0, 80),
        "spine": (0, 0, 1170), "thorax": (0, 0, 1400), "neck": (0, 0, 1520),
        "head": (0, 0, 1630), "left_wrist": (680, 0, 1370),
    }.items():  # fmt: skip
        np.testing.assert_allclose(joint[name], expected, atol=1e-3, err_msg=name)


def test_z_up_files_stay_as_they_are(bvh, person_bvh):
    motion = bvh(person_bvh(2))
    x, y, z = np.moveaxis(motion.positions, -1, 0)
    turned = replace(motion, positions=np.stack((x, -z, y), axis=-1))
    np.testing.assert_allclose(to_h36m17(turned), to_h36m17(motion), atol=1e-9)


def test_unit_that_fits_nobody(bvh, person_bvh):
    with pytest.raises(DataError, match=r"expected a leg of 600 to 1100 mm.*got 4e\+06"):
        to_h36m17(bvh(person_bvh(2, scale=48780.0)))


def test_lying_body_has_no_vertical_axis(bvh, person_bvh):
    motion = bvh(person_bvh(2))
    lying = replace(motion, positions=motion.positions[..., [1, 0, 2]])
    with pytest.raises(DataError, match=r"stands along \+y or \+z"):
        to_h36m17(lying)


def test_unknown_names_tell_the_nearest_convention(bvh, person_bvh):
    with pytest.raises(DataError, match=r"nearest: LeftUpLeg style\), got none for LeftUpLeg"):
        choose_map(bvh(person_bvh(2).replace("LeftUpLeg", "LeftThigh")))


def test_a_map_of_ones_own(bvh, person_bvh):
    motion = bvh(person_bvh(2).replace("LeftUpLeg", "LeftThigh"))
    known = choose_map(bvh(person_bvh(2)))
    own = JointMap("own", "bvh", {**known.points, "left_hip": Point(("LeftThigh",))})
    np.testing.assert_allclose(to_h36m17(motion, own), to_h36m17(bvh(person_bvh(2))))


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
    pose = dict(zip(H36M_17.joints, to_h36m17(bvh(text))[0], strict=True))
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
    ends = {"head": points.index("head/end")} if "head/end" in points else {}
    motion = CapturedMotion(
        path=Path("x"), form=form, names=points, ends=ends, positions=positions,
        rotations=np.zeros((3, len(points), 3, 3)), fps=120, unit_mm=10, up="z",
    )  # fmt: skip
    pose = to_h36m17(motion)
    for joint, sources in expected.items():
        place = np.mean([positions[:, points.index(name)] for name in sources], axis=0) * 10
        np.testing.assert_allclose(pose[:, H36M_17.index(joint)], place, err_msg=joint)
