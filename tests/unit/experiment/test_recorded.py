"""A result stands beside what a plain method reached in the same time, where that is known."""

from __future__ import annotations

import json
import math

import pytest

from lifting.experiment.load import load_experiment
from lifting.experiment.record import ResultRecord, read_record
from lifting.experiment.recorded import recorded_scores, verdict
from lifting.experiment.run import train


def row(seconds, error, method="simple_baseline", **scores):
    scores = {"mpjpe_mm": error, **scores}
    return {
        "method": method, "budget": round(seconds), "seeds": [0], "cpu_seconds": seconds,
        "val_mpjpe_mm": error, "scores": scores,
    }  # fmt: skip


def speed():
    """This machine's: that of the curves."""
    return 60.1


SHORT = ["trainer.max_epochs=1", "method.warm_epochs=1"]
ROWS = [
    row(900.0, 50.0, pa_mpjpe_mm=40.0),
    row(100.0, 70.0, pa_mpjpe_mm=44.0),
    row(100.0, 1.0, method="diffpose"),
]


def curves(**data):
    return {
        "plan": {"anything": 1},
        "machine": {"cpu": "Zen", "gflops": 60.1},
        "data": {"name": "synthetic", "test": "abc", "protocol": "default", "every": 5, **data},
        "rows": ROWS,
    }


