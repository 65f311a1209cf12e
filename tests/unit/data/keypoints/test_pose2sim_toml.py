"""Pose2Sim's calibrations: what becomes of their numbers, and which files are refused."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch

from lifting.data.keypoints.cameras import by_name, cameras_of, plain_name, read_cameras
from lifting.errors import DataError, MissingDataError
from lifting.geometry.camera import project, without_tangential, world_to_camera

from .orders import real_data

SECTION = """
[cam_01]
name = "cam_01"
size = [ 1088.0, 1920.0]
matrix = [ [ 1681.24, 0.0, 532.97], [ 0.0, 1681.08, 948.14], [ 0.0, 0.0, 1.0]]
distortions = [ -0.21, 0.13, 0.004, -0.007, 0.05]
rotation = [ 1.68827548, 1.04832205, -0.41955852]
translation = [ 0.32110489, 0.95633206, 2.89071305]
fisheye = false
"""
OTHER = SECTION.replace("cam_01", "cam_02").replace("2.89071305", "3.3")
METADATA = """
[metadata]
adjusted = false
error = 0.0
"""
TURN = [  # of the rotation vector above, from the collection of formats
    [0.553638, 0.804672, 0.214448],
    [0.434530, -0.059465, -0.898692],
    [-0.710400, 0.590734, -0.382576],
]
POINT = (-0.9, 0.4, 1.2)  # m; off the axis of the camera


def save(folder, text, name="Calib.toml"):
    (folder / name).write_text(text)
    return folder / name


def opencv(point):
    """Pixel of a world point, m, in the camera above, by OpenCV's formula written out."""
    x, y, z = (
        sum(TURN[i][j] * point[j] for j in range(3)) + (0.32110489, 0.95633206, 2.89071305)[i]
        for i in range(3)
    )
    x, y = x / z, y / z
    k1, k2, p1, p2, k3 = -0.21, 0.13, 0.004, -0.007, 0.05
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return 1681.24 * u + 532.97, 1681.08 * v + 948.14


def test_a_camera_is_what_the_file_says(tmp_path):
    found = read_cameras(save(tmp_path, SECTION + OTHER + METADATA))
    assert list(found) == ["cam_01", "cam_02"]
    camera = found["cam_01"]
    assert camera.image_size == (1088, 1920)
    # k3 is last in OpenCV's order and third here.
    wanted = (1681.24, 1681.08, 532.97, 948.14, -0.21, 0.13, 0.05, 0.004, -0.007)
    assert camera.intrinsics == wanted
    np.testing.assert_allclose(camera.rotation, TURN, atol=1e-6)
    centre = -1000 * np.transpose(TURN) @ [0.32110489, 0.95633206, 2.89071305]
    np.testing.assert_allclose(camera.position, centre, atol=0.01)


def test_four_distortions_have_no_k3(tmp_path):
    text = SECTION.replace(", 0.05]", "]")
    found = read_cameras(save(tmp_path, text))["cam_01"]
    assert found.intrinsics[4:] == (-0.21, 0.13, 0, 0.004, -0.007)


def test_a_point_falls_where_opencv_has_it(tmp_path):
    camera = read_cameras(save(tmp_path, SECTION))["cam_01"]
    turn, centre, lens = (
        torch.tensor(v, dtype=torch.float64)
        for v in (camera.rotation, camera.position, camera.intrinsics)
    )
    point = 1000 * torch.tensor([POINT], dtype=torch.float64)
    local = world_to_camera(point, turn, centre)
    seen = opencv(POINT)
    found = project(local, lens, tangential=camera.tangential)[0]
    np.testing.assert_allclose(found, seen, atol=0.005)
    # The project's own tangential term would put it elsewhere, and the one that is taken out does
    # not: the camera without the term sees the point where the keypoint is moved to.
    assert (project(local, lens)[0] - found).norm() > 0.5
    radial = torch.cat((lens[:7], torch.zeros(2)))
    moved = without_tangential(torch.tensor([seen], dtype=torch.float64), lens)
    np.testing.assert_allclose(moved, project(local, radial), atol=0.005)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fisheye = false", "fisheye = true", r"without fisheye in section \[cam_01\].*got fish"),
        ("fisheye = false", 'fisheye = "no"', "without fisheye"),
        ("rotation", "turn", r"matrix, distortions, rotation, translation .*got none of rotation"),
        ("[cam_01]", "[cameras.0]", r"section \[cameras\].*only Pose2Sim's form of TOML"),
        ("[cam_01]", "fps_recording = 30\n[cam_01]", "sections of cameras only .*fps_recording"),
        (", 0.05]", ", 0.05, 0.1]", "expected 4 or 5 finite numbers as distortions"),
        (", 0.05]", ", nan]", "expected 4 or 5 finite numbers as distortions"),
        ("[ 1.68827548,", "[ inf,", "expected 3 finite numbers as rotation"),
        ("[ 1.68827548,", "[ true,", "expected 3 finite numbers as rotation"),
        ("[ 1.68827548,", f"[ {'9' * 400},", "expected 3 finite numbers as rotation"),
        ("[ 0.32110489, 0.95633206,", "[ 0.32110489,", "expected 3 finite numbers as translation"),
        ("[ 0.32110489,", "[ [0.3],", "expected 3 finite numbers as translation"),
        (", [ 0.0, 0.0, 1.0]]", "]", "expected three rows as matrix"),
        ("[ 1681.24, 0.0,", "[ 1681.24, 3.0,", "a lens with skew"),
        ("[ 1681.24,", "[ -1681.24,", "fx, fy above 0"),
        ("[ 1088.0, 1920.0]", "[ 1088.0]", "expected 2 finite numbers as size"),
        ("[ 1088.0, 1920.0]", "[ 0, 1920.0]", "expected width and height above 0"),
        ('"cam_01"', "7", "expected text as name"),
        ('"cam_01"', '"cam_02"', "a name of its own for each camera .*'cam_02' twice"),
        ("[cam_01]", "[cam_01", "expected TOML in UTF-8"),
        ("[cam_01]", f"{'a.' * 600}b = 1\n[cam_01]", "lines of at most 1000 bytes"),
        ("[cam_01]", f"a = {'[' * 900}\n[cam_01]", "expected TOML in UTF-8"),
        ("", "# comment\n" * 30_000, "expected at most 0.25 MB"),
    ],
)
def test_other_files_are_refused(tmp_path, old, new, message):
    text = SECTION.replace(old, new, 1) + OTHER + METADATA
    with pytest.raises(DataError, match=message) as caught:
        read_cameras(save(tmp_path, text))
    assert len(str(caught.value)) < 700


