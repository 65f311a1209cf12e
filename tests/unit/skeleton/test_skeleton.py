import copy
import pickle

import pytest

from lifting.errors import ConfigError
from lifting.skeleton import COCO_17, H36M_17, SKELETONS, Skeleton, get_skeleton, set_of_names


def test_human36m_figures():
    assert H36M_17.root == 0
    assert H36M_17.left == (4, 5, 6, 11, 12, 13)
    assert H36M_17.right == (1, 2, 3, 14, 15, 16)
    assert len(H36M_17.bones) == 16


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton_is_a_tree_with_a_mirror(skeleton: Skeleton):
    flip = skeleton.flip_index
    assert [flip[i] for i in flip] == list(range(len(skeleton)))
    order = skeleton.depth_order
    assert sorted(order) == list(range(len(skeleton)))
    seen = set()
    for joint in order:
        assert skeleton.parents[joint] in seen | {-1}
        seen.add(joint)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        assert skeleton.joints[left].replace("left", "right") == skeleton.joints[right]
        parent_l, parent_r = skeleton.parents[left], skeleton.parents[right]
        assert flip[parent_l] == parent_r


def test_unknown_names_are_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no joint 'left_anckle'; did you mean 'left_ankle'"):
        H36M_17.index("left_anckle")
    with pytest.raises(ConfigError, match=r"unknown skeleton 'h36m'; did you mean 'h36m17'"):
        get_skeleton("h36m")


def test_two_roots_are_refused():
    with pytest.raises(ConfigError, match="expected one root in skeleton bad"):
        Skeleton("bad", ("a", "b"), (-1, -1), ())


def test_a_skeleton_does_not_change_and_is_never_copied():
    with pytest.raises(AttributeError, match="does not change"):
        H36M_17.name = "other"
    assert copy.deepcopy(H36M_17) is H36M_17
    again = pickle.loads(pickle.dumps(H36M_17))
    assert again == H36M_17
    assert again.flip_index == H36M_17.flip_index


def test_plain_values_give_the_skeleton_again():
    assert Skeleton.of(H36M_17.plain()) == Skeleton.of("h36m17") == H36M_17
    with pytest.raises(ConfigError, match="expected name, joints, parents and mirror"):
        Skeleton.of({"name": "x"})
    with pytest.raises(ConfigError, match="without a circle"):
        Skeleton("ring", ("a", "b", "c"), (-1, 2, 1), ())
    with pytest.raises(ConfigError, match="each joint once"):
        Skeleton("twice", ("a", "a"), (-1, 0), ())


def test_a_nose_is_no_hip():
    assert [s.name for s in SKELETONS.values() if not s.has_hip] == [
        "coco17", "coco18", "mediapipe33", "coco23", "coco17neck", "coco25", "body25b", "body23",
        "mpi15", "lsp14", "crowdpose14", "aic14", "jhmdb15", "posetrack17", "humaneva20",
        "panoptic15", "panoptic19", "kinect25", "wholebody133", "openpose134", "body135",
        "goliath308",
    ]  # fmt: skip


def test_a_set_is_found_by_the_names_that_files_write():
    written = [name.replace("_", " ").title() for name in COCO_17.joints]
    assert set_of_names(written) == COCO_17
    assert set_of_names(written[::-1]) is None
    assert set_of_names(()) is None


def test_other_words_for_a_joint_count_where_all_of_a_set_are_named():
    words = {"hip": "Root", "right_ankle": "right foot", "left_ankle": "left foot"}
    written = [words.get(name, name) for name in H36M_17.joints]
    written[H36M_17.index("neck")] = "neck_base"
    assert set_of_names(written) == H36M_17
    assert set_of_names(["tail", *written[1:]]) is None
    assert set_of_names(["root", *COCO_17.joints[1:]]) is None
