from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lifting.batch import Prediction
from lifting.errors import ConfigError
from lifting.experiment.build import build_data, build_module, build_trainer
from lifting.experiment.load import load_experiment
from lifting.experiment.prediction import predict
from lifting.experiment.run import evaluate, train
from lifting.skeleton import H36M_17
from lifting.tto.callback import BEFORE, TestTimeOptimization, status_counts, write_into
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Status, TtoResult

FEW = ["tto.enabled=true", "tto.iterations=3", "trainer.max_epochs=1"]
SMALL = ["data.eval_batch_size=7", "data.eval_every=3"]


@pytest.fixture
def parts(tiny_experiment):
    """Module, data and a maker of trainers, with batches of 7 and a smaller last one."""
    config = load_experiment(tiny_experiment, SMALL)
    module, data = build_module(config), build_data(config)

    def trainer(callback, folder, **options):
        built = build_trainer(config, folder, callbacks=[callback])
        for name, value in options.items():
            setattr(built, name, value)
        return built

    return module, data, trainer


class Watch(pl.Callback):
    """Keeps the predictions that a callback after the optimisation sees."""

    def __init__(self):
        self.seen = []

    def _keep(self, trainer, module, outputs, *_):
        self.seen.append(outputs)

    on_test_batch_end = on_validation_batch_end = on_predict_batch_end = _keep


@pytest.mark.parametrize("loop", ["test", "validate", "predict"])
def test_it_works_in_every_loop(parts, tmp_path, loop):
    module, data, trainer = parts
    module.train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    watch = Watch()
    built = trainer(TestTimeOptimization(TtoConfig(enabled=True), flip=True), tmp_path)
    built.callbacks.append(watch)
    getattr(built, loop)(module, datamodule=data)
    sizes = [len(p.joints_3d) for p in watch.seen]
    assert sizes[0] == 7
    assert 0 < sizes[-1] < 7
    for answer in watch.seen:
        assert answer.joints_3d.isfinite().all()
        assert not torch.equal(answer.joints_3d, answer.extras[BEFORE])
        assert answer.trajectory.shape == (len(answer.joints_3d), 1, 3)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    if loop != "predict":
        prefix = "" if loop == "test" else "val/"
        logged = built.callback_metrics
        assert logged[f"{prefix}tto/objective_after"] < logged[f"{prefix}tto/objective_before"]
        assert logged[f"{prefix}tto/residual_after_px"] < logged[f"{prefix}tto/residual_before_px"]
        counts = [logged[f"{prefix}tto/samples_{s.name.lower()}"] for s in Status]
        assert sum(counts) == sum(sizes)
        assert logged[f"{prefix}tto/iterations"] <= 4


def test_a_test_scores_both_poses(tiny_experiment, capsys):
    result = train(load_experiment(tiny_experiment, FEW))
    assert "test/before_tto_mpjpe_mm" in result.scores
    assert result.scores["test/before_tto_mpjpe_mm"] != result.scores["test/mpjpe_mm"]
    plain = evaluate(load_experiment(tiny_experiment), result.checkpoint)
    assert plain.scores["test/mpjpe_mm"] == pytest.approx(
        result.scores["test/before_tto_mpjpe_mm"], rel=1e-5
    )
    assert not any("tto" in key for key in plain.scores)
    record = json.loads((result.run_dir / "result.json").read_text())
    assert record["method"] == "tiny_method + tto(root=solve, iterations=3)"
    assert record["extras"]["tto"]["root"] == "solve"
    assert record["oracle_flags"] == {}
    assert " before " in capsys.readouterr().out


def test_results_that_know_the_root_say_so(tiny_experiment):
    config = load_experiment(tiny_experiment, [*FEW, "tto.root=gt"])
    result = train(config)
    record = json.loads((result.run_dir / "result.json").read_text())
    assert record["oracle_flags"] == {"tto": "position of the root"}


def test_predictions_are_optimised(tiny_experiment, tmp_path):
    config = load_experiment(tiny_experiment, ["trainer.max_epochs=1"])
    checkpoint = train(config).checkpoint
    plain = np.load(predict(config, checkpoint, tmp_path / "a.npz"))
    config = load_experiment(tiny_experiment, FEW)
    moved = np.load(predict(config, checkpoint, tmp_path / "b.npz"))
    assert "trajectory" in moved
    assert moved["joints_3d"].shape == plain["joints_3d"].shape
    change = np.linalg.norm(moved["joints_3d"] - plain["joints_3d"], axis=-1)
    assert 0 < change.max() < 500
    before, after = (json.loads(poses["meta"].tobytes()) for poses in (plain, moved))
    assert before["answers"]["flip_averaging"] == config.flip_test
    assert before["optimisation"] is None
    assert after["optimisation"]["iterations"] == config.tto.iterations


