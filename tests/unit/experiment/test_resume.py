"""A resumed run keeps its settings and its data; other weights than fresh ones are said."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch

from lifting.cli.main import main
from lifting.errors import CheckpointError, ConfigError, DataError
from lifting.experiment.folder import finished_run, mark_finished, start_facts
from lifting.experiment.load import load_experiment
from lifting.experiment.resume import unfinished_run
from lifting.experiment.run import evaluate, train
from lifting.studies.measure import trained_run

SHORT = ("method.warm_epochs=1", "trainer.max_epochs=2")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def same_weights(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(map(torch.equal, first.values(), second.values()))


def content(run: Path) -> dict[str, bytes]:
    """Whole files of a run, but for its lock."""
    files = (p for p in run.rglob("*") if p.is_file() and p.name != "lock")
    return {str(p.relative_to(run)): p.read_bytes() for p in files}


def going_on(run: Path, *overrides: str):
    """What the command makes of ``--resume RUN`` and overrides."""
    return load_experiment(str(run / "config.yaml"), overrides)


@pytest.fixture(scope="module")
def train_once(tmp_path_factory):
    """Trains a finished run when it is asked for first."""
    output = tmp_path_factory.mktemp("shared")
    return functools.cache(lambda: train(load_experiment("tiny", [*SHORT, f"output={output}"])))


@pytest.fixture(scope="module")
def start_once(train_once, tmp_path_factory):
    """Trains a run from the weights of that one when it is asked for first."""
    output = tmp_path_factory.mktemp("started")

    def start():
        config = load_experiment("tiny", [*SHORT, f"output={output}"])
        return train(config, init_from=train_once().run_dir)

    return functools.cache(start)


@pytest.fixture
def finished(tiny_experiment, undrawn, train_once, tmp_path):
    """A finished run: every test has a copy of its own."""
    source = train_once().run_dir
    return shutil.copytree(source, tmp_path / "outputs" / "tiny" / source.name)


@pytest.fixture(scope="module")
def kept_cut():
    """Where the run of ``cut_once`` is kept once it is made."""
    return {}


@pytest.fixture
def cut_once(kept_cut, cut_run, tmp_path_factory, tmp_path):
    """A run that was cut in its second epoch, with its configuration; a copy for every test."""
    if not kept_cut:
        _, run = cut_run("train", 8, *SHORT)
        kept_cut["run"] = shutil.copytree(run, tmp_path_factory.mktemp("cut") / run.name)
        shutil.rmtree(run)
    source = kept_cut["run"]
    run = shutil.copytree(source, tmp_path / "outputs" / "tiny" / source.name)
    return load_experiment("tiny", SHORT), run


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=0.5", "seed=99"],
         r"seed \(0, now 99\), optimizer.lr \(0.001, now 0.5\); .*tiny KEY=VALUE --init-from"),
        (["data.name=cmu"], r"got others: data.name \(synthetic, now cmu\), .*; leave them out"),
        (["flip_test=true"], r"flip_test \(False, now True\); .*`lifting test .*config.yaml`"),
        (["method.note=x"], r"method.note \(None, now x\)"),
        (["run=other"], r"run \(None, now other\)"),
        (["trainer.max_epochs=1"], r"max_epochs=2, .* got 1: a training is not made shorter"),
    ],
)  # fmt: skip
def test_a_finished_run_keeps_its_record(finished, overrides, message):
    before = content(finished)
    with pytest.raises(ConfigError, match=message):
        train(going_on(finished, *overrides), resume=finished)
    assert content(finished) == before


def test_an_interrupted_run_keeps_its_settings(cut_run):
    _, run = cut_run("train", 8, *SHORT, "optimizer.schedule=cosine")
    before = content(run)
    with pytest.raises(ConfigError, match=r"optimizer.weight_decay \(0.0, now 0.1\)"):
        train(going_on(run, "optimizer.weight_decay=0.1"), resume=run)
    with pytest.raises(ConfigError, match=r"max_epochs=2.* got 3: under .*=cosine every step"):
        train(going_on(run, "trainer.max_epochs=3"), resume=run)
    assert content(run) == before


def test_the_same_settings_write_the_same_record(finished):
    before = json.loads((finished / "result.json").read_text())
    train(going_on(finished), resume=finished)
    assert json.loads((finished / "result.json").read_text()) == before


def test_what_does_not_decide_may_change_and_is_recorded(cut_once, tmp_path):
    _, run = cut_once
    overrides = (
        f"data.root={tmp_path}", "data.workers=1", "trainer.threads=2", "panels.every=3",
        "wandb.tags=[a]", "description=again",
    )  # fmt: skip
    train(going_on(run, *overrides), resume=run)
    stored = going_on(run)
    assert (stored.data.root, stored.data.workers) == (str(tmp_path), 1)
    assert (stored.trainer.threads, stored.panels.every) == (2, 3)
    assert (stored.wandb.tags, stored.description) == (("a",), "again")
    claim = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["lifting"]
    assert claim["experiment"]["data"]["root"] == str(tmp_path)


def test_a_longer_training_is_the_one_that_was_longer_from_the_start(
    tiny_experiment, finished, undrawn
):
    settings = (*SHORT, "optimizer.schedule=exponential", "trainer.ema.decay=0.9")
    short = load_experiment(tiny_experiment, settings)
    run = mark_finished(train(short).run_dir, short)
    assert finished_run(short) == run
    longer = train(going_on(run, "trainer.max_epochs=4"), resume=run)
    whole = train(load_experiment(tiny_experiment, [*settings, "trainer.max_epochs=4"]))
    for name in ("best.ckpt", "last.ckpt", "warm/last.ckpt"):
        assert same_weights(run / "checkpoints" / name, whole.run_dir / "checkpoints" / name)
    assert longer.scores == whole.scores
    record = json.loads((run / "result.json").read_text())
    assert (record["budget"]["epochs"], going_on(run).trainer.max_epochs) == (5, 4)
    assert finished_run(short) is None  # it is another run now


def test_no_training_is_longer_whose_epochs_depend_on_the_length(finished, monkeypatch):
    from tiny_method.module import Module

    monkeypatch.setattr(Module, "length_matters", True, raising=False)
    with pytest.raises(ConfigError, match="every epoch of tiny_method depends on the length"):
        train(going_on(finished, "trainer.max_epochs=4"), resume=finished)


def test_nor_one_from_whose_weights_another_stage_began(finished, monkeypatch):
    from tiny_method.module import Module

    from lifting.methods.settings import Stage

    monkeypatch.setattr(Module, "stages", lambda self: (Stage("warm"), Stage("train", 2)))
    with pytest.raises(ConfigError, match="a later stage has begun from the weights of the one"):
        train(going_on(finished, "trainer.max_epochs=4"), resume=finished)


@pytest.mark.parametrize("split", ["train", "val"])
def test_data_that_changed_are_refused(cut_run, split):
    _, run = cut_run("warm", 3, *SHORT)  # before its first checkpoint
    assert not list(run.rglob("last.ckpt"))
    start = start_facts(run)
    kept = start["data"][split]
    start["data"][split] = "0123"
    (run / "start.json").write_text(json.dumps(start))
    message = rf"the {split} split .* of fingerprint 0123, got one of {kept}; .*data.root=FOLDER"
    with pytest.raises(DataError, match=message):
        train(going_on(run), resume=run)


def test_data_of_an_old_run_are_not_compared_and_that_is_said(cut_once, caplog):
    _, run = cut_once
    (run / "start.json").unlink()
    train(going_on(run), resume=run)
    assert "does not say which data it began with" in caplog.text


def test_a_new_run_from_trained_weights(tiny_experiment, finished, cut_run, tmp_path):
    source = torch.load(finished / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    elsewhere = shutil.move(finished, tmp_path / "source")
    settings = (*SHORT, "optimizer.lr=1e-12", "seed=7", "run=new")
    result = train(load_experiment(tiny_experiment, settings), init_from=elsewhere)
    after = weights(result.checkpoint)
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in source.items())
    record = json.loads((result.run_dir / "result.json").read_text())
    origin = record["extras"]["initialised_from"]
    assert (origin["experiment"], origin["run"]) == ("tiny", "source")
    assert origin["weights"] == json.loads((elsewhere / "result.json").read_text())["weights"]
    again = evaluate(load_experiment(tiny_experiment, settings), result.checkpoint)
    told = json.loads((again.run_dir / "result.json").read_text())
    assert told["extras"]["initialised_from"] == origin


@pytest.mark.parametrize(("stage", "step"), [("warm", 3), ("train", 8)])
def test_such_a_run_goes_on_without_its_source(
    finished, start_once, cut_run, monkeypatch, stage, step
):
    from lifting.experiment import run as module

    whole = start_once()
    start = module.train
    monkeypatch.setattr(module, "train", lambda config: start(config, init_from=finished))
    config, run = cut_run(stage, step, *SHORT, "run=cut")
    shutil.rmtree(finished)
    resumed = start(config, resume=run)
    for name in ("best.ckpt", "last.ckpt", "warm/last.ckpt"):
        assert same_weights(run / "checkpoints" / name, whole.run_dir / "checkpoints" / name)
    assert resumed.scores == whole.scores
    extras = json.loads((run / "result.json").read_text())["extras"]
    assert extras["initialised_from"]["run"] == finished.name


def test_weights_that_do_not_fit_start_nothing(tiny_experiment, finished, tmp_path):
    def attempt(source, *overrides):
        train(load_experiment(tiny_experiment, [*SHORT, *overrides]), init_from=source)

    with pytest.raises(CheckpointError, match="weights that fit the configured network"):
        attempt(finished, "method.head.width=8")
    with pytest.raises(CheckpointError, match=r"expected a checkpoint at .*none, which does not"):
        attempt(tmp_path / "none")
    best = torch.load(finished / "checkpoints/best.ckpt", weights_only=True)
    best["lifting"]["method"] = "other"
    torch.save(best, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="checkpoint of method 'tiny_method', got one of"):
        attempt(tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match=r"expected data.skeleton=h36m17, for which the weight"):
        attempt(finished, "data.skeleton=coco17")
    assert [p.name for p in finished.parent.iterdir()] == [finished.name]


def test_what_only_tested_weights_is_not_resumed(finished):
    tested = finished.rename(finished.with_name("20260101-000000-evaluate"))
    with pytest.raises(ConfigError, match=r"got .*-evaluate, which only tested weights; "):
        train(going_on(tested), resume=tested)


def test_the_cost_of_a_training_counts_all_its_parts(finished):
    path = finished / "checkpoints/last.ckpt"
    last = torch.load(path, weights_only=True)
    last["callbacks"]["LastCheckpoint"]["seconds"] += 1000
    torch.save(last, path)
    train(going_on(finished, "trainer.max_epochs=3"), resume=finished)
    spent = json.loads((finished / "checkpoints/finished").read_text())
    assert spent["epochs"] == 3
    assert spent["seconds"] > 1000
    assert spent["cpu_seconds"] < 1000


def test_the_command_refuses_with_status_2(finished, capsys):
    before = content(finished)
    assert main(["train", "tiny", "--resume", "last", "optimizer.lr=0.5"]) == 2
    assert "optimizer.lr (0.001, now 0.5)" in capsys.readouterr().err
    words = ["train", "tiny", "--resume", str(finished), "--init-from", str(finished)]
    assert main(words) == 2
    assert "leave --resume or --init-from out" in capsys.readouterr().err
    assert content(finished) == before
    assert main(["train", "tiny", "resume=true"]) == 0


def test_a_configuration_that_was_edited_is_not_believed(finished):
    path = finished / "config.yaml"
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 0.01"))
    record = (finished / "result.json").read_bytes()
    with pytest.raises(
        ConfigError, match=r"other settings in it: optimizer.lr \(0.001, now 0.01\)"
    ):
        train(going_on(finished), resume=finished)
    assert (finished / "result.json").read_bytes() == record


def test_nor_is_that_of_a_run_that_was_cut(cut_once):
    _, run = cut_once
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("weight_decay: 0.0", "weight_decay: 0.1"))
    with pytest.raises(
        ConfigError, match=r"optimizer.weight_decay \(0.0, now 0.1\); put them back"
    ):
        train(going_on(run), resume=run)


def test_a_best_checkpoint_that_is_gone_is_missed(finished):
    record = (finished / "result.json").read_bytes()
    (finished / "checkpoints/best.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"best.ckpt, which the validation selected.*put it"):
        train(going_on(finished), resume=finished)
    assert (finished / "result.json").read_bytes() == record


def test_nothing_is_made_longer_without_its_last_state(finished):
    (finished / "checkpoints/last.ckpt").unlink()
    with pytest.raises(ConfigError, match=r"there is no last\.ckpt to go on from"):
        train(going_on(finished, "trainer.max_epochs=3"), resume=finished)


@pytest.mark.parametrize("damaged", ['{"epochs": 2, "ste', "[]", '{"epochs": 2}'])
def test_a_damaged_note_of_a_finished_stage_is_written_anew(finished, damaged):
    before = json.loads((finished / "result.json").read_text())
    (finished / "checkpoints/finished").write_text(damaged)
    train(going_on(finished), resume=finished)
    after = json.loads((finished / "result.json").read_text())
    for budget in (before["budget"], after["budget"]):
        del budget["seconds"], budget["cpu_seconds"]
    assert after == before


def test_what_a_study_began_goes_on(cut_once):
    config, run = cut_once
    assert unfinished_run(config) == run
    assert trained_run(config) == run
    assert unfinished_run(config) is None
    assert finished_run(config) == run
    assert unfinished_run(load_experiment("tiny", [*SHORT, "seed=3"])) is None
