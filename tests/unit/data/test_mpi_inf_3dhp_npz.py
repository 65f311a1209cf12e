"""MPI-INF-3DHP npz files: read back, annotations kept apart, valid frames marked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mutation import damaged_copies
from published_npz import (
    TO_MPI,
    mpi_camera_lens,
    write_mpi_test,
    write_mpi_train,
    write_object_npz,
)

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.sets.mpi_inf_3dhp.config import Config as Mpi3dhpConfig
from lifting.data.sets.mpi_inf_3dhp.reader import cache_key, tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.geometry.camera import project
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17
from lifting.skeleton.convert import remap_joints

CAMERAS = ("0", "1", "4", "10")
TRAIN = {"S1 Seq1": 5, "S1 Seq2": 3, "S2 Seq1": 4, "S8 Seq1": 6}
TEST = {"TS1": 7, "TS5": 4}
OPTIONS = {
    "train_subjects": ("S1", "S2", "S8"),
    "cameras": CAMERAS,
    "test_sequences": ("TS1", "TS5"),
}
# Where joints are in the order of Human3.6M and in that of the files, counted by hand.
NAMED = {
    "right_knee": (2, 9),
    "left_ankle": (6, 13),
    "left_wrist": (13, 7),
    "right_elbow": (15, 3),
}
TO_OURS = np.argsort(TO_MPI)  # from the files' order to the one that the writers begin with


@pytest.fixture
def folder(tmp_path):
    write_mpi_train(tmp_path / "data_train_3dhp.npz", TRAIN, CAMERAS)
    write_mpi_test(tmp_path / "data_test_3dhp.npz", TEST)
    return tmp_path


def read(folder, split, **options):
    section = Mpi3dhpConfig(**{**OPTIONS, **options})
    config = DataConfig(name="mpi_inf_3dhp", root=str(folder), mpi_inf_3dhp=section)
    return tracks(config, split)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_training_files_are_read_back(tmp_path, protocol, rows):
    path = tmp_path / "data_train_3dhp.npz"
    known = write_mpi_train(path, TRAIN, CAMERAS, protocol)
    got = read(tmp_path, "train", val_subjects=())
    assert len(got.track_names) == 4 * 4
    assert got.skeleton.name == "mpi17"
    assert got.visible is None
    for (name, camera), (joints, pixels) in known.items():
        at = rows(got, f"{name.replace(' ', '/')}/{camera}")
        np.testing.assert_allclose(got.joints_3d[at], joints, atol=1e-3)
        np.testing.assert_allclose(got.keypoints_2d[at], pixels, atol=1e-3)


def test_training_lenses_are_estimated(folder):
    got = read(folder, "train")
    assert got.cameras.intrinsics.shape == (4, 9)
    expected = [mpi_camera_lens(camera) for camera in CAMERAS]
    np.testing.assert_allclose(got.cameras.intrinsics[:, :4], expected, atol=0.05)
    assert got.cameras.rotation is None
    assert got.cameras.size.tolist() == [[2048, 2048]] * 4
    assert got.source["intrinsics"].endswith("0 0.00, 1 0.00, 4 0.00, 10 0.00")
    assert got.camera_kind == "estimated"
    assert read(folder, "test").camera_kind == "true"


def test_test_files_are_read_back_with_valid_frames(tmp_path, rows):
    known = write_mpi_test(tmp_path / "data_test_3dhp.npz", TEST)
    got = read(tmp_path, "test")
    assert got.track_names == ("TS1", "TS5")
    for name, (joints, pixels, valid) in known.items():
        at = rows(got, name)
        np.testing.assert_allclose(got.joints_3d[at], joints, atol=1e-3)
        np.testing.assert_allclose(got.keypoints_2d[at], pixels, atol=1e-3)
        assert got.visible[at].all(1).tolist() == valid.tolist()
        assert got.visible[at].any(1).tolist() == valid.tolist()
    assert got.source["valid_frames"] == "TS1 5, TS5 3; 8 in all against 2929 published"
    assert got.source["sequences"].startswith("TS2, TS3, TS4, TS6 not asked for")
    assert "TS5 4 (3 valid) against 320 (276 valid)" in got.source["frame_counts"]


def test_test_cameras_have_two_resolutions(folder):
    got = read(folder, "test")
    cameras = got.cameras[got.camera]
    assert cameras.size.tolist() == [[2048, 2048], [1920, 1080]]
    rows_of = got.camera.repeat_interleave(got.offsets.diff())
    again = project(got.joints_3d, got.cameras.intrinsics[rows_of])
    torch.testing.assert_close(again, got.keypoints_2d, atol=1e-2, rtol=0)


def test_the_two_annotations_are_kept_apart(folder):
    assert read(folder, "test").source["annotation"] == "univ_annot3"
    with pytest.raises(MissingDataError, match=r"data_test_3dhp_ori\.npz"):
        read(folder, "test", annotation="annot3")
    write_mpi_test(folder / "data_test_3dhp_ori.npz", {"TS1": 3, "TS5": 3})
    got = read(folder, "test", annotation="annot3")
    assert got.source["annotation"] == "annot3"
    assert len(got) == 6


@pytest.mark.parametrize("wish", ["h36m17", "mpi17"])
def test_joints_are_the_files_own_whatever_is_wished_for(folder, rows, wish):
    """The data module converts; a joint has its name in either order."""
    known = write_mpi_test(folder / "data_test_3dhp.npz", TEST)
    got = read(folder, "test", skeleton=wish)
    assert got.skeleton is MPI_INF_3DHP_17
    converted, _ = remap_joints(got.joints_3d, MPI_INF_3DHP_17, H36M_17)
    for name, (joints, _, _) in known.items():
        at = rows(got, name)
        for joint, (ours, theirs) in NAMED.items():
            assert H36M_17.index(joint) == ours
            place = joints[:, theirs]
            np.testing.assert_allclose(got.joints_3d[at, got.skeleton.index(joint)], place, 1e-5)
            np.testing.assert_allclose(converted[at, ours], place, 1e-5)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_file_in_the_order_of_human36m_is_refused(folder, split):
    def reorder(data):
        views = (
            data.values() if split == "test" else (v for s in data.values() for v in s[0].values())
        )
        for view in views:
            view["data_3d"], view["data_2d"] = (
                view["data_3d"][:, TO_OURS],
                view["data_2d"][:, TO_OURS],
            )

    changed(folder, reorder, split)
    with pytest.raises(DataError, match=r"order of mpi17 .*sound ones in the order of h36m17"):
        read(folder, split)


def test_limbs_that_nobody_has_are_warned_of(folder, caplog):
    def stretch(data):
        for view in data.values():
            view["data_3d"][:, 7] += view["data_3d"][:, 7] - view["data_3d"][:, 6]

    changed(folder, stretch, "test")
    read(folder, "test")
    assert "data_test_3dhp.npz has limbs that nobody has: left forearm" in caplog.text


@pytest.mark.parametrize("unwrapped", [False, True])
def test_poses_stored_relative_to_joint_14_are_recognised(folder, unwrapped, rows):
    known = write_mpi_train(folder / "x.npz", TRAIN, CAMERAS)
    data = {}
    for (name, camera), (joints, pixels) in known.items():
        relative = joints - joints[:, 14:15]
        relative[:, 14] = joints[:, 14]
        views = data.setdefault(name, {} if unwrapped else [{}])
        (views if unwrapped else views[0])[camera] = {"data_2d": pixels, "data_3d": relative}
    write_object_npz(folder / "data_train_3dhp.npz", data=data)
    got = read(folder, "train")
    np.testing.assert_allclose(
        got.joints_3d[rows(got, "S2/Seq1/4")], known["S2 Seq1", "4"][0], atol=1e-2
    )


def test_subjects_are_divided(folder):
    options = {"val_subjects": ("S8",)}
    train, val = read(folder, "train", **options), read(folder, "val", **options)
    assert {train.subject_names[i] for i in train.subject.tolist()} == {"S1", "S2"}
    assert {val.subject_names[i] for i in val.subject.tolist()} == {"S8"}
    assert torch.equal(train.cameras.intrinsics, val.cameras.intrinsics)
    options = {"val_subjects": (), "val_holdout": 3}
    train, val = read(folder, "train", **options), read(folder, "val", **options)
    assert len(train.track_names) + len(val.track_names) == 16
    assert not set(train.track_names) & set(val.track_names)


def test_cameras_and_frames_can_be_chosen(folder):
    got = read(folder, "train", cameras=("10",), every=2, val_subjects=())
    assert got.track_names == ("S1/Seq1/10", "S1/Seq2/10", "S2/Seq1/10", "S8/Seq1/10")
    assert got.offsets.diff().tolist() == [3, 2, 2, 3]
    assert got.fps.tolist() == [12.5, 25, 12.5, 12.5]
    assert len(read(folder, "train", cameras=(), val_subjects=()).track_names) == 16


@pytest.mark.parametrize(
    ("sequences", "rates", "words"),
    [
        (("S2 Seq1", "S1 Seq2", "S1 Seq1"), [25, 50, 25],
         "25 a second in S1/Seq1, S2/Seq1; 50 a second in S1/Seq2"),
        (("S5 Seq2", "S3 Seq1"), [50, 50], "50 a second"),
    ],
)  # fmt: skip
def test_training_sequences_have_the_published_frame_rates(tmp_path, sequences, rates, words):
    write_mpi_train(tmp_path / "data_train_3dhp.npz", dict.fromkeys(sequences, 3), CAMERAS)
    subjects = tuple({name[:2] for name in sequences})
    got = read(tmp_path, "train", train_subjects=subjects, val_subjects=(), cameras=("4",))
    assert got.fps.tolist() == rates
    assert got.source["frame_rate"] == words


def test_test_sequences_have_fifty_frames_a_second(folder):
    got = read(folder, "test")
    assert got.fps.tolist() == [50, 50]
    assert got.source["frame_rate"] == "50 a second"


def test_what_is_there_of_the_test_is_read_and_what_is_not_is_said(tmp_path, caplog):
    """No training file, two of six sequences, and nobody named any."""
    write_mpi_test(tmp_path / "data_test_3dhp.npz", {"TS6": 4, "TS5": 7})
    got = read(tmp_path, "test", test_sequences=())
    assert got.track_names == ("TS5", "TS6")
    said = "TS1, TS2, TS3, TS4 not found: the published test has all six; 2 of 6 scored"
    assert got.source["sequences"] == said
    assert said in caplog.text
    assert got.source["split_rule"] == "sequences TS5, TS6"
    assert got.source["valid_frames"] == "TS5 5, TS6 3; 8 in all against 2929 published"
    with pytest.raises(DataError, match="missing sequence 'TS1' in data of"):
        read(tmp_path, "test", test_sequences=("TS1", "TS5"))
    with pytest.raises(MissingDataError, match=r"data_train_3dhp\.npz or S1/Seq1/annot\.mat"):
        read(tmp_path, "train")


def test_sequences_and_cameras_named_twice_count_once(folder):
    assert read(folder, "test", test_sequences=("TS5", "TS5")).track_names == ("TS5",)
    got = read(folder, "val", cameras=("4", "4"), val_subjects=("S8",))
    assert got.track_names == ("S8/Seq1/4",)


def test_files_under_two_roots_are_read_once(tmp_path, monkeypatch):
    inner = tmp_path / "mpi_inf_3dhp"
    inner.mkdir()
    for folder, seed in ((tmp_path, 9), (inner, 0)):
        write_mpi_test(folder / "data_test_3dhp.npz", {"TS1": 7 + seed, "TS5": 4})
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    section = Mpi3dhpConfig(**OPTIONS)
    got = tracks(DataConfig(name="mpi_inf_3dhp", mpi_inf_3dhp=section), "test")
    assert got.offsets.tolist() == [0, 7, 11]


def changed(folder, change, part="train"):
    path = folder / f"data_{part}_3dhp.npz"
    if part == "train":
        data = {name: [{c: {} for c in CAMERAS}] for name in TRAIN}
        for (name, camera), (joints, pixels) in write_mpi_train(path, TRAIN, CAMERAS).items():
            data[name][0][camera] = {"data_2d": pixels, "data_3d": joints}
    else:
        known = write_mpi_test(path, TEST)
        data = {
            name: {"data_2d": pixels, "data_3d": joints, "valid": valid.astype(float)}
            for name, (joints, pixels, valid) in known.items()
        }
    change(data)
    write_object_npz(path, data=data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("S2 Seq1"), "missing subject 'S2 Seq1' in data of"),
        (lambda d: d["S1 Seq1"][0].pop("4"), "missing camera '4' in data/S1 Seq1"),
        (lambda d: d["S1 Seq1"][0].update(left={}), "expected cameras by number .*got 'left'"),
        (lambda d: d.update(TS1=[{}]), "names such as 'S1 Seq1' .*got 'TS1'"),
        (lambda d: d["S1 Seq1"].clear(), "expected a dictionary by name at data/S1 Seq1"),
        (lambda d: d["S1 Seq1"][0]["0"].pop("data_3d"), "missing array 'data_3d' in camera 0"),
        (
            lambda d: d["S1 Seq1"][0]["0"].update(data_3d=np.zeros((5, 28, 3))),
            r"shape \(any, 17, 3\) at data_3d, camera 0 in data/S1 Seq1",
        ),
        (
            lambda d: d["S1 Seq1"][0]["0"].update(data_2d=np.zeros((2, 17, 2))),
            "at least 5 frames, as the 3D file has, in camera 0 in data/S1 Seq1",
        ),
        (
            lambda d: [v["data_3d"].__imul__(0.001) for s in d.values() for v in s[0].values()],
            "expected poses in mm in",
        ),
        (
            lambda d: [
                v["data_3d"].__isub__(v["data_3d"][:, 14:15].copy())
                for s in d.values()
                for v in s[0].values()
            ],
            "poses relative to it without a trajectory",
        ),
    ],
)
def test_what_a_training_file_lacks_is_named(folder, change, message):
    changed(folder, change)
    with pytest.raises(DataError, match=message):
        read(folder, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("TS5"), "missing sequence 'TS5' in data of"),
        (lambda d: d["TS1"].pop("valid"), "missing array 'valid' in data/TS1"),
        (lambda d: d["TS1"].update(valid=np.ones(3)), r"numbers of shape \(7\) at valid in"),
        (lambda d: d.update(TS1=[]), "expected a dictionary by name at data/TS1"),
    ],
)
def test_what_a_test_file_lacks_is_named(folder, change, message):
    changed(folder, change, "test")
    with pytest.raises(DataError, match=message):
        read(folder, "test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_subjects": ("S9",)}, r"unknown name 'S9' in data\.mpi_inf_3dhp\.train_subjects"),
        ({"val_subjects": ("TS1",)}, r"data\.mpi_inf_3dhp\.val_subjects"),
        ({"test_sequences": ("TS7",)}, r"unknown name 'TS7'"),
        ({"cameras": ("14",)}, r"unknown name '14'"),
        ({"train_subjects": (), "val_subjects": ()}, "to name somebody"),
        ({"every": 0}, r"data\.mpi_inf_3dhp\.every of at least 1"),
        ({"val_subjects": (), "val_holdout": 1}, "expected val_holdout of 0 or from 2"),
    ],
)
def test_options_are_checked(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        read(folder, "train", **options)


def test_the_data_module_delivers_masked_batches(folder, tmp_path):
    section = Mpi3dhpConfig(**OPTIONS)
    config = DataConfig(
        name="mpi_inf_3dhp",
        root=str(folder),
        cache=str(tmp_path / "cache"),
        frames=3,
        mpi_inf_3dhp=section,
    )
    batch = next(iter(PoseDataModule(config, seed=0).test_dataloader()))
    assert int(batch.visible.all(-1).sum()) == 8
    assert len(batch) == 11
    key = cache_key(config, "test")
    write_mpi_test(folder / "data_test_3dhp.npz", {"TS1": 3, "TS5": 3})
    assert cache_key(config, "test") != key


@pytest.mark.parametrize("part", ["train", "test"])
def test_code_in_a_file_is_refused_and_not_run(folder, trap, part):
    changed(folder, lambda d: d.update(evil=trap), part)
    with pytest.raises(DataError, match="unsafe: it asks for"):
        read(folder, part)
    assert not trap.mark.exists()


@pytest.mark.parametrize("part", ["train", "test"])
def test_damaged_files_raise_nothing_but_data_errors(
    tmp_path, part, damage_count, count_refused, memory_below
):
    write_mpi_train(tmp_path / "data_train_3dhp.npz", {"S1 Seq1": 3}, ("0",))
    write_mpi_test(tmp_path / "data_test_3dhp.npz", {"TS1": 3})
    options = {
        "train_subjects": ("S1",),
        "val_subjects": (),
        "cameras": (),
        "test_sequences": ("TS1",),
    }
    read(tmp_path, part, **options)
    versions = damaged_copies(tmp_path / f"data_{part}_3dhp.npz", damage_count)
    with memory_below(30e6):
        refused = count_refused(versions, lambda: read(tmp_path, part, **options))
    assert refused > damage_count / 2
