"""What Ultralytics' to_json and to_csv return comes back; other models' results are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import SIZE
from keypoint_files.ultralytics import PEOPLE, WRITERS, box, entry, frames, table

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError


def people_of(folder, content):
    path = folder / "u.json"
    path.write_text(json.dumps(content))
    return read_people(path)


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_number_comes_back(tmp_path, name):
    read = read_people(WRITERS[name](tmp_path))
    expected = PEOPLE / [*SIZE, 1] if "relative" in name else PEOPLE
    np.testing.assert_allclose(read.joints, expected.reshape(-1, 17, 3), rtol=0, atol=1e-12)
    boxes = [list(box(person).values()) for frame in expected for person in frame]
    np.testing.assert_allclose(read.box, boxes, rtol=0, atol=1e-12)
    assert read.track.tolist() == [3, 4] * 40
    assert read.frame.tolist() == np.repeat(range(40), 2).tolist()
    assert (read.score == 0.91).all()
    assert read.skeleton.name == "coco17"
    assert read.claims.notes == ()


def test_relative_positions_are_told_by_their_range(tmp_path):
    video = read_video(WRITERS["ultralytics-relative"](tmp_path), image_size=SIZE)
    assert video.facts["coordinates"] == "unit"
    (tmp_path / "lines").mkdir()
    video = read_video(WRITERS["ultralytics-lines"](tmp_path / "lines"), image_size=SIZE)
    assert video.facts["coordinates"] == "pixels"


def test_without_confidence_all_are_seen_but_those_at_zero(tmp_path):
    read = people_of(tmp_path, frames(visible=False))
    absent = (PEOPLE[..., :2] == 0).all(-1).reshape(-1, 17)
    assert absent.sum() == 1
    np.testing.assert_array_equal(read.joints[..., 2], np.where(absent, 0, 1))


def test_a_joint_at_zero_is_absent_whatever_its_confidence(tmp_path):
    content = frames()
    content[0][0]["keypoints"]["x"][4] = content[0][0]["keypoints"]["y"][4] = 0
    assert people_of(tmp_path, content).joints[0, 4].tolist() == [0, 0, 0]


def test_frames_without_anyone(tmp_path):
    content = frames()
    content[0] = content[20] = []
    assert sorted(set(range(40)) - set(people_of(tmp_path, content).frame.tolist())) == [0, 20]
    text = [json.dumps(frame) for frame in content]
    assert len(people_of(tmp_path, text).frames) == 40
    named = {str(2 * i): frame for i, frame in enumerate(content) if frame}
    assert people_of(tmp_path, named).frames[:2] == ["2", "4"]


def test_one_image_and_text_as_a_whole(tmp_path):
    for content in (frames()[0], json.dumps(frames()[0])):
        path = tmp_path / "u.json"
        path.write_text(json.dumps(content))
        read = read_people(path, "coco17")
        assert (len(read.joints), len(read.frames)) == (2, 1)


def test_gaps_between_files(tmp_path):
    folder = WRITERS["ultralytics-folder"](tmp_path)
    for i in (0, 7, 8):
        (folder / f"clip_{i}.json").unlink()
    assert read_video(folder, image_size=SIZE).when.number.tolist()[:8] == [*range(6), 8, 9]


def test_other_classes_are_left_out_with_a_note(tmp_path):
    dog = {"name": "dog", "class": 16, "confidence": 0.5, "box": box(PEOPLE[0, 0])}
    number = {key: value for key, value in dog.items() if key != "name"}
    content = [[dog, *frame, number] for frame in frames()]
    read = people_of(tmp_path, content)
    assert len(read.joints) == 80
    assert read.claims.notes == ("left out, no persons: dog (40), class 16 (40)",)
    with pytest.raises(DataError, match=r"expected people .*got dog \(3\); run a pose model"):
        people_of(tmp_path, [[dog]] * 3)


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in keys}


def changed(key, value):
    content = frames()
    content[1][1] = {**content[1][1], key: value}
    return content


JOINTS = entry(PEOPLE[0, 0])["keypoints"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[without(p, "keypoints") for p in f] for f in frames()], "80 boxes without.*pose model"),
        (changed("keypoints", None), "'keypoints' .*frame 1, person 1.* object, got None"),
        (changed("keypoints", {"x": [1.0], "y": 2}), "'y' of keypoints .*frame 1, person 1"),
        (changed("keypoints", {**JOINTS, "y": [1.0]}), "as many x as y .*frame 1, person 1"),
        (changed("keypoints", {**JOINTS, "visible": [1.0]}), "got 17 keypoints and 1 scores"),
        (
            changed("keypoints", {"x": ["a"] * 17, "y": JOINTS["y"]}),
            "a keypoint .*frame 1, person",
        ),
        (changed("box", [1, 2, 3, 4]), "'box' .*frame 1, person 1.* to be an object"),
        (changed("box", {"x1": 1}), "the box .*frame 1, person 1.* number, got None"),
        (changed("track_id", 3), "each person once .*track_id 3 twice .*frame 1, person 1"),
        (changed("track_id", "a"), "the track .*frame 1, person 1"),
        (changed("confidence", "a"), "the score .*frame 1, person 1"),
        ([*frames(), 4], "frame 40 of .* to be a list, got 4"),
        ([*frames(), "[1"], "complete JSON"),
        ([*frames(), "\ud800"], "complete JSON"),
        ([*frames(), ["a"]], "frame 40, person 0 of .* to be an object"),
    ],
)
def test_damage_is_refused_in_words(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        people_of(tmp_path, content)
    assert len(str(caught.value)) < 600


def csv_of(folder, text):
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


def test_a_table_is_one_image(tmp_path):
    read = read_people(csv_of(tmp_path, table(frames()[0])), "coco17")
    np.testing.assert_array_equal(read.joints, PEOPLE[0])


def test_a_table_with_frames(tmp_path):
    lines = [table(frame).splitlines() for frame in frames()]
    rows = [f"{2 * i},{line}" for i, part in enumerate(lines) for line in part[1:]]
    read = read_people(csv_of(tmp_path, "\n".join(["frame," + lines[0][0], *rows])))
    np.testing.assert_array_equal(read.joints, PEOPLE.reshape(-1, 17, 3))
    assert read.frames[:3] == ["0", "2", "4"]


def test_tables_of_several_frames_without_their_numbers(tmp_path):
    lines = [table(frame).splitlines() for frame in frames()]
    text = "\n".join([lines[0][0], *(line for part in lines for line in part[1:])])
    with pytest.raises(DataError, match=r"track_id 3.0 twice .*a list, for every frame"):
        read_people(csv_of(tmp_path, text))


def test_images_without_anyone_in_a_folder_of_tables(tmp_path):
    folder = WRITERS["ultralytics-csv"](tmp_path)
    (folder / "clip_0.csv").write_text('""\n')
    (folder / "clip_5.csv").write_text(table([]))
    assert sorted(set(range(40)) - set(read_people(folder).frame.tolist())) == [0, 5]


@pytest.mark.parametrize("cell", ["__import__('os')", "array([1, 2])", "{" * 3000, "[" * 60_000])
def test_cells_are_never_run(tmp_path, cell):
    text = f'name,class,confidence,box,keypoints\nperson,0,0.9,,"{cell}"\n'
    with pytest.raises(DataError, match=r"an object as text, .*row 1, keypoints"):
        read_people(csv_of(tmp_path, text))


def test_rows_that_are_cut(tmp_path):
    text = table(frames()[0]) + "2,person,0\n"
    with pytest.raises(DataError, match=r"7 cells in every row .* got 3 in row 4"):
        read_people(csv_of(tmp_path, text))
