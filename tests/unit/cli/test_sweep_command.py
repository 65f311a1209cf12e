from __future__ import annotations

import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lifting.cli.main import main
from lifting.errors import ConfigError, DataError, OutputError
from lifting.experiment import connection
from lifting.experiment.record import read_record
from lifting.experiment.sweep import JobKey, load_sweep
from lifting.studies import measure as training
from lifting.studies import sweep as running
from lifting.studies import wandb_sweep
from lifting.studies.sweep import Outcome, cells, sweep_rows
from lifting.studies.wandb_sweep import run_wandb_sweep

STUDY = """\
experiment: tiny
description: A study
settings: {trainer.max_epochs: 1, method.warm_epochs: 1, trainer.limit_train_batches: 2}
seeds: [0, 1]
metrics: [mpjpe_mm]
variants:
  narrow: {method.head.width: 4}
test_variants:
  by view: {data.eval_every: 2}
"""
WITHOUT_TORCH = """
import sys
from lifting.cli.main import main
status = main(sys.argv[1:])
assert not {"torch", "pytorch_lightning", "wandb", "matplotlib"} & set(sys.modules)
sys.exit(status)
"""


@pytest.fixture
def study(tiny_experiment, undrawn, tmp_path):
    path = tmp_path / "experiments" / "sweep" / "study.yaml"
    path.parent.mkdir()
    path.write_text(STUDY)
    return ["sweep", "study", "--output", str(tmp_path / "board")]


def table(tmp_path) -> dict[str, dict]:
    plain = json.loads((tmp_path / "board" / "sweep.json").read_text())
    return {row["variant"]["name"]: row for row in plain["rows"]}


