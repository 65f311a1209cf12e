"""Files of AIST++ written by the tests from their description."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lifting.data.sets.aistpp.files import (
    VIEWS,
    decide_world,
    find_settings,
    parse_name,
    read_keypoints2d,
    read_keypoints3d,
    read_names,
    read_setting,
)
from lifting.errors import DataError, MissingDataError
from lifting.geometry.camera import project, world_to_camera

NAME = "gBR_sBM_cAll_d04_mBR0_ch01"
# A standing dancer in the order of coco17, centimetres, y up.
DANCER = np.array([
    [0, 160, 10], [3, 163, 8], [-3, 163, 8], [8, 162, 0], [-8, 162, 0], [18, 140, 0],
    [-18, 140, 0], [22, 112, 0], [-22, 112, 0], [24, 88, 4], [-24, 88, 4], [10, 90, 0],
    [-10, 90, 0], [11, 50, 2], [-11, 50, 2], [11, 9, 0], [-11, 9, 0],
], dtype=np.float64)  # fmt: skip


def dance(frames=8):
    return DANCER + np.arange(frames)[:, None, None] * [1.0, 0, 0]


@pytest.fixture
def dump(tmp_path):
    def place(content, protocol=4, name="a.pkl"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        return path

    return place


def seen(frames=8, **changes):
    rng = np.random.default_rng(0)
    return {
        "keypoints2d": rng.uniform(0, 1000, (9, frames, 17, 3)),
        "det_scores": np.ones((9, frames)),
        "timestamps": np.round(np.arange(frames) * 1e6 / 60).astype(np.int64), **changes,
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_joints_are_the_optimised_ones(dump, protocol):
    joints = dance()
    joints[2, 5, 1] = np.nan
    found = read_keypoints3d(
        dump({"keypoints3d": joints * 0, "keypoints3d_optim": joints}, protocol)
    )
    assert found.dtype == np.float32
    assert np.argwhere(np.isnan(found).any(axis=-1)).tolist() == [[2, 5]]
    assert np.isnan(found[2, 5]).all()
    np.testing.assert_allclose(found[0], DANCER, atol=1e-4)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_pickles_that_run_code_are_refused_and_not_run(dump, tmp_path):
    mark = tmp_path / "ran"
    for protocol in range(2, 6):
        path = dump({"keypoints3d_optim": dance(), "x": Evil(mark)}, protocol)
        with pytest.raises(DataError, match=r"asks for (posix|nt)\.system; nothing of it was run"):
            read_keypoints3d(path)
    assert not mark.exists()


@pytest.mark.parametrize(("content", "message"), [
    ({"keypoints3d": dance()}, "missing array 'keypoints3d_optim'"),
    ({"keypoints3d_optim": dance()[:, :16]}, r"shape \(any, 17, 3\) at .*shape \(8, 16, 3\)"),
    ({"keypoints3d_optim": dance()[:0]}, r"shape \(0, 17, 3\)"),
    ({"keypoints3d_optim": dance() + np.inf}, "expected finite numbers"),
    ({"keypoints3d_optim": "text"}, "got str"),
    ([1, 2], "expected a dictionary by name"),
])  # fmt: skip
def test_other_joints_are_refused(dump, content, message):
    with pytest.raises(DataError, match=message):
        read_keypoints3d(dump(content))


def test_cut_and_missing_files(dump, tmp_path):
    path = dump({"keypoints3d_optim": dance()})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        read_keypoints3d(path)
    with pytest.raises(MissingDataError, match="get the set complete"):
        read_keypoints3d(tmp_path / "none.pkl")


@pytest.mark.parametrize("ticks", [1.0, 1e3, 1e6])
def test_detections(dump, ticks):
    content = seen(timestamps=np.arange(8) * ticks / 60)
    content["keypoints2d"][3, 2, 7, 0] = np.nan
    found = read_keypoints2d(dump(content), 8)
    assert found.shape == (9, 8, 17, 3)
    assert np.argwhere(found[..., 2] == 0).tolist() == [[3, 2, 7]]
    np.testing.assert_array_equal(found[3, 2, 7], 0)
    np.testing.assert_allclose(found[5, 6, 7], content["keypoints2d"][5, 6, 7], rtol=1e-6)


@pytest.mark.parametrize(("content", "message"), [
    (seen(bboxes=np.zeros((9, 8, 4))), "newer form for several people with 133 points"),
    (seen(keypoints2d=np.zeros((9, 8, 133, 3))), "newer form for several people"),
    (seen(keypoints2d=np.zeros((8, 8, 17, 3))), r"shape \(9, 8, 17, 3\) at .*shape \(8, 8"),
    (seen(timestamps=np.arange(7)), r"shape \(8\) at .*timestamps.*shape \(7,\)"),
    (seen(timestamps=np.arange(8) * 1e6 / 30), r"60 frames a second.*steps of 33333"),
])  # fmt: skip
def test_other_detections_are_refused(dump, content, message):
    with pytest.raises(DataError, match=message):
        read_keypoints2d(dump(content), 8)


def test_files_of_unequal_length(dump):
    with pytest.raises(DataError, match=r"shape \(9, 8, 17, 3\) at .*shape \(9, 7, 17, 3\)"):
        read_keypoints2d(dump(seen(7)), 8)


@pytest.mark.parametrize(
    ("unit", "scale", "mm"), [("cm", 1, 10), ("m", 0.01, 1000), ("mm", 10, 1)]
)
@pytest.mark.parametrize("up", ["y", "z"])
def test_the_people_tell_unit_and_axis(unit, scale, mm, up):
    turn = np.eye(3) if up == "y" else np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    joints = dance() * scale @ turn
    joints[0, 3] = np.nan
    world = decide_world([joints, joints])
    assert (world.unit_mm, world.up) == (mm, up)
    assert ("though the published files are in cm, y up" in world.note) == (
        (unit, up) != ("cm", "y")
    )
    placed = world.to_mm(joints[1])
    expected = np.stack((dance()[1, :, 0], -dance()[1, :, 2], dance()[1, :, 1]), axis=-1) * 10
    np.testing.assert_allclose(placed, expected, atol=1e-6)


@pytest.mark.parametrize(
    "joints",
    [dance()[..., [1, 0, 2]], dance() * 3, dance() * np.nan, dance() @ np.diag([1, 0.1, 1])],
)
def test_an_undecided_world_is_refused(joints):
    with pytest.raises(DataError, match=r"expected AIST.. joints that stand"):
        decide_world([joints])


def camera(name, distortions=(0.1, -0.05, 0.002, -0.003, 0.01), **changes):
    rotation = Rotation.from_euler("xyz", [170, 30, 5], degrees=True)
    return {
        "name": name, "size": [1920, 1080], "matrix": [[1500, 0, 960], [0, 1510, 540], [0, 0, 1]],
        "rotation": rotation.as_rotvec().tolist(), "translation": [5.0, 90.0, 450.0],
        "distortions": list(distortions), **changes,
    }  # fmt: skip


@pytest.fixture
def setting(tmp_path):
    def place(cameras):
        path = tmp_path / "setting1.json"
        path.write_text(json.dumps(cameras))
        return path

    return place


def opencv_pixels(told, points):
    """Projection by the published formula of the distortion model with five coefficients."""
    turned = Rotation.from_rotvec(told["rotation"]).apply(points) + told["translation"]
    x, y = (turned[:, :2] / turned[:, 2:]).T
    k1, k2, p1, p2, k3 = told["distortions"]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    matrix = np.array(told["matrix"])
    return np.stack((u * matrix[0, 0] + matrix[0, 2], v * matrix[1, 1] + matrix[1, 2]), axis=-1)


@pytest.mark.parametrize("lens", [(0.1, -0.05, 0.002, -0.003, 0.01), (0.1, -0.05, 0, 0, 0)])
def test_cameras_project_as_the_published_model_does(setting, lens):
    told = [camera(name, lens) for name in reversed(VIEWS)]
    cameras = read_setting(setting(told))
    assert len(cameras) == len(VIEWS)
    world = decide_world([dance()])
    ours = cameras[0].placed(world)
    assert ours.size.tolist() == [1920, 1080]
    points = torch.as_tensor(world.to_mm(DANCER))
    local = world_to_camera(points, torch.as_tensor(ours.rotation), torch.as_tensor(ours.position))
    pixels = project(local, torch.as_tensor(ours.intrinsics), tangential="brown")
    np.testing.assert_allclose(pixels.numpy(), opencv_pixels(told[0], DANCER), atol=1e-3)


@pytest.mark.parametrize(("cameras", "message"), [
    ([camera(name) for name in VIEWS[:8]], "expected the cameras c01.*c09"),
    ([camera(name) for name in (*VIEWS, "c09")], "expected the cameras"),
    ({"a": 1}, "expected the cameras of .* to be a list"),
    ([1], "expected a camera of .* to be an object"),
    ([camera(name, distortions=[0] * 8) for name in VIEWS], "'distortions' of camera c01"),
    ([camera(name, rotation=[[1, 0], [0, 1]]) for name in VIEWS], "'rotation' of camera c01"),
    ([camera(name, matrix=[[1, 2, 3], [4]]) for name in VIEWS], "'matrix' of camera c01"),
    ([camera(name, size=["a", 2]) for name in VIEWS], "'size' of camera c01"),
    ([camera(name, matrix=[[9, 1, 3], [0, 9, 3], [0, 0, 1]]) for name in VIEWS], "without skew"),
])  # fmt: skip
def test_other_settings_are_refused(setting, cameras, message):
    with pytest.raises(DataError, match=message) as refusal:
        read_setting(setting(cameras))
    assert len(str(refusal.value)) < 600


def test_mapping_and_missing_settings(tmp_path):
    other = "gWA_sFM_cAll_d27_mWA5_ch21"
    (tmp_path / "mapping.txt").write_text(f"{NAME} setting1\n{other} ../../other\ngXX a b\n")
    with pytest.raises(MissingDataError, match=r"cameras of gBR.*setting1\.json, found none"):
        find_settings(tmp_path, [NAME])
    (tmp_path / "setting1.json").write_text("[]")
    assert find_settings(tmp_path, [NAME]) == {NAME: tmp_path / "setting1.json"}
    for name, got in ((other, r"\.\./\.\./other"), ("gXX", "a b"), ("gYY", "")):
        with pytest.raises(DataError, match=f"a camera setting of {name}.*got '{got}'"):
            find_settings(tmp_path, [NAME, name])


def test_names_of_sequences(tmp_path):
    assert parse_name(NAME) == ("BR", "BM", "d04")
    assert parse_name("gWA_sFM_c03_d27_mWA5_ch21").dancer == "d27"
    path = tmp_path / "pose_train.txt"
    path.write_text(f"{NAME}\n\ngWA_sFM_cAll_d27_mWA5_ch21\r\n")
    assert read_names(path) == (NAME, "gWA_sFM_cAll_d27_mWA5_ch21")
    path.write_text("a sequence\n")
    with pytest.raises(DataError, match=r"expected a sequence name such as gBR.*got 'a sequence'"):
        read_names(path)
