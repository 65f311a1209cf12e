"""The orders of detectors' joints, by number."""

from __future__ import annotations

import pytest
import torch

from lifting.skeleton import H36M_17, conversion, get_skeleton
from lifting.skeleton.convert import remap_joints

# Right hip, knee, ankle, the left leg, the left shoulder, elbow, wrist, and the right arm.
LIMBS = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
COCO = [12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10]
OPENPOSE = [9, 10, 11, 12, 13, 14, 5, 6, 7, 2, 3, 4]
PANOPTIC = [12, 13, 14, 6, 7, 8, 3, 4, 5, 9, 10, 11]
FEET = "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"
OTHERS = {
    "coco23": (COCO, {17: FEET}),
    "coco17neck": (COCO, {17: "neck"}),
    "posetrack17": (COCO, {0: "nose neck head left_ear right_ear"}),
    "body25b": (COCO, {0: "nose left_eye right_eye left_ear right_ear", 17: "neck head " + FEET}),
    "coco25": (
        [13, 16, 18, 12, 15, 17, 6, 8, 10, 7, 9, 11],
        {0: "nose left_eye right_eye left_ear right_ear neck", 14: "hip", 19: FEET},
    ),
    "body19": (
        OPENPOSE,
        {0: "nose neck", 8: "mid_hip", 15: "right_eye left_eye right_ear left_ear"},
    ),
    "body23": (
        [7, 8, 9, 10, 11, 12, 4, 5, 6, 1, 2, 3],
        {0: "nose", 13: "right_eye left_eye right_ear left_ear " + FEET},
    ),
    "mpi15": ([8, 9, 10, 11, 12, 13, 5, 6, 7, 2, 3, 4], {0: "head neck", 14: "chest"}),
    "lsp14": ([2, 1, 0, 3, 4, 5, 9, 10, 11, 8, 7, 6], {12: "neck head"}),
    "crowdpose14": ([7, 9, 11, 6, 8, 10, 0, 2, 4, 1, 3, 5], {12: "head neck"}),
    "aic14": ([6, 7, 8, 9, 10, 11, 3, 4, 5, 0, 1, 2], {12: "head neck"}),
    "jhmdb15": ([5, 9, 13, 6, 10, 14, 4, 8, 12, 3, 7, 11], {0: "neck belly head"}),
    "h36m16": ([1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15], {0: "hip", 7: "spine thorax head"}),
    "humaneva20": (
        [14, 15, 17, 10, 11, 13, 2, 3, 5, 6, 7, 9],
        {0: "torso_proximal torso_distal", 18: "head_proximal head"},
    ),
    "panoptic15": (PANOPTIC, {0: "neck nose hip"}),
    "panoptic19": (PANOPTIC, {0: "neck nose hip", 15: "left_eye left_ear right_eye right_ear"}),
    "kinect25": (
        [16, 17, 18, 12, 13, 14, 4, 5, 6, 8, 9, 10],
        {
            0: "spine_base spine_mid neck head",
            7: "left_hand",
            11: "right_hand",
            15: "left_foot",
            19: "right_foot spine_shoulder left_hand_tip left_thumb right_hand_tip right_thumb",
        },
    ),
    "halpe68": (COCO, {17: "head neck hip", 26: "left_hand_0", 47: "right_hand_0"}),
    "halpe136": (
        COCO,
        {17: "head neck hip", 26: "right_face_0", 94: "left_hand_0", 115: "right_hand_0"},
    ),
    "wholebody133": (
        COCO,
        {17: FEET, 23: "right_face_0", 91: "left_hand_0 left_hand_1", 112: "right_hand_0"},
    ),
    "openpose134": (
        [8, 9, 10, 11, 12, 13, 5, 6, 7, 2, 3, 4],
        {0: "nose neck", 18: FEET, 24: "right_face_0", 92: "left_hand_0", 113: "right_hand_0"},
    ),
    "body135": (
        COCO,
        {17: "neck head " + FEET, 25: "left_hand_1", 45: "right_hand_1", 65: "right_face_0",
         133: "right_face_68 left_face_68"},
    ),
    "goliath308": (
        [10, 12, 14, 9, 11, 13, 5, 7, 62, 6, 8, 41],
        {0: "nose left_eye right_eye left_ear right_ear left_shoulder", 15: FEET, 69: "neck"},
    ),
}  # fmt: skip
# Halpe's feet alternate.
ALTERNATING = "left_big_toe right_big_toe left_small_toe right_small_toe left_heel right_heel"