def record(seconds=300.0, **changes):
    facts = {
        "experiment": "diffpose", "method": "diffpose", "dataset": "synthetic", "split": "test",
        "two_d": "noise", "frames": 1, "flip": False, "joints": [], "root_rule": "",
        "protocol": {"name": "default"}, "unit": "mm", "seed": 0, "weights": "", "metrics": {},
        "samples": {"every": 5, "target": "middle", "batches": None, "fingerprint": "abc"},
        "budget": {"cpu_seconds": seconds}, "extras": {},
    }  # fmt: skip
    return ResultRecord(**{**facts, **changes})


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Writes a file of curves into the folder of experiments."""
    folder = tmp_path / "experiments" / "curves"
    folder.mkdir(parents=True)
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(folder.parent))

    def write(content, name="synthetic"):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")

    return write


def test_scores_lie_between_recorded_budgets_in_the_logarithm(shipped):
    shipped(curves())
    shipped(curves(test="of other samples"), "another")
    found = recorded_scores(record(100.0), "synthetic", lambda: 180.3)
    assert found.name == "simple_baseline (recorded, 300 CPU s)"
    share = math.log(3) / math.log(9)
    assert found.scores == pytest.approx(
        {"mpjpe_mm": 70 - 20 * share, "pa_mpjpe_mm": 44 - 4 * share}
    )
    assert found.notes == (
        "300 CPU seconds of the recorded simple_baseline are the work of 100 here: by a matrix "
        "product in one thread, 60 GFLOP/s there (Zen) and 180 here",
    )


def test_rows_of_other_machines_count_by_their_speed(shipped):
    slower = {**row(200.0, 70.0, pa_mpjpe_mm=44.0), "gflops": 30.05}  # the work of 100 seconds
    shipped({**curves(), "rows": [slower, ROWS[0]]})
    same = recorded_scores(record(), "synthetic", speed)
    shipped(curves())
    assert same == recorded_scores(record(), "synthetic", speed)


@pytest.mark.parametrize(("seconds", "end", "error"), [(7.0, 100, 70.0), (9e4, 900, 50.0)])
def test_outside_of_the_record_the_nearest_end_stands_there_and_it_is_said(
    shipped, seconds, end, error
):
    shipped(curves())
    found = recorded_scores(record(seconds), "synthetic", speed)
    assert found.name == f"simple_baseline (recorded, {end} CPU s)"
    assert found.scores["mpjpe_mm"] == pytest.approx(error)
    assert "from 100 to 900 CPU seconds" in found.notes[1]
    assert "nearest end" in found.notes[1]


@pytest.mark.parametrize(
    ("of_curves", "of_record"),
    [
        ({"name": "cmu"}, {}),
        ({"test": "def"}, {}),
        ({"protocol": "h36m_p1"}, {}),
        ({"every": 1}, {}),
        ({"target": "all"}, {}),
        ({"batches": 3}, {}),
        ({}, {"extras": {"initialised_from": {"weights": "of another training"}}}),
        ({}, {"samples": {**record().samples, "batches": 3}}),
        ({}, {"samples": {**record().samples, "target": "all"}}),
        ({"test": ""}, {"samples": {**record().samples, "fingerprint": ""}}),
        ({}, {"method": "simple_baseline"}),
        ({}, {"budget": {}}),
    ],
)
def test_what_cannot_be_compared_is_not(shipped, caplog, of_curves, of_record):
    shipped(curves(**of_curves))
    assert recorded_scores(record(**of_record), "synthetic", speed) is None
    assert not caplog.records


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", '{"data": 5}', "[" * 100_000,
        {**curves(), "rows": [{"method": "simple_baseline"}]},
        {**curves(), "rows": [row(-5.0, 60.0)]},
        {**curves(), "rows": [row(100.0, math.nan)]},
        {**curves(), "machine": {}},
    ],
)  # fmt: skip
def test_a_damaged_file_costs_a_warning(shipped, caplog, content):
    shipped(content)
    assert recorded_scores(record(), "synthetic", speed) is None
    assert "nothing recorded to compare with" in caplog.text


def test_who_wins_is_said_whoever_it_is(shipped):
    shipped(curves())
    beside = recorded_scores(record(900.0), "synthetic", speed)
    answers = {"": {"mpjpe_mm": 49.0}, "context": {"mpjpe_mm": 55.0}, "oracle": {"mpjpe_mm": 1.0}}
    assert verdict("diffpose", answers, beside) == [
        "diffpose wins by MPJPE: 49.0 mm, simple_baseline (recorded, 900 CPU s) 50.0, context 55.0"
    ]
    answers["context"]["mpjpe_mm"] = 49.0
    assert verdict("diffpose", answers, beside) == [
        "diffpose does not win, context does, by MPJPE: 49.0 mm, context 49.0, simple_baseline "
        "(recorded, 900 CPU s) 50.0",
        "diffpose is no better than its own 'context' alone: 49.0 mm, context 49.0",
    ]
    assert verdict("diffpose", answers, None) == [
        "diffpose is no better than its own 'context' alone: 49.0 mm, context 49.0"
    ]
    assert verdict("diffpose", {"": {"mpjpe_mm": 51.0}}, beside)[0].startswith(
        "diffpose does not win, simple_baseline (recorded, 900 CPU s) does, by MPJPE: 51.0 mm"
    )
    assert verdict("diffpose", {"": {"mpjpe_mm": 51.0}}, None) == []
    assert verdict("diffpose", {"": {"pa_mpjpe_mm": 51.0}}, beside) == []


def test_a_training_ends_with_the_comparison(tiny_experiment, undrawn, tmp_path, capsys):
    config = load_experiment(tiny_experiment, SHORT)
    first = train(config)
    assert "recorded" not in capsys.readouterr().out
    told = read_record(first.run_dir / "result.json")
    assert told.budget["cpu_seconds"] > 0
    folder = tmp_path / "experiments" / "curves"
    folder.mkdir()
    here = {"test": told.samples["fingerprint"], "every": told.samples["every"]}
    file = folder / "synthetic.json"
    file.write_text(json.dumps({**curves(**here), "rows": [row(1e-3, 1.0)]}), encoding="utf-8")
    train(config)
    out = capsys.readouterr().out
    assert "simple_baseline (recorded, 0 CPU s)" in out
    assert "tiny_method does not win, simple_baseline (recorded, 0 CPU s) does, by MPJPE" in out
    train(load_experiment(tiny_experiment, [*SHORT, "data.workers=1"]))
    assert "recorded" not in capsys.readouterr().out  # the loader's seconds are not counted
    file.write_text("damaged", encoding="utf-8")
    assert train(config).scores == first.scores
