"""Order and numbers of frames, and what is filled in between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifting.data.keypoints.timeline import fill_gaps, natural_key, timeline
from lifting.data.keypoints.tracks import read_keypoints
from lifting.errors import ConfigError
from lifting.skeleton import COCO_17, H36M_17


def test_natural_order():
    names = ["10.jpg", "9.jpg", "1.jpg", "a2", "a10", "a1b3", "a1b20", "007.jpg", "7.jpg"]
    assert sorted(names, key=natural_key) == [
        "1.jpg", "007.jpg", "7.jpg", "9.jpg", "10.jpg", "a1b3", "a1b20", "a2", "a10",
    ]  # fmt: skip


@given(st.lists(st.integers(0, 10**30), unique=True))
def test_numbers_of_any_length_are_in_natural_order(numbers):
    names = [f"f{number}.png" for number in numbers]
    assert sorted(names, key=natural_key) == [f"f{number}.png" for number in sorted(numbers)]


def test_digits_beyond_what_an_integer_may_parse_still_sort():
    long = "9" * 10_000
    assert sorted([long, "10", "9"], key=natural_key) == ["9", "10", long]


@pytest.mark.parametrize(
    ("names", "number", "step", "numbered"),
    [
        (["3", "4", "7"], [0, 1, 4], 1, True),
        (["a_08_k", "a_09_k", "a_12_k"], [0, 1, 4], 1, True),
        (["0.jpg", "5.jpg", "20.jpg"], [0, 1, 4], 5, True),
        (["139", "285", "632", "724"], [0, 1, 2, 3], 1, False),
        (["a1", "b2"], [0, 1], 1, False),
        (["01", "1"], [0, 1], 1, False),
        (["x", "y", "z"], [0, 1, 2], 1, False),
        (["1" * 16, "1" * 15 + "3", "1" * 15 + "4"], [0, 2, 3], 1, True),
        (["7"], [0], 1, False),
    ],
)
def test_numbers_of_frames(names, number, step, numbered):
    when = timeline(names)
    assert when.number.tolist() == number
    assert (when.step, when.numbered) == (step, numbered)


def line(number, joints=3):
    """Joints that move by (2, -1) a frame."""
    number = np.asarray(number)
    xy = np.array([2.0, -1]) * number[:, None, None] + np.arange(joints)[:, None] * 10
    return np.concatenate((xy, np.full((len(number), joints, 1), 0.7)), axis=-1)


def test_gaps_are_filled_linearly_without_confidence():
    number = np.array([4, 5, 16, 17])
    filled = fill_gaps(line(number), number)
    np.testing.assert_allclose(filled.joints[..., :2], line(range(4, 18))[..., :2], atol=1e-12)
    assert (filled.joints[[0, 1, 12, 13], :, 2] == 0.7).all()
    assert (filled.joints[2:12, :, 2] == 0).all()
    assert filled.number.tolist() == list(range(4, 18))
    assert filled.frames == 10
    assert filled.offsets.tolist() == [0, 14]


def test_longer_gaps_cut_the_track():
    number = np.array([0, 1, 13, 15, 40])
    filled = fill_gaps(line(number), number)
    assert filled.offsets.tolist() == [0, 2, 5, 6]
    assert filled.number.tolist() == [0, 1, 13, 14, 15, 40]
    assert filled.frames == 1
    np.testing.assert_allclose(filled.joints[..., :2], line(filled.number)[..., :2], atol=1e-12)


def test_missing_joints_go_from_where_they_were_to_where_they_will_be():
    number = np.arange(6)
    joints = line(number)
    joints[[0, 2, 3, 5], 1, :2] = np.nan
    joints[[0, 2, 3, 5], 1, 2] = 0
    filled = fill_gaps(joints, number).joints
    np.testing.assert_allclose(filled[2:4, 1], np.c_[line([2, 3])[:, 1, :2], [0, 0]])
    np.testing.assert_array_equal(filled[0, 1, :2], joints[1, 1, :2])
    np.testing.assert_array_equal(filled[5, 1, :2], joints[4, 1, :2])
    np.testing.assert_array_equal(filled[:, [0, 2]], joints[:, [0, 2]])


def test_a_joint_does_not_reach_over_a_cut():
    number = np.array([0, 1, 50, 51])
    joints = line(number)
    joints[2:, 0, :2], joints[2:, 0, 2] = np.nan, 0
    filled = fill_gaps(joints, number).joints
    np.testing.assert_allclose(filled[2:, 0, :2], joints[2:, 1:, :2].mean(1))


def test_the_file_s_gaps_end_up_in_the_tracks(tmp_path, writers):
    people = writers.people(40, 17)
    frames = [0, 1, 5, 20, 21, 22]
    path = writers.coco_results(
        tmp_path / "walk.json", people[frames], name=lambda i: f"{frames[i]}.jpg"
    )
    tracks = read_keypoints(path, skeleton="coco17", image_size=writers.size)
    assert tracks.offsets.tolist() == [0, 6, 9]
    assert tracks.track_names == ("walk/0.jpg..5.jpg", "walk/20.jpg..22.jpg")
    assert tracks.recording.tolist() == [0, 1]
    assert tracks.source["frames_filled"] == "3"
    assert tracks.source["pieces"] == "2"
    assert (tracks.confidence > 0).all(1).tolist() == [True] * 2 + [False] * 3 + [True] * 4
    wrist, theirs = H36M_17.index("left_wrist"), COCO_17.index("left_wrist")
    np.testing.assert_allclose(
        tracks.keypoints_2d[:6, wrist], people[:6, 0, theirs, :2], atol=0.01
    )


def test_a_given_limit_says_which_gaps_are_filled(tmp_path, writers):
    people = writers.people(40, 17)
    frames = [0, 1, 5, 20, 21, 22]
    path = writers.coco_results(
        tmp_path / "walk.json", people[frames], name=lambda i: f"{frames[i]}.jpg"
    )
    for longest, cuts in ((14, [0, 23]), (13, [0, 6, 9]), (0, [0, 2, 3, 6])):
        tracks = read_keypoints(
            path, skeleton="coco17", image_size=writers.size, gap_frames=longest
        )
        assert tracks.offsets.tolist() == cuts
    for wrong in (-1, 2.5, True):
        with pytest.raises(ConfigError, match=r"expected gap_frames from 0 to 100,000, got"):
            read_keypoints(path, gap_frames=wrong)


def test_every_second_frame_halves_the_frames_a_second(tmp_path, writers):
    path = writers.coco_results(
        tmp_path / "c.json", writers.people(5, 17), name=lambda i: 2 * i + 1
    )
    tracks = read_keypoints(path, skeleton="coco17", image_size=writers.size, fps=50)
    assert (len(tracks), tracks.fps, tracks.source["frame_step"]) == (5, 25.0, "2")


def test_zeros_and_numbers_that_are_not_finite_are_missing_joints(tmp_path, writers):
    people = writers.people(3, 25)
    shoulder = 2
    people[1, 0, shoulder] = 0
    people[2, 0, 4] = [np.nan, 5, 0.9]
    folder = writers.openpose(tmp_path / "o", people)
    tracks = read_keypoints(folder, skeleton="body25", image_size=writers.size)
    ours = H36M_17.index("right_shoulder")
    assert tracks.confidence[:, ours].tolist()[1] == 0
    between = people[[0, 2], 0, shoulder, :2].mean(0)
    np.testing.assert_allclose(tracks.keypoints_2d[1, ours], between, atol=1e-3)
    assert tracks.confidence[2, H36M_17.index("right_wrist")] == 0
    assert tracks.source["joints_not_finite"] == "1"
    assert tracks.source["joints_missing"] == "2"
    assert bool(tracks.keypoints_2d.isfinite().all())


def test_null_is_a_missing_joint(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", writers.people(3, 17))
    text = path.read_text()
    start = text.index('"keypoints": [') + len('"keypoints": [')
    path.write_text(text[:start] + "null" + text[text.index(",", start) :])
    tracks = read_keypoints(path, skeleton="coco17", image_size=writers.size)
    assert tracks.source["joints_not_finite"] == "1"
