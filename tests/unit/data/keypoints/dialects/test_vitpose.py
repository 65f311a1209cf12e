"""easy_ViTPose: y before x, people by number, names of the joints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import detected
from keypoint_files import vitpose as files

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError
from lifting.skeleton import get_skeleton


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def test_every_number_comes_back_with_x_before_y(tmp_path):
    people = list(detected("coco17", 6, 3))
    people[0], people[3] = people[0][:0], people[3][:0]
    path = files.video(tmp_path, people)
    first = json.loads(path.read_text())["keypoints"][1]["0"][0]
    assert first[:2] == [people[1][0, 0, 1], people[1][0, 0, 0]]
    read = read_people(path)
    np.testing.assert_array_equal(read.joints, np.concatenate(people))
    assert len(read.frames) == 6
    assert read.frame.tolist() == np.repeat([1, 2, 4, 5], 3).tolist()
    assert read.track.tolist() == [0, 1, 2] * 4
    assert not read.claims.ids


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("coco17", None),
        ("coco25", files.COCO_25),
        ("wholebody133", [str(i) for i in range(133)]),
        ("mpii16", None),
        ("aic14", None),
    ],
)
def test_the_names_tell_the_joints(tmp_path, name, words):
    path = files.video(tmp_path, detected(name, 2), words or get_skeleton(name).joints)
    assert read_people(path).skeleton.name == name


def test_people_keep_their_numbers(tmp_path):
    def renumber(content):
        content["keypoints"] = [{"12": frame["0"]} for frame in content["keypoints"]]

    path = change(files.video(tmp_path, detected("coco17", 3)), renumber)
    assert read_people(path).track.tolist() == [12, 12, 12]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda content: content["skeleton"].pop("16"),
            r"the 16 joints that 'skeleton' names.*got 17 of '0' in frame 0",
        ),
        (
            lambda content: content["keypoints"][1]["0"].pop(),
            r"the 17 joints .*got 16 of '0' in frame 1",
        ),
        (
            lambda content: content["keypoints"][1]["0"][2].pop(),
            r"a confidence of every joint .*frame 1, person 0.*got a list of 2",
        ),
        (
            lambda content: content["keypoints"][1].update(left=[]),
            "people by number.*of 'left' in frame 1",
        ),
        (
            lambda content: content["keypoints"][1].update({"0": None}),
            "frame 1, person 0.* to be a list, got None",
        ),
        (lambda content: content["keypoints"].__setitem__(9, []), "frame 9 of .* an object"),
        (
            lambda content: content["keypoints"][1]["0"].__setitem__(2, [1, "2", 1]),
            r"a keypoint \(frame 1, person 0\).*got '2'",
        ),
    ],
)
def test_what_contradicts_the_form_is_refused(tmp_path, edit, message):
    path = change(files.video(tmp_path, detected("coco17", 10)), edit)
    with pytest.raises(DataError, match=message):
        read_people(path)
