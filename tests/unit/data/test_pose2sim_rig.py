"""A rig of Pose2Sim as it lies: four folders and a calibration, against its own triangulation."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import torch

from lifting.cli.main import main
from lifting.data.config import DataConfig
from lifting.data.sets.keypoint_rig.config import Config as KeypointRigConfig
from lifting.data.sets.keypoint_rig.reader import cache_key, read_rig, tracks
from lifting.errors import DataError
from lifting.geometry.camera import project, world_to_camera
from lifting.skeleton import H36M_17
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solve import solve_rig

from .keypoints.orders import real_data

TRC = "real/pose2sim/S00_P00_T01_BalancingTrial_0-100_filt_butterworth.trc"
JOINTS = {
    f"{side}_{part}": f"{side[0].upper()}{part.capitalize()}"
    for side in ("left", "right")
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
}
OURS = [H36M_17.index(joint) for joint in JOINTS]
SIZE = (1088, 1920)


@pytest.fixture(scope="module")
def folders():
    return [real_data(f"real/pose2sim/pose-associated/cam0{i}_json") for i in range(1, 5)]


@pytest.fixture(scope="module")
def calibration():
    return real_data("real/pose2sim/Calib_qualisys.toml")


@pytest.fixture(scope="module")
def reference():
    """Joints that the file of markers and ours share, ``(100, 12, 3)``, world, z up, mm."""
    lines = real_data(TRC).read_text().splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [line.split("\t")[2:65] for line in lines[5:] if line.strip()]
    markers = np.array(rows, dtype=np.float64).reshape(len(rows), 21, 3)
    world = markers[:, [names.index(name) for name in JOINTS.values()]][..., [2, 0, 1]]
    return 1000 * torch.from_numpy(world)


def distance(found, truth):
    return float((found - truth).norm(dim=-1).mean())


def aligned(found, truth):
    """Points ``(n, 3)`` after the best similarity."""
    a, b = found - found.mean(0), truth - truth.mean(0)
    u, s, vt = torch.linalg.svd(b.mT @ a)
    sign = torch.ones(3, dtype=a.dtype)
    sign[2] = torch.linalg.det(u @ vt).sign()
    return (s * sign).sum() / a.square().sum() * a @ (u * sign @ vt).mT + truth.mean(0)


def test_the_folders_and_the_calibration_are_one_rig(folders, calibration, caplog):
    with caplog.at_level(logging.WARNING):
        rig = read_rig(folders, calibration)
    assert not caplog.text
    assert (rig.known, rig.left_out) == ("given", 0)
    assert rig.views.names == tuple(f"cam0{i}_json" for i in range(1, 5))
    assert rig.views.keypoints.shape == (4, 100, 17, 2)
    assert rig.views.sizes.tolist() == [list(map(float, SIZE))] * 4
    assert rig.views.intrinsics[:, 7:].count_nonzero() == 0  # taken out of the keypoints
    # Frame 52 of camera 3 shows nobody: filled, and of no weight.
    lost = (rig.views.confidence == 0).all(-1)
    assert lost.nonzero().tolist() == [[2, 52]]
    third = rig.views.keypoints[2]
    torch.testing.assert_close(third[52], third[[51, 53]].mean(0))
    assert [len(list(folder.glob("*.json"))) for folder in folders] == [100] * 4


def test_frames_keep_their_numbers(folders, calibration, tmp_path):
    """Cameras whose files begin and end at other frames share those that all have."""
    whole = read_rig(folders, calibration)
    cut = [shutil.copytree(folder, tmp_path / folder.name) for folder in folders]
    for folder, numbers in zip(cut, (range(3), (), (*range(90, 100),), ()), strict=True):
        for i in numbers:
            (folder / f"{folder.name[:5]}.{i:04d}.json").unlink()
    rig = read_rig(cut, calibration)
    assert rig.left_out == 97 + 100 + 90 + 100 - 4 * 87
    torch.testing.assert_close(rig.views.keypoints, whole.views.keypoints[:, 3:90])
    torch.testing.assert_close(rig.views.confidence, whole.views.confidence[:, 3:90])


def test_given_cameras_find_the_markers(folders, calibration, reference, tmp_path, capsys):
    words = [*map(str, folders), "--cameras", str(calibration), "--output", str(tmp_path)]
    assert main(["rig", "solve", *words, "--pool-frames", "50", "--shifts", "0"]) == 0
    assert "| known of the cameras | all |" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["facts"]["frames_left_out"] == 0
    with np.load(tmp_path / "solution.npz", allow_pickle=False) as archive:
        joints = torch.from_numpy(archive["joints"])[:, OURS].double()
    assert bool(joints.isfinite().all())  # also in frame 52, from the other three
    # In the calibration's own world, without any alignment: 17.5 mm were measured.
    assert distance(joints, reference) < 19
    assert distance(joints[52], reference[52]) < 30
    assert distance(aligned(joints.flatten(0, 1), reference.flatten(0, 1)),
                    reference.flatten(0, 1)) < 19  # fmt: skip


@pytest.mark.parametrize("told", ["intrinsics", "sizes"])
def test_cameras_that_are_not_given_are_found(folders, calibration, reference, tmp_path, told):
    for folder in folders:
        (tmp_path / folder.name).mkdir()
        for i in range(0, 100, 4):
            name = f"{folder.name[:5]}.{i:04d}.json"
            shutil.copy(folder / name, tmp_path / folder.name / name)
    rig = read_rig([tmp_path / f.name for f in folders], calibration, told=told)
    assert rig.known == told
    assert rig.views.keypoints.shape[1] == 25
    solution = solve_rig(
        rig.views, TeacherOptions(hypotheses=16, shifts=0, focal_guesses=(0.9, 1.5))
    )
    joints = solution.joints[:, OURS].double()
    truth = reference[::4]
    seen = joints.isfinite().all(-1)
    assert seen.float().mean() > 0.95
    assert distance(aligned(joints[seen], truth[seen]), truth[seen]) < 27  # 24 were measured


def test_without_a_calibration_the_size_is_asked_for(folders):
    with pytest.raises(DataError, match=r"does not hold them; give --image-size WIDTH HEIGHT"):
        read_rig(folders)
    rig = read_rig(folders, options=KeypointRigConfig(image_size=SIZE))
    assert rig.known == "sizes"


def test_the_data_set_of_own_recordings_takes_the_calibration(folders, calibration, tmp_path):
    for folder in folders:
        place = tmp_path / "balance" / folder.name
        place.mkdir(parents=True)
        for i in range(40, 60):
            shutil.copy(folder / f"{folder.name[:5]}.{i:04d}.json", place)
    shutil.copy(calibration, tmp_path / "Calib.toml")
    options = KeypointRigConfig(cameras="Calib.toml", holdout=0.5)
    config = DataConfig(name="keypoint_rig", root=str(tmp_path), keypoint_rig=options)
    found = tracks(config, "val")
    assert found.track_names == tuple(f"balance/cam0{i}_json" for i in range(1, 5))
    assert (found.confidence == 0).all(-1).nonzero().tolist() == [[2 * 10 + 2]]  # frame 52
    whole = read_rig(folders, calibration).views
    torch.testing.assert_close(found.cameras.position, whole.centre)
    torch.testing.assert_close(found.keypoints_2d[:10], whole.keypoints[0, 50:60])
    before = cache_key(config, "val")
    (tmp_path / "Calib.toml").write_text(calibration.read_text() + "\n")
    assert cache_key(config, "val") != before


def test_names_in_a_file_of_ones_own_match_as_well(folders, tmp_path):
    facts = {f"cam{i}": {"image_size": SIZE} for i in range(1, 5)}
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(facts))
    assert read_rig(folders, path).views.sizes.tolist() == [list(map(float, SIZE))] * 4
    path.write_text(json.dumps({**facts, "cam_4": {}}))  # which of the two is cam04_json?
    with pytest.raises(DataError, match="got 'cam4'"):
        read_rig(folders, path)


def test_a_lens_with_strong_tangential_terms(tmp_path):
    """Keypoints of OpenCV's lens meet the camera that the rig is told of."""
    generator = torch.Generator().manual_seed(0)
    world = torch.rand((6, 17, 3), generator=generator, dtype=torch.float64) * 900 - 450
    text = ""
    for name, turn, shift in (("a", 0.0, 0.1), ("b", 0.6, -0.2)):
        text += (
            f'[{name}]\nname = "{name}"\nsize = [1000.0, 1000.0]\n'
            "matrix = [[900.0, 0.0, 500.0], [0.0, 900.0, 500.0], [0.0, 0.0, 1.0]]\n"
            "distortions = [-0.2, 0.1, 0.02, -0.03, 0.01]\n"
            f"rotation = [0.0, {turn}, 0.0]\ntranslation = [{shift}, 0.0, 2.0]\n"
        )
        c, s = np.cos(turn), np.sin(turn)
        x, y, z = (world.numpy() @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T / 1000).T
        x, y = (x + shift) / (z + 2), y / (z + 2)
        r2 = x * x + y * y
        radial = 1 - 0.2 * r2 + 0.1 * r2**2 + 0.01 * r2**3
        u = x * radial + 0.04 * x * y - 0.03 * (r2 + 2 * x * x)
        v = y * radial + 0.02 * (r2 + 2 * y * y) - 0.06 * x * y
        pixels = np.stack((900 * u + 500, 900 * v + 500), -1).transpose(1, 0, 2)
        np.savez(tmp_path / f"{name}.npz", keypoints_2d=pixels, skeleton="h36m17")
    (tmp_path / "Calib.toml").write_text(text)
    rig = read_rig([tmp_path / "b.npz", tmp_path / "a.npz"], tmp_path / "Calib.toml").views
    for v in range(2):
        local = world_to_camera(world, rig.rotation[v].double(), rig.centre[v].double())
        seen = project(local.flatten(0, 1), rig.intrinsics[v].double()).reshape(6, 17, 2)
        torch.testing.assert_close(rig.keypoints[v].double(), seen, rtol=0, atol=2e-3)
