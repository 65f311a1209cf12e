"""Tiny parts of 3DOH50K, in every form that is about, through the reader."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from oh50k_files import LENSES, ROTATION, SHIFT, SIZES, pixels_of, records, seen_people, write_part
from published_npz import projected
from python2_pickle import damaged_bytes
from smpl_models import STAND_INS, posed_joints, write_joint_models

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.sets.oh50k.config import Config as Oh50kConfig
from lifting.data.sets.oh50k.files import place_people, read_annotations
from lifting.data.sets.oh50k.reader import cache_key, tracks
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.experiment.load import load_experiment

TRAIN, TEST = 10, 4
EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
OURS = {0: 0, 1: 2, 2: 5, 3: 8, 4: 1, 5: 4, 6: 7, 7: 6, 8: 12, 11: 16, 12: 18, 13: 20, 14: 17,
        15: 19, 16: 21}  # fmt: skip


def config_of(root, **options):
    return DataConfig(name="3doh50k", root=str(root), oh50k=Oh50kConfig(**options))


def write_test(root, seen=None, change=lambda made: made, **form):
    """The test part alone."""
    seen = seen_people(TEST) if seen is None else seen
    write_part(root / "testset", change(records(seen, **form)))
    return seen


@pytest.fixture
def dataset(tmp_path):
    train = seen_people(TRAIN, seed=1)
    write_part(tmp_path / "3doh50k/trainset", records(train))
    test = write_test(tmp_path / "3doh50k")
    return tmp_path, train, test


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("scales", [(7.0,), (1.0,), (10.0, 6.5, 7.2)])
@pytest.mark.parametrize("frame", ["camera", "world"])
def test_labels_come_before_the_camera_in_mm(tmp_path, frame, scales, nested):
    seen = write_test(tmp_path, frame=frame, scales=scales, nested=nested)
    got = tracks(config_of(tmp_path), "test")
    for ours, theirs in OURS.items():
        np.testing.assert_allclose(got.joints_3d[:, ours], 1000 * seen[:, theirs], atol=1e-2)
    assert got.source["label_frame"].startswith(f"{frame}, by reprojection: ")
    assert "thighs 0.4" in got.source["label_unit"]
    assert got.source["valid_images"] == str(TEST)
    assert got.source["images"] == "4 of 4 (published 1290)"
    assert "SMPL" in got.source["approximate_joints"]
    assert got.visible.all()


def test_every_image_is_a_track_with_its_camera(dataset):
    root, _, seen = dataset
    got = tracks(config_of(root), "test")
    assert got.track_names == tuple(f"testset/images/{i:05d}.jpg" for i in range(TEST))
    assert got.offsets.tolist() == [0, 1, 2, 3, 4]
    assert got.recording.tolist() == [0, 1, 2, 3]
    assert got.cameras.size.shape == (2, 2)
    for i in range(TEST):
        camera = got.cameras[got.camera[i]]
        assert camera.size.tolist() == list(SIZES[i % 2])
        np.testing.assert_allclose(camera.intrinsics[:4], LENSES[i % 2], rtol=1e-6)
        joints = got.joints_3d[i : i + 1].numpy()
        pixels = projected(joints, LENSES[i % 2])
        np.testing.assert_allclose(got.keypoints_2d[i : i + 1], pixels, atol=0.01)
        head = pixels_of(seen[i, 16], i)
        np.testing.assert_allclose(got.keypoints_2d[i, 11], head, atol=0.01)
    assert got.cameras.rotation is None
    assert got.source["two_d"] == "gt"


def test_the_end_of_the_training_images_validates(dataset):
    root, seen, _ = dataset
    config = config_of(root, holdout=0.3)
    names = {split: tracks(config, split).track_names for split in ("train", "val")}
    assert names["train"] == tuple(f"trainset/images/{i:05d}.jpg" for i in range(7))
    assert names["val"] == tuple(f"trainset/images/{i:05d}.jpg" for i in range(7, 10))
    thinned = tracks(replace(config, oh50k=replace(config.oh50k, every=2)), "val")
    assert thinned.track_names == (names["val"][0], names["val"][2])
    np.testing.assert_allclose(thinned.joints_3d[1, 0], 1000 * seen[9, 0], atol=1e-2)
    assert thinned.source["frames"] == "every 2"
    assert len(tracks(config_of(root), "val")) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, r"oh50k\.every of at least 1"),
        ({"holdout": 0.0}, r"oh50k\.holdout above 0 and below 1, got 0\.0"),
        ({"holdout": 1.0}, r"oh50k\.holdout above 0 and below 1, got 1\.0"),
    ],
)
def test_options_out_of_range_are_refused(dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        tracks(config_of(dataset[0], **options), "train")


def test_one_training_image_cannot_be_divided(tmp_path):
    write_part(tmp_path / "trainset", records(seen_people(1)))
    with pytest.raises(DataError, match="at least two training images"):
        tracks(config_of(tmp_path), "train")


def test_labels_that_fall_nowhere_are_refused(tmp_path):
    def change(made):
        for record in made.values():
            record["smpl_joints_2d"] = (np.array(record["smpl_joints_2d"]) + 60).tolist()
        return made

    write_test(tmp_path, change=change)
    with pytest.raises(DataError, match=r"within 3 % .* got .* % in the camera's, .* world's"):
        tracks(config_of(tmp_path), "test")


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_people_of_another_size_are_refused(tmp_path, factor):
    def change(made):
        for record in made.values():
            record["scale"] = [record["scale"][0] * factor]
        return made

    write_test(tmp_path, change=change)
    with pytest.raises(DataError, match=r"thighs of 0\.3 to 0\.55 m .* median of \S+ m over 4"):
        tracks(config_of(tmp_path), "test")


def test_the_frame_is_decided_by_most_images(tmp_path):
    seen = seen_people(5)

    def change(made):
        made["00001"]["smpl_joints_2d"] = (
            np.random.default_rng(0).uniform(0, 500, (24, 2)).tolist()
        )
        made["00002"]["smpl_joints_3d"] = np.full((24, 3), np.nan).tolist()
        return made

    write_test(tmp_path, seen, change, frame="world")
    labels = place_people(read_annotations(tmp_path / "testset/annots.json"))
    np.testing.assert_allclose(labels.joints[1], 1000 * seen[1], atol=1e-6)
    assert labels.facts["label_frame"].startswith("world")


def test_people_without_a_valid_label_are_masked(tmp_path):
    seen = seen_people(7)
    seen[1, :, 2] -= 8  # behind the camera

    def change(made):
        made["00003"]["smpl_joints_3d"] = np.full((24, 3), np.nan).tolist()
        made["00005"]["scale"] = [0.0]
        return made

    write_test(tmp_path, seen, change)
    got = tracks(config_of(tmp_path), "test")
    assert got.visible.all(1).tolist() == [True, False, True, False, True, False, True]
    assert got.visible.any(1).tolist() == got.visible.all(1).tolist()
    assert got.keypoints_2d.isfinite().all()
    assert got.source["valid_images"] == "4"


def test_batches_are_made_of_it(dataset, tmp_path):
    config = replace(config_of(dataset[0], holdout=0.2), cache=str(tmp_path / "cache"))
    module = PoseDataModule(replace(config, batch_size=4, flip=False), 0)
    batch = next(iter(module.train_dataloader()))
    assert batch.keypoints_2d.shape == (4, 1, 17, 2)
    assert len(module.tracks("val")) == 2


def test_the_cache_follows_the_file_and_the_options(dataset, tmp_path):
    root, _, _ = dataset
    config = replace(config_of(root), cache=str(tmp_path / "cache"))
    first, again = load_tracks(config, "test"), load_tracks(config, "test")
    assert torch.equal(first.joints_3d, again.joints_3d)
    before = cache_key(config, "test")
    assert cache_key(config_of(root, holdout=0.1), "test") != before
    write_part(root / "3doh50k/testset", records(seen_people(TEST, seed=5)))
    assert cache_key(config, "test") != before


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"trainset/annots\.json of 3DOH50K, found none in"):
        tracks(config_of(tmp_path), "val")
    write_part(tmp_path / "test", records(seen_people(TEST)), pictures=False)
    with pytest.raises(MissingDataError, match=r"test/images/00000\.jpg, found none; unpack"):
        tracks(config_of(tmp_path), "test")
    write_part(tmp_path / "test", records(seen_people(TEST)))
    assert tracks(config_of(tmp_path), "test").track_names[1] == "test/images/00001.jpg"
    (tmp_path / "test/images/00002.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"JPEG or PNG picture in .*00002\.jpg"):
        tracks(config_of(tmp_path), "test")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("smpl_joints_3d", [[1, 2, 3]], r"'smpl_joints_3d' of shape \(24, 3\) for image '00001'"),
        ("smpl_joints_3d", [[1, 2], [3]], r"'smpl_joints_3d' of shape"),
        ("smpl_joints_2d", [["1", "2"]] * 24, r"'smpl_joints_2d' of shape \(24, 2\) or \(24, 3\)"),
        ("smpl_joints_2d", None, r"'smpl_joints_2d' .*got None"),
        ("scale", [7, 7], r"'scale' of shape \(\)"),
        ("extri", [[1, 0, 0]] * 3, r"'extri' of shape \(4, 4\)"),
        ("intri", [[0, 0, 1], [0, 1, 1], [0, 0, 1]], r"finite 'intri' .* got those of 00001"),
        ("intri", [[float("nan"), 0, 1], [0, 1, 1], [0, 0, 1]], "finite 'intri'"),
        ("img_path", "..\\..\\secret.jpg", "'img_path' of image '00001' to lead to a picture"),
        ("img_path", "/etc/secret.jpg", "'img_path'"),
        ("img_path", "C:\\secret.jpg", "'img_path'"),
        ("img_path", 3, "'img_path'"),
    ],
)
def test_other_forms_are_refused(tmp_path, key, value, reason):
    made = records(seen_people(2))
    made["00001"][key] = value
    path = tmp_path / "annots.json"
    path.write_text(json.dumps(made))
    with pytest.raises(DataError, match=reason):
        read_annotations(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "a record for every image in an object"),
        ("{}", "a record for every image in an object"),
        ('{"00000": 3}', "an object for image '00000'"),
        ('{"00000": ', "complete JSON"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    path = tmp_path / "annots.json"
    path.write_text(content)
    with pytest.raises(DataError, match=reason):
        read_annotations(path)


def test_large_files_are_refused(dataset):
    with pytest.raises(DataError, match="at most 1000 bytes"):
        tracks(config_of(dataset[0], max_bytes=1000), "test")


def test_damaged_files_raise_nothing_but_data_errors(damage_count, tmp_path, count_refused):
    raw, path = json.dumps(records(seen_people(1))).encode(), tmp_path / "annots.json"
    versions = (path.write_bytes(changed) for changed in damaged_bytes(raw, damage_count))
    read = count_refused(versions, lambda: place_people(read_annotations(path)))
    assert read > damage_count // 4


def body_dataset(root, arrays, frame, turn_of_poses):
    """A test part of posed SMPL bodies; what their joints are before the camera, metres."""
    rng = np.random.default_rng(4)
    poses = 0.2 * rng.normal(size=(TEST, 24, 3))
    poses[:, 0] = (1.4, 0.1, 0.2)
    betas = rng.normal(size=(TEST, 10))
    posed = np.stack([posed_joints(arrays, p, b) for p, b in zip(poses, betas, strict=True)])
    seen = posed @ turn_of_poses.T + SHIFT
    made = records(seen, frame=frame)
    for record, pose, beta in zip(made.values(), poses, betas, strict=True):
        record |= {"pose": [pose.reshape(-1).tolist()], "betas": [beta.tolist()]}
    write_part(root / "testset", made)
    return seen


@pytest.mark.parametrize("frame", ["camera", "world"])
@pytest.mark.parametrize("turn", [ROTATION, np.eye(3)], ids=["world_poses", "camera_poses"])
def test_joints_can_be_regressed_from_the_mesh(tmp_path, frame, turn):
    arrays, regressor = write_joint_models(tmp_path, ("NEUTRAL",))
    np.save(tmp_path / "regressor.npy", regressor)
    seen = body_dataset(tmp_path, arrays, frame, turn)
    options = {"joint_regressor": str(tmp_path / "regressor.npy"), "body_model": str(tmp_path)}
    config = config_of(tmp_path, **options)
    got = tracks(config, "test")
    np.testing.assert_allclose(got.joints_3d, 1000 * seen[:, list(STAND_INS)], atol=0.05)
    assert "approximate_joints" not in got.source
    assert "regressor sha256" in got.source["joints"]
    assert cache_key(config, "test") != cache_key(config_of(tmp_path), "test")


def test_bodies_that_are_not_the_labelled_ones_are_refused(tmp_path):
    arrays, regressor = write_joint_models(tmp_path, ("NEUTRAL",))
    np.save(tmp_path / "regressor.npy", regressor)
    body_dataset(tmp_path, arrays, "camera", np.diag((1.0, -1, 1)))
    options = {"joint_regressor": str(tmp_path / "regressor.npy"), "body_model": str(tmp_path)}
    with pytest.raises(DataError, match=r"within 30 mm of smpl_joints_3d, got a median of"):
        tracks(config_of(tmp_path, **options), "test")
    assert len(tracks(config_of(tmp_path), "test")) == TEST


def test_the_shipped_sections_are_complete(monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    written = yaml.safe_load((EXPERIMENTS / "data/oh50k.yaml").read_text(encoding="utf-8"))
    assert set(written["data"]["oh50k"]) == {f.name for f in fields(Oh50kConfig)}
    plain = load_experiment("simple_baseline", ["extends=data/oh50k"])
    assert (plain.data.name, plain.protocol) == ("3doh50k", "3doh50k")
    assert plain.data.oh50k == Oh50kConfig()
    pictures = load_experiment("nbf", ["extends=data/oh50k_images"])
    assert (pictures.data.name, pictures.data.image_folder.labels) == ("image_folder", "3doh50k")
    assert pictures.protocol == "3doh50k"
