"""VideoPose3D's npz of custom videos and of its Detectron2 inference, which are pickled."""

from __future__ import annotations

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files import videopose3d as files

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError


class Attack:
    def __reduce__(self):
        return print, ("run",)


def objects(path, **change):
    with np.load(path, allow_pickle=True) as file:
        arrays = {name: file[name] for name in file.files} | change
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_every_number_of_a_custom_video_comes_back(tmp_path):
    people = detected("coco17")
    people[3, 0, 4, :2] = 0
    read = read_people(files.custom(tmp_path, people))
    np.testing.assert_array_equal(read.joints[..., :2], people[:, 0, :, :2].astype("float32"))
    assert np.argwhere(read.joints[..., 2] != 1).tolist() == [[3, 4]]
    assert read.claims.image_size == SIZE
    assert (read.skeleton.name, read.order.told_by) == ("coco17", "names in the file")
    assert len(read.frames) == 40


def test_a_custom_video_of_another_layout_or_without_facts(tmp_path):
    path = files.custom(tmp_path, detected("h36m17"), layout_name="h36m")
    assert read_people(path).skeleton.name == "h36m17"
    read = read_people(objects(path, metadata=None))
    assert (read.skeleton.name, read.order.told_by) == ("h36m17", "positions")
    assert read.claims.image_size is None


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"layout_name": "mpii"}, "the layout coco or h36m of 17 joints .*got 'mpii' of 17"),
        ({"layout_name": ["coco"]}, "the layout coco or h36m"),
        ({"num_joints": 16}, "got 'coco' of 16"),
        ({"num_joints": np.ones(2)}, "got 'coco' of array"),
        ({"video_metadata": {"clip.mp4": {"w": "a", "h": 1}}}, "'w' of image 0 of .* a number"),
    ],
)
def test_facts_that_contradict_the_form(tmp_path, facts, message):
    with pytest.raises(DataError, match=message):
        read_people(files.custom(tmp_path, detected("coco17", 3), **facts))


def test_several_videos_are_listed(tmp_path):
    path = files.custom(tmp_path, detected("coco17", 3, 2))
    with pytest.raises(DataError, match=r"one video .*got 2: 'clip.mp4', 'clip1.mp4'; write a"):
        read_people(path)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"a": {"custom": [np.ones((3, 17, 2)), np.ones((3, 17, 2))]}}, "one camera in .*got 2"),
        ({"S1": {"Walk": [], "Jog": []}}, "one recording of 'S1' .*'Walk', 'Jog'"),
        (
            {"a": {"custom": [np.ones((3, 16, 2))]}},
            r"\(any, 17, 2 or 3\) .*got shape \(3, 16, 2\)",
        ),
        ({"a": {"custom": [[1, 2]]}}, "got list"),
        ({"a": {"custom": [np.full((3, 17, 3), 7.0)]}}, "to be a confidence .*got 7 to 7"),
        ({"a": {"custom": 3}}, "expected a list"),
        ({}, "expected a dictionary by name"),
        ({"a": Attack()}, r"damaged or unsafe: it asks for builtins.print; nothing of it was run"),
    ],
)
def test_other_contents_of_a_custom_file(tmp_path, positions, message, capsys):
    path = files.custom(tmp_path, detected("coco17", 3))
    objects(path, positions_2d=np.array(positions, dtype=object))
    capsys.readouterr()
    with pytest.raises(DataError, match=message):
        read_people(path)
    assert not capsys.readouterr().out


def test_everyone_of_detectron2_comes_back(tmp_path):
    people = list(detected("coco17", 6, 3))
    people[2], people[4] = people[2][:0], people[4][:1]
    read = read_people(files.detectron2(tmp_path, people))
    everyone = np.concatenate(people)
    np.testing.assert_array_equal(read.joints, everyone.astype("float32"))
    assert read.frame.tolist() == [0, 0, 0, 1, 1, 1, 3, 3, 3, 4, 5, 5, 5]
    corners = np.concatenate((everyone[..., :2].min(1), everyone[..., :2].max(1)), -1)
    np.testing.assert_array_equal(read.box, corners.astype("float32"))
    np.testing.assert_allclose(read.score, 0.97, rtol=1e-6)
    assert read.claims.image_size == SIZE
    assert set(read.track) == {-1}
    assert read.skeleton.name == "coco17"


def table(value, frames=3):
    rows = np.empty((frames, 2), dtype=object)
    for row in rows:
        row[:] = [[], value.copy() if isinstance(value, np.ndarray) else value]
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": table(np.ones((1, 17, 4)))}, r"\(any, 4, 17\) in keypoints of frame 0"),
        ({"keypoints": table(np.full((1, 4, 17), 3.0))}, "keypoints of frame 0 .*got 3 to 3"),
        ({"keypoints": table([1])}, "keypoints of frame 0 .*got list"),
        ({"boxes": table(np.ones((2, 5)))}, "boxes of 1 people of frame 0 .*got those of 2"),
        ({"boxes": table(np.ones((1, 5)), 4)}, "boxes of the 3 frames .*got those of 4"),
        ({"keypoints": np.zeros((3, 2, 0))}, "expected someone .*detector's threshold"),
        ({"keypoints": np.zeros((3, 17, 2))}, "rows of 2 objects, got float64"),
        ({"keypoints": table(Attack())}, "asks for builtins.print"),
        ({"keypoints": table([])}, "3 frames without anyone"),
    ],
)
def test_other_contents_of_a_detectron2_file(tmp_path, change, message, capsys):
    path = objects(files.detectron2(tmp_path, detected("coco17", 3)), **change)
    capsys.readouterr()
    with pytest.raises(DataError, match=message):
        read_people(path)
    assert not capsys.readouterr().out
