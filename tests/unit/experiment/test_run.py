from __future__ import annotations

import functools
import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.errors import CheckpointError, ConfigError, DataError, MissingDataError, OutputError
from lifting.experiment import folder as folders
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import (
    check_writable,
    create_run_folder,
    has_ended,
    newest_run,
    newest_weights,
    note_start,
    runs_with,
    start_facts,
)
from lifting.experiment.load import load_experiment
from lifting.experiment.prediction import predict
from lifting.experiment.run import evaluate, train

FIXTURES = Path(__file__).parents[2] / "fixtures"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture(scope="module")
def train_once(tmp_path_factory):
    """Trains a tiny experiment when it is asked for first; others see the same folder."""
    output = tmp_path_factory.mktemp("shared")

    @functools.cache
    def trained_with(*overrides):
        config = load_experiment("tiny", [*overrides, f"output={output}"])
        return config, train(config)

    return trained_with


def test_a_run_from_folder_to_record(tiny_experiment, capsys):
    config = load_experiment(tiny_experiment, ["run=first"])
    result = train(config)
    assert re.fullmatch(r"\d{8}-\d{6}-first", result.run_dir.name)
    assert result.run_dir.parent.name == "tiny"
    for name in ("config.yaml", "result.json", "metrics.csv", "checkpoints/best.ckpt",
                 "checkpoints/last.ckpt", "checkpoints/warm/best.ckpt"):  # fmt: skip
        assert (result.run_dir / name).is_file(), name
    assert result.checkpoint == result.run_dir / "checkpoints" / "best.ckpt"
    record = json.loads((result.run_dir / "result.json").read_text())
    assert record["metrics"]["mpjpe_mm"] == pytest.approx(result.scores["test/mpjpe_mm"])
    assert record["baselines"]["mean_pose"]["mpjpe_mm"] > 0
    assert record["budget"]["epochs"] == 5
    assert record["budget"]["steps"] == 5 * 6
    printed = capsys.readouterr().out
    assert "mean pose" in printed
    assert "mpjpe_mm" in printed
    assert str(result.run_dir) in printed.replace("\n", "")


def test_evaluating_repeats_the_test_of_the_training(tiny_experiment, undrawn, train_once):
    config, result = train_once("trainer.max_epochs=1")
    newest = newest_run(config.output, "tiny")
    again = evaluate(config, result.checkpoint)
    assert again.run_dir.name.endswith("-evaluate")
    assert again.scores == result.scores
    assert again.baselines == result.baselines
    assert newest_run(config.output, "tiny") == newest != again.run_dir


def test_the_same_seed_gives_the_same_weights(tiny_experiment, undrawn, train_once):
    _, first = train_once("trainer.max_epochs=1")
    again, other = (
        train(load_experiment(tiny_experiment, [f"seed={seed}", "trainer.max_epochs=1"]))
        for seed in (0, 1)
    )
    assert_same_weights(first.checkpoint, again.checkpoint)
    with pytest.raises(AssertionError):
        assert_same_weights(first.checkpoint, other.checkpoint)


def test_of_old_runs_of_one_second_the_later_is_the_newest(tmp_path):
    names = ("20260102-030405-z", "20260102-030405-b", "20260102-030405-m", "20260102-030404-zz")
    for i, name in enumerate(names):
        file = tmp_path / "tiny" / name / "config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text("")
        os.utime(file, ns=(10 * i, 10 * i))
    assert newest_run(str(tmp_path), "tiny", "config.yaml").name == "20260102-030405-m"


