"""Result records: whole or absent, readable, and with everything a number depends on."""

import json
import math
import subprocess
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.errors import DataError, OutputError
from lifting.experiment.build import build_module
from lifting.experiment.checkpoint import load_weights
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import (
    batch_statistics,
    build_record,
    git_state,
    machine_facts,
    package_versions,
    parameter_count,
    run_facts,
    weights_hash,
)
from lifting.experiment.record import ResultRecord, read_record, write_record
from lifting.experiment.results import build_sheet, find_records
from lifting.skeleton import H36M_17
from lifting.tto.config import TtoConfig


def make_record(**changes):
    record = ResultRecord(
        experiment="diffpose", method="diffpose", dataset="synthetic", split="test",
        two_d="projected, noise cpn", frames=1, flip=False, joints=["hip", "head"],
        root_rule="centred on hip", protocol={"name": "default", "mpjpe_mm": "default/v1|mm"},
        unit="mm", samples={"every": 1}, seed=0, weights="abc", metrics={"mpjpe_mm": 61.5},
        hypotheses=5, steps=2, aggregation="mean", oracle={"oracle/p_best": 50.0},
        baselines={"mean_pose": {"mpjpe_mm": 180.0}}, budget={"epochs": 3},
    )  # fmt: skip
    return replace(record, **changes)


def damaged(tmp_path, **changes):
    path = tmp_path / "result.json"
    write_record(path, make_record())
    plain = json.loads(path.read_text())
    plain.update(changes)
    path.write_text(json.dumps({k: v for k, v in plain.items() if v != "REMOVE"}))
    return path


def test_a_record_is_read_as_it_was_written(tmp_path):
    write_record(tmp_path / "result.json", make_record())
    assert read_record(tmp_path / "result.json") == make_record()
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_score_that_is_not_finite_stays_one(tmp_path):
    record = make_record(metrics={"mpjpe_mm": math.nan, "auc": math.inf})
    write_record(tmp_path / "result.json", record)
    assert "NaN" not in (tmp_path / "result.json").read_text()
    read = read_record(tmp_path / "result.json").metrics
    assert all(math.isnan(v) for v in read.values())
    assert list(read) == ["mpjpe_mm", "auc"]


def test_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write"):
        write_record(tmp_path / "file" / "result.json", make_record())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "expected a result record of schema 1, got schema 99"),
        ({"schema": "REMOVE"}, "got schema None"),
        ({"metrixs": {}}, "unknown field 'metrixs' .*did you mean 'metrics'"),
        ({"seed": "REMOVE", "unit": "REMOVE"}, "expected the fields unit, seed"),
        ({"metrics": {"mpjpe_mm": "61"}}, "expected a number for 'metrics.mpjpe_mm', got '61'"),
        ({"metrics": [1]}, "expected 'metrics' to be a mapping, got list"),
        ({"baselines": {"mean_pose": 3}}, "expected 'baselines.mean_pose' to be a mapping"),
        ({"frames": "27"}, "expected 'frames' of another kind, got '27'"),
    ],
)
def test_damage_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_record(damaged(tmp_path, **changes))


def test_absent_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(DataError, match="got no file; `lifting test` writes one"):
        read_record(tmp_path / "result.json")
    (tmp_path / "result.json").write_text("{half")
    with pytest.raises(DataError, match="which cannot be read"):
        read_record(tmp_path / "result.json")
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(DataError, match="expected 'record' to be a mapping, got list"):
        read_record(tmp_path / "result.json")


def test_weights_hash_depends_on_values_names_and_types_but_not_on_order():
    a, b = torch.arange(4.0), torch.ones(2, dtype=torch.bfloat16)
    reference = weights_hash({"a": a, "b": b})
    assert len(reference) == 64
    assert weights_hash({"b": b.clone(), "a": a.clone()}) == reference
    assert weights_hash({"a": a.reshape(2, 2), "b": b}) != reference
    assert weights_hash({"a": a.double(), "b": b}) != reference
    assert weights_hash({"c": a, "b": b}) != reference
    assert weights_hash({"a": a + torch.tensor((0, 0, 0, 1e-6)), "b": b}) != reference
    assert weights_hash({"a": torch.arange(8.0)[::2] / 2, "b": b, "note": "text"}) == reference
    assert weights_hash({"scalar": torch.tensor(3)}) != weights_hash({"scalar": torch.tensor(4)})


