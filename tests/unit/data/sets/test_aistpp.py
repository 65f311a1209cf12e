"""AIST++ through the reader: files in the published layout, written by the tests."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lifting.data.check import check_tracks
from lifting.data.config import DataConfig
from lifting.data.describe import is_found
from lifting.data.sets.aistpp.config import Config as AistppConfig
from lifting.data.sets.aistpp.config import exact
from lifting.data.sets.aistpp.reader import cache_key, tracks
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.geometry.camera import camera_to_world, project
from lifting.skeleton import COCO_17

NAMES = {
    "train": ["gBR_sBM_cAll_d04_mBR0_ch01", "gWA_sFM_cAll_d27_mWA5_ch21"],
    "val": ["gBR_sBM_cAll_d05_mBR1_ch02"],
    "test": ["gPO_sBM_cAll_d10_mPO1_ch03"],
}
IGNORED = "gBR_sBM_cAll_d06_mBR2_ch03"
VIEWS = [f"c{i:02d}" for i in range(1, 10)]
LENS = [0.1, -0.05, 0.002, -0.003, 0.01]  # k1, k2, p1, p2, k3
MATRIX = [[1500.0, 0, 960], [0, 1510, 540], [0, 0, 1]]
FRAMES = 6
# A standing dancer in the order of coco17, centimetres, y up.
DANCER = np.array([
    [0, 160, 10], [3, 163, 8], [-3, 163, 8], [8, 162, 0], [-8, 162, 0], [18, 140, 0],
    [-18, 140, 0], [22, 112, 0], [-22, 112, 0], [24, 88, 4], [-24, 88, 4], [10, 90, 0],
    [-10, 90, 0], [11, 50, 2], [-11, 50, 2], [11, 9, 0], [-11, 9, 0],
], dtype=np.float64)  # fmt: skip


def dance(number):
    return DANCER + np.arange(FRAMES)[:, None, None] * [2.0, 0, 0] + [10.0 * number, 0, 0]


def camera(view):
    """Around the dancer, 4.5 m away, y down in the image."""
    turn = Rotation.from_euler("y", 40.0 * view, degrees=True) * Rotation.from_euler("x", np.pi)
    return {
        "name": VIEWS[view], "size": [1920, 1080], "matrix": MATRIX,
        "rotation": turn.as_rotvec().tolist(), "translation": [5.0, 90.0, 450.0],
        "distortions": LENS,
    }  # fmt: skip


def opencv_pixels(told, points):
    """Projection by the published formula of the distortion model with five coefficients."""
    turned = points @ Rotation.from_rotvec(told["rotation"]).as_matrix().T + told["translation"]
    x, y = np.moveaxis(turned[..., :2] / turned[..., 2:], -1, 0)
    k1, k2, p1, p2, k3 = told["distortions"]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack((u * 1500 + 960, v * 1510 + 540), axis=-1)


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "aistpp"
    for name in ("keypoints3d", "keypoints2d", "cameras", "splits"):
        (folder / name).mkdir(parents=True)
    told = [camera(view) for view in range(9)]
    (folder / "cameras" / "setting1.json").write_text(json.dumps(told))
    lists = {**NAMES, "train": [*NAMES["train"], IGNORED]}
    every = [name for names in lists.values() for name in names]
    for part, names in lists.items():
        (folder / "splits" / f"pose_{part}.txt").write_text("\n".join(names) + "\n")
    (folder / "splits" / "crossmodal_test.txt").write_text(f"{NAMES['val'][0]}\n")
    (folder / "ignore_list.txt").write_text(f"{IGNORED}\n")
    (folder / "cameras" / "mapping.txt").write_text("".join(f"{n} setting1\n" for n in every))
    for number, name in enumerate(every):
        joints = dance(number)
        seen = np.stack([opencv_pixels(one, joints) for one in told])
        seen = np.concatenate((seen, np.full((9, FRAMES, 17, 1), 0.8)), axis=-1)
        joints[1, 9], seen[2, 3, 4] = np.nan, np.nan
        three = {"keypoints3d": joints * 0, "keypoints3d_optim": joints}
        two = {"keypoints2d": seen, "det_scores": np.ones((9, FRAMES)),
               "timestamps": np.arange(FRAMES) * 1e6 / 60}  # fmt: skip
        (folder / "keypoints3d" / f"{name}.pkl").write_bytes(pickle.dumps(three))
        (folder / "keypoints2d" / f"{name}.pkl").write_bytes(pickle.dumps(two))
    return folder


@pytest.fixture
def data(home):
    def section(**options):
        return DataConfig(name="aistpp", root=str(home), cache=str(home.parent / "cache"),
                          aistpp=AistppConfig(**options))  # fmt: skip

    return section


def test_tracks_names_and_rates(data):
    found = load_tracks(data(), "train")
    assert found.skeleton == COCO_17
    assert (len(found.track_names), len(found)) == (18, 18 * FRAMES)
    assert found.track_names[:2] == ("gBR_sBM_cAll_d04_mBR0_ch01/c01",
                                     "gBR_sBM_cAll_d04_mBR0_ch01/c02")  # fmt: skip
    assert (found.subject_names, found.action_names) == (("d04", "d27"), ("gBR sBM", "gWA sFM"))
    assert found.recording.tolist() == [0] * 9 + [1] * 9
    assert (found.fps == 60).all()
    assert found.camera_kind == "true"
    assert found.source["sequences"] == "2 (1 more are in ignore_list.txt)"
    assert "read in cm with y up: hips stand 81" in found.source["world"]
    check_tracks(found, "train")


def test_joints_come_in_millimetres_with_z_up(data):
    found = tracks(data(), "test")
    index = found.camera[0]
    world = camera_to_world(
        found.joints_3d[0], found.cameras.rotation[index], found.cameras.position[index]
    )
    placed = dance(4)[0] * 10
    expected = np.stack((placed[:, 0], -placed[:, 2], placed[:, 1]), axis=-1)
    np.testing.assert_allclose(world.numpy(), expected, atol=0.02)


@pytest.mark.parametrize("two_d", ["gt", "detected"])
def test_projected_joints_fall_on_the_keypoints(data, two_d):
    found = tracks(data(two_d=two_d), "val")
    lens = found.cameras.intrinsics[found.camera].repeat_interleave(FRAMES, 0)
    assert float(lens[:, 7:].abs().max()) == 0
    shown = found.visible & (found.confidence > 0)
    away = (project(found.joints_3d, lens) - found.keypoints_2d).norm(dim=-1)
    assert float(away[shown].max()) < 0.1
    assert float(found.keypoints_2d[shown].min()) > 0


def test_the_tangential_term_is_not_small_here(data):
    pixels = tracks(data(two_d="gt"), "val").keypoints_2d[:FRAMES].numpy()
    away = np.linalg.norm(pixels[0] - opencv_pixels(camera(0), dance(3))[0], axis=-1)
    assert away.max() > 0.1


def test_absent_joints_are_zero_and_not_visible(data):
    for two_d, score in (("detected", 0.8), ("gt", 1.0)):
        found = tracks(data(two_d=two_d), "val")
        hidden = (~found.visible).nonzero().tolist()
        assert hidden == [[view * FRAMES + 1, 9] for view in range(9)]
        assert float(found.joints_3d[~found.visible].abs().max()) == 0
        unseen = (found.confidence == 0).nonzero().tolist()
        assert unseen == ([[2 * FRAMES + 3, 4]] if two_d == "detected" else hidden)
        assert float(found.keypoints_2d[found.confidence == 0].abs().max()) == 0
        assert float(found.confidence.max()) == pytest.approx(score)


def test_views_every_and_lists(data):
    found = tracks(data(views=("c03", "c07"), every=4), "val")
    assert [name[-3:] for name in found.track_names] == ["c03", "c07"]
    assert found.camera.tolist() == [2, 6]
    assert found.fps.tolist() == [15.0, 15.0]
    assert len(found) == 4
    whole = tracks(data(), "val")
    torch.testing.assert_close(found.keypoints_2d[:2], whole.keypoints_2d[12:18:4])
    crossed = tracks(data(split="crossmodal"), "test")
    assert crossed.subject_names == ("d05",)
    assert crossed.source["split_rule"] == "crossmodal_test.txt"


def test_options(data):
    with pytest.raises(ConfigError, match=r"aistpp\.every of at least 1"):
        tracks(data(every=0), "val")
    with pytest.raises(ConfigError, match=r"unknown name 'c10' in data\.aistpp\.views"):
        tracks(data(views=("c10",)), "val")


def test_missing_files(data, home):
    with pytest.raises(MissingDataError, match=r"expected splits/crossmodal_val\.txt of AIST"):
        tracks(data(split="crossmodal"), "val")
    (home / "keypoints2d" / f"{NAMES['train'][1]}.pkl").unlink()
    with pytest.raises(MissingDataError, match=r"the 2 sequences.*none of 1, such as gWA.*=gt"):
        tracks(data(), "train")
    assert len(tracks(data(two_d="gt"), "train").track_names) == 18
    (home / "keypoints3d" / f"{NAMES['train'][1]}.pkl").unlink()
    with pytest.raises(MissingDataError, match="get keypoints3d complete"):
        tracks(data(two_d="gt"), "train")
    (home / "splits" / "pose_val.txt").write_text(f"{IGNORED}\n")
    with pytest.raises(DataError, match="got none of 1; get the lists again"):
        tracks(data(), "val")
    (home / "ignore_list.txt").unlink()
    with pytest.raises(MissingDataError, match=r"ignore_list\.txt"):
        tracks(data(), "val")


def test_cache_key_follows_files_and_options(data, home):
    first = cache_key(data(), "val")
    assert first == cache_key(data(), "val")
    assert first != cache_key(data(two_d="gt"), "val")
    path = home / "keypoints3d" / f"{NAMES['val'][0]}.pkl"
    path.write_bytes(path.read_bytes() + b"x")
    assert first != cache_key(data(), "val")


def test_what_else_the_set_says(data, home):
    assert exact(data(two_d="gt")) is None
    assert exact(data()).aistpp.two_d == "gt"
    assert is_found("aistpp", str(home))
