"""ControlNet and DWPose: a list of images with the canvas's size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files import controlnet as files
from keypoint_files.openpose import details

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError

PEOPLE = files.sure(detected("coco18", persons=2))


def rows(people):
    return people.reshape(-1, *people.shape[2:])


def changed(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))
    return path


def test_every_number_comes_back(tmp_path):
    read = read_people(files.images(tmp_path / "p.json", PEOPLE))
    assert read.form == "controlnet"
    assert (read.skeleton.name, read.order.told_by) == ("coco18", "format")
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))
    assert list(read.frames) == [str(i) for i in range(40)]
    assert read.claims.image_size == SIZE
    assert read.claims.extra == ()


def test_parts_of_the_canvas_are_told_by_their_range(tmp_path):
    person = PEOPLE[:, :1]
    path = files.images(tmp_path / "p.json", person, scale=np.array(SIZE))
    joints = read_video(path).people.joints
    there = person[:, 0, :, 2] > 0
    np.testing.assert_allclose(joints[there], person[:, 0][there])
    assert not joints[~there][:, 2].any()


def test_faces_and_hands(tmp_path):
    more = details(PEOPLE)
    read = read_people(files.images(tmp_path / "p.json", PEOPLE, more))
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))
    np.testing.assert_array_equal(read.extra, rows(more))
    assert read.claims.extra[::70] == ("face_0", "left_hand_0")


def test_faces_without_pupils(tmp_path):
    def cut(content):
        for image in content:
            for person in image["people"]:
                person["face_keypoints_2d"] = person["face_keypoints_2d"][: 3 * 68]

    path = files.images(tmp_path / "p.json", PEOPLE, details(PEOPLE))
    assert len(read_people(changed(path, cut)).claims.extra) == 68 + 42


def test_one_image_alone_and_a_folder_of_images(tmp_path):
    path = files.images(tmp_path / "p.json", PEOPLE)
    content = json.loads(path.read_text())
    (tmp_path / "one.json").write_text(json.dumps(content[1]))
    np.testing.assert_array_equal(read_people(tmp_path / "one.json").joints, PEOPLE[1])
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, image in enumerate(content):
        (folder / f"pose_{i}.json").write_text(json.dumps([image] if i % 2 else image))
    read = read_people(folder)
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))
    assert read.frames[39] == "pose_39"
    (folder / "pose_3.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"one image in every file .*got 40 in pose_3.json"):
        read_people(folder)


def test_images_of_nobody(tmp_path):
    def empty(content):
        content[0]["people"] = content[7]["people"] = []

    read = read_people(changed(files.images(tmp_path / "p.json", PEOPLE), empty))
    assert len(read.frames) == 40
    assert not {0, 7} & set(read.frame.tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[3].update(people=None), "frame 3 of .*a list, got None"),
        (lambda c: c[3].pop("canvas_width"), "'canvas_width' of image 3 .*a number, got None"),
        (lambda c: c.append(7), "image 40 of .* to be an object, got 7"),
        (
            lambda c: c[3]["people"][1].update(pose_keypoints_2d=[1.0] * 51),
            r"frame 3, person 1.*54 numbers.*got 51",
        ),
        (
            lambda c: c[3]["people"][1].update(hand_right_keypoints_2d=[1.0] * 3),
            r"21 joints in 'hand_right.*frame 3, person 1\), got 3",
        ),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    def damage(content):
        change(content)

    path = changed(files.images(tmp_path / "p.json", PEOPLE), damage)
    with pytest.raises(DataError, match=message):
        read_people(path)


def test_canvases_of_several_sizes_are_no_video(tmp_path):
    def other(content):
        content[3]["canvas_width"] = 512

    path = changed(files.images(tmp_path / "p.json", PEOPLE), other)
    assert len(read_people(path).joints) == 80
    with pytest.raises(DataError, match=r"images of one size .*got 2: 512 x 720, 1280 x 720;"):
        read_video(path)