def test_it_works_inside_lightnings_inference_mode(parts, tmp_path):
    module, data, _ = parts
    callback = TestTimeOptimization(TtoConfig(enabled=True))
    built = pl.Trainer(
        accelerator="cpu", logger=False, callbacks=[callback], enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, inference_mode=True,
        enable_checkpointing=False,
    )  # fmt: skip
    built.test(module, datamodule=data, verbose=False)
    logged = built.callback_metrics
    assert logged["tto/objective_after"] < logged["tto/objective_before"]


def test_it_works_with_mixed_precision(parts, tmp_path):
    module, data, _ = parts
    callback = TestTimeOptimization(TtoConfig(enabled=True))
    built = pl.Trainer(
        accelerator="cpu", logger=False, callbacks=[callback], enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, precision="bf16-mixed",
        enable_checkpointing=False,
    )  # fmt: skip
    built.test(module, datamodule=data, verbose=False)
    assert callback.last.pose.dtype == torch.float32
    logged = built.callback_metrics
    assert logged["tto/objective_after"] < logged["tto/objective_before"]


def test_an_error_in_the_middle_restores_the_module(parts, tmp_path):
    module, data, trainer = parts
    flags = [p.requires_grad for p in module.parameters()]
    module.encode = lambda batch: {}
    built = trainer(TestTimeOptimization(TtoConfig(enabled=True)), tmp_path)
    with pytest.raises(ConfigError, match="got only encode"):
        built.test(module, datamodule=data, verbose=False)
    assert [p.requires_grad for p in module.parameters()] == flags


def test_settings_are_checked_at_once():
    with pytest.raises(ConfigError, match=r"tto\.lr"):
        TestTimeOptimization(TtoConfig(lr=-1.0))


def result_of(status, pose, start):
    count = len(pose)
    zeros = torch.zeros(count)
    return TtoResult(
        pose=pose, log_sigma=None, sigma_factor=torch.full(pose.shape[:-1], 2.0),
        root=torch.ones(count, 1, 1, 3), start=start, status=torch.tensor(status),
        iterations=zeros, before=zeros, after=zeros, residual_before=zeros, residual_after=zeros,
        behind=zeros, masked=zeros,
    )  # fmt: skip


@pytest.mark.parametrize("oracle", [False, True])
def test_what_is_written_into_a_prediction(oracle):
    own = torch.zeros(3, 1, 17, 3)
    own[2] = torch.nan
    prediction = Prediction(
        skeleton=H36M_17,
        joints_3d=own.clone(),
        sigma=torch.full((3, 1, 17), 5.0),
        hypotheses=torch.zeros(3, 4, 1, 17, 3),
        extras={"context": own},
    )
    status = [Status.MOVED, Status.UNOBSERVED, Status.UNOBSERVED]
    pose, start = torch.ones(3, 1, 17, 3), torch.full((3, 1, 17, 3), 7.0)
    write_into(prediction, result_of(status, pose, start), oracle=oracle)
    assert torch.equal(prediction.joints_3d[0], pose[0])
    assert torch.equal(prediction.joints_3d[1], own[1])
    assert torch.equal(prediction.joints_3d[2], pose[2])
    assert prediction.sigma.unique().tolist() == [10.0]
    assert prediction.hypotheses is None
    assert torch.equal(prediction.extras[BEFORE], start)
    assert prediction.extras["context"] is own
    assert (prediction.trajectory is None) == oracle


def test_statuses_are_counted():
    status = [Status.MOVED, Status.BEHIND, Status.MOVED]
    pose = torch.zeros(3, 1, 17, 3)
    assert status_counts(result_of(status, pose, pose)).tolist() == [2, 0, 0, 1, 0, 0]


def test_a_prediction_says_what_was_not_optimised(parts, tmp_path, caplog):
    module, data, trainer = parts
    config = TtoConfig(enabled=True)
    tracks = data.tracks("test")
    tracks.confidence[:] = 0
    built = trainer(TestTimeOptimization(config), tmp_path)
    with caplog.at_level(logging.WARNING, logger="lifting.tto.callback"):
        built.predict(module, datamodule=data)
    assert "samples are unobserved" in caplog.text
