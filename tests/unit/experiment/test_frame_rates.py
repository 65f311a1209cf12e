"""A method of windows answers footage of any rate as that of the rate it was trained at.

The network is trained for a few seconds on procedural motion of 50 frames a second. People
it has never seen are made at 300 frames a second and taken at every n-th frame, so that all rates
show the same motion.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lifting.batch import root_relative
from lifting.cli.main import main
from lifting.data.film import film
from lifting.data.procedural.generator import generate_motion
from lifting.experiment.load import load_experiment
from lifting.experiment.prediction import predict

FINE, SECONDS = 300, 3
TRAINING = (
    "wandb.mode=disabled", "trainer.progress=false", "trainer.threads=1",
    "trainer.accelerator=cpu", "data.synthetic.train_sequences=20",
    "data.synthetic.val_sequences=2",
    "data.synthetic.test_sequences=2", "data.noise=none", "data.train_every=1",
    "data.batch_size=64", "data.frames=27", "method.filter_widths=[3,3,3]", "method.channels=64",
    "method.dropout=0.0", "optimizer.lr=2e-3", "flip_test=false", "pss=[]", "panels.worst=0",
    "trainer.max_epochs=1", "trainer.limit_train_batches=150",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTING_CACHE", str(folder / "cache"))
        assert main(["train", "videopose3d", *TRAINING, f"output={folder}"]) == 0
    return next((folder / "videopose3d").iterdir())


@pytest.fixture(scope="module")
def fine():
    motion = generate_motion(6, SECONDS * FINE + 1, seed=99, fps=FINE)
    return film(motion, rig="h36m", noise="none", seed=1)


def taken(fine, fps):
    """Every n-th frame of all tracks."""
    frames = SECONDS * FINE + 1
    kept = torch.arange(0, frames, round(FINE / fps))
    tracks = len(fine.track_names)
    rows = (torch.arange(tracks)[:, None] * frames + kept).flatten()
    return replace(
        fine,
        keypoints_2d=fine.keypoints_2d[rows],
        confidence=fine.confidence[rows],
        joints_3d=fine.joints_3d[rows],
        offsets=torch.arange(tracks + 1) * len(kept),
        fps=torch.tensor(float(fps)),
    )


def errors(run, tracks, fps, output):
    """Mean error of every frame of the input, by track and time in 300ths of a second."""
    config = load_experiment(str(run / "config.yaml"))
    unlabelled = replace(tracks, joints_3d=None)
    predict(config, run / "checkpoints" / "best.ckpt", output, keypoints=unlabelled)
    with np.load(output, allow_pickle=False) as file:
        found = torch.from_numpy(file["joints_3d"])
        track, frame = file["track"].tolist(), file["frame"]
    truth = root_relative(tracks.joints_3d, 0)
    assert found.shape == truth.shape  # one answer for each frame of the input
    time = np.round(frame * FINE / fps).astype(int).tolist()
    away = (found - truth).norm(dim=-1).mean(-1).tolist()
    return dict(zip(zip(track, time, strict=True), away, strict=True))


def means(one, other):
    """Mean errors over the instants that both have."""
    shared = sorted(one.keys() & other.keys())
    assert len(shared) > 200
    return np.mean([one[k] for k in shared]), np.mean([other[k] for k in shared])


@pytest.fixture(scope="module")
def at_training_rate(run, fine, tmp_path_factory):
    return errors(run, taken(fine, 50), 50, tmp_path_factory.mktemp("poses") / "50.npz")


@pytest.mark.parametrize("fps", [12.5, 25, 60, 100])
def test_other_rates_are_answered_alike(fps, run, fine, at_training_rate, tmp_path):
    found = errors(run, taken(fine, fps), fps, tmp_path / "poses.npz")
    ours, theirs = means(at_training_rate, found)
    assert abs(ours - theirs) < 0.5, (fps, ours, theirs)


def test_the_rate_matters(run, fine, at_training_rate, tmp_path):
    """Taken for 50 frames a second, 25 are answered worse: else the test above says nothing."""
    claimed = replace(taken(fine, 25), fps=torch.tensor(50.0))
    found = errors(run, claimed, 25, tmp_path / "poses.npz")
    ours, theirs = means(at_training_rate, found)
    assert abs(ours - theirs) > 3, (ours, theirs)


def test_a_rate_that_is_not_known_is_said(run, fine, tmp_path, caplog):
    unknown = replace(taken(fine, 50), fps=torch.tensor(torch.nan))
    errors(run, unknown, 50, tmp_path / "poses.npz")
    assert "not known, taken as the method's own, 50 a second" in caplog.text


def test_the_weights_refuse_another_rate(run, capsys):
    command = ["test", "videopose3d", "--checkpoint", str(run / "checkpoints" / "best.ckpt")]
    assert main([*command, "data.fps=25"]) == 2
    told = capsys.readouterr().err
    assert "expected data.fps=50" in told
    assert "resampled, or train anew" in told
