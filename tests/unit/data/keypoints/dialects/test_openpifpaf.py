"""OpenPifPaf: images, folders of them, and videos a line a frame."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import detected
from keypoint_files import openpifpaf as files

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError


def corners(people):
    return np.concatenate((people[..., :2].min(-2), people[..., :2].max(-2)), -1)


def some(frames=6):
    people = list(detected("coco17", frames, 2))
    people[3] = people[3][:0]
    return people


def test_every_number_of_a_video_comes_back(tmp_path):
    people = some()
    read = read_people(files.video(tmp_path, people), "coco17")
    everyone = np.concatenate(people)
    np.testing.assert_array_equal(read.joints, everyone)
    np.testing.assert_allclose(read.box, corners(everyone), rtol=1e-12)
    assert list(read.frames) == [str(i + 1) for i in range(6)]
    assert read.frame.tolist() == [0, 0, 1, 1, 2, 2, 4, 4, 5, 5]
    assert read.track.tolist() == [1, 2] * 5
    assert set(read.score) == {0.91}


def test_every_number_of_a_folder_comes_back(tmp_path):
    people = some(12)
    read = read_people(files.images(tmp_path, people))
    np.testing.assert_array_equal(read.joints, np.concatenate(people))
    assert list(read.frames) == [f"frame_{i}" for i in range(12)]
    assert 3 not in read.frame
    assert set(read.track) == {-1}
    assert read.order.told_by == "format"


def test_an_image_is_a_frame(tmp_path):
    people = detected("coco17", 1, 2)
    read = read_people(files.image(tmp_path, people))
    np.testing.assert_array_equal(read.joints, people[0])
    assert list(read.frames) == ["photo"]


def test_a_video_of_one_frame_and_one_with_gaps(tmp_path):
    people = detected("coco17", 6)
    read = read_people(files.video(tmp_path, people[:1]), "coco17")
    np.testing.assert_array_equal(read.joints, people[0])
    path = files.video(tmp_path, people)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], *lines[4:]]))
    read = read_people(path, "coco17")
    assert list(read.frames) == ["1", "2", "5", "6"]


def test_tracked_joints_are_told_by_positions_and_others_by_the_format(tmp_path):
    posetrack = read_people(files.video(tmp_path, detected("posetrack17")))
    assert (posetrack.skeleton.name, posetrack.order.told_by) == ("posetrack17", "positions")
    coco = read_people(files.video(tmp_path, detected("coco17", 3), tracked=False))
    assert (coco.skeleton.name, coco.order.told_by) == ("coco17", "format")


def test_whole_bodies_are_read(tmp_path):
    people = detected("wholebody133", 3)
    read = read_people(files.video(tmp_path, people))
    assert read.skeleton.name == "wholebody133"
    np.testing.assert_array_equal(read.joints, people[:, 0])


def test_absent_joints_have_no_place(tmp_path):
    people = detected("coco17", 2, 1)
    people[0, 0, 4] = (0.0, -3.0, 0.0)
    people[1, 0, 5] = (700.0, 300.0, 0.0)
    read = read_people(files.images(tmp_path, people))
    for row, joint in ((0, 4), (1, 5)):
        assert np.isnan(read.joints[row, joint, :2]).all()
        assert read.joints[row, joint, 2] == 0
    assert np.isfinite(np.delete(read.joints[0], 4, 0)).all()


@pytest.mark.parametrize(
    ("joints", "what"), [(24, "a car"), (66, "a car"), (42, "hands"), (20, "20 joints;")]
)
def test_other_things_than_people_are_refused(tmp_path, joints, what):
    people = np.ones((3, 1, joints, 3))
    for write in (files.image, files.images, files.video):
        with pytest.raises(DataError, match=rf"a person of 17 or 133 .*got {3 * joints} .*{what}"):
            read_people(write(tmp_path, people))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"keypoints": [1.0] * 50}, r"frame 1, person 0\), got 50 numbers"),
        ({"keypoints": None}, r"'keypoints' \(frame 1, person 0\) .* to be a list, got None"),
        ({"keypoints": ["1"] * 51}, r"a keypoint \(frame 1, person 0\)"),
        ({"bbox": [1, 2]}, "box of four numbers .*frame 1"),
        ({"id_": "a"}, r"the track \(frame 1, person 0\)"),
    ],
)
def test_a_wrong_person_is_named(tmp_path, edit, message):
    path = files.video(tmp_path, detected("coco17", 2))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["predictions"][0] |= edit
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match=message):
        read_people(path, "coco17")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"frame": 1, "predictions": []},
            "got frame 1 twice; give the file of one video",
        ),
        ({"frame": "b", "predictions": []}, "'frame' of frame 2 .*got frame 'b'"),
        ({"frame": 3}, "frame 3 of .* to be a list, got None"),
        ([], "line 3 of .* to be an object, got an empty list"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    path = files.video(tmp_path, detected("coco17", 2))
    path.write_text(path.read_text() + json.dumps(line) + "\n")
    with pytest.raises(DataError, match=message):
        read_people(path, "coco17")
