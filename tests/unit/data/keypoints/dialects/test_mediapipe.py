"""Every layout of MediaPipe's landmarks comes back; what is no pose of the image is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files.mediapipe import (
    PEOPLE,
    PERSON,
    SEVERAL,
    WRITERS,
    arrays,
    flat,
    objects,
    without_zeros,
    world,
    wrapper,
)

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError


def save(folder, content, name="m.json"):
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def people_of(folder, content):
    return read_people(save(folder, content))


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_number_comes_back(tmp_path, name):
    read = read_people(WRITERS[name](tmp_path))
    expected = PEOPLE if name in SEVERAL else PERSON[:, None]
    np.testing.assert_allclose(read.joints, expected.reshape(-1, 33, 3), rtol=0, atol=1e-12)
    assert read.frame.tolist() == np.repeat(range(40), expected.shape[1]).tolist()
    assert len(read.frames) == 40
    assert read.skeleton.name == "mediapipe33"
    assert (read.form, read.claims.relative) == ("mediapipe", True)
    wrapped = "wrapper" in name
    assert read.claims.image_size == (SIZE if wrapped else None)
    if "tasks-js" in name:
        assert read.claims.fps == pytest.approx(30)
        assert "times taken as milliseconds" in read.claims.notes[0]
    else:
        assert read.claims.fps == (30 if wrapped else None)
        assert read.claims.notes == ()


@pytest.mark.parametrize(
    "nobody",
    [
        None,
        [],
        {},
        {"landmarks": None},
        {"pose_landmarks": []},
        {"poseLandmarks": {"landmark": []}},
        {"landmarks": [[]]},
    ],
)
def test_frames_without_anyone(tmp_path, nobody):  # fmt: skip
    content = [
        nobody,
        {"landmarks": objects(PERSON[0])},
        nobody,
        {"landmarks": objects(PERSON[1])},
    ]
    read = people_of(tmp_path, content)
    assert read.frame.tolist() == [1, 3]
    assert len(read.frames) == 4


@pytest.mark.parametrize("key", ["frame", "frame_number"])
def test_numbers_of_frames_leave_gaps(tmp_path, key):
    places = [*range(5, 20), *range(23, 48)]
    video = read_video(save(tmp_path, wrapper(key, places)))
    assert video.when.number.tolist() == [place - 5 for place in places]
    assert video.when.first == 5
    assert video.size == SIZE
    assert video.fps == 30


def test_numbers_out_of_order_are_sorted_and_doubled_frames_are_people(tmp_path):
    content = [{"frame": i, "landmarks": objects(p)} for i in (2, 0, 1) for p in PEOPLE[i]]
    read = people_of(tmp_path, content)
    np.testing.assert_allclose(read.joints, PEOPLE[:3].reshape(-1, 33, 3), atol=1e-12)
    with pytest.raises(DataError, match="frame 2 again after frame 1; give the file of one video"):
        people_of(tmp_path, [*content, content[0]])


@pytest.mark.parametrize(
    "wrong",
    [
        [{"landmarks": objects(PERSON[0])}],
        [arrays(PERSON[0])],
        [{"frame": -1, "landmarks": None}],
        [{"frame": 1.5}],
        [{"frame": 10**400}],
    ],
)
def test_numbers_that_are_missing_or_none(tmp_path, wrong):  # fmt: skip
    content = [{"frame": 0, "landmarks": objects(PERSON[0])}, *wrong]
    with pytest.raises(DataError, match="a number from 0 or a name as the frame of entry 1"):
        people_of(tmp_path, content)


@pytest.mark.parametrize(("key", "unit"), [("timestamp_ms", 1), ("timestamp", 1000)])
def test_times_give_the_rate_and_the_gaps(tmp_path, key, unit):
    places = [*range(20), *range(22, 42)]
    content = [
        {key: round(i * 1000 / 30) / unit, "landmarks": objects(p)}
        for i, p in zip(places, PERSON, strict=True)
    ]
    read = people_of(tmp_path, content)
    assert [int(name) for name in read.frames] == places
    assert read.claims.fps == pytest.approx(30, rel=1e-3)


def test_times_that_do_not_rise(tmp_path):
    content = [{"timestamp": 0, "landmarks": objects(p)} for p in PERSON]
    read = people_of(tmp_path, content)
    assert (len(read.frames), read.claims.fps) == (40, None)
    assert "do not rise" in read.claims.notes[0]


@pytest.mark.parametrize(
    "times", [(0, float("inf"), 2), (0, float("nan"), 2), (0, 1e308, 1.1e308)]
)
def test_times_that_are_beyond_reason(tmp_path, times):
    content = [{"timestamp": time, "landmarks": objects(PERSON[0])} for time in times]
    assert people_of(tmp_path, content).claims.fps is None


def test_other_lists_of_33_joints_are_no_landmarks(tmp_path):
    boxed = [{"keypoints": PERSON[0].reshape(-1).tolist(), "bbox": [1, 2, 3, 4], "score": 0.9}]
    named = [{"nose": {"x": 0.5, "y": 0.5}, "left_hip": {"x": 0.5, "y": 0.6}}]
    by_person = {"keypoints": [{"0": PERSON[0].tolist()}], "skeleton": {"0": "nose"}}
    for content in (boxed, named, by_person):
        with pytest.raises(DataError) as caught:
            people_of(tmp_path, content)
        assert "landmark" not in str(caught.value).partition("\n")[0]


def test_times_of_another_unit(tmp_path):
    content = [{"timestamp": 33_333 * i, "landmarks": objects(p)} for i, p in enumerate(PERSON)]
    assert "neither seconds nor milliseconds" in people_of(tmp_path, content).claims.notes[0]


def test_numbers_that_protocol_buffers_leave_out_are_zero(tmp_path):
    points = objects(PERSON[0])
    points[5] = {"x": 0.4, "y": 0.0, "z": 0.1, "visibility": 0.7}
    points[6] = {"x": 0.4, "y": 0.3, "z": 0.0, "visibility": 0.0}
    points[7] = {"x": 0.0, "y": 0.0, "z": 0.0, "visibility": 0.0}
    read = people_of(tmp_path, [{"landmark": without_zeros(points)}])
    assert read.joints[0, 5].tolist() == [0.4, 0, 0.7]
    assert read.joints[0, 6].tolist() == [0.4, 0.3, 0]
    assert read.joints[0, 7].tolist() == [0, 0, 0]


def test_without_visibility_all_are_seen(tmp_path):
    points = [{"x": x, "y": y, "z": -0.1} for x, y, _ in PERSON[0].tolist()]
    assert (people_of(tmp_path, [points]).joints[..., 2] == 1).all()
    lists = [[x, y, 0.1 if j % 2 else -0.1] for j, (x, y, _) in enumerate(PERSON[0].tolist())]
    assert (people_of(tmp_path, [lists]).joints[..., 2] == 1).all()
    assert (people_of(tmp_path, [flat(lists)]).joints[..., 2] == 1).all()
    seen = people_of(tmp_path, [PERSON[0].tolist()])
    np.testing.assert_array_equal(seen.joints[0], PERSON[0])
    assert "third number of a landmark is its visibility" in seen.claims.notes[0]


def test_absent_landmarks_and_names(tmp_path):
    points = dict(zip(("nose", "left_pinky", "LEFT_HIP", "PoseLandmark.RIGHT_HIP"),
                      objects(PERSON[0]), strict=False))  # fmt: skip
    read = people_of(tmp_path, [{"frame": 0, **points}])
    at = [0, 17, 23, 24]
    np.testing.assert_array_equal(read.joints[0, at], PERSON[0, :4])
    assert np.isnan(read.joints[0]).any(-1).sum() == 29
    holes = [None if j == 3 else point for j, point in enumerate(objects(PERSON[0]))]
    assert np.isnan(people_of(tmp_path, [holes]).joints[0, 3]).all()
    holes[3] = {"x": None, "y": None, "visibility": None}
    assert np.isnan(people_of(tmp_path, [holes]).joints[0, 3]).all()


def metres(scale=1.0):
    return [[{**point, **{axis: scale * point[axis] for axis in "xyz"}} for point in world(p)]
            for p in PERSON]  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "unit"), [(1, "metres"), (100, "centimetres"), (1000, "millimetres")]
)
def test_landmarks_of_the_world_are_refused_by_their_values(tmp_path, scale, unit):  # fmt: skip
    message = f"got world landmarks: {unit} around the hips, .*save pose_landmarks"
    with pytest.raises(DataError, match=message):
        people_of(tmp_path, [{"landmarks": points} for points in metres(scale)])
    table = np.array([[[p["x"], p["y"], p["z"], 1] for p in points] for points in metres(scale)])
    np.savez(tmp_path / "m.npz", landmarks=table)
    with pytest.raises(DataError, match=message):
        read_people(tmp_path / "m.npz")


def test_landmarks_of_the_world_are_refused_by_their_name(tmp_path):
    with pytest.raises(DataError, match="no image positions; save pose_landmarks"):
        people_of(tmp_path, [{"worldLandmarks": [points]} for points in metres()])
    with pytest.raises(DataError, match="no image positions; save pose_landmarks"):
        people_of(tmp_path, [{"pose_landmarks": None, "pose_world_landmarks": metres()[0]}])


def test_somebody_in_the_corner_is_no_world(tmp_path):
    corner = PERSON * [0.2, 0.2, 1]
    read = people_of(tmp_path, [objects(p) for p in corner])
    np.testing.assert_allclose(read.joints, corner, atol=1e-12)


def test_pixels_are_told_by_their_range(tmp_path):
    pixels = detected("mediapipe33", 40, 1)[:, 0]
    read = people_of(tmp_path, [objects(p) for p in pixels])
    np.testing.assert_allclose(read.joints, pixels, atol=1e-12)
    assert read.claims.relative is False
    assert "landmarks are in pixels" in read.claims.notes[0]


def test_landmarks_beside_the_image_stay_parts_of_it(tmp_path):
    wide = PERSON.copy()
    wide[:, 25:, 1] += 0.9
    path = save(tmp_path, [objects(p) for p in wide])
    assert read_video(path, image_size=SIZE).facts["coordinates"] == "unit"


@pytest.mark.parametrize(("count", "part"), [(21, "a hand"), (468, "a face"), (478, "a face")])
def test_hands_and_faces_are_refused(tmp_path, count, part):
    points = [{"x": 0.5, "y": 0.5, "z": 0.0} for _ in range(count)]
    for content in ([points], [{"landmarks": [points]}], [{"keypoints": points}]):
        with pytest.raises(DataError, match=rf"33 landmarks .*frame 0, person 0.*{count}: {part}"):
            people_of(tmp_path, content)
    with pytest.raises(DataError, match="multi_hand_landmarks: a hand or a face, no body"):
        people_of(tmp_path, [{"multi_hand_landmarks": [points]}])
    header = ",".join(f"x{j},y{j}" for j in range(count))
    (tmp_path / "h.csv").write_text(f"{header}\n{','.join(['0.5'] * 2 * count)}\n")
    with pytest.raises(DataError, match=f"got {count}: {part}"):
        read_people(tmp_path / "h.csv")


def broken(value):
    return [objects(PERSON[0]), [*objects(PERSON[1])[:-1], value]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken("no"), "a landmark as x, y, z, visibility .*frame 1, person 0.*got 'no'"),
        (broken([1, 2, 3, 4, 5, 6]), "frame 1, person 0.*got a list of 6"),
        (broken({"x": "1", "y": 2}), "a landmark .*frame 1, person 0.* to be a number, got '1'"),
        (broken({"x": [1], "y": 2}), "a landmark as x, y.*frame 1, person 0.*got an object with"),
        (
            broken([0.1, 0.2, 0.3]),
            "frame 1, person 0.*as many numbers for every one, got a list of 3",
        ),
        ([objects(PERSON[0]), objects(PERSON[1])[:-1]], "frame 1, person 0.* got 32; save"),
        ([objects(PERSON[0]), 7], "a landmark as x, y, z, visibility .*frame 1.*got 7"),
        ([flat(arrays(PERSON[0])), [0.5] * 131], "99 or 132 numbers.*frame 1.*got 131"),
        ([{"landmarks": {"NOSE": {"x": 1, "y": 1}, "TAIL": {}}}], "names of MediaPipe.*'TAIL'"),
        ({"fps": "no", "frames": [objects(PERSON[0])]}, "'fps' of .* to be a number"),
        ({"width": [], "height": 1, "frames": [objects(PERSON[0])]}, "width or height"),
        ([{"landmarks": None}], "at least one person .* 1 frames without"),
    ],
)
def test_damage_is_refused_in_words(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        people_of(tmp_path, content)
    assert len(str(caught.value)) < 600


def test_deep_lists_end(tmp_path):
    with pytest.raises(DataError, match="a landmark as x, y, z"):
        people_of(tmp_path, [{"landmarks": [[[[[[objects(PERSON[0])]]]]]]}])


HEADER = ",".join(f"x{j},y{j},z{j},v{j}" for j in range(1, 34))


def cells(person):
    return [str(v) for point in arrays(person) for v in point]


def table(folder, lines, name="t.csv"):
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def test_tables_with_frames_people_and_empty_cells(tmp_path):
    rows = [["0", *cells(PEOPLE[0, 0])], ["0", *cells(PEOPLE[0, 1])], ["1", *[""] * 132],
            ["4", *cells(PEOPLE[4, 0])]]  # fmt: skip
    rows[3][1:5] = [""] * 4
    read = read_people(table(tmp_path, ["frame," + HEADER, *map(",".join, rows)]))
    assert read.frames == ["0", "1", "4"]
    assert read.frame.tolist() == [0, 0, 2]
    assert np.isnan(read.joints[2, 0]).all()
    np.testing.assert_array_equal(read.joints[2, 1:], PEOPLE[4, 0, 1:])


def test_a_table_of_pose_and_face_is_read_as_the_pose(tmp_path):
    header = ",".join(f"x{j},y{j},z{j},v{j}" for j in range(1, 502))
    row = ",".join(["walk", *cells(PERSON[0]), *["0.5"] * 468 * 4])
    read = read_people(table(tmp_path, ["class," + header, row]))
    np.testing.assert_array_equal(read.joints[0], PERSON[0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [HEADER, ",".join(["no", *cells(PERSON[0])[1:]])],
            "numbers in the cells of .*'no' in row 1 below",
        ),
        ([HEADER, ",".join(cells(PERSON[0])[1:])], "132 cells in every row .* got 131 in row 2"),
        ([HEADER + ",x1", ",".join([*cells(PERSON[0]), "1"])], "each column once"),
    ],
)
def test_damaged_tables(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        read_people(table(tmp_path, lines))


def test_arrays_of_several_people(tmp_path):
    values = np.concatenate((PEOPLE[..., :2], np.zeros((40, 2, 33, 1)), PEOPLE[..., 2:]), -1)
    values[7, 1] = np.nan
    np.savez(tmp_path / "m.npz", landmarks=values, fps=25.0, image_size=np.array(SIZE))
    read = read_people(tmp_path / "m.npz")
    assert (len(read.joints), read.claims.fps, read.claims.image_size) == (79, 25, SIZE)
    np.testing.assert_array_equal(read.joints[0], PEOPLE[0, 0])
    np.savez(tmp_path / "m.npz", landmarks=values[..., :21, :])
    with pytest.raises(DataError, match=r"shape \(frames, 33, 2 to 5\), got \(40, 2, 21, 4\)"):
        read_people(tmp_path / "m.npz")


def test_folders_of_two_videos(tmp_path):
    for name in ("a_1", "a_2", "b_1"):
        save(tmp_path, objects(PERSON[0]), f"{name}.json")
    with pytest.raises(DataError, match=r"one video in .*got 2: a_\*, b_\*;"):
        read_people(tmp_path)
