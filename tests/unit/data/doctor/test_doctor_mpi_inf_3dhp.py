"""Correct tiny files of MPI-INF-3DHP are clean; damage, and what is not there, is named."""

from __future__ import annotations

import shutil
import warnings

import h5py
import numpy as np
import published_npz
import pytest
from mutation import damaged_copies
from scipy.io import savemat

from lifting.data.config import DataConfig
from lifting.data.doctor.check import check
from lifting.data.doctor.presence import Group, Published
from lifting.data.sets.mpi_inf_3dhp import checks
from lifting.skeleton import MPI_INF_3DHP_17, MPI_INF_3DHP_28

MPI_FLIP = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14, 15, 16]
FRAMES = 40


def row(rows, what):
    (found,) = [r for r in rows if r.what == what]
    return found


def not_ok(rows):
    return [r for r in rows if r.verdict != "ok"]


def look_at(folder, *published):
    config = DataConfig(name="mpi_inf_3dhp", root=None if folder is None else str(folder))
    return checks.check(config, *published) if published else check(config)


class TestMpiNpz:
    TRAIN = Published(("S1", "S2"), groups=(Group("S1", ("S1",), ("Seq1",), frames=FRAMES),))
    TEST = Published(("TS1", "TS5"), groups=(Group("TS5", ("TS5",), frames=30, valid=20),))

    def write(self, folder, train=None, subjects=2):
        """Two subjects show all damage; the reader, which wants all eight, is not asked then."""
        sequences = {f"S{i} Seq1": FRAMES for i in range(1, subjects + 1)}
        known = published_npz.write_mpi_train(
            folder / "data_train_3dhp.npz", sequences, list("01245678")
        )
        tests = {f"TS{i}": 30 for i in range(1, 7)}
        published_npz.write_mpi_test(folder / "data_test_3dhp.npz", tests)
        if train is not None:
            data = {}
            for (name, camera), (joints, pixels) in known.items():
                joints, pixels = train(name, camera, joints, pixels)
                data.setdefault(name, [{}])[0][camera] = {
                    "data_2d": pixels.astype(np.float32),
                    "data_3d": joints.astype(np.float32),
                }
            published_npz.write_object_npz(folder / "data_train_3dhp.npz", 3, data=data)
        return known

    def rows(self, folder):
        return look_at(folder, self.TRAIN, self.TEST)

    def test_clean(self, tmp_path):
        self.write(tmp_path, subjects=8)
        rows = self.rows(tmp_path)
        assert not_ok(rows) == []
        assert row(rows, "valid frames TS5 data_test_3dhp").found == "20"

    @pytest.mark.parametrize(
        ("change", "wanted"),
        [
            (lambda n, c, j, p: (j / 1000, p), "unit 3D data_train_3dhp"),
            (lambda n, c, j, p: (j[:, MPI_FLIP], p), "left and right 3D data_train_3dhp"),
            (lambda n, c, j, p: (j, p[:, MPI_FLIP]), "left and right 2D data_train_3dhp"),
            (lambda n, c, j, p: (j * (1, -1, 1), p), "vertical axis 3D data_train_3dhp"),
            (lambda n, c, j, p: (j * (np.nan, 1, 1), p), "shapes data_train_3dhp"),
            (lambda n, c, j, p: (j, np.roll(p, -5, 0)), "time 2D data_train_3dhp"),
            (lambda n, c, j, p: (j[:, ::-1], p), "joint order 3D data_train_3dhp"),
            (lambda n, c, j, p: (j[:30], p[:30]) if c == "2" else (j, p),
             "frames S1 data_train_3dhp"),
            (lambda n, c, j, p: (j[:30], p[:30]), "frames S1 data_train_3dhp"),
            (lambda n, c, j, p: (j[:, :16], p), "shapes data_train_3dhp"),
        ],
    )  # fmt: skip
    def test_damage(self, tmp_path, complaints, change, wanted):
        self.write(tmp_path, change)
        found = complaints(self.rows(tmp_path))
        consequences = {"reprojection 2D data_train_3dhp"}
        assert found - consequences == {wanted}

    def test_permuted_cameras_without_intrinsics(self, tmp_path, complaints):
        known = {}

        def turned(name, camera, joints, pixels):
            # Each camera has a person of its own here, as if the cameras stood elsewhere.
            known[name, camera] = pixels
            other = {"0": "1", "1": "0"}.get(camera, camera)
            return joints, known.get((name, other), pixels)

        first = self.write(tmp_path)
        known |= {key: pixels for key, (_, pixels) in first.items()}
        self.write(tmp_path, turned)
        rows = self.rows(tmp_path)
        assert "cameras 2D data_train_3dhp" in complaints(rows)
        assert "those of 1" in row(rows, "cameras 2D data_train_3dhp").found

    def test_absent(self, tmp_path, complaints):
        rows = look_at(tmp_path)
        assert complaints(rows) == {"files"}
        assert len(rows) == 1


def raw_view(seed, camera):
    """Pixels and joints of a raw camera, 28 joints in a row."""
    lens = published_npz.mpi_camera_lens(camera)
    joints, pixels = published_npz.mpi_view(FRAMES, seed + camera, lens)
    every = []
    for values in (pixels, joints):
        wide = np.full((FRAMES, 28, values.shape[-1]), 9e3)
        names = [MPI_INF_3DHP_28.index(j) for j in MPI_INF_3DHP_17.joints]
        wide[:, names] = values
        every.append(wide.reshape(FRAMES, -1))
    return (*every, lens)


