"""`lifting results`: one table for one protocol, and a refusal for several."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from lifting.cli.main import main
from lifting.errors import DataError
from lifting.experiment.record import ResultRecord, write_record
from lifting.experiment.results import (
    build_sheet,
    differences,
    find_records,
    group_by_protocol,
    letters,
)

BASE = ResultRecord(
    experiment="diffpose", method="diffpose", dataset="cmu", split="test",
    two_d="projected, noise cpn", frames=1, flip=False, joints=["hip", "head"],
    root_rule="centred on hip", protocol={"name": "default", "mpjpe_mm": "default/v1|mm|all"},
    unit="mm", samples={"every": 1, "fingerprint": "f00"}, seed=0, weights="abc",
    metrics={"pa_mpjpe_mm": 45.0, "mpjpe_mm": 60.0, "auc": 0.61, "mpjpe_mm/walk": 59.0},
    hypotheses=5, steps=2, aggregation="mean", oracle={"oracle/p_best": 31.25},
)  # fmt: skip


def put(folder, name, **changes):
    write_record(folder / name / "result.json", replace(BASE, **changes))


def run(*words):
    return main(["results", *map(str, words)])


@pytest.fixture
def one_protocol(tmp_path):
    put(tmp_path, "a", seed=0)
    put(tmp_path, "b/deep", seed=1, metrics={"mpjpe_mm": 62.0, "auc": 0.5, "pa_mpjpe_mm": 46.0})
    put(tmp_path, "c", experiment="baseline", method="simple_baseline", hypotheses=1, steps=None,
        aggregation=None, metrics={"mpjpe_mm": 58.0}, oracle={})  # fmt: skip
    return tmp_path


@pytest.fixture
def two_protocols(one_protocol):
    put(one_protocol, "d", root_rule="centred on neck", experiment="other")
    return one_protocol


def test_one_row_a_record_the_best_first(one_protocol, capsys):
    assert run(one_protocol, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["mpjpe_mm"] for row in rows] == ["58.00", "60.00", "62.00"]
    assert [row["pa_mpjpe_mm"] for row in rows] == ["-", "45.00", "46.00"]
    assert rows[1]["auc"] == "0.6100"
    assert (rows[1]["H"], rows[1]["steps"], rows[1]["aggregation"]) == ("5", "2", "mean")
    assert list(rows[0])[8:] == ["mpjpe_mm", "pa_mpjpe_mm", "auc"]  # no single action


def test_oracle_scores_never_stand_among_deployable_ones(one_protocol, capsys):
    assert run(one_protocol, "--json") == 0
    assert "p_best" not in capsys.readouterr().out
    assert run(one_protocol, "--json", "--oracle") == 0
    plain = json.loads(capsys.readouterr().out)
    assert all("oracle/p_best" not in row for row in plain["deployable"])
    assert all("mpjpe_mm" not in row for row in plain["oracle"])
    assert [row["oracle/p_best"] for row in plain["oracle"]] == ["31.25", "31.25", "-"]


def test_table_and_markdown_hold_both_tables(one_protocol, capsys):
    assert run(one_protocol, "--oracle") == 0
    text = capsys.readouterr().out
    assert "results: cmu test, 2D projected, noise cpn, centred on hip, protocol default" in text
    assert "oracle scores: the truth chose the answer" in text
    assert "62.00" in text
    assert run(one_protocol, "--oracle", "--format", "markdown") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| experiment | method | frames |")
    assert lines[3].startswith("| --- |")
    assert sum(line.startswith("**") for line in lines) == 2


def test_different_protocols_are_refused_and_what_differs_is_listed(two_protocols, capsys):
    assert run(two_protocols) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "expected records of one protocol, got 2 that differ" in said.err
    assert "root rule:" in said.err
    assert "centred on neck" in said.err
    assert "and 2 more" in said.err
    assert "data set" not in said.err  # only what differs


def test_mixed_gives_every_row_its_protocol(two_protocols, capsys):
    assert run(two_protocols, "--mixed", "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert [row["protocol"] for row in plain["deployable"]] == ["A", "A", "A", "B"]
    assert plain["protocols"] == [
        "A: root rule = centred on hip",
        "B: root rule = centred on neck",
    ]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"dataset": "synthetic"}, "data set"),
        ({"split": "val"}, "split"),
        ({"two_d": "ground truth"}, "2D source"),
        ({"joints": ["hip"]}, "joints"),
        ({"unit": "m"}, "unit"),
        ({"protocol": {"name": "h36m/p1", "mpjpe_mm": "default/v1|mm|all"}}, "protocol"),
        ({"protocol": {"name": "default", "mpjpe_mm": "default/v2|mm|all"}}, "protocol id"),
        ({"samples": {"every": 5, "fingerprint": "f00"}}, "samples: every"),
        ({"samples": {"every": 1, "fingerprint": "bad"}}, "samples: fingerprint"),
        ({"oracle_flags": {"root_depth": True}}, "told of the truth"),
    ],
)
def test_every_rule_separates_protocols(tmp_path, change, name):
    put(tmp_path, "a")
    put(tmp_path, "b", **change)
    groups = group_by_protocol(find_records([tmp_path]))
    assert len(groups) == 2
    assert list(differences(groups)) == [name]


@pytest.mark.parametrize(
    "change", [{"frames": 27}, {"flip": True}, {"hypotheses": 1}, {"seed": 3}, {"weights": "x"}]
)
def test_choices_of_a_method_do_not_separate_protocols(tmp_path, change):
    put(tmp_path, "a")
    put(tmp_path, "b", **change)
    assert len(group_by_protocol(find_records([tmp_path]))) == 1


def test_further_metrics_do_not_separate_protocols(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b", protocol={**BASE.protocol, "oracle/p_best": "default/v1|mm|more"})
    assert len(group_by_protocol(find_records([tmp_path]))) == 1


def test_seeds_are_summarised_by_mean_and_standard_deviation(one_protocol, capsys):
    assert run(one_protocol, "--summarise", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["deployable"]
    assert [(row["experiment"], row["seeds"]) for row in rows] == [
        ("baseline", "1 (0)"),
        ("diffpose", "2 (0, 1)"),
    ]
    assert rows[1]["mpjpe_mm"] == "61.00 ± 1.41"
    assert rows[0]["mpjpe_mm"] == "58.00"


def test_a_record_named_twice_is_one_row(one_protocol):
    entries = find_records([one_protocol, one_protocol / "a", one_protocol / "a" / "result.json"])
    assert len(entries) == 3
    assert len(build_sheet(group_by_protocol(entries)).rows) == 3


def test_places_without_records_are_named(tmp_path):
    with pytest.raises(DataError, match="which does not exist"):
        find_records([tmp_path / "nowhere"])
    with pytest.raises(DataError, match=r"expected a result\.json below"):
        find_records([tmp_path])


def test_letters_go_on_after_z():
    names = [letter for letter, _ in zip(letters(), range(28), strict=False)]
    assert names[:2] == ["A", "B"]
    assert names[25:] == ["Z", "A1", "B1"]


def test_the_command_needs_no_torch(one_protocol):
    code = (
        "import sys; from lifting.cli.main import main; "
        f"status = main(['results', {str(one_protocol)!r}]); "
        "sys.exit(status or int('torch' in sys.modules) or int('wandb' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "60.00" in done.stdout
