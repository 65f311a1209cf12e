"""Runs made before arrays carried their meaning still load, and answer as they did.

How they were made, and what they hold, stands in ``tests/fixtures/old_runs/make.py``.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch
from lifting.cli.main import main
from lifting.errors import LiftingError
from lifting.experiment.build import build_data, build_module
from lifting.experiment.checkpoint import load_weights, read_checkpoint
from lifting.experiment.load import load_experiment
from lifting.experiment.record import read_record
from lifting.experiment.trained import trained_module
from lifting.geometry.camera import Camera
from lifting.nn.inputs import Seen
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17
from lifting.skeleton.convert import remap_joints

OLD_RUNS = Path(__file__).parents[2] / "fixtures" / "old_runs"
NAMES = sorted(folder.name for folder in OLD_RUNS.iterdir() if (folder / "config.yaml").is_file())
LOOK_AT_PICTURES = ("epipolarpose_image", "nbf")
WITH_FOREIGN_JOINTS = "simple_baseline_mpi17"
LIFT_KEYPOINTS = [n for n in NAMES if n not in (*LOOK_AT_PICTURES, WITH_FOREIGN_JOINTS)]
LATER_METHODS = {"mixste", "d3dp", "motionbert", "motionagformer", "fmpose3d"}
TOLERANCE_MM = 1e-3


@pytest.fixture(autouse=True)
def _places(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LIFTING_DATA", raising=False)
    monkeypatch.delenv("LIFTING_RUN_DIR", raising=False)


@pytest.fixture
def old_run(tmp_path, monkeypatch):
    """Puts a run's folder, its checkpoints unpacked, where it may be written to."""
    monkeypatch.syspath_prepend(OLD_RUNS)

    def unpack(name: str) -> Path:
        if name == "nbf":
            from narrow_body import make_narrow

            make_narrow(monkeypatch.setattr)
        folder = tmp_path / "outputs" / name
        shutil.copytree(OLD_RUNS / name, folder)
        for packed in folder.rglob("*.ckpt.gz"):
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
        return folder

    return unpack


