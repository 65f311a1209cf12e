"""Weights of one data set on the data of another: converted and said, or refused; end to end.

The network is trained for some seconds on procedural people in ``h36m17``, enough to be much
better than the mean pose. What it is tested on are other procedural people, before the published
cameras of MPI-INF-3DHP and in the order of its files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import walking
from published_npz import TO_MPI, HumanEva, mpi_view, projected, write_object_npz
from scipy.io import savemat

from lifting.cli.main import main
from lifting.data.film import film
from lifting.data.procedural.generator import generate_motion
from lifting.data.sequence import PoseTracks
from lifting.data.sets.mpi_inf_3dhp import files
from lifting.data.sets.mpi_inf_3dhp.files import TEST_FRAMES
from lifting.experiment.build import build_module
from lifting.experiment.load import load_experiment
from lifting.experiment.prediction import predict
from lifting.geometry.camera import Camera
from lifting.methods.lifter import CHECKPOINT_KEY
from lifting.skeleton import H36M_17, SMPL_22

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
FRAMES, ROOT = 60, TO_MPI.index(0)
SEQUENCES = tuple(TEST_FRAMES)
QUIET = (
    "wandb.mode=disabled", "trainer.progress=false", "trainer.threads=1",
    "trainer.accelerator=cpu", "panels.worst=0", "pss=[]",
)  # fmt: skip
TRAINING = (
    *QUIET, "data.synthetic.train_sequences=60", "data.synthetic.val_sequences=2",
    "data.synthetic.test_sequences=2", "data.noise=none", "data.train_every=1",
    "data.batch_size=256", "method.channels=128", "method.dropout=0.0", "optimizer.lr=3e-3",
    "flip_test=false", "trainer.max_epochs=1", "trainer.limit_train_batches=200",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _places(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path_factory.getbasetemp() / "foreign_cache"))
    monkeypatch.delenv("LIFTING_DATA", raising=False)
    monkeypatch.setattr("lifting.experiment.panels.PanelsCallback.on_test_end", lambda *_: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the simple baseline on procedural people, in ``h36m17``."""
    folder = tmp_path_factory.mktemp("foreign")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
        patch.setenv("LIFTING_CACHE", str(tmp_path_factory.getbasetemp() / "foreign_cache"))
        assert main(["train", "simple_baseline", *TRAINING, f"output={folder}"]) == 0
    return next((folder / "simple_baseline").iterdir())


@pytest.fixture
def test(run, tmp_path):
    """Runs ``lifting test`` on those weights; answers with the status and the record."""

    def call(*words):
        command = ["test", "simple_baseline", "--checkpoint", str(best_of(run)), *words]
        status = main([*command, *QUIET, f"output={tmp_path / 'outputs'}"])
        records = sorted((tmp_path / "outputs").rglob("result.json"))
        return status, json.loads(records[-1].read_text()) if records else None

    return call


def best_of(run):
    return run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def seen():
    """Joints of ``h36m17`` before the camera (mm) and their pixels, by test sequence."""
    motion = generate_motion(len(SEQUENCES), FRAMES, seed=99)
    views = film(motion, rig="h36m", noise="none", seed=1)
    found = {}
    for clip, name in enumerate(SEQUENCES):
        track = int((views.recording == clip).nonzero()[0])
        joints = views.joints_3d[views.offsets[track] : views.offsets[track + 1]].double().numpy()
        found[name] = (joints, projected(joints, files.test_camera(name).intrinsics))
    return found


def valid_of(frames):
    return np.arange(frames) % 5 != 1


def write_dhp_test(folder, seen):
    """The test part alone, in the npz form, in the order of its files."""
    data = {
        name: {"data_2d": pixels[:, TO_MPI], "data_3d": joints[:, TO_MPI],
               "valid": valid_of(len(joints)).astype(float)}
        for name, (joints, pixels) in seen.items()
    }  # fmt: skip
    write_object_npz(folder / "data_test_3dhp.npz", data=data)


