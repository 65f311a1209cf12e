"""Who is who in a file, and who of them is taken."""

from __future__ import annotations

import json
import logging
import re
import warnings
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from lifting.data.keypoints import following, persons
from lifting.data.keypoints.following import follow
from lifting.data.keypoints.persons import choose_persons, ids_are_tracks
from lifting.data.keypoints.pixels import to_pixels
from lifting.data.keypoints.read import read_people
from lifting.data.keypoints.tracks import read_keypoints, read_person
from lifting.errors import ConfigError, DataError

PATH = Path("clip.json")
SHAPE = np.random.default_rng(7).uniform(-0.5, 0.5, (17, 2)) * (60, 200)


class Video:
    """Sightings one after another, each with who it truly is."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.number, self.joints, self.true = [], [], []

    def see(self, frame, who, x, y=300.0, scale=1.0, noise=1.0):
        shape = np.random.default_rng(who).normal(0, 4, (17, 2)) + SHAPE
        xy = (x, y) + scale * shape + self.rng.normal(0, noise, (17, 2))
        self.number.append(frame)
        self.joints.append(np.column_stack((xy, self.rng.uniform(0.5, 1, 17))))
        self.true.append(who)

    @property
    def arrays(self):
        number, joints = np.array(self.number), np.array(self.joints)
        return number, boxes(joints), joints

    def follow(self):
        return follow(*self.arrays)

    def tracks(self):
        """Tracks of each true person, in order of time."""
        track, true = self.follow(), np.array(self.true)
        return {who: track[true == who].tolist() for who in sorted(set(self.true))}


def boxes(joints):
    return np.concatenate((joints[..., :2].min(1) - 5, joints[..., :2].max(1) + 5), -1)


def same_people(a, b):
    """Whether two numberings tell the same people apart."""
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


def test_people_apart_are_numbered_by_appearance_whatever_their_order():
    video = Video()
    for t, order in enumerate([(0, 1), (1, 0), (2, 0, 1)]):
        for who in order:
            video.see(t, who, 100 + 300 * who + 4 * t)
    assert video.follow().tolist() == [0, 1, 1, 0, 2, 0, 1]


@pytest.mark.parametrize("hidden", [0, 12, 25])
def test_people_who_cross_keep_their_numbers_though_one_is_covered(hidden):
    video = Video()
    for t in range(120):
        if abs(t - 60) >= hidden / 2:
            video.see(t, 0, 100 + 5 * t, scale=0.9)
        video.see(t, 1, 700 - 5 * t)
    assert same_people(video.follow(), video.true)


def test_left_taken_for_right_does_not_break_a_track():
    video = Video()
    for t in range(60):
        video.see(t, 0, 300 + 3 * t)
        video.see(t, 1, 900 - 3 * t)
    number, box, joints = video.arrays
    swap = [0, *(j + 1 if j % 2 else j - 1 for j in range(1, 17))]
    joints[20::9] = joints[20::9][:, swap]
    assert same_people(follow(number, box, joints), video.true)


def test_a_slow_camera_is_followed_too():
    video = Video()
    for t in range(30):
        video.see(t, 0, 100 + 35 * t, noise=4)
        video.see(t, 1, 1200 - 35 * t, scale=1.2, noise=4)
    assert same_people(video.follow(), video.true)


def test_people_who_meet_and_turn_back_keep_their_numbers():
    video = Video()
    for t in range(120):
        away = abs(t - 60) * 4 + 50
        video.see(t, 0, 400 - away)
        video.see(t, 1, 400 + away, scale=1.1)
    assert same_people(video.follow(), video.true)


@pytest.mark.parametrize(("gap", "count"), [(1, 1), (10, 1), (40, 1), (60, 1), (61, 2), (200, 2)])
def test_a_person_is_expected_back_for_sixty_frames(gap, count):
    video = Video()
    for t in [*range(30), *range(30 + gap, 60 + gap)]:
        video.see(t, 0, 300)
        video.see(t, 1, 900)
    tracks = video.tracks()
    assert [len(set(tracks[who])) for who in (0, 1)] == [count, count]
    assert sorted({*tracks[0], *tracks[1]}) == list(range(2 * count))


def test_who_was_hardly_seen_is_soon_forgotten():
    video = Video()
    for t in (0, 1, 30, 31):
        video.see(t, 0, 300)
    assert video.follow().tolist() == [0, 0, 1, 1]


def test_who_comes_back_elsewhere_is_somebody_new():
    video = Video()
    for t in range(60):
        video.see(t, 0, 300)
        if not 30 <= t < 40:
            video.see(t, 1, 900 if t < 30 else 1400)
    assert [len(set(tracks)) for tracks in video.tracks().values()] == [1, 2]


def test_somebody_of_another_size_is_somebody_else():
    video = Video()
    for t in range(40):
        video.see(t, int(t >= 20), 300, scale=1.0 if t < 20 else 0.5)
    assert same_people(video.follow(), video.true)


def test_ten_who_mill_about_are_told_apart_in_any_order():
    video, rng = Video(), np.random.default_rng(3)
    place, pace = rng.uniform(100, 1700, 10), rng.uniform(-6, 6, 10)
    for t in range(150):
        for who in rng.permutation(10):
            if rng.random() > 0.08:
                x = 100 + abs((place[who] + pace[who] * t) % 3200 - 1600)
                video.see(t, int(who), x, 250 + 12 * who, 0.6 + 0.07 * who, noise=2)
    assert same_people(video.follow(), video.true)
    number, box, joints = video.arrays
    order = np.lexsort((rng.random(len(number)), number))
    again = follow(number[order], box[order], joints[order])
    assert same_people(again, np.array(video.true)[order])


def test_joints_that_come_and_go_do_not_matter():
    video, rng = Video(), np.random.default_rng(5)
    for t in range(80):
        for who in (0, 1):
            video.see(t, who, 100 + 6 * t if who else 600 - 6 * t, scale=1 + 0.15 * who)
    number, box, joints = video.arrays
    joints[rng.random(joints.shape[:2]) < 0.4] = (np.nan, np.nan, 0)
    assert same_people(follow(number, box, joints), video.true)


def test_without_joints_in_common_boxes_are_followed():
    video = Video()
    for t in range(40):
        video.see(t, 0, 300 + 3 * t)
        video.see(t, 1, 900 - 3 * t)
    number, box, joints = video.arrays
    joints[::4, 1:] = (np.nan, np.nan, 0)
    joints[2::4, :-1] = (np.nan, np.nan, 0)
    assert same_people(follow(number, box, joints), video.true)


def test_a_person_seen_twice_in_a_frame_is_one():
    video = Video()
    for t in range(40):
        video.see(t, 0, 300 + 5 * t)
        video.see(t, 1, 700)
        if t % 7 == 3:
            video.see(t, 0, 300 + 5 * t, noise=3)
        if t == 10:
            video.see(t, 0, 300 + 5 * t, noise=3)
    assert same_people(video.follow(), video.true)


def plainly(known, seen, missed):
    """What one costs for another after some frames, joint by joint, at rest."""
    shown = [(a, b) for a, b in zip(known, seen, strict=True) if a[2] > 0 and b[2] > 0]
    share = [a[2] * b[2] for a, b in shown]
    share = [s / sum(share) for s in share]
    steps = [b[:2] - a[:2] for a, b in shown]
    offset = sum(s * step for s, step in zip(share, steps, strict=True))
    pose = sum(s * np.linalg.norm(v - offset) for s, v in zip(share, steps, strict=True))
    spread = []
    for points in zip(*shown, strict=True):
        middle = sum(s * p[:2] for s, p in zip(share, points, strict=True))
        spread.append(
            sum(s * ((p[:2] - middle) ** 2).sum() for s, p in zip(share, points, strict=True))
        )
    first, then = (joints[joints[:, 2] > 0, :2] for joints in (known, seen))
    low, high = np.maximum(first.min(0), then.min(0)), np.minimum(first.max(0), then.max(0))
    both = max(high[0] - low[0], 0) * max(high[1] - low[1], 0)
    areas = [np.prod(np.ptp(points, axis=0)) for points in (first, then)]
    size = np.sqrt(np.ptp(first, axis=0).max() * np.ptp(then, axis=0).max())
    allowed = min(
        following._OFFSET + missed * following._OFFSET_A_FRAME, following._FARTHEST_OFFSET
    )
    bent = min(following._POSE + missed * following._POSE_A_FRAME, following._POSE_AT_MOST)
    return (
        (np.linalg.norm(offset) / size / allowed) ** 2
        + min((pose / size / bent) ** 2, following._POSE_COST)
        + (np.log(np.sqrt(spread[1] / spread[0])) / following._SCALE) ** 2
        + following._NO_OVERLAP * (1 - both / (sum(areas) - both))
        + following._DOUBT * np.log(allowed / following._OFFSET * bent / following._POSE)
    )


@pytest.mark.parametrize("missed", [0, 3])
@pytest.mark.parametrize("seed", range(4))
def test_one_frame_agrees_with_plain_loops_over_everyone(seed, missed):
    video = Video(seed)
    place = video.rng.uniform(300, 550, (5, 2))
    for who in range(5):
        video.see(0, who, *place[who])
    for who in video.rng.permutation(5):
        video.see(1 + missed, int(who), *place[who] + video.rng.normal(0, 20, 2), noise=3)
    number, _, joints = video.arrays
    joints[video.rng.random(joints.shape[:2]) < 0.2] = (np.nan, np.nan, 0)
    none = np.full((10, 4), np.nan)
    cost = np.array([[plainly(a, b, missed) for b in joints[5:]] for a in joints[:5]])
    cost = np.minimum(cost, following._DEAREST)
    best = min(permutations(range(5)), key=lambda order: cost[np.arange(5), order].sum())
    wanted = {
        which: who for who, which in enumerate(best) if cost[who, which] < following._DEAREST
    }
    assert len(wanted) > 0
    track = follow(number, none, joints)
    fresh = iter(range(5, 10))
    assert track.tolist() == [*range(5), *(wanted.get(q, -1) if q in wanted else next(fresh)
                                           for q in range(5))]  # fmt: skip


@pytest.mark.parametrize("joints_too", [False, True])
def test_damaged_numbers_give_no_warnings_and_cost_nobody_else_its_number(joints_too):
    video = Video()
    for t in range(40):
        for who in range(3):
            video.see(t, who, 200 + 300 * who)
    number, box, joints = video.arrays
    damage = [np.nan, np.inf, -np.inf, 1e300, -1e12, 0.0]
    for i, row in enumerate(range(2, 120, 3)):
        box[row, i % 4] = damage[i % len(damage)]
        if joints_too:
            joints[row, :, i % 3] = damage[i % 5]
    with warnings.catch_warnings(action="error"):
        track = follow(number, box, joints)
    assert track.min() == 0
    others = np.array(video.true) < 2
    assert same_people(track[others], np.array(video.true)[others])
    if not joints_too:
        assert same_people(track, video.true)


def test_sightings_of_nothing_are_nobody_in_particular():
    joints = np.full((3, 17, 3), np.nan)
    assert follow(np.array([0, 0, 1]), np.full((3, 4), np.nan), joints).tolist() == [0, 1, 2]


def test_nobody_makes_no_tracks():
    assert follow(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, 17, 3))).tolist() == []


def test_a_crowd_of_hundreds_is_followed():
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(20) * 70.0, np.arange(15) * 210.0)
    place = np.stack((x, y), -1).reshape(-1, 1, 2) + SHAPE
    frames = [rng.permutation(300) for _ in range(4)]
    xy = np.concatenate([place[order] + rng.normal(0, 1, (300, 17, 2)) for order in frames])
    joints = np.concatenate((xy, np.ones((1200, 17, 1))), -1)
    assert same_people(follow(np.repeat(np.arange(4), 300), boxes(joints), joints),
                       np.concatenate(frames))  # fmt: skip


@pytest.mark.parametrize(
    ("track", "answer"),
    [
        ([4, 7, 4, 7], True),
        ([4, 7, 7, 4], True),
        ([0, 0, 0, 0], False),
        ([4, 4, 4, 7], False),
        ([4, -1, 4, 7], True),
        ([4, -1, 4, -1], True),
        ([-1, -1, 4, 4], False),
        ([-1, -1, -1, -1], False),
    ],
)
def test_ids_are_tracks_where_none_stands_twice_in_a_frame(track, answer):
    assert ids_are_tracks(np.array([0, 0, 1, 1]), np.array(track)) is answer


def test_one_id_for_one_person_a_frame_is_a_track():
    assert ids_are_tracks(np.array([0, 1, 5]), np.zeros(3, dtype=np.int64))


def chosen(path, writers, person="all"):
    people = to_pixels(path, read_people(path, "coco17"), writers.size).people
    return choose_persons(path, people, people.frame, person), people


def one(path, writers, person):
    chosen_people, people = chosen(path, writers, person)
    assert len(chosen_people.choices) == 1
    return chosen_people.choices[0], people


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


def walking(writers, frames=20):
    """Two people of a picture each, who stand and keep their shape."""
    people = np.repeat(sized(writers, 1), frames, axis=0)
    people[..., 0] += np.linspace(0, 20, frames)[:, None, None]
    return people


def test_everyone_is_taken_by_the_ids_of_the_file(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    taken, people = chosen(path, writers)
    assert [choice.track for choice in taken.choices] == [5, 6]
    assert [people.track[choice.rows].tolist() for choice in taken.choices] == [[5] * 4, [6] * 4]
    assert (taken.persons, taken.by) == (2, "ids")
    assert taken.why == "2 people by the file's ids"


def test_people_are_in_order_of_appearance(tmp_path, writers):
    people = list(sized(writers, frames=8))
    people[0] = people[0][1:]
    path = writers.coco_results(tmp_path / "c.json", people, track="track_id")
    rewrite(path, lambda entry: entry.update(track_id=9 - entry["track_id"]))
    entries = json.loads(path.read_text())
    entries[0]["track_id"] = 3  # the first frame shows the second person only
    path.write_text(json.dumps(entries))
    assert [choice.track for choice in chosen(path, writers)[0].choices] == [3, 4]


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (None, "the file gives no ids"),
        (lambda k, t: 0, r"the file's ids are no tracks \(all 0\)"),
        (lambda k, t: 3 if t == 2 else k, r".* no tracks \(3 stands twice in frame 2\)"),
        (lambda k, t: 3 if t == 2 else -1, r".* no tracks \(3 stands twice in frame 2\)"),
    ],
)
def test_without_tracks_people_are_followed_and_it_is_said(tmp_path, writers, ids, why):
    people = walking(writers)
    people[1::2] = people[1::2, ::-1]
    path = writers.coco_results(tmp_path / "c.json", people, track=ids and "track_id")
    if ids is not None:
        rewrite(path, lambda e: e.update(track_id=ids(e["track_id"], e["image_id"])))
    taken, read = chosen(path, writers)
    assert (taken.persons, taken.by) == (2, "following")
    told = f"2 people followed by boxes, joints and motion: {why}"
    assert re.fullmatch(told, taken.why)
    people[1::2] = people[1::2, ::-1]
    for k, choice in enumerate(taken.choices):
        assert choice.track == k
        np.testing.assert_array_equal(read.joints[choice.rows], people[:, k])


def test_the_largest_box_wins_and_the_score_counts(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), box=None, track="track_id")
    choice, people = one(path, writers, "largest")
    assert choice.track == 6
    assert people.track[choice.rows].tolist() == [6] * 4
    assert chosen(path, writers, "largest")[0].why == (
        "2 people by the file's ids; taken is the largest, number 6"
    )
    rewrite(path, lambda entry: entry.update(score=0.9 if entry["track_id"] == 5 else 0.1))
    assert one(path, writers, "largest")[0].track == 5


def test_a_brief_false_detection_does_not_win(tmp_path, writers):
    people = list(sized(writers, frames=8))
    people[1:] = [frame[:1] for frame in people[1:]]
    path = writers.coco_results(tmp_path / "c.json", people, track="track_id")
    assert one(path, writers, "largest")[0].track == 5


def test_the_longest_is_seen_in_the_most_frames(tmp_path, writers):
    people = list(sized(writers, frames=8))
    people[5:] = [frame[:1] for frame in people[5:]]
    path = writers.coco_results(tmp_path / "c.json", people, track="track_id")
    assert one(path, writers, "largest")[0].track == 6
    choice, _ = one(path, writers, "longest")
    assert choice.track == 5
    assert len(choice.rows) == 8


def test_a_person_by_number(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    choice, people = one(path, writers, "5")
    assert people.track[choice.rows].tolist() == [5] * 4
    assert chosen(path, writers, "5")[0].persons == 2
    assert chosen(path, writers, "5")[0].why == "2 people by the file's ids; taken is number 5"
    tracks = read_keypoints(path, skeleton="coco17", image_size=writers.size, person="5")
    assert tracks.source["person"] == "5 of 2, asked for 5, by ids"


def test_a_person_by_number_of_appearance(tmp_path, writers):
    people = walking(writers)
    path = writers.coco_results(tmp_path / "c.json", people)
    for person in (0, 1):
        choice, read = one(path, writers, str(person))
        np.testing.assert_array_equal(read.joints[choice.rows], people[:, person])


def test_one_person_a_frame_needs_no_following(tmp_path, writers):
    people = writers.people(4, 17)
    people[2, ..., 0] += 100
    path = writers.coco_results(tmp_path / "c.json", people)
    for person in ("all", "largest", "longest", "0"):
        taken, _ = chosen(path, writers, person)
        assert taken.choices[0].rows.tolist() == [0, 1, 2, 3]
        assert (taken.by, taken.why) == ("only one", "1 person: no frame shows two")


def test_twice_in_a_frame_the_heavier_is_kept(tmp_path, writers):
    people = walking(writers)
    people[:, 1] = people[:, 0] + np.array([0.5, 0.5, 0])
    path = writers.coco_results(tmp_path / "c.json", people)
    rewrite(path, lambda entry: entry.update(score=0.5 + entry["keypoints"][0] % 1))
    rewrite(path, lambda entry: entry.update(bbox=[0, 0, 0, 0]))
    (choice,) = chosen(path, writers)[0].choices
    scores = [entry["score"] for entry in json.loads(path.read_text())]
    assert len(choice.rows) == 20
    kept = [2 * t + (scores[2 * t + 1] > scores[2 * t]) for t in range(20)]
    assert choice.rows.tolist() == kept


def test_sightings_without_an_id_are_followed_beside_those_with_one(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", walking(writers), track="track_id")
    rewrite(path, lambda entry: entry.update(track_id=-1) if entry["track_id"] == 6 else None)
    taken, _ = chosen(path, writers)
    assert [choice.track for choice in taken.choices] == [5, 6]
    assert [choice.rows[:3].tolist() for choice in taken.choices] == [[0, 2, 4], [1, 3, 5]]
    assert taken.by == "ids"
    assert taken.why == (
        "1 person by the file's ids, and 1 person without one followed by boxes, joints and motion"
    )


def test_an_unknown_person_lists_those_there_are(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    with pytest.raises(DataError, match=r"expected a person 9 .* 2 people: 5 \(4 frames\), 6"):
        read_keypoints(path, skeleton="coco17", image_size=writers.size, person="9")


def test_of_many_people_the_ten_most_seen_are_listed(tmp_path, writers):
    people = [frame[: 12 - i] for i, frame in enumerate(writers.people(6, 17, persons=12))]
    path = writers.coco_results(tmp_path / "c.json", people, track="track_id")
    with pytest.raises(DataError, match=r"got 12 people: 5 \(6 frames\),.* 14 \(3 frames\); name"):
        chosen(path, writers, "99")


@pytest.mark.parametrize("person", ["biggest", "-1", "", "1.5", "9" * 20, "ALL", "²"])
def test_a_person_is_a_word_or_a_number(tmp_path, writers, person):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    match = r"'all', 'largest', 'longest' or the number of a track, got .*; correct --person"
    with pytest.raises(ConfigError, match=match):
        read_keypoints(path, skeleton="coco17", image_size=writers.size, person=person)


@pytest.mark.parametrize("limit", ["_MAX_PAIRS", "_MAX_A_FRAME"])
def test_too_many_people_to_tell_apart_is_said(tmp_path, writers, monkeypatch, limit):
    path = writers.coco_results(tmp_path / "c.json", sized(writers))
    monkeypatch.setattr(persons, limit, 1)
    with pytest.raises(DataError, match=r"got 8 sightings, up to 2 a frame; use a detector that"):
        chosen(path, writers)


def test_a_box_without_area_is_replaced_by_that_of_the_joints(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", sized(writers), track="track_id")
    rewrite(path, lambda entry: entry.update(bbox=[5, 5, 0, 0]))
    assert one(path, writers, "largest")[0].track == 6


def test_where_one_person_is_read_it_is_said_that_there_are_more(tmp_path, writers, caplog):
    path = writers.coco_results(tmp_path / "c.json", writers.people(6, 17, 2))
    with caplog.at_level(logging.WARNING):
        read_person(path, skeleton="coco17", image_size=writers.size)
    assert "has 2 people, of whom 0 is read (largest)" in caplog.text
    with pytest.raises(ConfigError, match="expected one person, got all"):
        read_person(path, skeleton="coco17", image_size=writers.size, person="all")