def test_a_sweep_goes_on_where_it_stopped(study, tmp_path, monkeypatch, capsys):
    path = tmp_path / "experiments" / "sweep" / "study.yaml"
    path.write_text(STUDY.replace("[0, 1]", "[1]"))
    trained, train, evaluate = [], training.train, running.evaluate

    def fail_once(config, resume=None):
        trained.append(config.run)
        if trained == ["base-seed1", "narrow-seed1"]:
            raise DataError("expected data, got none; look for it")
        return train(config)

    def interrupt(config, checkpoint):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", fail_once)
    monkeypatch.setattr(running, "evaluate", interrupt)
    assert main(study) == 130
    rows = table(tmp_path)
    assert [row["seeds"] for row in rows.values()] == [[1], [], []]
    assert rows["narrow"]["problems"] == {"1": "expected data, got none; look for it"}

    monkeypatch.setattr(running, "evaluate", evaluate)
    assert main(study) == 0
    assert trained == ["base-seed1", "narrow-seed1", "narrow-seed1"]
    records = {}
    for name, row in table(tmp_path).items():
        assert (row["seeds"], row["problems"]) == ([1], {})
        assert row["pose_cpu_ms"] > 0
        records[name] = read_record(tmp_path / "board" / row["folders"]["1"] / "result.json")
        assert records[name].seed == 1
        score = records[name].metrics["mpjpe_mm"]
        assert row["scores"]["mpjpe_mm"]["mean"] == score
        assert row["scores"]["mpjpe_mm"]["difference"] == (
            None if name == "base" else score - records["base"].metrics["mpjpe_mm"]
        )
    assert table(tmp_path)["by view"]["train_seconds"] is None
    assert records["by view"].weights == records["base"].weights != records["narrow"].weights
    assert records["by view"].samples["every"] == 2
    with (tmp_path / "board" / "sweep.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert float(lines[1]["mpjpe_mm_mean"]) == records["narrow"].metrics["mpjpe_mm"]
    assert "| narrow | method.head.width=4 | 1 |" in (tmp_path / "board/sweep.md").read_text()
    capsys.readouterr()
    assert main([*study, "--list"]) == 0
    assert "data.eval_every=2" in capsys.readouterr().out
    assert main([*study, "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][2] == {
        "variant": "by view", "finished": "1 of 1", "settings": "data.eval_every=2"
    }  # fmt: skip
    assert main([*study, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == list(table(tmp_path).values())


def test_what_is_not_finite_or_not_there_is_a_problem(study, tmp_path, capsys):
    path = tmp_path / "experiments" / "sweep" / "study.yaml"
    path.write_text(STUDY.replace("[0, 1]", "[0]").replace(
        "{method.head.width: 4}", "{optimizer.lr: 1.0e+30}"
    ))  # fmt: skip
    assert main([*study, "--only", "base", "narrow"]) == 2
    assert (
        "variant 'narrow', seed 0: expected a training that converges" in capsys.readouterr().err
    )
    record = next((tmp_path / "board").rglob("result.json"))
    facts = json.loads(record.read_text())
    record.write_text(json.dumps(facts | {"metrics": {"mpjpe_mm": float("nan")}}))
    assert main([*study, "--only", "base"]) == 2
    assert "variant 'base', seed 0: mpjpe_mm is not finite" in capsys.readouterr().err
    assert table(tmp_path)["by view"]["seeds"] == []
    path.write_text(path.read_text().replace("[mpjpe_mm]", "[mpjpe]"))
    assert main([*study, "--only", "base"]) == 2
    assert "no metric 'mpjpe'; did you mean 'mpjpe_mm'?" in capsys.readouterr().err


def test_seeds_are_compared_with_the_same_seed_of_the_base(study):
    sweep = load_sweep("study")
    outcomes = dict.fromkeys(sweep.jobs, Outcome())
    for (name, seed), score in {("base", 0): 40.0, ("base", 1): 50.0, ("narrow", 1): 53.0}.items():
        outcomes[JobKey(name, seed)] = Outcome(scores={"mpjpe_mm": score}, seconds=7.0)
    outcomes[JobKey("narrow", 0)] = Outcome(problem="a | b\nc")
    base, narrow, other = (cells(row, sweep) for row in sweep_rows(sweep, outcomes))
    assert base == ("base", "-", "2", "45.00 ± 7.07", "-", "7", "-", "")
    assert narrow[2:] == ("1 of 2", "53.00", "+3.00", "7", "-", "seed 0: a | b c")
    assert other[2:] == ("0 of 2", "-", "-", "-", "-", "weights of the base")


class WandbStandIn:
    """Hands out what was asked for, as the server and the agent would."""

    Error = OSError

    def __init__(self) -> None:
        self.sweeps, self.runs, self.place = [], [], None

    def sweep(self, definition, **place):
        self.sweeps.append(definition)
        self.place = place
        return "a1"

    def agent(self, identifier, function, **place):
        assert (identifier, place) == ("a1", self.place)
        values = self.sweeps[-1]["parameters"]
        for seed in values["seed"]["values"]:
            for variant in values["variant"]["values"]:
                self.handed_out = {"variant": variant, "seed": seed}
                function()

    def init(self, mode):
        assert mode == "online"
        self.runs.append(SimpleNamespace(config=self.handed_out, summary={}, finish=lambda: None))
        return self.runs[-1]


@pytest.fixture
def wandb(monkeypatch):
    """W&B with a key and a server that answers."""
    stand_in = WandbStandIn()
    monkeypatch.setattr(connection, "has_key", lambda url: True)
    monkeypatch.setattr(connection, "answers", lambda url, timeout: True)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def test_a_wandb_sweep_needs_a_key_and_a_server(study, wandb, tmp_path, monkeypatch, capsys):
    assert main([*study, "--wandb"]) == 2
    assert "expected wandb.mode auto or online with --wandb, got disabled" in (
        capsys.readouterr().err
    )
    runs = running.SweepRuns(load_sweep("study", ["wandb.mode=auto"], tmp_path / "board"))

    def refuse(definition, **place):
        raise wandb.Error("no such entity")

    monkeypatch.setattr(wandb, "sweep", refuse)
    with pytest.raises(OutputError, match=r"in project 'lifting', got 'no such entity'"):
        run_wandb_sweep(runs, ["base"])
    monkeypatch.setattr(connection, "has_key", lambda url: False)
    with pytest.raises(ConfigError, match="expected an API key of"):
        run_wandb_sweep(runs, ["base"])


def test_a_wandb_sweep_hands_out_the_same_runs(study, wandb, tmp_path, monkeypatch):
    settings = ["wandb.mode=auto", "wandb.project=p"]
    runs = running.SweepRuns(load_sweep("study", settings, tmp_path / "board"))
    started = []

    def refuse(config, resume=None):
        started.append((config.run, config.wandb.mode))
        raise DataError("expected data, got none; look for it")

    monkeypatch.setattr(training, "train", refuse)
    run_wandb_sweep(runs, ["base", "narrow"])
    (definition,) = wandb.sweeps
    assert definition["method"] == "grid"
    assert definition["parameters"] == {
        "seed": {"values": [0, 1]}, "variant": {"values": ["base", "narrow"]},
    }  # fmt: skip
    assert wandb.place == {"project": "p", "entity": None}
    expected = ["base-seed0", "narrow-seed0", "base-seed1", "narrow-seed1"]
    assert started == [(run, "online") for run in expected]
    assert len(table(tmp_path)["narrow"]["problems"]) == 2

    # The same sweep goes on, and reports what is finished; another choice is another sweep.
    finished = tmp_path / "board" / "tiny" / "finished"
    runs.folders[JobKey("narrow", 1)] = finished
    record = SimpleNamespace(metrics={"mpjpe_mm": 40.0}, budget={})
    for module in (running, wandb_sweep):
        monkeypatch.setattr(module, "read_record", lambda path: record)
    monkeypatch.setattr(running, "pose_cpu_ms", lambda config, checkpoint: 1.0)
    run_wandb_sweep(runs, ["base", "narrow"])
    assert len(wandb.sweeps) == 1
    assert [run.summary for run in wandb.runs[4:]] == [{}, {}, {}, {"test/mpjpe_mm": 40.0}]
    run_wandb_sweep(runs, ["base"])
    assert len(wandb.sweeps) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["study", "--list"], 0, "narrow   0 of 2    method.head.width=4"),
        (["stdy"], 2, "error: unknown sweep 'stdy'; did you mean 'study'"),
        (["study", "--only", "narow"], 2, "unknown variant 'narow' of study; did you mean"),
    ],
)
def test_mistakes_are_named(study, capsys, arguments, status, said):
    assert main(["sweep", *arguments]) == status
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_listing_needs_no_torch(study, tmp_path):
    path = tmp_path / "experiments" / "tiny.yaml"
    path.write_text(path.read_text().replace("tiny_method", "simple_baseline"))
    sweep = tmp_path / "experiments" / "sweep" / "study.yaml"
    sweep.write_text("experiment: tiny\ngrid: {optimizer.lr: [1.0e-3, 1.0e-4]}\n")
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *study, "--list"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "lr=0.0001" in answer.stdout
