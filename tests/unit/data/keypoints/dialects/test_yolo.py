"""Label files and YOLOv7's rows come back; numbers that may be several things are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files.yolo import PEOPLE, SURE, WRITERS, box, label, labels, row

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError

LABELS = [name for name in WRITERS if name.startswith("yolo-")]
ROWS = [name for name in WRITERS if name.startswith("yolov7-")]


def corners(person, size=(1, 1)):
    return np.concatenate((person[:, :2].min(0), person[:, :2].max(0))) / np.tile(size, 2)


@pytest.mark.parametrize("name", LABELS)
def test_every_number_of_labels_comes_back(tmp_path, name):
    read = read_people(WRITERS[name](tmp_path))
    expected = (PEOPLE / [*SIZE, 1]).reshape(-1, 17, 3)
    if "xy" in name:
        expected[..., 2] = 1
    np.testing.assert_allclose(read.joints, expected, rtol=1e-8, atol=1e-9)
    boxes = [corners(person, SIZE) for frame in PEOPLE for person in frame]
    np.testing.assert_allclose(read.box, boxes, rtol=0, atol=1e-8)
    assert read.frames == [f"clip_{i}" for i in range(1, 41)]
    assert read.frame.tolist() == np.repeat(range(40), 2).tolist()
    assert read.track.tolist() == ([4, 5] if "id" in name else [-1, -1]) * 40
    scores = SURE if "conf" in name else (np.nan, np.nan)
    np.testing.assert_array_equal(read.score, scores * 40)
    assert read.claims.relative is True
    assert read.claims.notes == ()


@pytest.mark.parametrize("name", ROWS)
def test_every_number_of_rows_comes_back(tmp_path, name):
    read = read_people(WRITERS[name](tmp_path))
    np.testing.assert_allclose(read.joints, PEOPLE.reshape(-1, 17, 3), rtol=1e-8)
    if "entries" not in name:
        boxes = [corners(person) for frame in PEOPLE for person in frame]
        np.testing.assert_allclose(read.box, boxes, rtol=1e-7)
        assert (read.score == SURE[0]).all()
    assert read.frame.tolist() == np.repeat(range(40), 2).tolist()
    assert (read.form, read.claims.relative) == ("yolov7", False)
    assert read.claims.notes[0].startswith("positions are pixels of the network's input: scale")


def test_frames_without_people_have_no_file(tmp_path):
    folder = labels(empty=(1, 2, 9, 10))(tmp_path)
    video = read_video(folder, image_size=SIZE)
    assert video.when.number.tolist() == [*range(6), *range(8, 38)]
    assert video.when.first == 3
    assert video.facts["coordinates"] == "unit"


def test_empty_files_and_single_ones(tmp_path):
    folder = labels()(tmp_path)
    (folder / "clip_1.txt").write_text("")
    read = read_people(folder)
    assert (len(read.frames), len(read.joints)) == (40, 78)
    assert len(read_people(folder / "clip_2.txt", "coco17").joints) == 2


def test_the_size_is_asked_for(tmp_path):
    with pytest.raises(DataError, match="give --image-size WIDTH HEIGHT"):
        read_video(labels()(tmp_path))


def test_a_second_run_doubles_no_people(tmp_path):
    folder = labels(conf=True, track=True)(tmp_path)
    for file in folder.iterdir():
        file.write_text(file.read_text() * 2)
    read = read_people(folder)
    assert len(read.joints) == 80
    assert read.claims.notes == ("80 lines that a file has twice are left out",)


def test_people_the_tracker_lost_have_a_number_less(tmp_path):
    folder = labels(conf=True, track=True)(tmp_path)
    file = folder / "clip_3.txt"
    file.write_text("".join(f"{line.rpartition(' ')[0]}\n" for line in
                            file.read_text().splitlines()))  # fmt: skip
    read = read_people(folder)
    assert read.track.tolist()[:8] == [4, 5, 4, 5, -1, -1, 4, 5]
    np.testing.assert_array_equal(read.score, SURE * 40)


def test_training_labels_have_visibilities(tmp_path):
    people = PEOPLE.copy()
    people[..., 2] = 2
    people[:, :, 3, 2] = 1
    people[:, 0, 5] = 0
    folder = labels(people=people)(tmp_path)
    read = read_people(folder)
    assert read.claims.visibility
    assert sorted(np.unique(read.joints[..., 2])) == [0, 1, 2]
    video = read_video(folder, image_size=SIZE)
    assert (video.people.joints[:, 3, 2] == 0.5).all()


def test_joints_at_zero_are_absent(tmp_path):
    people = PEOPLE.copy()
    people[0, 0, 5, :2] = 0
    assert read_people(labels(people=people)(tmp_path)).joints[0, 5].tolist() == [0, 0, 0]
    (tmp_path / "xy").mkdir()
    read = read_people(labels(people=people, columns=2)(tmp_path / "xy"))
    assert read.joints[0, 5].tolist() == [0, 0, 0]


def test_other_classes_are_left_out_with_a_note(tmp_path):
    folder = labels()(tmp_path)
    with (folder / "clip_1.txt").open("a") as stream:
        stream.write(label(PEOPLE[0, 0], kind=16) + "\n")
    read = read_people(folder)
    assert len(read.joints) == 80
    assert read.claims.notes == ("left out, no persons: 1 lines of classes other than 0",)


def written(folder, *lines):
    (folder / "clip_1.txt").write_text("".join(line + "\n" for line in lines))
    return folder / "clip_1.txt"


@pytest.mark.parametrize(("name", "columns", "end"), [
    ("halpe26", 3, ()), ("body25", 3, (0.5,)), ("mediapipe33", 3, (0.5, 7)),
    ("wholebody133", 3, ()), ("mpii16", 2, (0.5, 3)),
])  # fmt: skip
def test_other_sets_of_joints(tmp_path, name, columns, end):
    person = detected(name, 1)[0, 0]
    read = read_people(written(tmp_path, label(person, *end, columns=columns)), name)
    np.testing.assert_allclose(read.joints[0, :, :2], person[:, :2] / SIZE, rtol=1e-8)
    assert read.score.tolist() == [0.5] if end else np.isnan(read.score).all()


def persons(*ends):
    return [label(PEOPLE[0, 0] + 0.1 * i, *end) for i, end in enumerate(ends)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0 0.5 0.5 0.1 0.1"], "joints after the box .*got 5 numbers.*pose model"),
        (["0 0.5 0.5 0.1 0.1 0.9 3"], "labels of a model that detects"),
        (
            [label(detected("mpii16", 1)[0, 0])],
            "53 numbers, .*16 joints of 3 numbers or 23 joints of 2",
        ),
        (["0 0.5 0.5 0.1 0.1" + " 500" * 51], "positions from 0 to 1, parts of the image"),
        (["0 0.5 0.5 0.1 0.1" + " 0.5" * 12], "17 numbers, which are no set of joints"),
        (persons((), (0.9, 3)), "a confidence in every line .*56 to 58"),
        (persons((), (0.9,)), "a confidence in every line .*56 to 57"),
        (persons((1,), (1,)), "may be neither"),
        (persons((0.5,), (1.5,)), "got 0.5 to 1.5, which may be neither"),
        (persons((-1,), (-2,)), "may be neither"),
    ],
)
def test_numbers_that_are_no_labels(tmp_path, lines, message):
    with pytest.raises(DataError, match=message) as caught:
        read_people(written(tmp_path, *lines), "coco17")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(("ends", "track", "score"), [
    (((3,), (4,)), [3, 4], None), (((3,), (3,)), [3, 3], None), (((0,), (1,)), [0, 1], None),
    (((0.5,), (1,)), [-1, -1], [0.5, 1]),
])  # fmt: skip
def test_one_number_more_is_an_id_or_a_confidence(tmp_path, ends, track, score):
    read = read_people(written(tmp_path, *persons(*ends)), "coco17")
    assert read.track.tolist() == track
    assert read.score.tolist() == score if score else np.isnan(read.score).all()


def test_labels_of_two_videos(tmp_path):
    folder = labels()(tmp_path)
    (folder / "other_1.txt").write_text(label(PEOPLE[0, 0]))
    with pytest.raises(DataError, match=r"got 2: clip_\*, other_\*;"):
        read_people(folder)


def rows_of(folder, content):
    path = folder / "r.json"
    path.write_text(json.dumps(content))
    return path


def test_rows_frame_by_frame_say_no_frame(tmp_path):
    content = [row(0, person) for frame in PEOPLE for person in frame]
    with pytest.raises(DataError, match="got 0 in all 80: it ran frame by frame; save a list of"):
        read_people(rows_of(tmp_path, content))
    assert len(read_people(rows_of(tmp_path, content[:1]), "coco17").joints) == 1


def test_rows_with_gaps_and_frames_without_anyone(tmp_path):
    content = [row(3 * i, frame[0]) for i, frame in enumerate(PEOPLE)]
    assert read_people(rows_of(tmp_path, content)).frames[:3] == ["0", "3", "6"]
    content = [[], *([row(0, frame[0])] for frame in PEOPLE), []]
    read = read_people(rows_of(tmp_path, content))
    assert (len(read.frames), read.frame.tolist()) == (42, list(range(1, 41)))


def test_rows_of_other_classes(tmp_path):
    content = [row(i, frame[0], kind) for i, frame in enumerate(PEOPLE) for kind in (0, 2)]
    read = read_people(rows_of(tmp_path, content))
    assert len(read.joints) == 40
    assert read.claims.notes[1] == "left out, no persons: 40 rows of classes other than 0"


GOOD = row(0, PEOPLE[0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([GOOD, GOOD[:-1]], "58 numbers in every row .*got 57 in row 1;"),
        ([[GOOD], [GOOD, GOOD[:-1]]], "got 57 in row 2;"),
        ([GOOD, [*GOOD[:-1], "a"]], "a number of row 1 of .* number, got 'a'"),
        ([GOOD, [0.5, *GOOD[1:]]], "a number from 0 or a name as row 1"),
        ([GOOD, [1, *GOOD[1:]], GOOD], "frame 0 again after frame 1"),
        ([[GOOD], 3], "frame 1 of .* to be a list"),
        ([{"frame": 0, "keypoints": GOOD[7:]}, 3], "entry 1 of .* to be an object"),
        ([{"frame": 0, "keypoints": GOOD[7:]}, {"keypoints": GOOD[7:]}], "the frame of entry 1"),
        (
            [{"frame": i, "keypoints": GOOD[7 : 58 - i]} for i in (0, 1)],
            "frame 1, person 0.*got 50",
        ),
    ],
)
def test_damaged_rows(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read_people(rows_of(tmp_path, content), "coco17")
    assert len(str(caught.value)) < 600


def test_boxes_of_the_writers_are_those_of_the_people():
    assert box(PEOPLE[0, 0])[2:] == pytest.approx(np.ptp(PEOPLE[0, 0, :, :2], 0))