def test_git_state_tells_commit_and_changes(tmp_path):
    assert git_state(tmp_path) == {"commit": None, "dirty": None}

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True)

    git("init", "-q")
    assert git_state(tmp_path) == {"commit": None, "dirty": False}
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path)["dirty"] is True
    (tmp_path / "inside").mkdir()
    assert git_state(tmp_path / "inside")["commit"] is None  # somebody else's repository


def test_absent_git_is_tolerated(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state() == {"commit": None, "dirty": None}


def test_facts_of_machine_packages_and_parameters():
    assert machine_facts()["cores"] >= 1
    assert {"python", "lifting", "torch"} <= set(package_versions())
    layers = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    layers[1].requires_grad_(False)
    assert parameter_count(layers) == {"total": 21, "trainable": 16}


def test_batch_statistics_of_several_processes_are_told(tmp_path):
    module = build_module(ExperimentConfig(method={"name": "simple_baseline", "channels": 8}))
    assert batch_statistics(module) == {}
    module.processes = 2
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    other = build_module(ExperimentConfig(method={"name": "simple_baseline", "channels": 8}))
    load_weights(other, checkpoint, tmp_path / "best.ckpt")
    assert batch_statistics(other) == {"batch_statistics": "of the slices of each of 2 processes"}
    other.network.layers = nn.Linear(3, 4)
    assert batch_statistics(other) == {}


@pytest.fixture
def scored(tiny_method, tiny_tracks):
    from tiny_method.config import Config
    from tiny_method.module import Module

    from lifting.methods.settings import ModuleSettings

    config = ExperimentConfig(name="tiny", method={"name": "tiny_method"})
    module = Module(Config(), ModuleSettings(method="tiny_method"))
    data = PoseDataModule(DataConfig(), 0, tracks={"test": tiny_tracks})
    data.setup("test")
    return config, module, data


def test_build_record_sorts_scores_and_takes_what_a_method_says(scored):
    config, module, data = scored
    told = {"hypotheses": 5, "steps": 2, "aggregation": "mean", "context": "c"}
    module.describe = lambda: told | {"oracle_flags": {"root": "true"}}
    logged = {
        "test/mpjpe_mm": torch.tensor(61.5), "test/mpjpe_mm/walk": 60.0, "val/mpjpe_mm": 1.0,
        "test/oracle/p_best": 50.0, "test/context/mpjpe_mm": 70.0, "warm/test/mpjpe_mm": 99.0,
        "train/loss": 1.0,
    }  # fmt: skip
    record = build_record(
        config, module, data, logged, {"mean_pose": {"mpjpe_mm": 180.0}}, {"epochs": 3}
    )
    assert record.metrics == {"mpjpe_mm": 61.5, "mpjpe_mm/walk": 60.0, "context/mpjpe_mm": 70.0}
    assert record.oracle == {"oracle/p_best": 50.0}
    assert (record.hypotheses, record.steps, record.aggregation) == (5, 2, "mean")
    assert record.extras["context"] == "c"
    assert record.oracle_flags == {"root": "true"}
    assert not {"hypotheses", "steps", "aggregation", "oracle_flags"} & record.extras.keys()
    assert (record.dataset, record.two_d) == ("tiny", "projected")
    assert record.root_rule == "centred on hip"
    assert record.protocol["name"] == "default"
    assert record.protocol["mpjpe_mm"].startswith("default/v1|mm|")
    assert record.samples["fingerprint"]
    assert record.weights == weights_hash(module.state_dict())


def test_own_fitting_reads_no_settings_of_the_optimisation(scored):
    config, module, data = scored
    config.tto = TtoConfig(enabled=True, root="gt", iterations=9)
    record = build_record(config, module, data, {"test/mpjpe_mm": 1.0}, {}, {})
    assert record.method == "tiny_method + tto(root=gt, iterations=9)"
    assert record.oracle_flags == {"tto": "position of the root"}
    module.fit = lambda batch, config: None
    record = build_record(config, module, data, {"test/mpjpe_mm": 1.0}, {}, {})
    assert record.method == "tiny_method + own fitting"
    assert record.oracle_flags == {}
    assert record.extras["tto"] == {"enabled": True, "latent": "own"}


def test_every_fact_of_a_record_is_that_of_the_configuration(tiny_tracks, tmp_path):
    section = {
        "name": "diffpose", "hidden": 8, "layers": 1, "heads": 2, "hypotheses": 4,
        "sampling_steps": 3, "start_level": 6, "aggregation": "best_pose", "context_epochs": 0,
        "oracle_root": True,
    }  # fmt: skip
    config = ExperimentConfig(name="sampled", method=section, seed=3, flip_test=True)
    config.data = DataConfig(name="synthetic", eval_every=7, eval_batch_size=20, noise="cpn")
    config.trainer.limit_test_batches = 2
    module = build_module(config)
    data = PoseDataModule(config.data, 3, tracks={"test": tiny_tracks, "train": tiny_tracks})
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False, limit_test_batches=2, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.test(module, data, verbose=False)
    record = build_record(config, module, data, trainer.callback_metrics, {}, {"epochs": 3})
    assert (record.experiment, record.method, record.seed) == ("sampled", "diffpose", 3)
    assert (record.hypotheses, record.steps, record.aggregation) == (4, 3, "best_pose")
    assert (record.frames, record.flip, record.split, record.unit) == (1, True, "test", "mm")
    assert (record.dataset, record.two_d) == ("tiny", "projected")
    assert record.joints == list(H36M_17.joints)
    assert record.samples == {
        "every": 7, "target": "middle", "batches": 2,
        "fingerprint": data.fingerprint().split("test:")[1].split()[0],
    }  # fmt: skip
    assert record.protocol["name"] == config.protocol == "default"
    assert (record.oracle_flags, record.budget) == ({}, {"epochs": 3})
    assert record.extras["answering"] == "denoiser"
    assert set(record.oracle) == {
        "oracle/p_best@H4_mm", "oracle/j_best@H4_mm", "oracle_root_mpjpe_mm",
        "oracle_root_pa_mpjpe_mm",
    }  # fmt: skip
    assert {"mpjpe_mm/walk", "mpjpe_mm/sit", "context_mpjpe_mm"} <= record.metrics.keys()
    write_record(tmp_path / "result.json", record)
    read = read_record(tmp_path / "result.json")
    assert replace(read, metrics={}) == replace(record, metrics={})
    assert read.metrics.keys() == record.metrics.keys()


def test_a_silent_method_is_a_deterministic_one(scored, tmp_path):
    record = build_record(*scored, {"test/mpjpe_mm": 1.0}, {}, {})
    assert (record.hypotheses, record.steps, record.aggregation) == (1, None, None)
    write_record(tmp_path / "result.json", record)
    assert read_record(tmp_path / "result.json") == record


def test_run_facts_are_plain(scored):
    facts = run_facts(scored[1], scored[2])
    assert json.loads(json.dumps(facts)) == facts
    assert facts["data"].startswith("test:")


def test_an_action_may_be_called_like_a_split_or_an_oracle(scored, tmp_path):
    config, module, data = scored
    names = ("test", "val", "train", "oracle", "a/b", "warm/test", "test/x", "turn 90 left")
    by_action = {f"mpjpe_mm/{name}": float(i) for i, name in enumerate(names)}
    logged = {f"test/{key}": torch.tensor(value) for key, value in by_action.items()}
    logged |= {"test/mpjpe_mm": 5.0, "val/mpjpe_mm/test": 1.0, "test/oracle_root_mpjpe_mm": 3.0}
    record = build_record(config, module, data, logged, {"mean_pose": by_action}, {})
    assert record.metrics == {"mpjpe_mm": 5.0, **by_action}
    assert record.baselines == {"mean_pose": by_action}
    assert record.oracle == {"oracle_root_mpjpe_mm": 3.0}
    write_record(tmp_path / "result.json", record)
    assert read_record(tmp_path / "result.json") == record
    entries = find_records([tmp_path])
    assert build_sheet([entries]).columns[-1] == "mpjpe_mm"
    assert build_sheet([entries], kind="oracle").columns[-1] == "oracle_root_mpjpe_mm"


def test_a_whole_test_keeps_the_scores_of_actions_that_are_called_like_splits(scored, tiny_tracks):
    config, module, _ = scored
    names = ("test", "oracle")
    tracks = replace(tiny_tracks, action_names=names)
    data = PoseDataModule(DataConfig(eval_batch_size=20), 0, tracks={"test": tracks})
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.test(module, data, verbose=False)
    record = build_record(config, module, data, trainer.callback_metrics, {}, {})
    found = [record.metrics[f"mpjpe_mm/{name}"] for name in names]
    assert sum(found) / 2 == pytest.approx(record.metrics["mpjpe_action_mm"])
    assert record.oracle == {}
