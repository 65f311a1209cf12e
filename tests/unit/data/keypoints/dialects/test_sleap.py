"""SLEAP analysis files in every order of axes; projects are refused."""

from __future__ import annotations

import json
import random

import h5py
import numpy as np
import pytest
from detected import detected
from keypoint_files.sleap import AXES, NAMES, WRITERS, write_csv, write_h5

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError
from lifting.skeleton import get_skeleton


@pytest.mark.parametrize("writer", list(WRITERS))
def test_every_number_comes_back(tmp_path, writer):
    people = read_people(WRITERS[writer](tmp_path))
    np.testing.assert_array_equal(people.joints, detected("coco17", persons=2).reshape(-1, 17, 3))
    assert people.skeleton.name == "coco17"
    assert people.frames == [str(i) for i in range(40)]
    assert people.frame.tolist() == np.repeat(range(40), 2).tolist()
    assert people.track.tolist() == [0, 1] * 40
    assert people.score.tolist() == [0.9] * 80
    assert people.claims.ids


@pytest.mark.parametrize("vlen", [False, True])
@pytest.mark.parametrize("axes", [("node", "frame", "xy", "track"), AXES])
def test_any_order_that_the_file_says_is_obeyed(tmp_path, axes, vlen):
    people = detected("halpe26", 5, 2)
    names = [name.replace("_", "-") for name in get_skeleton("halpe26").joints]
    path = write_h5(tmp_path / "a.h5", people, names, axes, says=True, vlen=vlen)
    np.testing.assert_array_equal(read_people(path).joints, people.reshape(-1, 26, 3))


@pytest.mark.parametrize("write", [write_h5, write_csv])
def test_absent_people_joints_and_scores(tmp_path, write):
    people = detected("coco17", persons=2)
    people[3] = np.nan
    people[4, 1] = np.nan
    people[5, 0, 2] = np.nan
    people[6, 0, :, 2] = np.nan  # placed by a person
    read = read_people(write(tmp_path / "a", people, NAMES))
    flat = people.copy()
    flat[5, 0, 2, 2] = 0
    flat[6, 0, :, 2] = 1
    there = ~np.isnan(flat[..., 0]).all(-1)
    np.testing.assert_array_equal(read.joints, flat[there])
    numbers = [int(read.frames[i]) for i in read.frame]
    assert numbers == np.nonzero(there)[0].tolist()


def test_rows_without_tracks_are_nobody_in_particular(tmp_path):
    people = detected("coco17", persons=2)
    for path in (
        write_h5(tmp_path / "a.h5", people, NAMES, tracks=[]),
        write_csv(tmp_path / "a.csv", people, NAMES, tracks=["", ""]),
    ):
        read = read_people(path)
        assert set(read.track.tolist()) == {-1}
        assert not read.claims.ids


def test_a_csv_keeps_the_numbers_of_its_frames(tmp_path):
    frames = [*range(7, 27), *range(30, 50)]
    path = write_csv(tmp_path / "a.csv", detected("coco17"), NAMES, frames)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[:0:-1]]))  # rows are in no order
    read = read_people(path)
    assert read.frames == [str(i) for i in frames]
    np.testing.assert_array_equal(read.joints, detected("coco17")[:, 0])


def test_animals_are_refused_by_their_parts(tmp_path):
    names = ["head", "thorax", "abdomen", *(f"leg{i}" for i in range(13)), "wing_L"]
    for path in (
        write_h5(tmp_path / "a.h5", detected("coco17", 3), names),
        write_csv(tmp_path / "a.csv", detected("coco17", 3), names),
    ):
        with pytest.raises(DataError, match=r"joints of a person.*head, thorax.*and 5 more"):
            read_people(path)


def _drop(name):
    return lambda file: file.pop(name)


def _replace(name, array):
    def change(file):
        del file[name]
        file[name] = array

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_replace("point_scores", np.ones((2, 17, 39))), "'point_scores' .* got .39, 2, 17"),
        (_replace("node_names", [b"a", b"b"]), r"'tracks' .* got \(40, 2, 17, 2\)"),
        (_replace("track_names", [b"a"]), r"'track_names' .* \(2,\) .* got \(1,\)"),
        (_replace("track_occupancy", np.ones((2, 40))), "'track_occupancy'"),
        (_replace("tracks", np.ones((40, 2, 17, 2))), "'track_occupancy'"),
        (_replace("tracks", np.ones((40, 2, 17))), "with 4 axes"),
        (_replace("node_names", np.ones(17)), "node_names"),
        (_replace("tracks", h5py.SoftLink("/point_scores")), "known format"),
        (lambda f: f["tracks"].attrs.__setitem__("dims", json.dumps([*AXES[:3], "z"])),
         "expected the axes"),
        (lambda f: f["tracks"].attrs.__setitem__("dims", "[[[["), "expected the axes"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path, change, reason):
    path = WRITERS["sleap-h5"](tmp_path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(DataError, match=reason):
        read_people(path)


def test_scores_may_be_lacking(tmp_path):
    path = WRITERS["sleap-h5"](tmp_path)
    with h5py.File(path, "a") as file:
        for name in ("point_scores", "instance_scores", "tracking_scores", "track_names"):
            del file[name]
    read = read_people(path)
    assert (read.joints[..., 2] == 1).all()
    assert np.isnan(read.score).all()


def test_contradictions_of_a_csv_are_refused(tmp_path):
    path = WRITERS["sleap-csv"](tmp_path)
    text = path.read_text()
    first = text.splitlines()[1]
    cases = [
        (text + first + "\n", "81 rows of 80 pairs of frame and track"),
        (text.replace("nose.score", "nose.sure", 1), "x, y, score of every part"),
        (text.replace("nose.y", "nose.x", 1), "each column once"),
        (text.replace("track_0,0,", "track_0,a,", 1), "rows with the number of a frame"),
        (text[:-30], "54 cells in every row .*row 81; it is cut short"),
        (text.splitlines()[0] + "\n", "and 0 rows"),
        (text.replace("0.9,", "high,", 1), "'high'"),
    ]
    for changed, reason in cases:
        path.write_text(changed)
        with pytest.raises(DataError, match=reason):
            read_people(path)


def test_a_project_is_refused(tmp_path):
    path = tmp_path / "labels.slp"
    with h5py.File(path, "w") as file:
        for name in ("frames", "instances", "points", "pred_points"):
            file[name] = np.zeros(3, [("x", "f8"), ("y", "f8")])
        file.create_group("metadata").attrs["json"] = "{}"
    with pytest.raises(DataError, match=r"SLEAP project; export .* analysis HDF5 or csv"):
        read_people(path)


def test_other_hdf5_is_refused_in_words(tmp_path):
    path = tmp_path / "v73.mat"
    with h5py.File(path, "w") as file:
        file["annot3"] = np.zeros((4, 17, 3))
    with pytest.raises(DataError, match=r"known format .* HDF5 with annot3"):
        read_people(path)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["annot3"] = np.zeros((4, 17, 3))
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")
    with pytest.raises(DataError, match="a MATLAB file; save the arrays as npz"):
        read_people(path)


def test_damaged_h5_gives_people_or_data_errors(tmp_path, count_refused):
    path = WRITERS["sleap-h5"](tmp_path)
    raw, rng = path.read_bytes(), random.Random(4)

    def versions():
        for _ in range(6):
            damaged = bytearray(raw)
            for _ in range(rng.randint(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            if rng.random() < 0.4:
                del damaged[rng.randrange(len(damaged)) :]
            path.write_bytes(damaged)
            yield

    assert count_refused(versions(), lambda: read_people(path)) > 0