def expected_of(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "expected.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def loaded(run: Path):
    """The configuration and the module, with the weights of the best checkpoint."""
    config = load_experiment(str(run / "config.yaml"))
    module = build_module(config)
    best = run / "checkpoints" / "best.ckpt"
    load_weights(module, read_checkpoint(best, str(config.method["name"])), best)
    return config, module.eval()


def predicted(run: Path, *options: str) -> dict[str, np.ndarray]:
    """What ``lifting predict`` answers."""
    best, output = run / "checkpoints" / "best.ckpt", run / "now.npz"
    command = ["predict", str(run / "config.yaml"), "--checkpoint", str(best)]
    assert main([*command, "--output", str(output), *options]) == 0
    with np.load(output, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def assert_answers(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found["joint_names"].tolist() == expected["joint_names"].tolist()
    assert found["frame"].tolist() == expected["frame"].tolist()
    for name in ("joints_3d", "sigma", "trajectory"):
        assert (name in found) == (name in expected)
        if name in expected:
            np.testing.assert_allclose(
                found[name], expected[name].squeeze(1), rtol=1e-6, atol=TOLERANCE_MM, err_msg=name
            )


def test_every_method_has_an_old_run():
    from lifting.methods.discovery import method_names

    kept = {load_experiment(str(OLD_RUNS / n / "config.yaml")).method["name"] for n in NAMES}
    # What was once a form of EpipolarPose's is read by tests/methods/test_refinement.py.
    assert kept == set(method_names()) - {"refinement", *LATER_METHODS}


@pytest.mark.parametrize("name", NAMES)
def test_records_are_read(name):
    record = read_record(OLD_RUNS / name / "result.json")
    assert len(record.joints) == 17
    assert np.isfinite(record.metrics["mpjpe_mm"])


@pytest.mark.parametrize("name", NAMES)
def test_weights_load(name, old_run):
    _, module = loaded(old_run(name))
    assert all(torch.isfinite(p).all() for p in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_another_methods_checkpoint_is_still_refused(name, old_run):
    with pytest.raises(LiftingError, match="expected a checkpoint of method 'other'"):
        read_checkpoint(old_run(name) / "checkpoints" / "best.ckpt", "other")


@pytest.mark.parametrize("name", LIFT_KEYPOINTS)
def test_own_keypoints_are_lifted_as_before(name, old_run, tmp_path):
    run = old_run(name)
    expected = expected_of(run)
    own = tmp_path / "plain.npz"
    np.savez(own, keypoints_2d=expected["keypoints_2d"])
    size = map(str, expected["image_size"])
    given = ["--keypoints", str(own), "--image-size", *size, "--without", "all"]
    assert_answers(predicted(run, *given), expected)


@pytest.mark.parametrize("name", LOOK_AT_PICTURES)
def test_pictures_are_lifted_as_before(name, old_run):
    """The test split as it is drawn now; the pictures themselves must not have changed."""
    run = old_run(name)
    expected = expected_of(run)
    data = build_data(load_experiment(str(run / "config.yaml")))
    pictures = np.concatenate([batch.image.numpy() for batch in data.predict_dataloader()])
    np.testing.assert_array_equal(pictures, expected["image"], "other pictures are drawn now")
    assert_answers(predicted(run), expected)


def test_a_network_of_foreign_joints_answers_in_their_order(old_run, tmp_path):
    """Trained on MPI-INF-3DHP as it was shipped, under the name of h36m17.

    The run's ``config.yaml`` decides that the joints are those of ``mpi17``, in their order; what
    the checkpoint's settings say is no evidence. Keypoints in h36m17 are brought into that order
    before they are lifted. The poses in ``expected.npz`` are what the fault looked like.
    """
    run = old_run(WITH_FOREIGN_JOINTS)
    expected = expected_of(run)
    config, _ = loaded(run)
    module, claims = trained_module(config, run / "checkpoints" / "best.ckpt")
    assert claims.skeleton == module.skeleton == MPI_INF_3DHP_17
    with torch.no_grad():
        answer = module.eval().network(Seen(torch.from_numpy(expected["network_input"]))).pose
    np.testing.assert_allclose(
        1000 * answer.numpy(), 1000 * expected["network_output"], rtol=1e-6, atol=TOLERANCE_MM
    )
    own = tmp_path / "plain.npz"
    np.savez(own, keypoints_2d=expected["keypoints_2d"])
    size = expected["image_size"].tolist()
    given = ["--keypoints", str(own), "--image-size", *map(str, size), "--without", "all"]
    found = predicted(run, *given)
    assert tuple(found["joint_names"]) == MPI_INF_3DHP_17.joints
    ours = torch.from_numpy(expected["keypoints_2d"]).float()
    theirs = remap_joints(ours, H36M_17, MPI_INF_3DHP_17)[0][:, None]
    wanted = lifted(module, theirs, size)
    np.testing.assert_allclose(found["joints_3d"][:, None], wanted, atol=TOLERANCE_MM)
    assert np.abs(lifted(module, ours[:, None], size) - wanted).max() > 10 * TOLERANCE_MM


def lifted(module, keypoints, size):
    """Answers to keypoints in the module's joints."""
    camera = Camera(
        intrinsics=torch.tensor([[1000.0, 1000, 500, 500, 0, 0, 0, 0, 0]]).expand(
            len(keypoints), -1
        ),
        size=torch.tensor([size], dtype=torch.float32).expand(len(keypoints), -1),
    )
    batch = PoseBatch(skeleton=module.skeleton, keypoints_2d=keypoints, camera=camera)
    with torch.no_grad():
        return module.infer(batch).joints_3d.numpy()


def test_weights_without_a_configuration_are_taken_for_h36m17_and_it_is_said(old_run, caplog):
    run = old_run("simple_baseline")
    config, _ = loaded(run)
    alone = run.parent / "alone.ckpt"
    alone.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    _, claims = trained_module(config, alone)
    assert claims.skeleton == H36M_17
    assert "does not say which joints it was trained for" in caplog.text


def test_masked_joints_of_humaneva_are_those_of_h36m17(old_run):
    """The other data set whose own joints are not the networks': the run asked for h36m17."""
    config, _ = loaded(old_run("simple_baseline_humaneva"))
    assert config.data.humaneva.skeleton == "h36m17"


def resumed(run: Path, *overrides: str) -> dict:
    """The record after a run was continued in its folder."""
    options = [f"output={run.parent}", *overrides]
    assert main(["train", str(run / "config.yaml"), "--resume", str(run), *options]) == 0
    return json.loads((run / "result.json").read_text())


def test_a_finished_run_is_scored_again_as_before(old_run, undrawn):
    run = old_run("diffpose")
    before = read_record(run / "result.json")
    record = resumed(run)
    assert record["budget"]["steps"] == before.budget["steps"]
    assert record["weights"] == before.weights
    for key in ("mpjpe_mm", "pa_mpjpe_mm", "bone_mae_mm"):
        assert record["metrics"][key] == pytest.approx(before.metrics[key], abs=TOLERANCE_MM)


def test_the_last_stage_of_a_run_is_continued(old_run, undrawn):
    """From its last checkpoint, with optimiser and averaged weights, to twice the epochs."""
    run = old_run("diffpose")
    checkpoints = run / "checkpoints"
    first_stage = (checkpoints / "context" / "best.ckpt").read_bytes()
    config = run / "config.yaml"  # as if nothing in it had depended on its length
    text = config.read_text().replace("max_steps: 2", "max_steps: -1")
    config.write_text(text.replace("schedule: cosine", "schedule: constant"))
    resumed(run, "trainer.max_epochs=2")
    spent = json.loads((checkpoints / "finished").read_text())
    assert (spent["epochs"], spent["steps"]) == (2, 4)
    last = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (1, 4)
    assert "current_model_state" in last
    assert (checkpoints / "context" / "best.ckpt").read_bytes() == first_stage
