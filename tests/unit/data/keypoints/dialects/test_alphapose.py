"""AlphaPose's list, its two other styles in a file and in folders, and the neck that is a head."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import detected
from keypoint_files import alphapose as files
from keypoint_files.coco import box_of

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError

from ..orders import real_data  # noqa: TID252

NECK, NOSE = 1, 0


def rows(people):
    return people.reshape(-1, *people.shape[2:])


def head_for_neck(people, head):
    """As AlphaPose writes people of a model of 26 joints: the head's top in place of the neck."""
    wrong = people.copy()
    wrong[:, :, NECK] = head
    return wrong


@pytest.mark.parametrize("name", ["halpe26", "halpe136", "coco17"])
@pytest.mark.parametrize("persons", [1, 2])
def test_every_number_of_the_list_comes_back(tmp_path, name, persons):
    people = detected(name, persons=persons)
    read = read_people(files.results(tmp_path / "a.json", people, first=7))
    assert read.form == "alphapose"
    assert read.skeleton.name == name
    np.testing.assert_array_equal(read.joints, rows(people))
    assert list(read.frames[:2]) == ["out0000007.png", "out0000008.png"]
    assert read.frame.tolist() == np.repeat(range(40), persons).tolist()
    assert read.score.tolist() == [3.02 + k for k in range(persons)] * 40
    x, y, w, h = np.array([box_of(person) for person in rows(people)]).T
    np.testing.assert_allclose(read.box, np.stack((x, y, x + w, y + h), -1))
    assert set(read.track.tolist()) == {0}
    assert not read.claims.ids


@pytest.mark.parametrize(
    ("idx", "track"),
    [([0.0], 0), ([[0.0], [0.0]], 0), ([[[4.0]]], 4), (7, 7), (7.0, 7), ([], -1), (None, -1)],
)
def test_forms_of_numbers(tmp_path, idx, track):
    people = detected("halpe26")
    read = read_people(files.results(tmp_path / "a.json", people, idx=lambda k: idx))
    assert set(read.track.tolist()) == {track}


def test_tracks_of_people(tmp_path):
    people = detected("coco17", persons=2)
    read = read_people(files.results(tmp_path / "a.json", people, idx=lambda k: k + 1))
    assert read.track.tolist() == [1, 2] * 40


def test_positions_in_three_dimensions_are_ignored(tmp_path):
    path = files.results(tmp_path / "a.json", detected("halpe26"))
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["pred_xyz_jts"] = [0.1] * 72
    path.write_text(json.dumps(entries))
    assert read_people(path).joints.shape == (40, 26, 3)


def in_style(folder, people, style, separate):
    if separate:
        return files.separate(folder / "sep-json", people, style), [str(i) for i in range(40)]
    return files.by_image(folder / "a.json", people, style), [f"{i}.jpg" for i in range(40)]


@pytest.mark.parametrize("style", ["cmu", "open"])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("persons", [1, 2])
def test_other_styles_come_back(tmp_path, style, separate, persons):
    people = detected("coco18", persons=persons)
    path, names = in_style(tmp_path, people, style, separate)
    read = read_people(path)
    assert read.form == "alphapose"
    assert read.order.told_by == "format"
    assert read.skeleton.name == "coco18"
    np.testing.assert_array_equal(read.joints, rows(people))
    assert list(read.frames) == names
    assert read.claims.notes == ()


@pytest.mark.parametrize("style", ["cmu", "open"])
@pytest.mark.parametrize("separate", [False, True])
def test_a_head_in_place_of_the_neck_becomes_the_shoulders_middle(tmp_path, style, separate):
    people = detected("coco18", persons=2)
    wrong = head_for_neck(people, detected("halpe26", persons=2)[:, :, 17])
    wrong[3, 0, 2] = 0  # a shoulder is absent
    path, _ = in_style(tmp_path, wrong, style, separate)
    read = read_people(path)
    (note,) = read.claims.notes
    assert "joint 1 lies above the nose" in note
    expected = wrong.copy()
    expected[:, :, NECK, :2] = wrong[:, :, [2, 5], :2].mean(2)
    expected[:, :, NECK, 2] = wrong[:, :, [2, 5], 2].min(2)
    expected[3, 0, NECK] = 0
    np.testing.assert_allclose(read.joints, rows(expected), rtol=1e-12)


def test_a_bowed_head_is_no_head_in_place_of_the_neck(tmp_path):
    people = detected("coco18")
    people[:15, :, NOSE, 1] = people[:15, :, NECK, 1] + 20
    path = files.by_image(tmp_path / "a.json", people, "cmu")
    read = read_people(path)
    assert read.claims.notes == ()
    np.testing.assert_array_equal(read.joints, rows(people))


def test_fifteen_joints_are_told_by_their_positions(tmp_path):
    read = read_people(files.by_image(tmp_path / "a.json", detected("mpi15"), "cmu"))
    assert (read.skeleton.name, read.order.told_by) == ("mpi15", "positions")


def test_images_of_nobody(tmp_path):
    people = list(detected("coco18"))
    people[0] = people[20] = people[20][:0]
    read = read_people(files.by_image(tmp_path / "a.json", people, "open"))
    assert len(read.frames) == 40
    assert not {0, 20} & set(read.frame.tolist())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"1.jpg": {"bodies": [{"joints": "no"}]}}, r"'joints' \(frame 1.jpg, person 0\)"),
        ({"1.jpg": {"bodies": 3, "a": []}}, "frame 1.jpg of .* to be a list, got 3"),
        ({"1.jpg": {"people": {}}}, "frame 1.jpg of .* to be a list"),
        ({"1.jpg": {"bodies": [5]}}, "frame 1.jpg, person 0 of .* to be an object, got 5"),
        (
            {"1.jpg": {"bodies": []}, "version": 3},
            "image version of .* to be an object, got 3",
        ),
        (
            {"1.jpg": {"bodies": [{"joints": [1.0] * 54}, {"joints": [1.0] * 51}]}},
            r"\(frame 1.jpg, person 1\), as many .*54 numbers.*got 51",
        ),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_people(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": [1, 2, 3]}, r"four numbers .*frame out0000003.png, person 0.*a list of 3"),
        ({"idx": ["a"]}, r"the track \(frame out0000003.png, person 0\)"),
        ({"keypoints": [1.0] * 51}, r"frame out0000003.png, person 0.*78 numbers .*got 51"),
        ({"image_id": None}, "'image_id' of entry 2 .*got None"),
    ],
)
def test_damage_in_the_list_is_named(tmp_path, change, message):
    path = files.results(tmp_path / "a.json", detected("halpe26"))
    entries = json.loads(path.read_text())
    entries[2] |= change
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError, match=message):
        read_people(path)


def test_a_real_file():
    read = read_people(real_data("real/alphapose_halpe26/alphapose-results.json"))
    assert len(read.frames) == 200
    assert read.frame.tolist() == list(range(200))
    assert read.skeleton.name == "halpe26"
    assert not read.claims.ids
    assert read.score.min() > 1
