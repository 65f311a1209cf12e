"""Bones without length: what conversions of the CMU database lost, and what others lack."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from lifting.data.describe import prepare
from lifting.data.mocap import cleaning
from lifting.data.mocap.bvh import read_bvh
from lifting.data.mocap.convert import convert_folder
from lifting.data.mocap.mapping import choose_map, to_h36m17
from lifting.data.sets.cmu.config import FILE_NAME
from lifting.data.sets.cmu.files import read_cmu_file
from lifting.skeleton import H36M_17


def at(mapped, joint):
    return mapped.pose[0, H36M_17.index(joint)]


@pytest.fixture(scope="module")
def real():
    folder = Path(os.environ.get("LIFTING_DATA", "none"))
    path = folder / "real" / "fairmotion_cmu" / "01_01_first100.bvh"
    if not path.is_file() or not (folder / "cmu" / FILE_NAME).is_file():
        pytest.skip("set LIFTING_DATA to the folder that holds real/fairmotion_cmu and cmu")
    file = read_cmu_file(folder / "cmu" / FILE_NAME)
    start = file.offsets[file.names.index("01_01")]
    return read_bvh(path), file.positions[start : start + 42].astype(np.float64)


def test_real_conversion_agrees_with_the_measured_skeleton(real):
    motion, target = real
    assert motion.fps == 120  # Frame Time: .0083333
    mapped = to_h36m17(motion)
    seconds = np.arange(len(target)) / cleaning.TARGET_FPS
    pose = CubicSpline(np.arange(len(mapped.pose)) / motion.fps, mapped.pose)(seconds)
    # Both face the same way: only the floor differs, which the hip takes out.
    apart = (pose - pose[:, :1]) - (target - target[:, :1])
    median = dict(zip(H36M_17.joints, np.median(np.linalg.norm(apart, axis=-1), 0), strict=True))
    legs = [joint for joint in H36M_17.joints if joint.endswith(("hip", "knee", "ankle"))]
    assert max(median[joint] for joint in legs) < 2
    assert max(median.values()) < 20


def test_real_conversion_says_what_it_lacked(real):
    mapped = to_h36m17(real[0])
    assert mapped.approximate == ()
    thorax, left, right = mapped.notes
    assert thorax.startswith("thorax: the offset of Neck is zero, 116 mm restored from Spine1")
    assert left.startswith("left_wrist: the offset of LeftFingerBase is zero, 98 mm restored")
    assert right.startswith("right_wrist: the offset of RightFingerBase is zero, 97 mm restored")


def cmu_tree(rig):
    tree = rig("Hips LowerBack Spine Spine1 Neck Head",
               "{}Shoulder {}Arm {}ForeArm {}Hand {}UpLeg {}Leg {}Foot {}ToeBase")  # fmt: skip
    for side in ("Left", "Right"):
        tree[f"{side}FingerBase"] = (f"{side}Hand", (0, 0, 0))
    return tree


def test_what_is_not_zero_stays(bvh, person_bvh, rig):
    tree = cmu_tree(rig)
    (_, (x, y, z)) = tree["LeftFingerBase"]
    tree["LeftFingerBase"] = ("LeftHand", (x + 5, y, z))
    mapped = to_h36m17(bvh(person_bvh(2, tree=tree)))
    assert [note.split(":")[0] for note in mapped.notes] == ["right_wrist"]
    np.testing.assert_allclose(at(mapped, "left_wrist"), (680, 0, 1370), atol=1e-3)
    np.testing.assert_allclose(at(mapped, "right_wrist"), (-430 - 375, 0, 1370), atol=1e-3)


def test_the_restored_trunk_turns_with_the_spine(bvh, person_bvh, rig):
    tree = cmu_tree(rig) | {"Neck": ("Spine1", (0, 0, 0))}
    still = person_bvh(2, tree=tree)
    *head, first, last, _ = still.split("\n")
    words = first.split(" ")
    words[6 + 3 * 2] = "90"  # Z rotation of Spine1, the third joint below the hips
    turned = to_h36m17(bvh("\n".join([*head, " ".join(words), last, ""])))
    upright = to_h36m17(bvh(still))
    np.testing.assert_allclose(at(upright, "thorax"), (0, 0, 1290 + 120), atol=1e-3)
    np.testing.assert_allclose(at(upright, "head"), (0, 0, 1290 + 120 + 230), atol=1e-3)
    np.testing.assert_allclose(at(turned, "thorax"), (-120, 0, 1290), atol=1e-3)
    np.testing.assert_allclose(at(turned, "left_shoulder"), (-120 - 80, 0, 1290 + 150), atol=1e-3)


def test_short_forearm_beside_a_zero_is_guessed_and_marked(bvh, person_bvh, person_tree):
    person_tree["LeftForeArm"] = ("LeftArm", (28, 0, 0))
    person_tree["LeftHand"] = ("LeftForeArm", (21, 0, 0))
    person_tree["LeftWrist2"] = ("LeftHand", (0, 0, 0))
    mapped = to_h36m17(bvh(person_bvh(2, tree=person_tree)))
    assert mapped.approximate == ("left_wrist",)
    np.testing.assert_allclose(at(mapped, "left_wrist"), (430 + 252, 0, 1370), atol=1e-3)
    assert mapped.notes == (
        "left_wrist: 210 mm from left_elbow in the file, too short beside the other bones; "
        "placed at 252 mm, approximate",
    )


def test_short_forearm_alone_may_be_the_persons(bvh, person_bvh, person_tree):
    # A widely used data set has 252 mm beside 330 mm, and end sites of no length.
    person_tree["LeftHand"] = ("LeftForeArm", (21.4, 0, 0))
    mapped = to_h36m17(bvh(person_bvh(2, tree=person_tree)))
    assert "left_wrist" not in mapped.approximate


def test_forearm_of_no_length_goes_on_from_the_upper_arm(bvh, person_bvh, person_tree):
    person_tree["RightHand"] = ("RightForeArm", (0, 0, 0))
    mapped = to_h36m17(bvh(person_bvh(2, tree=person_tree)))
    assert mapped.approximate == ("right_wrist",)
    np.testing.assert_allclose(at(mapped, "right_wrist"), (-430 - 252, 0, 1370), atol=1e-3)


def test_short_trunk_carries_what_hangs_on_it(bvh, person_bvh, person_tree):
    person_tree["Neck"] = ("Spine1", (0, 0, 0))
    for side, x in (("Left", 15), ("Right", -15)):
        person_tree[f"{side}Arm"] = ("Spine1", (x, -3, 0))
    mapped = to_h36m17(bvh(person_bvh(2, tree=person_tree)))
    trunk = 0.525 * 820
    assert mapped.approximate[:3] == ("thorax", "neck", "head")
    assert len(mapped.approximate) == 9
    np.testing.assert_allclose(at(mapped, "thorax"), (0, 0, 900 + trunk), atol=1e-3)
    np.testing.assert_allclose(at(mapped, "left_elbow"), (430, 0, 870 + trunk), atol=1e-3)
    assert "thorax: 0 mm from spine" in mapped.notes[0]
    assert "with it neck, head, left_shoulder" in mapped.notes[0]


def test_head_without_an_end_is_guessed(bvh, person_bvh):
    mapped = to_h36m17(bvh(person_bvh(2, leaf=(0, 0, 0))))
    assert mapped.approximate == ("head",)
    np.testing.assert_allclose(at(mapped, "head"), (0, 0, 1520 + 0.14 * 820), atol=1e-3)


def test_the_report_carries_what_was_restored_and_guessed(tmp_path, person_bvh, person_tree, rig):
    (tmp_path / "01_01.bvh").write_text(person_bvh(tree=cmu_tree(rig)))
    person_tree["RightHand"] = ("RightForeArm", (0, 0, 0))
    (tmp_path / "02_01.bvh").write_text(person_bvh(tree=person_tree))
    report = convert_folder(tmp_path, tmp_path / "out.npz")
    assert [path.name for path, _ in report.notes] == ["01_01.bvh", "02_01.bvh"]
    assert "left_wrist: the offset of LeftFingerBase is zero" in report.notes[0][1]
    assert [(p.name, j) for p, j in report.approximate] == [("02_01.bvh", ("right_wrist",))]


def test_prepare_says_it_and_takes_a_map(tmp_path, person_bvh, person_tree):
    tree = person_tree | {"RightHand": ("RightForeArm", (0, 0, 0))}
    (tmp_path / "01_01.bvh").write_text(person_bvh(tree=tree))
    chosen = choose_map(read_bvh(tmp_path / "01_01.bvh"))
    known = {joint: point.names[0].removesuffix("/end") for joint, point in chosen.points.items()}
    own = {name: f"x{i}" for i, name in enumerate(tree)} | {"": ""}
    tree = {own[name]: (own[parent], offset) for name, (parent, offset) in tree.items()}
    (tmp_path / "01_01.bvh").write_text(person_bvh(tree=tree))
    names = {joint: own[name] for joint, name in known.items()}
    names["head"] += "/end"
    (tmp_path / "map.json").write_text(json.dumps(names))
    facts = prepare("cmu", tmp_path, tmp_path / "out.npz", tmp_path / "map.json")
    (warning, guessed) = facts[-2:]
    assert warning[0] == "warning"
    assert "01_01.bvh: right_wrist: 0 mm from right_elbow in the file" in warning[1]
    assert guessed[0].startswith("placed by guessed lengths, not measured")
    assert guessed[1].endswith("01_01.bvh: right_wrist")
