"""AIST++ through the reader: files in the published layout, written by the tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from aistpp_files import FRAMES, IGNORED, NAMES, camera, dance, opencv_pixels, write_aistpp

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


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "aistpp"
    write_aistpp(folder)
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
