"""Tiny 3DPW sequence files, as Python 2 wrote them, through the reader."""

import numpy as np
import pytest
import torch
from published_npz import projected
from pw3d_files import FRAMES, LENS, sequence
from python2_pickle import damaged_bytes, python2_dumps
from smpl_models import STAND_INS, posed_joints, write_joint_models

from lifting.data.config import DataConfig
from lifting.data.sets.pw3d.config import Config as Pw3dConfig
from lifting.data.sets.pw3d.reader import cache_key, read_sequence, tracks
from lifting.data.smpl import read_body_model, read_joint_regressor
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError


@pytest.fixture
def dataset(tmp_path):
    contents = {}
    for folder, names in {"train": ["a_b_00"], "validation": ["c_00"], "test": ["d_00"]}.items():
        home = tmp_path / "3dpw" / "sequenceFiles" / folder
        home.mkdir(parents=True)
        for i, name in enumerate(names):
            contents[name] = sequence(seed=len(contents) + i, people=2 - len(contents) % 2)
            (home / f"{name}.pkl").write_bytes(python2_dumps(contents[name][0]))
    return tmp_path, contents


def test_labels_are_in_the_camera_frame(dataset):
    root, contents = dataset
    got = tracks(DataConfig(name="3dpw", root=str(root)), "train")
    _, seen, _ = contents["a_b_00"]
    assert got.track_names == ("a_b_00/0", "a_b_00/1")
    assert got.action_names == ("a_b",)
    assert got.recording.tolist() == [0, 1]
    assert got.camera.tolist() == [0, 0]
    smpl = np.concatenate(seen) * 1000
    rows = {0: 0, 1: 2, 2: 5, 3: 8, 4: 1, 5: 4, 6: 7, 7: 6, 8: 12, 11: 16, 12: 18, 13: 20,
            14: 17, 15: 19, 16: 21}  # fmt: skip
    for ours, theirs in rows.items():
        np.testing.assert_allclose(got.joints_3d[:, ours], smpl[:, theirs], atol=1e-2)
    np.testing.assert_allclose(got.joints_3d[:, 9], (smpl[:, 12] + smpl[:, 15]) / 2, atol=1e-2)
    up = smpl[:, 15] - smpl[:, 12]
    crown = smpl[:, 15] + 110 * up / np.linalg.norm(up, axis=1, keepdims=True)
    np.testing.assert_allclose(got.joints_3d[:, 10], crown, atol=1e-2)
    assert got.visible.all(1).tolist() == [True] * 3 + [False] + [True] * 10
    assert got.cameras.size.tolist() == [[1080, 1920]]
    np.testing.assert_allclose(got.cameras.intrinsics[0, :4], LENS, rtol=1e-6)
    assert got.cameras.rotation is None
    assert got.fps.unique().tolist() == [30]
    assert "SMPL" in got.source["approximate_joints"]
    assert got.source["sequences"] == "1 (published 24)"
    assert got.source["valid_frames"] == "13"


def test_openpose_is_converted_by_name(dataset):
    root, contents = dataset
    got = tracks(DataConfig(name="3dpw", root=str(root)), "train")
    detections = contents["a_b_00"][2].transpose(0, 1, 3, 2).reshape(-1, 18, 3)
    names = {0: (8, 11), 1: (8,), 3: (10,), 8: (1,), 9: (0,), 11: (5,), 14: (2,), 16: (4,)}
    for ours, theirs in names.items():
        parts = detections[:, theirs]
        np.testing.assert_allclose(
            got.keypoints_2d[:, ours], parts[..., :2].mean(1), rtol=0, atol=1e-3
        )
        np.testing.assert_allclose(got.confidence[:, ours], parts[..., 2].min(1), atol=1e-6)
    assert got.confidence[6, 16] == 0
    assert got.source["two_d"] == "openpose"


def test_projected_labels_and_thinning(dataset):
    root, _ = dataset
    config = DataConfig(name="3dpw", root=str(root), pw3d=Pw3dConfig(two_d="gt", every=2))
    got = tracks(config, "val")
    assert len(got) == 4
    assert got.fps.unique().tolist() == [15]
    np.testing.assert_allclose(got.keypoints_2d, projected(got.joints_3d.numpy(), LENS), atol=0.01)
    with pytest.raises(ConfigError, match=r"pw3d\.every"):
        tracks(DataConfig(root=str(root), pw3d=Pw3dConfig(every=0)), "val")


def test_the_cache_follows_the_files(dataset, tmp_path):
    root, _ = dataset
    config = DataConfig(name="3dpw", root=str(root), cache=str(tmp_path / "cache"))
    first, again = load_tracks(config, "test"), load_tracks(config, "test")
    torch.testing.assert_close(first.joints_3d, again.joints_3d)
    before = cache_key(config, "test")
    file = root / "3dpw" / "sequenceFiles" / "test" / "d_00.pkl"
    file.write_bytes(python2_dumps(sequence(seed=9)[0]))
    assert cache_key(config, "test") != before