def tracks_of(seen, order=range(17)):
    """The same people as unlabelled tracks that say ``h36m17``, whatever their order is."""
    count = len(seen)
    cameras = [files.test_camera(name) for name in seen]
    lens = torch.zeros(count, 9)
    lens[:, :4] = torch.tensor([camera.intrinsics for camera in cameras])
    points = np.concatenate([pixels[:, list(order)] for _, pixels in seen.values()])
    zeros = torch.zeros(count, dtype=torch.int64)
    return PoseTracks(
        skeleton=H36M_17,
        joints_3d=None,
        keypoints_2d=torch.tensor(points).float(),
        confidence=torch.ones(points.shape[:2]),
        offsets=torch.arange(count + 1) * FRAMES,
        cameras=Camera(intrinsics=lens, size=torch.tensor([camera.size for camera in cameras])),
        camera=torch.arange(count),
        recording=torch.arange(count),
        subject=zeros,
        action=zeros,
        track_names=tuple(seen),
        subject_names=("somebody",),
        action_names=("moving",),
        fps=25.0,
        source={"dataset": "procedural", "split": "test", "two_d": "projected"},
        extras={},
    )


def error_of(run, seen, output, order, root):
    """MPJPE of what the weights answer to columns in an order, against labels in that order."""
    config = load_experiment(str(run / "config.yaml"))
    predict(config, best_of(run), output, keypoints=tracks_of(seen, order))
    with np.load(output, allow_pickle=False) as file:
        found = file["joints_3d"]
    truth = np.concatenate([joints[:, list(order)] for joints, _ in seen.values()])
    away = (found - found[:, [root]]) - (truth - truth[:, [root]])
    valid = np.concatenate([valid_of(len(joints)) for joints, _ in seen.values()])
    return np.linalg.norm(away, axis=-1)[valid].mean()


def test_mpi_inf_3dhp_is_answered_as_the_same_people_in_h36m17(run, seen, test, tmp_path, capsys):
    (tmp_path / "files").mkdir()
    write_dhp_test(tmp_path / "files", seen)
    status, record = test("--data", "mpi_inf_3dhp", f"data.root={tmp_path / 'files'}")
    assert status == 0
    said = capsys.readouterr()
    assert "converted from mpi17 to those of h36m17" in said.err
    assert "left out, the training data are not there" in said.out
    assert record["baselines"] == {}
    assert record["joints"] == list(H36M_17.joints)
    assert record["data"]["joints_converted"] == "mpi17 to h36m17"
    assert "approximate_joints" not in record["data"]  # all are renamed, and all are scored
    assert record["extras"]["trained_on"] == "synthetic"

    ours = record["metrics"]["mpjpe_mm"]
    same = error_of(run, seen, tmp_path / "same.npz", range(17), 0)
    assert abs(ours - same) < 1, (ours, same)
    unconverted = error_of(run, seen, tmp_path / "wrong.npz", TO_MPI, ROOT)
    assert unconverted > 2 * ours, (unconverted, ours)


def write_distributed(folder, name):
    """The annotations of a test sequence as they are distributed, of the published length."""
    frames, valid = TEST_FRAMES[name]
    lens = files.test_camera(name).intrinsics
    joints, pixels = mpi_view(frames, 7, lens)
    values = {
        "annot2": pixels[:, None], "annot3": joints[:, None], "univ_annot3": joints[:, None],
        "valid_frame": (np.arange(frames) < valid).astype(float)[:, None],
        "activity_annotation": np.ones((frames, 1)),
    }  # fmt: skip
    folder.mkdir(parents=True)
    savemat(folder / "annot_data.mat", {key: value.T for key, value in values.items()})


@pytest.fixture
def outdoor(tmp_path, monkeypatch):
    """A folder with TS5 and TS6 alone, where the environment says."""
    monkeypatch.setattr("published_npz.people", walking.people)
    root = tmp_path / "mpi_inf_3dhp"
    for name in ("TS5", "TS6"):
        write_distributed(root / "mpi_inf_3dhp_test_set" / name, name)
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    return root


