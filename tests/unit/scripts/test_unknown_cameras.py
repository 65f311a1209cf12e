"""``unknown_cameras.py`` on a tiny run: its conditions, its table, its mistakes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unknown_cameras
import unknown_cameras_study as study
from lifting.cli.main import main
from lifting.data.config import DataConfig
from lifting.data.sources import load_motion
from lifting.export.motion import export_poses
from lifting.geometry.camera import project
from lifting.poses import Poses

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SMALL = ["extends=overlay/smoke", "wandb.mode=disabled", "panels.worst=0", "method.channels=8"]


@pytest.fixture(scope="module", autouse=True)
def _places(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    patch.setenv("LIFTING_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("LIFTING_DATA", raising=False)
    patch.setattr("lifting.experiment.panels.PanelsCallback._save", lambda *_: None)
    patch.setattr("lifting.experiment.panels.PanelsCallback.on_test_end", lambda *_: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def motion():
    config = DataConfig()
    config.synthetic.test_sequences, config.synthetic.sequence_frames = 2, 30
    return load_motion(config, "test")


def test_settings_change_one_thing_and_keep_the_person_in_view(motion):
    usual = study.filmed(motion, study.Setting(), 0)
    size = usual.cameras.size[0]
    assert ((usual.keypoints_2d > 0) & (usual.keypoints_2d < size)).float().mean() > 0.95
    exact = study.filmed(motion, study.Setting(noise="none"), 0)
    lens = exact.cameras.intrinsics[exact.camera[0]].expand(len(exact), -1)
    torch.testing.assert_close(
        exact.keypoints_2d, project(exact.joints_3d, lens), rtol=0, atol=0.1
    )
    high = study.filmed(motion, study.Setting(noise="none", height=5000.0), 0)
    assert (high.cameras.position[:, 2] == 5000).all()
    near, far = (study.filmed(motion, study.Setting(noise="none", focal=f), 0) for f in (0.7, 4.0))
    heights = [
        float((t.keypoints_2d.amax(1) - t.keypoints_2d.amin(1))[:, 1].mean()) for t in (near, far)
    ]
    assert heights[0] == pytest.approx(heights[1], rel=0.2)
    assert far.joints_3d[..., 2].mean() > 4 * near.joints_3d[..., 2].mean()
    lost = study.filmed(motion, study.Setting(missing=0.3), 0)
    assert float((lost.confidence == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(lost.joints_3d, usual.joints_3d)
    tilted = study.filmed(motion, study.Setting(noise="none", tilt=90.0), 0)
    spread = [t.keypoints_2d.amax(1) - t.keypoints_2d.amin(1) for t in (exact, tilted)]
    assert spread[0][:, 1].mean() > spread[0][:, 0].mean()
    assert spread[1][:, 0].mean() > spread[1][:, 1].mean()


def test_the_table_has_every_condition_and_repeats(tmp_path, monkeypatch, motion, capsys):
    output = tmp_path / "outputs"
    assert main(["train", "ready_single", f"output={output}", *SMALL]) == 0
    run = next((output / "ready_single").iterdir())
    monkeypatch.setattr(study, "_motion", lambda *_: motion)
    written = tmp_path / "study"
    capsys.readouterr()
    assert unknown_cameras.main([str(run), "--output", str(written)]) == 0
    assert "Pose2Sim's trial is not at hand" in capsys.readouterr().out
    rows = json.loads((written / "unknown_cameras.json").read_text())["rows"]
    assert len(rows) == 1 + sum(map(len, study.CHANGES.values()))
    assert all(np.isfinite(row["mpjpe_mm"]) and row["stated"] > 0 for row in rows)
    assert all(row["pa_mpjpe_mm"] < row["mpjpe_mm"] for row in rows)
    text = (written / "unknown_cameras.md").read_text()
    assert "| missing | 30% |" in text
    assert "| height | 5 m |" in text
    assert "| focal | 0.7 widths |" in text


def test_markers_score_limbs_and_angles(tmp_path, motion):
    points = motion.joints_3d[:30].double().numpy()
    poses = Poses(
        skeleton="h36m17",
        joints_3d=points - points[:, :1],
        world=points,
        frame=np.arange(30),
        track=np.zeros(30, dtype=int),
        track_names=("ann",),
        fps=60.0,
    )
    export_poses(poses, "trc", tmp_path, stem="walk_0-100")
    same = study._against_markers(poses, "run", "trial", "camera 1", tmp_path)
    assert (same.frames, same.mpjpe_mm) == (30, None)
    assert max(same.pa_mpjpe_mm, same.knee_deg, same.elbow_deg) < 0.01
    knee = poses.joints_3d.copy()
    knee[:, [2, 5]] += 40
    off = study._against_markers(replace(poses, joints_3d=knee), "run", "trial", "1", tmp_path)
    assert 1 < off.knee_deg < 30
    assert off.elbow_deg < 0.01
    assert 2 < off.pa_mpjpe_mm < 40
    assert off.cells()[-2:] == (f"{off.knee_deg:.1f}", "0.0")


def test_what_is_stated_is_compared_with_what_is_true():
    class Found:
        expected_error = np.tile(np.arange(17.0), (2, 1))

    true = 2 * torch.arange(17.0).repeat(2, 1)
    ratio, correlation = study._stated(Found(), true)
    assert ratio == pytest.approx(0.5)
    assert correlation == pytest.approx(1.0, abs=0.05)
    Found.expected_error = None
    assert study._stated(Found(), true) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "expected the folder of a trained run, got nowhere"),
        (["nowhere", "--frames", "0"], "expected --frames from 1, got 0"),
        ([".", "--trial", "nowhere"], "expected the folder of Pose2Sim's trial"),
    ],
)
def test_mistakes(arguments, said, tmp_path, capsys):
    assert unknown_cameras.main([*arguments, "--output", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