def test_code_is_refused_and_not_run(tmp_path, trap):
    path = tmp_path / "x.pkl"
    path.write_bytes(python2_dumps({**sequence()[0], "texture_maps": trap}))
    with pytest.raises(DataError, match="system"):
        read_sequence(path)
    assert not trap.mark.exists()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("cam_poses", np.zeros((FRAMES, 3, 4)), r"'cam_poses' of shape"),
        ("cam_poses", np.tile(np.eye(4), (2, 1, 1)), "'jointPositions' of 2 frames.*got 7"),
        ("cam_intrinsics", np.zeros((3, 3)), "a finite 'cam_intrinsics'"),
        ("poses2d", [], "1 to 10 persons in the list 'poses2d'.*got 0"),
        ("poses2d", [np.zeros((FRAMES, 18, 3))] * 2, r"'poses2d' of shape \(frames, \*\(3, 18\)"),
        ("jointPositions", [np.zeros((FRAMES, 72))], "as many persons in every list"),
        ("jointPositions", [np.full((FRAMES, 72), np.nan)] * 2, "finite 'jointPositions'"),
        ("campose_valid", None, "1 to 10 persons in the list 'campose_valid'.*got NoneType"),
    ],
)
def test_other_forms_are_refused(key, value, reason, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(python2_dumps({**sequence()[0], key: value}))
    with pytest.raises(DataError, match=reason):
        read_sequence(path)


def test_what_is_not_there_is_named(tmp_path):
    (tmp_path / "3dpw").mkdir()
    with pytest.raises(MissingDataError, match=r"sequenceFiles\.zip"):
        tracks(DataConfig(root=str(tmp_path)), "train")
    path = tmp_path / "x.pkl"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match="git-lfs"):
        read_sequence(path)
    path.write_bytes(python2_dumps(3))
    with pytest.raises(DataError, match="a dictionary"):
        read_sequence(path)


def test_damaged_files_raise_nothing_but_data_errors(damage_count, tmp_path, count_refused):
    raw, path = python2_dumps(sequence(people=1, frames=2)[0]), tmp_path / "x.pkl"
    versions = (path.write_bytes(changed) for changed in damaged_bytes(raw, damage_count))
    assert count_refused(versions, lambda: read_sequence(path)) > damage_count // 4


LEFT_LEG_FIRST = (0, 4, 5, 6, 1, 2, 3, *range(7, 17))


@pytest.fixture
def body(tmp_path):
    """A model whose first vertices move with one joint each, and a regressor that takes those."""
    arrays, regressor = write_joint_models(tmp_path, ("MALE", "FEMALE"))
    np.save(tmp_path / "right_first.npy", regressor)
    np.save(tmp_path / "left_first.npy", regressor[list(LEFT_LEG_FIRST)])
    return tmp_path, arrays


@pytest.mark.parametrize("order", ["right_first", "left_first"])
def test_joints_can_be_regressed_from_the_mesh(order, body, tmp_path):
    folder, arrays = body
    data, _, _ = sequence(people=2)
    rng = np.random.default_rng(3)
    data["poses"] = [0.3 * rng.normal(size=(FRAMES, 72)) for _ in range(2)]
    data["betas"] = [rng.normal(size=10) for _ in range(2)]
    data["trans"] = [rng.normal(size=(FRAMES, 3)) for _ in range(2)]
    home = tmp_path / "sequenceFiles" / "train"
    home.mkdir(parents=True)
    (home / "x_00.pkl").write_bytes(python2_dumps(data))
    options = Pw3dConfig(joint_regressor=str(folder / f"{order}.npy"), body_model=str(folder))
    config = DataConfig(name="3dpw", root=str(tmp_path), pw3d=options)
    got = tracks(config, "train")
    for person, frame in ((0, 0), (1, 4)):
        vectors = data["poses"][person][frame].reshape(24, 3)
        places = posed_joints(arrays, vectors, data["betas"][person])
        places += data["trans"][person][frame]
        pose = data["cam_poses"][frame]
        wanted = 1000 * (places @ pose[:3, :3].T + pose[:3, 3])
        joints = got.joints_3d[person * FRAMES + frame]
        np.testing.assert_allclose(joints, wanted[list(STAND_INS)], rtol=0, atol=0.01)
    assert "approximate_joints" not in got.source
    assert "regressor sha256" in got.source["joints"]
    plain = DataConfig(name="3dpw", root=str(tmp_path))
    assert cache_key(config, "train") != cache_key(plain, "train")


def test_regressors_are_checked(body):
    folder, _ = body
    model, path = read_body_model(folder / "SMPL_MALE.npz"), folder / "r.npy"
    matrix = np.load(folder / "right_first.npy")
    cases = [
        (matrix[:, :-1], r"shape \(17, 80\)"),
        (2 * matrix, "sum to one"),
        (matrix[::-1], "head over thorax"),
        (np.array([{"a": 1}], dtype=object), "Python objects"),
    ]
    for values, reason in cases:
        np.save(path, values)
        with pytest.raises(DataError, match=reason):
            read_joint_regressor(path, model)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"plain \.npy matrix"):
        read_joint_regressor(path, model)
    with pytest.raises(MissingDataError, match="found none"):
        read_joint_regressor(folder / "absent.npy", model)


def test_damaged_regressors_raise_nothing_but_data_errors(damage_count, body, count_refused):
    folder, _ = body
    model, path = read_body_model(folder / "SMPL_MALE.npz"), folder / "right_first.npy"
    raw = path.read_bytes()
    versions = (path.write_bytes(changed) for changed in damaged_bytes(raw, damage_count))
    assert count_refused(versions, lambda: read_joint_regressor(path, model)) > damage_count // 4