def test_two_sequences_of_the_test_are_enough(outdoor, test, capsys):
    assert main(["data", "list"]) == 0
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("mpi_inf_3dhp ")]
    assert "ready" in line
    status = main(["data", "check", "mpi_inf_3dhp"])
    assert status == 0, capsys.readouterr().out
    status, record = test("--data", "mpi_inf_3dhp", "data.eval_every=8")
    assert status == 0
    assert "TS1, TS2, TS3, TS4 not found" in record["data"]["sequences"]
    assert np.isfinite(record["metrics"]["mpjpe_mm"])


def test_sequences_that_are_named_must_be_there(outdoor, test, capsys):
    named = "data.mpi_inf_3dhp.test_sequences=[TS1,TS5]"
    assert test("--data", "mpi_inf_3dhp", named) == (2, None)
    told = capsys.readouterr().err
    assert "TS1" in told
    assert "Traceback" not in told


def test_a_contradicting_wish_is_refused(run, test, capsys):
    assert test("data.skeleton=mpi17") == (2, None)
    told = capsys.readouterr().err
    assert "expected data.skeleton=h36m17, for which the weights of" in told
    assert "got mpi17; leave it out" in told


def test_joints_without_a_recipe_are_refused(run, tmp_path, capsys):
    """Weights for the joints of SMPL, tested on HumanEva."""
    config = load_experiment(str(run / "config.yaml"))
    module = build_module(config, SMPL_22)
    checkpoint = torch.load(best_of(run), weights_only=True)
    checkpoint["state_dict"] = module.state_dict()
    checkpoint[CHECKPOINT_KEY]["skeleton"] = SMPL_22.plain()
    foreign = tmp_path / "foreign.ckpt"
    torch.save(checkpoint, foreign)
    groups = tuple(f"{part}/S{i}" for part in ("Train", "Validate") for i in (1, 2, 3))
    (tmp_path / "files").mkdir()
    lengths = {f"{name} 1 chunk0": 6 for name in ("Walking", "Jog", "Box")}
    HumanEva(tmp_path / "files", lengths, groups).write_two_d()
    words = ["--data", "humaneva", f"data.root={tmp_path / 'files'}", f"output={tmp_path}"]
    command = ["test", "simple_baseline", "--checkpoint", str(foreign), *words, *QUIET]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "expected a known conversion of joints, got humaneva15 to smpl22" in told
    assert not list(tmp_path.rglob("result.json"))


@pytest.fixture
def temporal(tmp_path):
    """A run of VideoPose3D, two steps at 50 frames a second."""
    words = ["extends=overlay/smoke", *QUIET, f"output={tmp_path / 'outputs'}",
             "method.channels=16", "method.filter_widths=[3,3]", "data.frames=9"]  # fmt: skip
    assert main(["train", "videopose3d", *words]) == 0
    return next((tmp_path / "outputs" / "videopose3d").iterdir())


def test_footage_of_another_rate_is_resampled_and_answered_frame_by_frame(
    temporal, seen, tmp_path, capsys
):
    _, pixels = seen["TS1"]
    file, output = tmp_path / "walk.npz", tmp_path / "poses.npz"
    np.savez(file, keypoints_2d=pixels)
    command = ["predict", "videopose3d", "--checkpoint", str(best_of(temporal)), "--output",
               str(output), "--keypoints", str(file), "--image-size", "2048", "2048"]  # fmt: skip
    capsys.readouterr()
    assert main([*command, "--fps", "25", "--skeleton", "h36m17"]) == 0
    assert "resampled from 25 to 50 a second" in capsys.readouterr().err
    with np.load(output, allow_pickle=False) as found:
        assert found["fps"] == 25
        assert found["frame"].tolist() == list(range(FRAMES))
        assert found["joints_3d"].shape == (FRAMES, 17, 3)
        assert np.isfinite(found["joints_3d"]).all()