@pytest.mark.parametrize("name", OTHERS)
def test_joints_have_the_published_numbers(name):
    skeleton = get_skeleton(name)
    limbs, words = OTHERS[name]
    index = torch.arange(float(len(skeleton)))
    mapped, _ = remap_joints(torch.stack((index, -index), -1), skeleton, H36M_17)
    assert mapped[LIMBS, 0].tolist() == limbs
    for start, listed in words.items():
        joints = tuple(listed.split())
        assert skeleton.joints[start : start + len(joints)] == joints


@pytest.mark.parametrize("name", ["halpe26", "halpe68", "halpe136"])
def test_feet_of_halpe_alternate(name):
    assert " ".join(get_skeleton(name).joints[20:26]) == ALTERNATING


@pytest.mark.parametrize(
    ("name", "start", "hands"),
    [("halpe136", 26, 94), ("wholebody133", 23, 91), ("openpose134", 24, 92), ("body135", 65, 25)],
)
def test_faces_and_hands_are_mirrored(name, start, hands):
    flip = get_skeleton(name).flip_index
    face = [flip[start + i] - start for i in range(68)]
    assert face == [
        *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
    ]  # fmt: skip
    size = 20 if name == "body135" else 21
    assert [flip[hands + i] for i in range(size)] == [hands + size + i for i in range(size)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("body25b", {"thorax": 11 / 3 + 17 / 3, "neck": 0, "head": 18, "hip": 11.5}),
        ("posetrack17", {"thorax": 5.5 / 2 + 0.5, "neck": 0, "head": 2, "hip": 11.5}),
        ("crowdpose14", {"thorax": 13, "neck": 12.5, "head": 12, "hip": 6.5}),
        ("mpi15", {"thorax": 1, "neck": 0.5, "head": 0, "spine": 14, "hip": 9.5}),
        ("jhmdb15", {"thorax": 0, "neck": 1, "head": 2, "spine": 1, "hip": 5.5}),
        ("h36m16", {"thorax": 8, "neck": 8.5, "head": 9, "spine": 7, "hip": 0}),
        ("humaneva20", {"thorax": 0, "neck": 18.5, "head": 19, "spine": 6, "hip": 12}),
        ("panoptic15", {"thorax": 0, "neck": 1, "head": 2, "spine": 1, "hip": 2}),
        ("panoptic19", {"thorax": 0, "neck": 1, "head": 17 + 16 - 1, "hip": 2}),
        ("kinect25", {"thorax": 20, "neck": 3, "head": 4, "spine": 1, "hip": 0}),
        ("goliath308", {"thorax": 11 / 3, "neck": 0, "head": 3.5 + 1.5, "hip": 9.5}),
    ],
)
def test_trunk_and_head_by_hand(name, expected):
    skeleton = get_skeleton(name)
    index = torch.arange(float(len(skeleton)))
    mapped, _ = remap_joints(torch.stack((index, -index), -1), skeleton, H36M_17)
    found = {joint: float(mapped[H36M_17.index(joint), 0]) for joint in expected}
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_hidden_nose_lies_between_neck_and_head():
    for name in ("body25b", "halpe26", "posetrack17"):
        skeleton = get_skeleton(name)
        assert conversion(skeleton, H36M_17).recipes["neck"] == (
            {"nose": 1.0}, {"neck": 0.5, "head": 0.5},
        )  # fmt: skip


def test_every_order_of_a_detector_leads_to_seventeen_joints():
    for name in OTHERS:
        recipes = conversion(get_skeleton(name), H36M_17).recipes
        used = {joint for options in recipes.values() for recipe in options for joint in recipe}
        assert not any(
            word in joint for joint in used for word in ("toe", "heel", "face", "_hand")
        )
