"""The CMU reader: a small file written here, and the distributed one where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from cmu_files import FRAMES, content

from lifting.data.config import DataConfig
from lifting.data.sets.cmu import reader as cmu
from lifting.data.sets.cmu.config import FILE_NAME
from lifting.data.sets.cmu.files import FILE_JOINTS, read_cmu_file, verify_values
from lifting.data.splits import CMU_PUBLIC_SPLIT, SubjectSplit
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.files import checks
from lifting.files.npz import write_npz_atomically
from lifting.geometry.kinematics import bone_lengths
from lifting.skeleton import H36M_17


def write(folder, **changes):
    write_npz_atomically(folder / FILE_NAME, **{**content(), **changes})
    return DataConfig(name="cmu", root=str(folder))


@pytest.mark.parametrize(("split", "index"), [("train", 0), ("val", 1), ("test", 2)])
def test_each_part_holds_its_sequences(tmp_path, split, index):
    clips = cmu.motion(write(tmp_path), split)
    rows = content()["offsets"][index : index + 2]
    np.testing.assert_array_equal(clips.joints_3d, content()["positions_mm"][rows[0] : rows[1]])
    assert clips.joints_3d.dtype == torch.float32
    assert clips.offsets.tolist() == [0, FRAMES[index]]
    assert clips.names == (content()["names"][index],)
    assert clips.subject_names == ("S01", "S02", "S07")
    assert clips.subject_names[clips.subject[0]] == content()["subjects"][index]
    assert clips.action_names[clips.action[0]] == content()["actions"][index]
    assert clips.fps == 50
    assert clips.source["dataset"] == "cmu"
    assert clips.source["split"] == split


def test_joints_are_matched_by_name(tmp_path):
    order = np.array([0, 4, 5, 6, 1, 2, 3, *range(7, 17)])
    back = np.argsort(order)
    parents = np.array([-1 if p < 0 else back[p] for p in np.array(H36M_17.parents)[order]])
    config = write(
        tmp_path,
        positions_mm=content()["positions_mm"][:, order],
        joint_names=np.array(FILE_JOINTS)[order],
        parents=parents.astype(np.int16),
        bone_lengths_mm=content()["bone_lengths_mm"][:, order],
    )
    clips = cmu.motion(config, "train")
    np.testing.assert_array_equal(clips.joints_3d, content()["positions_mm"][: FRAMES[0]])


def test_not_finite_value_names_sequence_frame_and_joint(tmp_path):
    positions = content()["positions_mm"].astype(np.float32)
    positions[FRAMES[0] + 5, 13, 2] = np.nan
    with pytest.raises(DataError, match="sequence 07_01, frame 5, joint LWrist"):
        cmu.motion(write(tmp_path, positions_mm=positions), "train")


def test_stretched_bone_names_sequence_frame_and_joint(tmp_path):
    positions = content()["positions_mm"]
    positions[FRAMES[0] + FRAMES[1] + 3, 10, 2] += 40
    with pytest.raises(DataError, match=r"bones within 5 mm.*sequence 02_01, frame 3, joint Head"):
        cmu.motion(write(tmp_path, positions_mm=positions), "test")


def test_jump_is_refused_but_not_between_sequences(tmp_path):
    positions = content()["positions_mm"]
    positions[FRAMES[0] :, :, 1] += 5000
    config = write(tmp_path, positions_mm=positions)
    assert len(cmu.motion(config, "val").names) == 1
    positions[10:20, :, 1] += 5000
    with pytest.raises(DataError, match=r"below 30000 mm/s.*sequence 01_01, frame 10, joint Hip"):
        cmu.motion(write(tmp_path, positions_mm=positions), "val")


def test_metres_are_refused_by_the_reader(tmp_path):
    positions = content()["positions_mm"].astype(np.float32) / 1000
    with pytest.raises(DataError, match="in another unit"):
        cmu.motion(write(tmp_path, positions_mm=positions), "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": np.array(["train", "val", "dev"])}, "parts among train, val, test"),
        ({"subjects": np.array(["S01", "S01", "S02"])}, "every subject in one part"),
        ({"names": np.array(["a", "a", "b"])}, "unique sequence names"),
        ({"actions": np.array(["walk"])}, "one of 'actions' a sequence"),
        ({"offsets": np.array([0, 30, 20, 95])}, "rising offsets from 0 to 95"),
        ({"offsets": np.array([0, 30, 70, 90])}, "rising offsets from 0 to 95"),
        ({"skeletons": np.array(["one", "two", "one"])}, "skeletons among"),
        ({"joint_names": np.array(["x", *FILE_JOINTS[1:]])}, "the joints Hip, RHip"),
        ({"parents": np.zeros(17, np.int16)}, "expected parents"),
        ({"parents": np.full(17, 99, np.int16)}, "expected parents"),
        ({"fps": np.array(np.nan, np.float32)}, "fps from 1 to 1000"),
        ({"positions_mm": np.zeros((95, 16, 3), np.int16)}, r"shape \(frames, 17, 3\)"),
        ({"bone_lengths_mm": np.ones((2, 17), np.float32)}, "bone_lengths_mm of shape"),
    ],
)
def test_inconsistent_file(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        cmu.motion(write(tmp_path, **changes), "train")


def test_empty_part_says_which_parts_there_are(tmp_path):
    config = write(tmp_path, split=np.array(["train", "train", "test"]))
    with pytest.raises(DataError, match=r"part 'val'.*parts: test, train"):
        cmu.motion(config, "val")


def test_chosen_actions_validate_in_place_of_the_files_part(tmp_path):
    names = np.array(["climb", "walk", "dance"])  # of train, val and test
    config = write(tmp_path, actions=names)
    config.cmu.val_actions = ("climb",)
    parts = {split: cmu.motion(config, split) for split in ("train", "val", "test")}
    assert {k: v.names[0] for k, v in parts.items()} == dict(
        zip(("val", "train", "test"), content()["names"], strict=True)
    )
    assert "validation on actions climb" in parts["val"].source["split_rule"]
    config.cmu.val_actions = ("dance",)
    with pytest.raises(ConfigError, match=r"'dance' in data\.cmu\.val_actions"):
        cmu.motion(config, "val")


def test_missing_file(tmp_path):
    with pytest.raises(MissingDataError, match=FILE_NAME):
        cmu.cache_key(DataConfig(name="cmu", root=str(tmp_path)), "train")


def test_cache_key_follows_content_and_part(tmp_path):
    config = write(tmp_path)
    train = cmu.cache_key(config, "train")
    assert train == cmu.cache_key(config, "train")
    assert train != cmu.cache_key(config, "val")
    write(tmp_path, actions=np.array(["walk", "jump", "run"]))
    assert cmu.cache_key(config, "train") != train


def test_cache_key_follows_the_actions_that_validate(tmp_path):
    config = write(tmp_path)
    plain = cmu.cache_key(config, "val")
    config.cmu.val_actions = ("climb",)
    assert cmu.cache_key(config, "val") != plain


def test_unchanged_file_is_hashed_once(tmp_path):
    config = write(tmp_path)
    cmu.cache_key(config, "train")
    before = checks._digest.cache_info().misses
    cmu.cache_key(config, "val")
    assert checks._digest.cache_info().misses == before


def test_public_split_is_disjoint_and_agrees_with_the_distributed_parts():
    parts = [CMU_PUBLIC_SPLIT.part(i) for i in (1, 6, 7, 2, 5)]
    assert parts == ["train", "train", "val", "test", "test"]
    for a, b in ((18, 19), (20, 21), (22, 23), (33, 34), (60, 61)):
        assert CMU_PUBLIC_SPLIT.part(a) == CMU_PUBLIC_SPLIT.part(b)
    with pytest.raises(DataError, match="expected a subject from 1 to 144"):
        CMU_PUBLIC_SPLIT.part(145)


def test_split_with_a_subject_in_two_parts():
    with pytest.raises(DataError, match=r"disjoint parts in split x, got subjects \[3\]"):
        SubjectSplit("x", 9, frozenset({2, 3}), frozenset({3}))


@pytest.fixture(scope="module")
def distributed():
    folder = os.environ.get("LIFTING_DATA")
    if not folder or not (Path(folder) / "cmu" / FILE_NAME).is_file():
        pytest.skip(f"set LIFTING_DATA to the folder that holds cmu/{FILE_NAME}")
    return DataConfig(name="cmu", root=folder)


@pytest.mark.parametrize(
    ("split", "sequences", "frames", "subjects"),
    [
        ("train", 121, 52126, {"S01", "S06", "SX"}),
        ("val", 12, 1786, {"S07"}),
        ("test", 34, 11705, {"S02", "S05"}),
    ],
)
def test_distributed_parts(distributed, split, sequences, frames, subjects):
    clips = cmu.motion(distributed, split)
    assert len(clips.names) == sequences
    assert clips.joints_3d.shape == (frames, 17, 3)
    assert {clips.subject_names[i] for i in clips.subject.tolist()} == subjects
    lengths = bone_lengths(clips.joints_3d, clips.skeleton)
    for start, end in zip(clips.offsets[:-1].tolist(), clips.offsets[1:].tolist(), strict=True):
        assert float(lengths[start:end].std(dim=0).max()) < 1.0


def test_distributed_values_pass(distributed):
    file = read_cmu_file(Path(distributed.root) / "cmu" / FILE_NAME)
    verify_values(file)
    assert file.split_name == "distributed"