def write_raw(folder, scale=1.0):
    train = folder / "S1" / "Seq1"
    train.mkdir(parents=True)
    views = [raw_view(5, camera) for camera in range(14)]
    cells = {}
    for key, place in (("annot2", 0), ("annot3", 1), ("univ_annot3", 1)):
        cells[key] = np.empty((14, 1), dtype=object)
        for camera, view in enumerate(views):
            cells[key][camera, 0] = view[place] * (scale if place else 1)
    savemat(train / "annot.mat", cells)
    text = ["Skeltool Camera Calibration File V1.0"]
    for camera, (*_, (fx, fy, cx, cy)) in enumerate(views):
        text += [
            f"name          {camera}", "  sensor      10 10", "  size        2048 2048",
            "  animated    0", f"  intrinsic   {fx} 0 {cx} 0 0 {fy} {cy} 0 0 0 1 0 0 0 0 1",
            "  extrinsic   1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "  radial      0",
        ]  # fmt: skip
    (train / "camera.calibration").write_text("\n".join(text) + "\n")
    test = folder / "mpi_inf_3dhp_test_set" / "TS1"
    test.mkdir(parents=True)
    joints, pixels = published_npz.mpi_view(FRAMES, 70, published_npz.MPI_LENS["TS1"])
    with h5py.File(test / "annot_data.mat", "w") as file:
        file["annot2"], file["annot3"] = pixels[:, None], joints[:, None]
        file["univ_annot3"] = 0.9 * joints[:, None]
        file["valid_frame"] = np.ones((FRAMES, 1))


class TestMpiRaw:
    TRAIN = Published(("S1",), groups=(Group("S1/Seq1", ("S1",), ("Seq1",), frames=FRAMES),))
    TEST = Published(("TS1",), groups=(Group("TS1", ("TS1",), frames=FRAMES, valid=FRAMES),))

    def test_clean(self, tmp_path, complaints):
        write_raw(tmp_path)
        rows = look_at(tmp_path, self.TRAIN, self.TEST)
        # Training wants all subjects; what is there is right.
        assert {r.what for r in not_ok(rows)} == {"reader train"}
        assert "median 0.0" in row(rows, "reprojection 2D S1..S8").found

    def test_metres_and_damage(self, tmp_path, complaints):
        write_raw(tmp_path, scale=0.001)
        (tmp_path / "mpi_inf_3dhp_test_set" / "TS1" / "annot_data.mat").write_bytes(b"no mat")
        rows = look_at(tmp_path, self.TRAIN, self.TEST)
        assert complaints(rows) == {"unit S1/Seq1/annot.mat", "form TS1/annot_data.mat"}


class TestParts:
    """What is not there is a warning, unless the reader cannot do without it."""

    def test_the_test_alone(self, tmp_path, complaints):
        published_npz.write_mpi_test(tmp_path / "data_test_3dhp.npz", {"TS5": 30, "TS6": 30})
        rows = look_at(tmp_path)
        missing = row(rows, "subjects data_test_3dhp")
        assert (missing.verdict, missing.found) == ("warn", "missing TS1, TS2, TS3, TS4")
        assert row(rows, "files train").verdict == "warn"
        assert row(rows, "reader test").found == "60 frames in 2 tracks"
        assert not [r for r in rows if r.what == "reader train"]
        wanted = {f"{v}frames TS{i} data_test_3dhp" for v in ("", "valid ") for i in (5, 6)}
        assert complaints(rows) == wanted  # these are cut short

    def test_a_sequence_that_is_asked_for(self, tmp_path):
        published_npz.write_mpi_test(tmp_path / "data_test_3dhp.npz", {"TS5": 30})
        config = DataConfig(name="mpi_inf_3dhp", root=str(tmp_path))
        config.mpi_inf_3dhp.test_sequences = ("TS5", "TS6")
        rows = checks.check(config)
        assert row(rows, "subjects data_test_3dhp").verdict == "fail"
        assert "missing sequence 'TS6'" in row(rows, "reader test").advice

    def test_distributed_files_under_two_roots_are_counted_once(self, tmp_path, monkeypatch):
        home = tmp_path / "mpi_inf_3dhp"
        write_raw(home)
        shutil.copytree(home / "mpi_inf_3dhp_test_set", tmp_path / "mpi_inf_3dhp_test_set")
        monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
        rows = look_at(None, TestMpiRaw.TRAIN, TestMpiRaw.TEST)
        assert {r.what for r in not_ok(rows)} == {"reader train"}
        assert row(rows, "frames TS1 TS1..TS6").found == str(FRAMES)
        assert row(rows, "files").found.count("annot_data.mat") == 1
        assert row(rows, "reader test").found == f"{FRAMES} frames in 1 tracks"

    def test_a_missing_sequence_of_a_subject(self, tmp_path):
        write_raw(tmp_path)
        rows = look_at(tmp_path)
        missing = row(rows, "subjects S1..S8")
        assert missing.found.startswith("missing S2, S3, S4, S5, S6, S7, S8, S1/Seq2")
        assert row(rows, "subjects TS1..TS6").verdict == "warn"


def test_damaged_bytes_make_rows(tmp_path):
    """Every row says what is wrong, and what to do when something is."""
    published_npz.write_mpi_test(tmp_path / "data_test_3dhp.npz", {"TS1": 12})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in damaged_copies(tmp_path / "data_test_3dhp.npz", 40, seed=4):
            rows = look_at(tmp_path)
            assert rows
            for one in rows:
                assert one.what
                assert one.expected
                assert one.found
                assert bool(one.advice) == (one.verdict != "ok"), one
