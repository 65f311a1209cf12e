"""Tiny AMASS files of both editions, posed by a tiny body model, against loops over joints."""

import numpy as np
import pytest
from amass_files import recording, smplh_file, smplx_file, write_models
from mutation import damaged_copies
from smpl_models import PARENTS, model_arrays

from lifting.data.config import DataConfig
from lifting.data.sets.amass.config import Config as AmassConfig
from lifting.data.sets.amass.reader import cache_key, motion, read_amass
from lifting.data.smpl import VARIABLE
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.geometry.kinematics import bone_lengths


def rotation_of(vector):
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle if angle else (0, 0, 0)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def posed(rest, pose, trans):
    """Positions of 22 joints in mm by walking up to the root from each."""
    world = []
    for joint in range(22):
        parent, turn = PARENTS[joint], rotation_of(pose[joint])
        if parent < 0:
            world.append((turn, rest[0]))
        else:
            above, place = world[parent]
            world.append((above @ turn, place + above @ (rest[joint] - rest[parent])))
    return 1000 * (np.array([place for _, place in world]) + trans)


@pytest.fixture
def folder(tmp_path):
    write_models(tmp_path / "models")
    return tmp_path


def config(folder, **options):
    options = {"body_model": str(folder / "models"), **options}
    return DataConfig(name="amass", root=str(folder), noise="none", amass=AmassConfig(**options))


def test_poses_move_the_users_body(folder):
    poses, trans, betas = smplh_file(folder / "amass" / "CMU" / "01" / "01_01_poses.npz")
    got = motion(config(folder), "train")
    arrays = model_arrays(52, 90, 16)
    rest = arrays["v_template"][:22] + arrays["shapedirs"][:22] @ betas
    assert len(got.joints_3d) == 60
    for frame in (0, 1, 30, 59):
        wanted = posed(rest, poses[2 * frame], trans[2 * frame])
        for ours, theirs in ((0, 0), (3, 8), (6, 7), (7, 6), (8, 12), (13, 20), (16, 21)):
            np.testing.assert_allclose(got.joints_3d[frame, ours], wanted[theirs], atol=2e-3)
    assert got.fps == 50
    assert got.names == ("CMU/01/01_01_poses/0",)
    assert got.subject_names == ("CMU/01",)
    assert got.action_names == ("CMU",)
    assert got.source["body_models"] == "model.npz"
    assert "SMPL" in got.source["approximate_joints"]


def test_rotations_are_interpolated_so_bones_keep_their_length(folder):
    poses, trans, betas = smplh_file(folder / "CMU" / "a" / "b.npz", frames=121, fps=120.0)
    got = motion(config(folder), "train")
    lengths = bone_lengths(got.joints_3d, got.skeleton)
    # The neck is the middle of two joints, so two of the bones bend with it.
    fixed = [j for j in range(1, 17) if j not in (7, 8, 9, 10, 11, 14)]
    assert lengths[:, fixed].std(0).max() < 1e-3
    arrays = model_arrays(52, 90, 16)
    rest = arrays["v_template"][:22] + arrays["shapedirs"][:22] @ betas
    between = posed(rest, 0.6 * poses[2] + 0.4 * poses[3], 0.6 * trans[2] + 0.4 * trans[3])
    np.testing.assert_allclose(got.joints_3d[1, 13], between[20], atol=0.1)  # at 2.4 frames
    assert len(got.joints_3d) == 51


def test_the_smplx_edition(folder):
    smplx_file(folder / "SFU" / "s" / "x_stageii.npz")
    got = motion(config(folder), "val")
    assert len(got.joints_3d) == 50
    poses, trans, betas = recording(120, 5, 55)
    arrays = model_arrays(55, 90, 16)
    rest = arrays["v_template"][:22] + arrays["shapedirs"][:22] @ betas
    wanted = posed(rest, poses[12], trans[12])
    np.testing.assert_allclose(got.joints_3d[5, 3], wanted[8], atol=2e-3)
    assert got.source["body_models"] == "SMPLX_NEUTRAL.npz"


def test_long_motion_is_cut_and_short_rests_are_left_out(folder):
    smplh_file(folder / "CMU" / "a" / "long.npz", frames=230, fps=50.0)
    np.savez(folder / "CMU" / "a" / "other.npz", gender="male", betas=np.zeros(16))
    got = motion(config(folder, clip_seconds=2, min_seconds=1), "train")
    assert got.offsets.tolist() == [0, 100, 200]
    assert got.names == ("CMU/a/long/0", "CMU/a/long/1")
    with pytest.raises(DataError, match="clips of at least 9 s"):
        motion(config(folder, clip_seconds=9, min_seconds=9), "train")


def test_it_is_filmed_like_any_motion(folder):
    smplh_file(folder / "CMU" / "a" / "b.npz")
    tracks = load_tracks(
        DataConfig(**{**vars(config(folder)), "cache": str(folder / "cache")}), "train"
    )
    assert tracks.source["two_d"] == "projected, noise none"
    assert len(tracks.track_names) >= 2


def test_what_is_missing_is_named_with_its_home(folder, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingDataError, match=r"https://amass\.is\.tue\.mpg\.de"):
        motion(config(folder), "train")
    smplh_file(folder / "CMU" / "a" / "b.npz", gender="female")
    with pytest.raises(MissingDataError, match=r"LIFTING_SMPL.*https://mano\.is\.tue\.mpg\.de"):
        motion(config(folder, body_model=None), "train")
    with pytest.raises(MissingDataError, match="gender 'female'"):
        motion(config(folder), "train")
    wrong = str(folder / "models" / "SMPLX_NEUTRAL.npz")
    with pytest.raises(DataError, match=r"smplh or smpl for motion.*got smplx"):
        motion(config(folder, body_model=wrong), "train")


def test_the_key_names_files_models_and_options(folder):
    smplh_file(folder / "CMU" / "a" / "b.npz")
    first = cache_key(config(folder), "train")
    assert cache_key(config(folder), "train") == first
    assert cache_key(config(folder, fps=25.0), "train") != first
    smplh_file(folder / "CMU" / "a" / "b.npz", frames=60)
    assert cache_key(config(folder), "train") != first


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fps": 0.0}, r"amass\.fps"),
        ({"min_seconds": 20.0}, "min_seconds"),
        ({"val": ("CMU",)}, "CMU in two"),
    ],
)
def test_impossible_options_are_refused(options, reason, folder):
    with pytest.raises(ConfigError, match=reason):
        motion(config(folder, **options), "train")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trans": np.zeros((3, 3))}, r"shapes \(120, 156\) and \(3, 3\)"),
        ({"poses": np.zeros((120, 60))}, "at least 66 numbers"),
        ({"poses": np.full((120, 156), np.nan)}, "finite 'poses'"),
        ({"gender": np.array("robot")}, "gender among"),
        ({"mocap_framerate": np.array(0.0)}, "frame rate from 1"),
        ({"betas": np.array({"a": 1}, dtype=object)}, "pickled objects"),
    ],
)
def test_other_forms_are_refused(change, reason, tmp_path):
    smplh_file(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "x.npz", **{**arrays, **change})
    with pytest.raises(DataError, match=reason):
        read_amass(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", **{k: v for k, v in arrays.items() if k != "betas"})
    with pytest.raises(DataError, match="the array betas"):
        read_amass(tmp_path / "x.npz")


def test_damaged_files_raise_nothing_but_data_errors(damage_count, tmp_path, count_refused):
    path = tmp_path / "x.npz"
    smplh_file(path, frames=2)
    versions = damaged_copies(path, damage_count)
    assert count_refused(versions, lambda: read_amass(path)) > damage_count // 4
