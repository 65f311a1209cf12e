"""HumanEva-I files: read back, lenses recovered, refused in words."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mutation import damaged_copies
from published_npz import HUMANEVA_LENS, HumanEva, write_object_npz

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.describe import is_found
from lifting.data.sets.humaneva.config import Config as HumanEvaConfig
from lifting.data.sets.humaneva.reader import cache_key, tracks
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.geometry.camera import project

GROUPS = tuple(f"{part}/S{i}" for part in ("Train", "Validate") for i in (1, 2, 3))
RECORDINGS = {
    "Walking 1 chunk0": 6,
    "Walking 1 chunk2": 1,
    "Jog 1 chunk0": 5,
    "Box 1 chunk10": 4,
    "Gestures 1 chunk0": 3,
}
COCO = {"layout_name": "coco", "num_joints": 17}
# a face is not known: all five of its joints at the head
TO_COCO = [14, 14, 14, 14, 14, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13]


@pytest.fixture
def data(tmp_path):
    made = HumanEva(tmp_path, RECORDINGS, GROUPS)
    made.write_two_d()
    return made


def read(data, split="test", **options):
    config = DataConfig(name="humaneva", root=str(data.folder), humaneva=HumanEvaConfig(**options))
    return tracks(config, split)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_files_are_read_back(tmp_path, protocol, rows):
    data = HumanEva(tmp_path, RECORDINGS, GROUPS, protocol)
    data.write_two_d()
    got = read(data)
    assert got.skeleton.name == "humaneva15"
    assert got.fps.unique().tolist() == [60]
    assert got.visible is None
    assert len(got.track_names) == 3 * 4 * 3  # gestures are not part of the protocol
    for name in ("Walking 1 chunk2", "Box 1 chunk10"):
        for i, camera in enumerate(("C1", "C2", "C3")):
            at = rows(got, f"Validate/S2/{name}/{camera}")
            np.testing.assert_allclose(
                got.joints_3d[at], data.joints("Validate/S2", name, i), atol=5e-3
            )
            np.testing.assert_allclose(
                got.keypoints_2d[at], data.pixels("Validate/S2", name, i), atol=1e-3
            )
    assert got.source["split_rule"] == "subjects S1, S2, S3, Validate"


def test_lenses_are_recovered_from_the_training_part(data):
    got = read(data)
    lenses = got.cameras.intrinsics[:3, :4]
    np.testing.assert_allclose(lenses, HUMANEVA_LENS, atol=0.02)
    camera = got.cameras[got.camera.repeat_interleave(got.offsets.diff())]
    torch.testing.assert_close(
        project(got.joints_3d, camera.intrinsics), got.keypoints_2d, atol=0.02, rtol=0
    )
    assert got.cameras.size[0].tolist() == [640, 480]
    assert "C1 0.00, C2 0.00, C3 0.00" in got.source["intrinsics"]


def test_lenses_bear_gross_errors(data):
    rng = np.random.default_rng(0)

    def change(pixels):
        noisy = pixels + rng.normal(scale=1, size=pixels.shape)
        return np.where(rng.random((*pixels.shape[:2], 1)) < 0.05, noisy + 150, noisy)

    data.write_two_d(change=change)
    lenses = read(data).cameras.intrinsics[:3, :2].numpy()
    np.testing.assert_allclose(lenses, [lens[:2] for lens in HUMANEVA_LENS], rtol=0.02)


def test_training_and_validation_are_divided(data):
    train, val = (read(data, split, val_holdout=5) for split in ("train", "val"))
    assert all(name.startswith("Train/") for name in train.track_names + val.track_names)
    assert not set(train.track_names) & set(val.track_names)
    assert len(train.track_names) + len(val.track_names) == 3 * 4 * 3
    held = read(data, "val", val_subjects=("S2",))
    assert {held.subject_names[i] for i in held.subject.tolist()} == {"S2"}
    assert torch.equal(train.cameras.intrinsics, read(data).cameras.intrinsics)


def test_chunks_stay_apart(data):
    got = read(data, subjects=("S1",), cameras=("C2",), actions=("Walking",))
    assert got.track_names == (
        "Validate/S1/Walking 1 chunk0/C2",
        "Validate/S1/Walking 1 chunk2/C2",
    )
    assert got.offsets.tolist() == [0, 6, 7]
    assert got.recording.tolist() == [0, 1]
    assert got.action_names[got.action[0]] == "Walking"


def test_the_wish_for_a_skeleton_is_not_the_readers(data):
    got = read(data, skeleton="h36m17")
    assert got.skeleton.name == "humaneva15"
    config = DataConfig(name="humaneva", root=str(data.folder))
    wished = replace(config, humaneva=HumanEvaConfig(skeleton="h36m17"))
    assert cache_key(wished, "test") == cache_key(config, "test")


def test_keypoints_of_coco_give_seventeen_joints_two_of_them_approximate(data):
    data.write_two_d("detectron_pt_coco", lambda p: p[:, TO_COCO], COCO)
    got, ours = read(data, two_d="detectron_pt_coco"), read(data)
    assert got.skeleton.name == "h36m17"
    assert got.camera_kind == ours.camera_kind == "estimated"
    assert torch.equal(got.joints_3d[:, 0], ours.joints_3d[:, 0])
    assert torch.equal(got.joints_3d[:, 10], ours.joints_3d[:, 14])
    torch.testing.assert_close(
        got.joints_3d[:, 7], (ours.joints_3d[:, 0] + ours.joints_3d[:, 1]) / 2
    )
    assert bool((got.visible == torch.tensor([j not in (7, 9) for j in range(17)])).all())
    assert got.source["approximate_joints"] == "spine, neck (masked)"


def test_keypoints_of_coco_are_converted(data, rows):
    data.write_two_d("detectron_pt_coco", lambda p: p[:, TO_COCO], COCO)
    got = read(data, two_d="detectron_pt_coco")
    at = rows(got, "Validate/S3/Jog 1 chunk0/C1")
    pixels = data.pixels("Validate/S3", "Jog 1 chunk0", 0)
    np.testing.assert_allclose(
        got.keypoints_2d[at][:, [11, 12, 13, 1, 2, 3]],
        pixels[:, [2, 3, 4, 11, 12, 13]],
        atol=1e-3,
    )
    np.testing.assert_allclose(got.cameras.intrinsics[:3, :4], HUMANEVA_LENS, atol=0.05)
    assert "coco17, converted to h36m17" in got.source["two_d_joints"]


def test_damaged_walking_can_be_left_out(data):
    names = {n.rpartition("/")[0] for n in read(data, drop_corrupt=True).track_names}
    left_out = {n.rpartition("/")[0] for n in read(data).track_names} - names
    assert left_out == {"Validate/S3/Walking 1 chunk0", "Validate/S3/Walking 1 chunk2"}


def test_every_nth_frame(data):
    got = read(data, every=2, actions=("Walking",), subjects=("S1",), cameras=("C1",))
    assert got.fps.unique().tolist() == [30]
    assert got.offsets.tolist() == [0, 3, 4]
    whole = data.joints("Validate/S1", "Walking 1 chunk0", 0)
    np.testing.assert_allclose(got.joints_3d[:3], whole[::2], atol=5e-3)


def change_files(data, change_3d=None, change_2d=None):
    positions = {g: dict(d) for g, d in data.world.items()}
    views = {
        g: {n: [data.pixels(g, n, i) for i in range(3)] for n in d} for g, d in data.world.items()
    }
    if change_3d:
        change_3d(positions)
        write_object_npz(data.folder / "data_3d_humaneva15.npz", positions_3d=positions)
    if change_2d:
        change_2d(views)
        write_object_npz(data.folder / "data_2d_humaneva15_gt.npz", positions_2d=views)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("Validate/S2"), "missing subject 'Validate/S2' with the chosen actions"),
        (
            lambda p: [p.pop(g) for g in GROUPS] and p.update({"S1": {"Jog 1": 1}}),
            r"expected subjects such as Train/S1, .*got S1",
        ),
        (
            lambda p: [p.pop(g) for g in GROUPS if g.startswith("Train")],
            "expected a 'Train' subject",
        ),
        (lambda p: p["Train/S1"].update(Jogging=1), "such as 'Walking 1 chunk0' in .*'Jogging'"),
        (
            lambda p: p["Train/S1"].update({"Jog 1 chunk0": np.zeros((4, 20, 3))}),
            r"shape \(any, 15, 3\) at Jog 1 chunk0 in positions_3d/Train/S1",
        ),
        (
            lambda p: p.update({g: {n: 1000 * w for n, w in d.items()} for g, d in p.items()}),
            "expected poses in m in",
        ),
    ],
)
def test_what_a_3d_file_lacks_is_named(data, change, message):
    change_files(data, change_3d=change)
    with pytest.raises(DataError, match=message):
        read(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("Train/S3"), "missing subject 'Train/S3' in positions_2d"),
        (lambda v: v["Train/S1"].pop("Jog 1 chunk0"), "missing action 'Jog 1 chunk0' in posi"),
        (lambda v: v["Train/S1"]["Jog 1 chunk0"].pop(), "missing camera 'C3'"),
        (
            lambda v: v["Validate/S1"]["Jog 1 chunk0"].__setitem__(0, np.zeros((2, 15, 2))),
            r"at least 5 frames, as the 3D file has, in positions_2d/Validate/S1/Jog 1 chunk0/0",
        ),
        (
            lambda v: [a.fill(7) for d in v.values() for views in d.values() for a in views],
            "expected keypoints that move with the joints in HumanEva-I camera C1",
        ),
    ],
)
def test_what_a_2d_file_lacks_is_named(data, change, message):
    change_files(data, change_2d=change)
    with pytest.raises(DataError, match=message):
        read(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": ("S4",)}, r"unknown name 'S4' in data\.humaneva\.subjects"),
        ({"subjects": ("S1",), "val_subjects": ("S2",)}, r"data\.humaneva\.val_subjects"),
        ({"actions": ("Walk",)}, "did you mean 'Walking'"),
        ({"cameras": ("C4",)}, r"unknown name 'C4' in data\.humaneva\.cameras"),
        ({"two_d": "a/b"}, "expected a word"),
        ({"every": -1}, r"data\.humaneva\.every of at least 1"),
        ({"val_holdout": 1}, "expected val_holdout of 0 or from 2"),
    ],
)
def test_options_are_checked(data, options, message):
    with pytest.raises(ConfigError, match=message):
        read(data, **options)


def test_a_file_without_an_ending_is_the_ground_truth(data):
    named, plain = (data.folder / f"data_2d_humaneva15{e}.npz" for e in ("_gt", ""))
    expected = read(data)
    named.rename(plain)
    got = read(data)
    assert torch.equal(got.keypoints_2d, expected.keypoints_2d)
    assert is_found("humaneva", str(data.folder))
    with pytest.raises(MissingDataError, match=r"data_2d_humaneva15_detectron_pt_coco\.npz"):
        read(data, two_d="detectron_pt_coco")


def test_recordings_without_a_number_are_apart_from_those_with_one(data, rows):
    def change(groups):
        for named in groups.values():
            named["Jog"] = deepcopy(named["Jog 1 chunk0"])

    change_files(data, change, change)
    got = read(data, subjects=("S1",), cameras=("C1",), actions=("Jog",))
    assert got.track_names == ("Validate/S1/Jog/C1", "Validate/S1/Jog 1 chunk0/C1")
    assert {got.action_names[i] for i in got.action.tolist()} == {"Jog"}


def test_missing_files_are_named(data):
    with pytest.raises(MissingDataError, match=r"data_2d_humaneva15_other\.npz"):
        read(data, two_d="other")


def test_the_data_module_delivers_batches(data, tmp_path):
    config = DataConfig(
        name="humaneva",
        root=str(data.folder),
        cache=str(tmp_path / "cache"),
        batch_size=8,
    )
    batch = next(iter(PoseDataModule(config, seed=0).train_dataloader()))
    assert batch.joints_3d.shape == (8, 1, 15, 3)
    key = cache_key(config, "train")
    data.write_two_d(change=lambda p: p + 1)
    assert cache_key(config, "train") != key
    assert len(load_tracks(config, "test")) == 3 * 3 * 16


def test_code_in_a_file_is_refused_and_not_run(data, trap):
    change_files(data, lambda p: p.update({"Train/S1": trap}))
    with pytest.raises(DataError, match="unsafe: it asks for"):
        read(data)
    assert not trap.mark.exists()


@pytest.mark.parametrize("file", ["data_3d_humaneva15.npz", "data_2d_humaneva15_gt.npz"])
def test_damaged_files_raise_nothing_but_data_errors(
    tmp_path, file, damage_count, count_refused, memory_below
):
    data = HumanEva(tmp_path, {"Jog 1 chunk0": 3}, ("Train/S1", "Validate/S1"))
    data.write_two_d()
    read(data, subjects=("S1",))
    versions = damaged_copies(tmp_path / file, damage_count)
    with memory_below(30e6):
        refused = count_refused(versions, lambda: read(data, subjects=("S1",)))
    assert refused > damage_count / 2
