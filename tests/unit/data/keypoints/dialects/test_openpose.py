"""OpenPose's folders under every name, version and length; nobody, places as tracks, details."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files import openpose as files

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError

from ..orders import real_data  # noqa: TID252

PEOPLE = detected("body25", persons=2)


def rows(people):
    return people.reshape(-1, *people.shape[2:])


def details_of(read):
    return dict(zip(read.claims.extra, np.moveaxis(read.extra, 1, 0), strict=True))


@pytest.mark.parametrize("writer", files.PATTERNS)
@pytest.mark.parametrize("first", [0, 7, 95])
def test_every_number_of_every_naming_comes_back(tmp_path, writer, first):
    pattern = files.PATTERNS[writer]
    read = read_people(files.people_in(tmp_path / "v", PEOPLE, pattern, first))
    assert read.skeleton.name == "body25"
    assert read.form == "openpose"
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))
    assert read.frame.tolist() == np.repeat(range(40), 2).tolist()
    ending = pattern.removesuffix(".json").removesuffix("_keypoints")
    assert list(read.frames) == [ending.format(first + i) for i in range(40)]
    assert set(read.track.tolist()) == {-1}
    assert not read.claims.ids
    assert read.claims.extra == ()


def test_frames_without_padding_are_in_order_of_their_numbers(tmp_path):
    read = read_people(files.people_in(tmp_path / "v", PEOPLE, "v{}_keypoints.json", first=5))
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))


def test_a_frame_that_is_not_there_is_a_gap(tmp_path):
    folder = files.people_in(tmp_path / "v", PEOPLE[:, :1])
    (folder / files.PATTERNS["openpose"].format(20)).unlink()
    video = read_video(folder, image_size=SIZE)
    assert video.when.number.tolist() == [*range(20), *range(21, 40)]


def test_words_after_the_number_are_part_of_the_name(tmp_path):
    read = read_people(files.people_in(tmp_path / "v", PEOPLE, "{:04d}_rgb_keypoints.json"))
    assert list(read.frames[:2]) == ["0000_rgb", "0001_rgb"]


@pytest.mark.parametrize(
    "name",
    ["coco18", "mpi15", "body19", "body23", "coco17", "halpe26", "body135", "wholebody133",
     "halpe136", "mediapipe33", "body25b"],
)  # fmt: skip
def test_every_length_is_a_set(tmp_path, name):
    people = detected(name)
    read = read_people(files.people_in(tmp_path / "v", people))
    assert read.skeleton.name == name
    np.testing.assert_array_equal(read.joints, rows(people))


@pytest.mark.parametrize("version", [1.0, 1.1, 1.2, 1.3])
def test_keys_of_every_version_with_face_and_hands(tmp_path, version):
    people = detected("coco18", persons=2)
    read = read_people(files.with_details(tmp_path / "v", people, version))
    np.testing.assert_array_equal(read.joints, rows(people))
    more = rows(files.details(people))
    found = details_of(read)
    assert len(found) == 112
    np.testing.assert_array_equal(found["face_0"], more[:, 0])
    np.testing.assert_array_equal(found["face_69"], more[:, 69])
    np.testing.assert_array_equal(found["left_hand_0"], more[:, 70])
    np.testing.assert_array_equal(found["right_hand_20"], more[:, 111])
    np.testing.assert_array_equal(read.extra, more)


@pytest.mark.parametrize("empty", [[], [0] * 63, None, [0.0] * 63])
def test_people_without_hands_have_zeros(tmp_path, empty):
    more = files.details(PEOPLE)
    frames = [
        files.frame([files.person(p, m) for p, m in zip(row, rest, strict=True)])
        for row, rest in zip(PEOPLE, more, strict=True)
    ]
    for frame in frames:
        frame["people"][1]["hand_left_keypoints_2d"] = empty
        for person in frame["people"]:
            person["face_keypoints_2d"] = []
    read = read_people(files.write(tmp_path / "v", frames))
    assert len(read.claims.extra) == 42
    left = read.extra[:, :21].reshape(40, 2, 21, 3)
    np.testing.assert_array_equal(left[:, 0], more[:, 0, 70:91])
    assert not left[:, 1].any()
    np.testing.assert_array_equal(read.extra[:, 21:], rows(more)[:, 91:])


def test_hands_that_nobody_has_are_left_out(tmp_path):
    nothing = np.zeros((112, 3))
    frames = [files.frame([files.person(p, nothing) for p in row]) for row in PEOPLE]
    assert read_people(files.write(tmp_path / "v", frames)).claims.extra == ()


@pytest.mark.parametrize(
    "people",
    [
        [],
        [{"pose_keypoints_2d": []}],
        [{"pose_keypoints_2d": None}],
        [{"person_id": [-1], "face_keypoints_2d": []}],
        [{}],
    ],
)
def test_forms_of_nobody(tmp_path, people):
    frames = [files.frame([files.person(p) for p in row]) for row in PEOPLE]
    frames[0]["people"] = frames[5]["people"] = people
    read = read_people(files.write(tmp_path / "v", frames))
    assert len(read.frames) == 40
    assert not {0, 5} & set(read.frame.tolist())
    np.testing.assert_array_equal(read.joints, rows(np.delete(PEOPLE, [0, 5], 0)))


def test_folders_of_nobody_at_all(tmp_path):
    with pytest.raises(DataError, match="3 frames without anyone"):
        read_people(files.write(tmp_path / "v", [files.frame([])] * 3))


def test_places_are_tracks_where_an_empty_object_keeps_one(tmp_path):
    people = detected("body25b", persons=2)
    read = read_people(files.with_placeholders(tmp_path / "v", people))
    seen = [(i, k) for i in range(40) for k in range(2) if (i + k) % 5]
    assert list(zip(read.frame.tolist(), read.track.tolist(), strict=True)) == seen
    np.testing.assert_array_equal(read.joints, np.stack([people[i, k] for i, k in seen]))
    assert read.claims.ids


def test_a_single_person_with_a_placeholder_has_a_track(tmp_path):
    read = read_people(files.with_placeholders(tmp_path / "v", PEOPLE[:, :1]))
    assert set(read.track.tolist()) == {0}
    assert read.claims.ids


def test_numbers_of_people_are_tracks(tmp_path):
    frames = [files.frame([files.person(p) for p in row]) for row in PEOPLE]
    for frame in frames:
        for k, person in enumerate(frame["people"]):
            person["person_id"] = [k + 3]
    read = read_people(files.write(tmp_path / "v", frames))
    assert read.track.tolist() == [3, 4] * 40
    assert not read.claims.ids


@pytest.mark.parametrize("change", [lambda v: v, lambda v: 2 * v - 1])
def test_scaled_positions_are_told_by_their_range(tmp_path, change):
    people = PEOPLE[:, :1].copy()
    people[..., :2] = change(people[..., :2] / SIZE)
    video = read_video(files.people_in(tmp_path / "v", people), image_size=SIZE)
    np.testing.assert_allclose(video.people.joints[..., :2], PEOPLE[:, 0, :, :2])


def test_a_single_file_is_a_single_frame(tmp_path):
    folder = files.people_in(tmp_path / "v", PEOPLE)
    file = folder / files.PATTERNS["openpose"].format(3)
    read = read_people(file, "body25")
    np.testing.assert_array_equal(read.joints, PEOPLE[3])
    (tmp_path / "keypoints.json").write_text(file.read_text())
    assert read_people(tmp_path / "keypoints.json", "body25").frames == ["keypoints"]


def test_absent_numbers_are_read_and_other_keys_ignored(tmp_path):
    folder = files.people_in(tmp_path / "v", PEOPLE)
    for file in folder.iterdir():
        content = json.loads(file.read_text())
        content["people"][0]["pose_keypoints_2d"][:3] = [float("nan"), None, 0]
        content["people"][0]["pose_keypoints_3d"] = [1, 2, 3, 4]
        content["more"] = {"a": [1]}
        file.write_text(json.dumps(content))
    read = read_people(folder)
    assert np.isnan(read.joints[::2, 0, :2]).all()
    np.testing.assert_array_equal(read.joints[::2, 1:], PEOPLE[:, 0, 1:])


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["a_0_keypoints.json", "b_0_keypoints.json"], r"got 2: a_\*, b_\*;"),
        (["cam1.0.json", "cam2.0.json"], r"got 2: cam1\.\*, cam2\.\*;"),
        (["0_rgb.json", "1_depth.json"], r"got 2: \*_depth, \*_rgb;"),
        ([f"v{chr(97 + i)}_0.json" for i in range(9)], r"got 9: va_\*, .*, vf_\*, \.\.\.;"),
        (["v_0.json", "notes.json"], r"got 2: notes, v_\*;"),
    ],
)
def test_several_videos_are_listed(tmp_path, names, listed):
    for name in names:
        (tmp_path / name).write_text(json.dumps(files.frame([files.person(PEOPLE[0, 0])])))
    with pytest.raises(DataError, match=rf"one video in .*{listed} keep each video in"):
        read_people(tmp_path)


def test_a_number_that_comes_twice(tmp_path):
    for name in ("v_1.json", "v_01.json"):
        (tmp_path / name).write_text(json.dumps(files.frame([files.person(PEOPLE[0, 0])])))
    with pytest.raises(DataError, match=r"one file for every frame .*v_01 and v_1"):
        read_people(tmp_path)


def test_a_file_beside_the_frames_is_said_and_not_read(tmp_path):
    folder = files.people_in(tmp_path / "v", PEOPLE)
    (folder / "notes.json").write_text('{"by": "me"}')
    read = read_people(folder)
    assert len(read.frames) == 40
    assert read.claims.notes == ("not read: notes.json",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose_keypoints_2d": [1.0] * 74}, r"\(frame v_2, person 1\).*75 numbers.*got 74"),
        ({"pose_keypoints_2d": [1.0] * 54}, r"\(frame v_2, person 1\).*got 54"),
        ({"pose_keypoints_2d": "x"}, r"'pose_keypoints_2d' \(frame v_2, person 1\) .*a list"),
        ({"pose_keypoints_2d": ["1"] * 75}, r"a keypoint \(frame v_2, person 1\).*got '1'"),
        ({"hand_left_keypoints_2d": [1.0] * 60}, r"21 joints in 'hand_left.*person 1\), got 60"),
        ({"face_keypoints_2d": [1.0] * 63}, r"70 or 68 joints in 'face.*v_2, person 1\), got 63"),
        ({"person_id": ["a"]}, r"the track \(frame v_2, person 1\)"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    frames = [files.frame([files.person(p) for p in row]) for row in PEOPLE]
    frames[2]["people"][1] |= change
    with pytest.raises(DataError, match=message) as caught:
        read_people(files.write(tmp_path / "v", frames, "v_{}.json"))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"people": None}, r"'people' of .*v_2.json to be a list, got None"),
        ({"version": 1.3}, r"'people' of .*v_2.json to be a list, got None"),
        ({"people": [3]}, "frame v_2, person 0 .*an object, got 3"),
        ([1], r"it of .*v_2.json to be an object"),
    ],
)
def test_a_damaged_frame_is_named(tmp_path, content, message):
    folder = files.people_in(tmp_path / "v", PEOPLE, "v_{}.json")
    (folder / "v_2.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_people(folder)


def real_camera(number):
    return real_data(f"real/pose2sim/pose-associated/cam0{number}_json")


def test_a_real_folder():
    read = read_people(real_camera(1))
    assert len(read.frames) == 100
    assert read.frame.tolist() == list(range(100))
    assert read.skeleton.name == "body25b"
    assert read.order.told_by == "positions"
    assert read.joints[0, 0, :2].tolist() == [505.232, 431.630]


def test_a_real_folder_with_a_frame_of_nobody():
    read = read_people(real_camera(3))
    assert len(read.frames) == 100
    assert len(read.joints) == 99
    assert 52 not in read.frame
    assert read.claims.ids
    assert set(read.track.tolist()) == {0}


@pytest.mark.parametrize(
    "name", ["v_{:012d}.json", "v_{:06d}.json", "cam01_{:04d}_keypoints.json"]
)
def test_a_real_folder_under_other_names(tmp_path, name):
    folder = real_camera(1)
    for i, file in enumerate(sorted(folder.glob("*.json"))):
        shutil.copy(file, tmp_path / name.format(i))
    read, expected = read_people(tmp_path), read_people(folder)
    np.testing.assert_array_equal(read.joints, expected.joints)
    np.testing.assert_array_equal(read.frame, expected.frame)