def test_how_old_a_run_is_stands_in_the_run(tmp_path, monkeypatch):
    starts = {
        "20270102-030405-renamed": ("2026-05-01T10:00:00.000001+00:00", 1),
        "20200102-030405-b": ("2026-05-01T10:00:00.000002+00:00", 2),
        "20200102-030405-a": ("2026-05-01T10:00:00.000002+00:00", 3),
        "copy of a run": ("2026-04-01T10:00:00.000000+00:00", 9),
    }
    for name, (started, number) in starts.items():
        run = tmp_path / "tiny" / name
        run.mkdir(parents=True)
        (run / "config.yaml").touch()
        (run / "start.json").write_text(json.dumps({"started": started, "number": number}))
    found = [run.name for run in runs_with(str(tmp_path), "tiny", "config.yaml")]
    assert found == [
        "20200102-030405-a", "20200102-030405-b", "20270102-030405-renamed", "copy of a run",
    ]  # fmt: skip
    assert newest_run(str(tmp_path), "tiny", "config.yaml").name == "20200102-030405-a"
    new = tmp_path / "tiny" / "new"
    new.mkdir()
    note_start(new, {"train": "09af"})
    facts = start_facts(new)
    assert facts["number"] == 10
    assert facts["data"] == {"train": "09af"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", facts["started"])


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_clocks_of_other_places_do_not_make_a_run_older(tmp_path, monkeypatch, zone):
    first = create_run_folder(ExperimentConfig(name="tiny", output=str(tmp_path), run="first"))
    note_start(first, {})
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        second = create_run_folder(ExperimentConfig(name="tiny", output=str(tmp_path)))
        note_start(second, {})
        for run in (first, second):
            (run / "config.yaml").touch()
        assert newest_run(str(tmp_path), "tiny", "config.yaml") == second
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_newest_weights_are_the_best_of_the_newest_stage(tmp_path):
    def written(name):
        path = tmp_path / "outputs" / "tiny" / "run" / "checkpoints" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
        return path

    outputs, run = str(tmp_path / "outputs"), tmp_path / "outputs" / "tiny" / "run"
    with pytest.raises(ConfigError, match=r"with weights in .*, got none; train one with"):
        newest_run(outputs, "tiny")
    written("init.ckpt")
    (run / "config.yaml").touch()
    with pytest.raises(ConfigError, match=f"got none; wait for the first whole epoch of {run}"):
        newest_run(outputs, "tiny")
    for name in ("b/last", "b/best", "a/last", "a/best", "last", "best"):
        newest = written(f"{name}.ckpt")
        assert newest_weights(run) == newest
        assert newest_run(outputs, "tiny") == run
        if name == "b/best":  # of two earlier stages the unfinished one is newer, whatever its age
            written("b/finished")
            later = newest.stat().st_mtime + 100
            os.utime(newest, (later, later))
    assert not has_ended(run)
    written("finished")
    assert has_ended(run)


def test_the_newest_run_that_fits_is_taken_else_the_newest(tmp_path):
    for date in ("20260102-030405", "20260102-030406", "20260102-030407"):
        (tmp_path / "tiny" / date).mkdir(parents=True)
        (tmp_path / "tiny" / date / "config.yaml").touch()
    first = newest_run(str(tmp_path), "tiny", "config.yaml", lambda run: run.name[-1] < "7")
    assert first.name == "20260102-030406"
    newest = newest_run(str(tmp_path), "tiny", "config.yaml", lambda run: False)
    assert newest.name == "20260102-030407"


@pytest.mark.parametrize(
    ("stage", "step", "average"),
    [
        ("warm", 9, "0"),
        ("train", 2, "0.9"),
        ("train", 15, "0.9"),
        ("train", 15, "0.9 trainer.ema.evaluate=false"),
    ],
)
def test_resuming_ends_with_the_same_bits(undrawn, train_once, cut_run, stage, step, average):
    overrides = f"trainer.ema.decay={average}".split()
    _, whole = train_once(*overrides)
    cut, run = cut_run(stage, step, *overrides, "run=cut")
    assert run.name.endswith("-cut")
    resumed = train(cut, resume=run)
    for name in ("best.ckpt", "last.ckpt", "warm/best.ckpt", "warm/last.ckpt"):
        assert_same_weights(
            whole.run_dir / "checkpoints" / name, resumed.run_dir / "checkpoints" / name
        )
    assert resumed.scores == whole.scores
    last = [torch.load(r.run_dir / "checkpoints/last.ckpt", weights_only=True)
            for r in (whole, resumed)]  # fmt: skip
    for key in ("current_model_state", "averaged_weights"):
        for name, value in last[0].get(key, {}).items():
            assert torch.equal(value, last[1][key][name]), name


def test_averaged_weights_are_evaluated_or_kept_beside(tiny_experiment, undrawn, train_once):
    averaged = "trainer.ema.decay=0.9"
    _, plain = train_once("trainer.ema.decay=0")
    _, beside = train_once(averaged, "trainer.ema.evaluate=false")
    _, inside = train_once(averaged)
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(
            plain.run_dir / "checkpoints" / name, beside.run_dir / "checkpoints" / name
        )
    saved = torch.load(beside.checkpoint, weights_only=True)["averaged_weights"]
    assert not torch.equal(saved["module.correction.weight"],
                           weights(beside.checkpoint)["correction.weight"])  # fmt: skip
    assert inside.scores != plain.scores


def test_early_stop(tiny_experiment, undrawn):
    result = train(
        load_experiment(
            tiny_experiment,
            [
                "optimizer.lr=1e-12",
                "trainer.patience=1",
                "trainer.max_epochs=9",
                "method.warm_epochs=1",
            ],
        )
    )
    record = json.loads((result.run_dir / "result.json").read_text())
    assert record["budget"]["epochs"] < 9


@pytest.fixture
def trained(tiny_experiment, undrawn, train_once):
    config, result = train_once("trainer.max_epochs=1")
    return config, result.checkpoint


def test_predictions(trained, tmp_path):
    config, checkpoint = trained
    path = predict(config, checkpoint, tmp_path / "out" / "p.npz")
    with np.load(path, allow_pickle=False) as file:
        answers = {name: file[name] for name in file.files}
    samples = len(answers["joints_3d"])
    assert answers["joints_3d"].shape == (samples, 17, 3)
    assert np.isfinite(answers["joints_3d"]).all()
    assert (answers["joints_3d"][:, 0] == 0).all()
    assert answers["frame"].shape == answers["track"].shape == (samples,)
    assert answers["track"].max() < len(answers["track_names"])
    assert answers["joint_names"][0] == "hip"


def test_own_keypoints(trained, tmp_path):
    config, checkpoint = trained
    rng = np.random.default_rng(0)
    points = rng.uniform(100, 900, (7, 17, 2)).astype(np.float32)
    own = tmp_path / "own.npz"
    np.savez(own, keypoints_2d=points, image_size=np.array([1000, 800]), skeleton="h36m17")
    path = predict(config, checkpoint, tmp_path / "p.npz", keypoints=own)
    with np.load(path) as file:
        assert file["joints_3d"].shape == (7, 17, 3)
        assert file["frame"].tolist() == list(range(7))
        assert file["track_names"].tolist() == ["own"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"keypoints_2d": np.zeros((7, 16, 2), np.float32)},
            "17 joints of skeleton h36m17 .* got 16",
        ),
        ({"image_size": None}, "expected the width and height"),
        ({"image_size": np.array([np.nan, 1])}, "finite numbers in 'image_size'"),
        ({"confidence": np.zeros((6, 17), np.float32)}, "'confidence' .* got \\(6, 17\\)"),
        ({"intrinsics": np.zeros(5)}, "'intrinsics' .* got \\(5,\\)"),
        ({"keypoints_2d": np.full((7, 17, 2), np.nan, np.float32)}, "at least one person"),
    ],
)
def test_bad_keypoints(trained, tmp_path, change, message):
    config, checkpoint = trained
    good = {
        "keypoints_2d": np.full((7, 17, 2), 5, np.float32),
        "image_size": np.array([9.0, 9.0]),
        "skeleton": np.array("h36m17"),
    }
    arrays = {k: v for k, v in {**good, **change}.items() if v is not None}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message):
        predict(config, checkpoint, tmp_path / "p.npz", keypoints=tmp_path / "bad.npz")
    assert not (tmp_path / "p.npz").exists()


