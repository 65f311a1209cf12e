"""Folders of OpenPose files: how frames are numbered, and people who are not there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lifting.data.keypoints.read import read_people
from lifting.data.keypoints.tracks import read_keypoints, read_person
from lifting.errors import DataError


def write(folder, frames, name):
    """A file a frame, named ``name.format(i)``, with the people as given."""
    folder.mkdir()
    for i, people in enumerate(frames):
        (folder / name.format(i)).write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


def entry(joints, person_id=-1):
    return {"person_id": [person_id], "pose_keypoints_2d": joints.reshape(-1).tolist()}


NAMINGS = (
    "clip_{0:012d}_keypoints.json",
    "IMG_{0:04d}_keypoints.json",
    "cam01.{0:04d}.json",
    "Static_cam_01.{0:05d}.json",
    "video_{0:06d}.json",
    "{0:06d}_keypoints.json",
    "cam01_{0}_keypoints.json",
    "v_{0:012d}.json",
    "take2_{0:03d}_left.json",
)


@pytest.mark.parametrize("name", NAMINGS)
@pytest.mark.parametrize("first", [0, 7])
def test_frames_are_numbered_by_the_last_number(tmp_path, writers, name, first):
    people = writers.people(first + 14, 25)
    folder = write(tmp_path / "cam01_json", [[entry(p[0])] for p in people], name)
    for i in (*range(first), first + 5):
        (folder / name.format(i)).unlink()
    read = read_people(folder, "body25")
    assert len(read.frames) == 13
    seen = read_person(folder, skeleton="body25", image_size=writers.size)
    assert (seen.when.numbered, seen.when.first, seen.when.step) == (True, first, 1)
    assert (seen.when.first + seen.filled.number).tolist() == list(range(first, first + 14))
    assert (seen.confidence == 0).all(1).nonzero().flatten().tolist() == [5]
    np.testing.assert_array_equal(read.joints[5], people[first + 6, 0])


def test_two_videos_that_differ_behind_or_before_the_number(tmp_path, writers):
    people = [[entry(p[0])] for p in writers.people(2, 25)]
    folder = write(tmp_path / "a", people, "cam01.{0:04d}.json")
    for i in range(2):
        (folder / f"cam02.{i:04d}.json").write_text(json.dumps({"people": people[i]}))
    with pytest.raises(DataError, match=r"one video .*got 2: cam01., cam02."):
        read_people(folder, "body25")
    folder = write(tmp_path / "b", people, "{0}_left.json")
    (folder / "0_right.json").write_text(json.dumps({"people": people[0]}))
    with pytest.raises(DataError, match=r"one video .*got 2: \*_left, \*_right"):
        read_people(folder, "body25")


@pytest.mark.parametrize(
    "nobody",
    [[], [{}], [{"pose_keypoints_2d": []}], [{"pose_keypoints_2d": None}], [{"person_id": [-1]}]],
    ids=json.dumps,
)
def test_a_frame_without_the_person_stays_a_frame(tmp_path, writers, nobody):
    people = writers.people(5, 25)
    frames = [[entry(p[0])] for p in people]
    frames[2] = nobody
    folder = write(tmp_path / "cam01_json", frames, "cam01.{0:04d}.json")
    read = read_people(folder, "body25")
    assert len(read.frames) == 5
    assert read.frame.tolist() == [0, 1, 3, 4]
    tracks = read_keypoints(folder, skeleton="body25", image_size=writers.size)
    assert len(tracks.keypoints_2d) == 5
    assert tracks.confidence[2].tolist() == [0] * 17
    middle = tracks.keypoints_2d[[1, 3]].mean(0)
    np.testing.assert_allclose(tracks.keypoints_2d[2], middle, atol=1e-3)


def test_the_place_is_the_track_where_persons_have_placeholders(tmp_path, writers):
    people = writers.people(6, 25, 2)
    frames = [[entry(p[0]), entry(p[1])] for p in people]
    frames[1] = [{}, frames[1][1]]
    frames[4] = [frames[4][0], {}]
    folder = write(tmp_path / "a", frames, "cam01.{0:04d}.json")
    read = read_people(folder, "body25")
    assert read.track.tolist() == [0, 1, 1, 0, 1, 0, 1, 0, 0, 1]
    np.testing.assert_array_equal(read.joints[2], people[1, 1])
    for person, lost in (("0", 1), ("1", 4)):
        tracks = read_keypoints(folder, skeleton="body25", image_size=writers.size, person=person)
        assert (tracks.confidence == 0).all(1).nonzero().flatten().tolist() == [lost]
        assert tracks.source["person"].endswith("by ids")


def test_without_placeholders_the_place_says_nothing(tmp_path, writers):
    people = writers.people(3, 25, 2)
    frames = [[entry(p[0]), entry(p[1])] for p in people]
    assert (
        read_people(write(tmp_path / "a", frames, "v_{0}.json"), "body25").track.tolist()
        == [-1] * 6
    )
    frames[0] = [{}, entry(people[0, 1], person_id=4)]
    frames[1] = [entry(people[1, 0], person_id=7), entry(people[1, 1])]
    read = read_people(write(tmp_path / "b", frames, "v_{0}.json"), "body25")
    assert read.track.tolist() == [4, 7, 1, 0, 1]  # a number that the file gives goes first