def test_no_file_no_cameras_and_no_text(tmp_path):
    with pytest.raises(MissingDataError, match="found none"):
        read_cameras(tmp_path / "none.toml")
    with pytest.raises(DataError, match="got no section of one"):
        read_cameras(save(tmp_path, METADATA))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00[cam]")
    with pytest.raises(DataError, match="expected TOML in UTF-8"):
        read_cameras(tmp_path / "bytes.toml")


@pytest.mark.parametrize(("factor", "told"), [(1, False), (1000, True), (0.01, True)])
def test_cameras_too_near_or_far_for_metres_are_said(tmp_path, caplog, factor, told):
    for_z = f"{2.89071305 * factor + 0.4 * factor}"
    other = SECTION.replace("cam_01", "cam_02").replace("2.89071305", for_z)
    text = SECTION.replace("2.89071305", f"{2.89071305 * factor}") + other
    with caplog.at_level(logging.WARNING):
        read_cameras(save(tmp_path, text))
    assert ("read as metres" in caplog.text) == told


def test_a_camera_without_a_size(tmp_path):
    text = SECTION.replace("size = [ 1088.0, 1920.0]\n", "").replace('name = "cam_01"\n', "")
    assert read_cameras(save(tmp_path, text))["cam_01"].image_size is None


def test_names_are_compared_without_what_does_not_count():
    assert {plain_name(n) for n in ("cam_01", "CAM-1", "cam01", "cam1_json", "Cam_001_json")} == {
        "cam1"
    }
    assert len({plain_name(n) for n in ("cam10", "cam1", "cam1_0", "cam0", "cam")}) == 5
    assert plain_name("_") == "_"
    names = ("cam01_json", "cam1", "cam_2")
    assert by_name(["cam_02", "cam_01"], names) == {"cam_2": "cam_02"}  # two files may be cam 1
    assert by_name(["cam1", "cam-2"], names) == {"cam1": "cam1", "cam_2": "cam-2"}


def test_cameras_of_keypoint_files(tmp_path, caplog):
    path = save(tmp_path, SECTION + OTHER)
    known = read_cameras(path)
    first, second = known.values()
    assert cameras_of(path, known, ["cam02_json", "cam01_json"]) == {
        "cam01_json": first,
        "cam02_json": second,
    }
    assert cameras_of(path, known, ["Cam2"]) == {"Cam2": second}
    assert "in order" not in caplog.text
    found = cameras_of(path, known, ["left", "right"])
    assert found == {"left": first, "right": second}
    assert "taken in order: left = cam_01, right = cam_02" in caplog.text
    for names in (["left"], ["cam1", "right"]):
        with pytest.raises(DataError, match=rf"the cameras {', '.join(names)} in .*got cam_01, c"):
            cameras_of(path, known, names)
    named = save(tmp_path, SECTION.replace('"cam_01"', '"A"') + OTHER.replace('"cam_02"', '"B"'))
    known = read_cameras(named)
    assert list(cameras_of(named, known, ["b", "a"])) == ["b", "a"]
    assert cameras_of(named, known, ["cam2", "cam1"])["cam1"] == known["A"]
    assert cameras_of(None, {}, ["left"]) == {}


def test_the_real_calibration():
    found = read_cameras(real_data("real/pose2sim/Calib_qualisys.toml"))
    assert list(found) == [f"cam_0{i}" for i in range(1, 5)]
    centres = np.array([camera.position for camera in found.values()]) / 1000
    wanted = [(1.46, -1.91, 1.90), (2.58, 0.71, 1.69), (-3.22, 2.23, 2.09), (-3.76, -1.42, 1.88)]
    np.testing.assert_allclose(centres, wanted, atol=0.0051)
    camera = found["cam_01"]
    np.testing.assert_allclose(camera.rotation, TURN, atol=1e-6)
    turn, centre, lens = (
        torch.tensor(v, dtype=torch.float64)
        for v in (camera.rotation, camera.position, camera.intrinsics)
    )
    nose = 1000 * torch.tensor([[-1.197035, -0.053115, 1.557268]], dtype=torch.float64)
    pixel = project(world_to_camera(nose, turn, centre), lens, tangential=camera.tangential)
    np.testing.assert_allclose(pixel[0], (505.762, 429.819), atol=0.01)


def test_another_calibration_of_the_same_tool():
    (camera,) = read_cameras(real_data("real/pose2sim/sports2d_Calib_demo.toml")).values()
    assert camera.image_size == (1768, 994)
    assert math.isclose(camera.intrinsics[0], 2520.0897058227038)


@pytest.mark.parametrize("name", ["camera_array.toml", "config.toml"])
def test_calibrations_of_other_tools_are_refused_by_name(name):
    with pytest.raises(DataError, match="only Pose2Sim's form of TOML is read"):
        read_cameras(real_data(f"real/caliscope/{name}"))