def test_wrong_checkpoints(tiny_experiment, trained, tmp_path):
    _, checkpoint = trained
    wide = load_experiment(tiny_experiment, ["method.head.width=8"])
    with pytest.raises(CheckpointError, match="weights that fit the configured network"):
        evaluate(wide, checkpoint)
    with pytest.raises(CheckpointError, match="does not exist"):
        evaluate(wide, tmp_path / "none.ckpt")


def test_an_unwritable_output_is_known_before_training(tiny_experiment, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    config = load_experiment(tiny_experiment, [f"output={tmp_path / 'file'}"])
    with pytest.raises(OutputError, match=r"expected to write to .*choose another folder"):
        train(config)
    monkeypatch.setattr(
        folders.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5)
    )
    with pytest.raises(OutputError, match="expected 64 MB of room"):
        train(load_experiment(tiny_experiment))


def test_missing_data_leave_no_folder(tiny_experiment, tmp_path):
    overrides = ["data.name=cmu", f"data.root={tmp_path / 'none'}"]
    with pytest.raises(MissingDataError, match=r"cmu_h36m17.*lifting data prepare cmu"):
        train(load_experiment(tiny_experiment, overrides))
    assert not (tmp_path / "outputs").exists()


def test_a_disk_that_fills_up_leaves_whole_checkpoints(tiny_experiment, undrawn, monkeypatch):
    save = torch.save
    calls = []

    def full_later(content, file):
        calls.append(file)
        if len(calls) > 3:
            Path(file).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(content, file)

    monkeypatch.setattr(torch, "save", full_later)
    config = load_experiment(tiny_experiment)
    with pytest.raises(OutputError, match="No space left on device"):
        train(config)
    monkeypatch.undo()
    run = sorted((Path(config.output) / "tiny").iterdir())[-1]
    found = sorted(p.name for p in (run / "checkpoints" / "warm").iterdir())
    assert found == ["best.ckpt", "last.ckpt"]
    for name in found:
        weights(run / "checkpoints" / "warm" / name)


def test_two_runs_in_one_second_do_not_share_a_folder(tiny_experiment):
    config = load_experiment(tiny_experiment)
    assert len({create_run_folder(config) for _ in range(3)}) == 3


def test_room(tmp_path):
    check_writable(tmp_path, 1)
    with pytest.raises(OutputError, match="MB of room"):
        check_writable(tmp_path, 10**18)
    with pytest.raises(OutputError, match="expected to write to"):
        check_writable(tmp_path / "none")


def test_wrong_settings_are_configuration_errors(tiny_experiment):
    with pytest.raises(ConfigError, match="unknown protocol 'defualt'; did you mean 'default'"):
        train(load_experiment(tiny_experiment, ["protocol=defualt"]))
