"""Which person is lifted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lifting.data.keypoints.persons import choose_person, link
from lifting.data.keypoints.pixels import to_pixels
from lifting.data.keypoints.read import read_people
from lifting.data.keypoints.tracks import read_keypoints
from lifting.errors import ConfigError, DataError

PATH = Path("clip.json")


def square(x, y=100.0, side=50.0):
    return [x, y, x + side, y + side]


def test_boxes_that_overlap_are_one_person_whatever_their_order():
    number = np.array([0, 0, 1, 1, 2, 2])
    boxes = np.array([square(0), square(300), square(310), square(10), square(20), square(320)])
    assert link(PATH, number, boxes).tolist() == [0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(("gap", "persons"), [(1, 1), (10, 1), (11, 2)])
def test_links_go_over_gaps_of_up_to_ten_frames(gap, persons):
    number = np.array([0, 1, 2 + gap, 3 + gap])
    boxes = np.array([square(0), square(2), square(5), square(7)])
    assert len(set(link(PATH, number, boxes).tolist())) == persons


def test_a_start_goes_to_the_end_it_overlaps_most():
    number = np.array([0, 0, 1])
    boxes = np.array([square(20), square(5), square(0)])
    track = link(PATH, number, boxes)
    assert track[2] == track[1] != track[0]


def test_a_stranger_far_away_is_another_person():
    assert link(PATH, np.array([0, 1]), np.array([square(0), square(40)])).tolist() == [0, 1]


def test_linking_agrees_with_a_plain_loop_over_frames():
    rng = np.random.default_rng(0)
    frames, persons = 60, 5
    x = np.arange(persons) * 200.0 + rng.normal(0, 3, (frames, persons)).cumsum(0)
    order = np.array([rng.permutation(persons) for _ in range(frames)])
    boxes = np.array([square(v) for v in np.take_along_axis(x, order, 1).reshape(-1)])
    track = link(PATH, np.repeat(np.arange(frames), persons), boxes).reshape(frames, persons)
    names = {int(who): int(t) for who, t in zip(order[0], track[0], strict=True)}
    assert sorted(names.values()) == list(range(persons))
    for who, row in zip(order, track, strict=True):
        assert [names[int(w)] for w in who] == row.tolist()


def chosen(path, writers, person="largest"):
    people = to_pixels(path, read_people(path, "coco17"), writers.size).people
    return choose_person(path, people, people.frame, person), people


def sized(writers, frames=4):
    """Two people; the second is twice as large."""
    people = writers.people(frames, 17, persons=2)
    centre = people[:, 1, :, :2].mean(1, keepdims=True)
    people[:, 1, :, :2] = centre + 2 * (people[:, 1, :, :2] - centre)
    return people


def rewrite(path, change):
    entries = json.loads(path.read_text())
    for entry in entries:
        change(entry)
    path.write_text(json.dumps(entries))


def test_the_largest_box_wins_and_the_score_counts(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), box=None, track="track_id")
    choice, people = chosen(path, writers)
    assert choice.track == 6
    assert choice.persons == 2
    assert choice.by == "ids"
    assert people.track[choice.rows].tolist() == [6] * 4
    rewrite(path, lambda entry: entry.update(score=0.9 if entry["track_id"] == 5 else 0.1))
    assert chosen(path, writers)[0].track == 5


def test_a_brief_false_detection_does_not_win(tmp_path, writers):
    people = list(sized(writers, frames=8))
    people[1:] = [frame[:1] for frame in people[1:]]
    path = writers.coco_results(tmp_path / "c.json", people, track="track_id")
    assert chosen(path, writers)[0].track == 5


def test_a_person_by_number(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    choice, people = chosen(path, writers, "5")
    assert people.track[choice.rows].tolist() == [5] * 4
    tracks = read_keypoints(path, skeleton="coco17", image_size=writers.size, person="5")
    assert tracks.source["person"] == "5 of 2, asked for 5, by ids"


def test_a_person_by_number_of_appearance(tmp_path, writers):
    people = sized(writers)
    path = writers.coco_results(tmp_path / "c.json", people)
    for person in (0, 1):
        choice, read = chosen(path, writers, str(person))
        assert choice.by == "overlap"
        np.testing.assert_array_equal(read.joints[choice.rows], people[:, person])


def test_one_person_a_frame_needs_no_overlap(tmp_path, writers):
    people = writers.people(4, 17)
    people[2, ..., 0] += 100
    choice, _ = chosen(writers.coco_results(tmp_path / "c.json", people), writers)
    assert choice.rows.tolist() == [0, 1, 2, 3]
    assert choice.by == "only one"


def test_twice_in_a_frame_the_heavier_is_kept(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), box=None, track="track_id")
    rewrite(path, lambda entry: entry.update(track_id=3))
    choice, _ = chosen(path, writers)
    assert choice.rows.tolist() == [1, 3, 5, 7]


def test_sightings_without_a_number_are_left_out_beside_numbered_ones(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    rewrite(path, lambda entry: entry.update(track_id=-1) if entry["track_id"] == 6 else None)
    assert chosen(path, writers)[0].rows.tolist() == [0, 2, 4, 6]


def test_an_unknown_person_lists_those_there_are(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    with pytest.raises(DataError, match=r"expected a person 9 .* 2 persons: 5 \(4 frames\), 6"):
        read_keypoints(path, skeleton="coco17", image_size=writers.size, person="9")


@pytest.mark.parametrize("person", ["biggest", "-1", "", "1.5", "9" * 20])
def test_a_person_is_largest_or_a_number(tmp_path, writers, person):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    with pytest.raises(ConfigError, match=r"'largest' or the number of a track.*--person"):
        read_keypoints(path, skeleton="coco17", image_size=writers.size, person=person)


def test_a_box_without_area_is_replaced_by_that_of_the_joints(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    rewrite(path, lambda entry: entry.update(bbox=[5, 5, 0, 0]))
    assert chosen(path, writers)[0].track == 6
