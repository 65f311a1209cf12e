from __future__ import annotations

import argparse
import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lifting.cli.leaderboard import _budget, _speed
from lifting.cli.main import main
from lifting.errors import ConfigError, DataError, DivergedError
from lifting.experiment.facts import matrix_gflops
from lifting.experiment.load import load_experiment
from lifting.experiment.record import read_record
from lifting.experiment.sequences import SequenceScore, read_sequences
from lifting.studies import measure as training
from lifting.studies.board import Contest, Standing, cells, read_beside, write_leaderboard
from lifting.studies.cut import Costs, StageCost
from lifting.studies.leaderboard import (
    _config,
    bootstrap_interval,
    comparable_methods,
    run_leaderboard,
)


def scores(values: dict[int, float], joints: int = 170) -> list[SequenceScore]:
    return [
        SequenceScore(f"r{n}/view{v}", n, joints, value, value / 2)
        for n, value in values.items()
        for v in range(2)
    ]


def test_equal_recordings_leave_no_doubt():
    run = scores(dict.fromkeys(range(6), 40.0))
    assert bootstrap_interval([run], "mpjpe_mm") == pytest.approx((40, 40))
    assert bootstrap_interval([run], "pa_mpjpe_mm") == pytest.approx((20, 20))


def test_the_interval_holds_the_mean_and_narrows_with_recordings():
    def width(count: int) -> float:
        run = scores({n: 40.0 + 10 * (-1) ** n for n in range(count)})
        low, high = bootstrap_interval([run], "mpjpe_mm")
        assert low < 40 < high
        return high - low

    assert width(100) == pytest.approx(2 * 1.96 * 10 / 10, rel=0.1)
    assert width(16) > width(100)


def test_views_of_a_recording_are_drawn_together():
    """Two views of each recording say nothing new, so they must not narrow the interval."""
    once = [s for s in scores({n: 40.0 + n for n in range(10)}) if s.track.endswith("view0")]
    twice = scores({n: 40.0 + n for n in range(10)})
    assert bootstrap_interval([once], "mpjpe_mm") == bootstrap_interval([twice], "mpjpe_mm")


def test_longer_recordings_weigh_more():
    run = [
        SequenceScore("long", 0, 900, 10.0, 1.0),
        SequenceScore("short", 1, 100, 110.0, 1.0),
    ]
    low, high = bootstrap_interval([run], "mpjpe_mm")
    assert (low, high) == pytest.approx((10, 110))


STAGES = [
    StageCost("warm", 1, start=0.0, step=0.1, validation=0.0, epoch=0.0),
    StageCost("train", None, start=0.0, step=0.1, validation=0.0, epoch=0.0),
]


@pytest.fixture
def plan(tiny_experiment, tmp_path, monkeypatch, undrawn):
    """Two epochs; a step is said to cost a tenth of a second, so that budgets buy few."""
    monkeypatch.setattr(
        "lifting.studies.cut.calibrate", lambda config, seconds: Costs(2.0, 3, 32.0, STAGES[:])
    )
    return Contest(
        None, ((1, 2), (2, 1)), tmp_path / "board", every=2,
        overrides=("data.epoch_batches=3", "method.warm_epochs=1", "trainer.max_epochs=1"),
    )  # fmt: skip


def last(methods, plan):
    *_, board = run_leaderboard(methods, plan)
    return board


def records(plan):
    found = sorted((plan.output / "tiny").glob("*/result.json"))
    return {(run.parent / "config.yaml").parent.name[16:]: read_record(run) for run in found}


def test_budgets_become_steps_and_runs_become_lines(plan, capsys):
    board = last(["tiny"], plan)
    assert "budget:      2 CPU seconds; tiny is to take 2\n" in capsys.readouterr().out
    found = records(plan)
    steps = {name: record.budget["steps"] for name, record in found.items()}
    assert steps == {"synthetic-1s-seed0": 10, "synthetic-1s-seed1": 10, "synthetic-2s-seed0": 20}
    names = [(row.method, row.budget, row.seeds) for row in board.rows]
    assert names == [
        ("tiny", 1, (0, 1)), ("tiny", 2, (0,)), ("mean_pose", None, ()),
        ("nearest_neighbour", None, ()),
    ]  # fmt: skip
    ours, longer, *_ = board.rows
    pair = [found[f"synthetic-1s-seed{seed}"] for seed in (0, 1)]
    mean = sum(r.metrics["mpjpe_mm"] for r in pair) / 2
    assert ours.scores["mpjpe_mm"] == pytest.approx(mean)
    low, high = ours.intervals["mpjpe_mm"]
    assert low <= mean + 1e-6
    assert high >= mean - 1e-6
    assert ours.cpu_seconds == pytest.approx(sum(r.budget["cpu_seconds"] for r in pair) / 2)
    assert (ours.samples, longer.samples) == (320, 640)
    assert ours.spread["mpjpe_mm"] > 0
    assert longer.spread is None
    assert board.calibration == {"tiny": 2.0}
    (curves,) = (plan.output / "tiny").glob("*2s-seed0/metrics.csv")
    rows = csv.DictReader(curves.read_text().splitlines())
    logged = [float(row["val/mpjpe_mm"]) for row in rows if row["val/mpjpe_mm"]]
    assert longer.val_mpjpe_mm == pytest.approx(min(logged), rel=1e-6)


def does(monkeypatch, gflops):
    """Let the machine be of a speed."""
    for module in ("leaderboard", "board", "cut"):
        monkeypatch.setattr(f"lifting.studies.{module}.matrix_gflops", lambda: gflops)


def test_a_budget_of_another_processor_is_scaled_by_its_speed(plan, monkeypatch):
    does(monkeypatch, 120.0)
    plan = replace(plan, budgets=((2, 1),), gflops=60.0)
    board = last(["tiny"], plan)
    (found,) = records(plan).values()
    assert found.budget["steps"] == 10
    assert board.rows[0].budget == 2
    assert (
        "of a processor with 60 GFLOP/s (seeds): 2 (1)" in write_leaderboard(board)[0].read_text()
    )
    does(monkeypatch, 90.0)
    assert last(["tiny"], plan).rows == board.rows  # decided once


def test_what_another_table_has_is_not_trained_again(plan, monkeypatch):
    does(monkeypatch, 60.0)
    plan = replace(plan, budgets=((1, 1), (2, 1)), gflops=60.0)
    first = last(["tiny"], plan)
    _, file, *_ = write_leaderboard(first)
    assert str(plan.output) not in file.read_text()  # it may be published
    shown = (*plan.overrides, "trainer.progress=false")  # what decides about no weights may differ
    again = replace(plan, output=plan.output / "again", beside=file, overrides=shown)
    boards = list(run_leaderboard(["tiny"], again))
    assert [board.rows for board in boards] == [first.rows]
    assert not list(again.output.glob("*"))
    does(monkeypatch, 120.0)
    more = last(["tiny"], replace(again, budgets=((1, 1), (2, 2))))
    assert more.rows[0] == first.rows[0]
    assert [row.seeds for row in more.rows[:2]] == [(0,), (0, 1)]
    text, *_ = write_leaderboard(more)
    said = f"taken from {file.name}: tiny under 1; machines of 120, 60 GFLOP/s"
    assert said in text.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"every": 3}, "got every=2 there and 3 here"),
        ({"gflops": 30.0}, "got gflops=60.0 there and 30.0 here"),
        ({"overrides": ()}, "got overrides="),
    ],
)
def test_a_table_of_another_plan_is_refused(plan, change, words):
    plan = replace(plan, budgets=((1, 1),), gflops=60.0)
    _, file, *_ = write_leaderboard(last(["tiny"], plan))
    with pytest.raises(ConfigError, match=words):
        last(["tiny"], replace(plan, beside=file, **change))


@pytest.mark.parametrize("content", ["[]", "{}", '{"plan": {}, "data": 3}', '{"rows": [3]}'])
def test_a_file_that_is_no_table_is_refused(plan, tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a leaderboard"):
        last(["tiny"], replace(plan, beside=path))


@pytest.mark.parametrize("text", ["0", "-60", "fast", "nan", "inf"])
def test_the_speed_of_a_processor_is_a_positive_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="such as 60, got"):
        _speed(text)


def test_table_and_chart_hold_what_a_reader_asks_for(plan, monkeypatch):
    does(monkeypatch, 60.1)
    board = last(["tiny"], plan)
    text, values, chart, curves = write_leaderboard(board)
    lines = text.read_text()
    row = board.rows[0]
    assert f"| tiny | 1 | {row.cpu_seconds:,.0f} | {row.val_mpjpe_mm:.1f} |" in lines
    assert "so many CPU-seconds showed what a step costs: tiny 2." in lines
    assert "60.1 GFLOP/s in a 1,024" in lines
    plain = json.loads(values.read_text())
    assert plain["machine"]["gflops"] == 60.1
    assert plain["plan"]["budgets"] == [[1, 2], [2, 1]]
    test = next(iter(records(plan).values())).samples["fingerprint"]
    assert plain["data"] == {
        "name": "synthetic", "test": test, "protocol": "default", "every": 2, "target": "middle",
        "batches": None,
    }  # fmt: skip
    first, baseline = plain["rows"][0], plain["rows"][-1]
    assert (first["method"], first["budget"], first["seeds"]) == ("tiny", 1, [0, 1])
    assert first["scores"].keys() == {"mpjpe_mm", "pa_mpjpe_mm"}
    assert first["val_mpjpe_mm"] == row.val_mpjpe_mm
    assert baseline["budget"] is None
    assert (chart.name, curves.name) == ("leaderboard.png", "curves.png")
    assert min(chart.stat().st_size, curves.stat().st_size) > 10_000


def test_the_table_is_renewed_after_every_training(plan):
    seen = [
        [(row.budget, row.seeds) for row in b.rows[:-2]] for b in run_leaderboard(["tiny"], plan)
    ]
    assert seen == [[(1, (0,))], [(1, (0, 1))], [(1, (0, 1)), (2, (0,))]]


def test_a_killed_command_goes_on_with_the_same_trainings(plan, monkeypatch):
    train, begun = training.train, []

    def stop(config, resume=None):
        begun.append((config.run, config.data.epoch_batches))
        if len(begun) in (2, 4):
            raise KeyboardInterrupt
        return train(config, resume=resume)

    def another(config, seconds):
        raise AssertionError("calibrated again")

    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        last(["tiny"], plan)
    monkeypatch.setattr("lifting.studies.cut.calibrate", another)
    with pytest.raises(KeyboardInterrupt):
        last(["tiny"], plan)
    # what a training really cost would now decide otherwise
    monkeypatch.setattr("lifting.studies.cut.Costs.scale_for", another)
    rows = last(["tiny"], plan).rows
    one, two, three = (f"synthetic-{name}" for name in ("1s-seed0", "1s-seed1", "2s-seed0"))
    assert begun == [(one, 5), (two, 5), (two, 5), (three, 10), (three, 10)]
    assert [row.seeds for row in rows[:2]] == [(0, 1), (0,)]
    assert last(["tiny"], plan).rows == rows
    assert len(begun) == 5


def test_finished_trainings_correct_the_next_budget(plan, monkeypatch):
    train = training.train

    def dear(config, resume=None):
        result = train(config, resume=resume)
        for note in (result.run_dir / "checkpoints").rglob("finished"):
            spent = {**json.loads(note.read_text()), "cpu_seconds": 1.0}  # twice what was said
            note.write_text(json.dumps(spent))
        return result

    monkeypatch.setattr(training, "train", dear)
    last(["tiny"], plan)
    assert {r.budget["steps"] for r in records(plan).values()} == {10}


def test_a_training_that_diverged_is_told_and_the_others_are_shown(plan, monkeypatch):
    train = training.train

    def diverge(config, resume=None):
        if config.seed == 1 or config.run.startswith("synthetic-2s"):
            raise DivergedError(f"got a loss that is not finite with seed {config.seed}")
        return train(config, resume=resume)

    monkeypatch.setattr(training, "train", diverge)
    board = last(["tiny"], plan)
    one, none = board.rows[:2]
    assert (one.seeds, len(one.problems), len(none.problems)) == ((0,), 1, 1)
    assert cells(none)[2:6] == ("-",) * 4
    text, *_ = write_leaderboard(board)
    assert "Left out: tiny, 2, seed 0: got a loss that is not finite" in text.read_text()


def test_tracks_add_up_to_the_score(plan):
    last(["tiny"], replace(plan, budgets=((1, 1),)))
    (run,) = (plan.output / "tiny").iterdir()
    tracks = read_sequences(run / "sequences.csv")
    joints = sum(t.joints for t in tracks)
    record = read_record(run / "result.json")
    for key in ("mpjpe_mm", "pa_mpjpe_mm"):
        total = sum(getattr(t, key) * t.joints for t in tracks) / joints
        assert total == pytest.approx(record.metrics[key], rel=1e-6)


def test_a_damaged_table_of_sequences_is_refused(tmp_path):
    path = tmp_path / "sequences.csv"
    path.write_text("track,recording\na,x\n")
    with pytest.raises(DataError, match="expected a table of sequences"):
        read_sequences(path)
    with pytest.raises(DataError, match="expected a table of sequences"):
        read_sequences(tmp_path / "absent.csv")


def test_unknown_and_unlike_experiments_are_named(plan):
    with pytest.raises(ConfigError, match=r"unknown experiment 'simple_base'.*'simple_baseline'"):
        last(["simple_base"], plan)
    with pytest.raises(ConfigError, match=r"got images under default, synthetic under .*; choose"):
        last(["nbf", "simple_baseline"], replace(plan, overrides=()))
    other = plan.output.parent / "experiments" / "other.yaml"
    other.write_text("extends: tiny\nname: other\nprotocol: h36m/p1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"same protocol, got .* default, .* h36m/p1; choose"):
        last(["tiny", "other"], plan)
    with pytest.raises(ConfigError, match="expected experiments to compare, got none"):
        last([], plan)


@pytest.mark.parametrize("setting", ["data.workers=1", "trainer.devices=2", "trainer.max_steps=9"])
def test_a_budget_rules_all_that_a_training_costs(plan, setting):
    with pytest.raises(ConfigError, match=rf"got tiny with .*{setting}.*leave the others out"):
        last(["tiny"], replace(plan, overrides=(*plan.overrides, setting)))


def test_seconds_of_two_processors_are_not_mixed(plan, monkeypatch):
    plan = replace(plan, budgets=((1, 1),))
    last(["tiny"], plan)
    (run,) = (plan.output / "tiny").iterdir()
    monkeypatch.setattr("lifting.studies.leaderboard.machine_facts", lambda: {"cpu": "Z80"})
    with pytest.raises(ConfigError, match=rf"on this processor, Z80, got {run} of .*--output"):
        last(["tiny"], plan)


def test_a_table_of_several_versions_says_so(plan, monkeypatch):
    monkeypatch.setattr("lifting.experiment.facts.git_state", lambda: {"commit": "a1"})
    last(["tiny"], replace(plan, budgets=((1, 1),)))
    monkeypatch.setattr("lifting.experiment.facts.git_state", lambda: {"commit": "b2"})
    board = last(["tiny"], replace(plan, budgets=((1, 2),)))
    assert board.versions == ("a1", "b2")
    text, *_ = write_leaderboard(board)
    assert "Trained by several versions of the code: a1, b2" in text.read_text()


def test_methods_are_compared_on_keypoints_or_on_pictures():
    keypoints = comparable_methods()
    assert {"diffpose", "simple_baseline", "uao", "videopose3d"} <= set(keypoints)
    assert "nbf" not in keypoints
    assert comparable_methods("cmu") == keypoints
    assert "nbf" in comparable_methods("images")


def test_experiments_keep_their_own_settings_of_the_data(tmp_path):
    """Those that do not extend the section get it."""
    plan = Contest("images", ((60, 1),), tmp_path)
    own, other = _config("epipolarpose_image", plan), _config("nbf_128", plan)
    assert (own.data.images.size, other.data.images.extras) == (160, ("body", "parts"))
    assert _config("simple_baseline", replace(plan, data="cmu")).data.name == "cmu"


def test_what_does_not_apply_is_a_dash():
    row = Standing("mean_pose", None, (), {"mpjpe_mm": 200.04, "pa_mpjpe_mm": 175.0})
    assert cells(row) == ("mean_pose", "-", "-", "-", "200.0", "175.0", "-", "-", "-", "-")


@pytest.mark.parametrize("text", ["0", "60x0", "sixty", "1.5x3", "-60"])
def test_a_budget_is_seconds_and_seeds(text):
    assert (_budget("200x3"), _budget("1800")) == ((200, 3), (1800, 1))
    with pytest.raises(argparse.ArgumentTypeError, match="such as 200x3 or 1800, got"):
        _budget(text)


def test_the_command_writes_and_says_where(plan, capsys, monkeypatch):
    options = ["--every", "2", "--output", str(plan.output)]
    options += [word for setting in plan.overrides for word in ("--set", setting)]
    assert main(["leaderboard", "tiny", "--budgets", "1", *options]) == 0
    out = capsys.readouterr().out
    assert "leaderboard.png" in out
    table = out.partition("leaderboard: ")[2].partition("written:")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "nearest_neighbour" in table
    assert main(["leaderboard", "tiny", "--budgets", "1", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "nearest_neighbour" in [row["method"] for row in told["rows"]]
    assert [Path(path).name for path in told["written"][-2:]] == ["curves.png", "leaderboard.html"]
    assert main(["leaderboard", "tiny", "--budgets", "1", "1x3", *options]) == 2
    assert "expected each budget once" in capsys.readouterr().err


def test_the_speed_of_the_machine_is_measured_once_and_leaves_the_threads():
    threads = torch.get_num_threads()
    speed = matrix_gflops()
    assert speed > 0
    assert matrix_gflops() == speed
    assert torch.get_num_threads() == threads


def test_a_closer_look_is_kept(plan, monkeypatch):
    plan = replace(plan, budgets=((1, 2),), look=12)
    board = last(["tiny"], plan)
    row = board.rows[0]
    assert set(row.looks) == {
        "poses", "mpjve_mm_per_second", "acceleration_error_mm_per_second2", "lost_change_mm",
        "wrong_change_mm", "optimised_change_mm", "multiply_adds", "memory_mb",
    }  # fmt: skip
    # Three layers of a frame: 34 x 16, 16 x 51 and 51 x 51.
    assert row.looks["multiply_adds"] == 34 * 16 + 16 * 51 + 51 * 51
    assert row.looks["wrong_change_mm"] != 0
    first, second = sorted((plan.output / "tiny").glob("*seed?"))
    assert not (second / "look.json").exists()
    assert row.runs == (f"tiny/{first.name}", f"tiny/{second.name}")
    velocity, optimised = (row.looks[k] for k in ("mpjve_mm_per_second", "optimised_change_mm"))
    shown = f"| tiny | 1 | - | {velocity:,.0f} | "
    text = write_leaderboard(board)[0].read_text()
    assert shown in text
    assert f"| {optimised:+.1f} | 3,961 |" in text

    def again(*_):
        raise AssertionError("looked again")

    monkeypatch.setattr("lifting.studies.look.scenes", again)
    assert last(["tiny"], plan).rows == board.rows
    assert last(["tiny"], replace(plan, look=0)).rows[0].looks is None


def test_recorded_tables_become_a_page(plan, capsys):
    _, file, *_ = write_leaderboard(last(["tiny"], plan))
    plain = json.loads(file.read_text())
    first = plain["rows"][0] | {"oracle": {"oracle/p_best@H5_mm": 41.25}, "method": "a<b"}
    for name in ("oracle", "hypotheses", "steps", "looks", "runs"):  # an older version's
        del plain["rows"][1][name]
    plain["rows"][0] = first
    plain["rows"][2]["scores"]["mpjpe_mm"] = None  # was not finite
    file.write_text(json.dumps(plain))
    assert main(["leaderboard", "--page", str(file), "--output", str(plan.output / "site")]) == 0
    page = plan.output / "site" / "leaderboard.html"
    assert capsys.readouterr().out.endswith(f"\nwritten: {page}\n")
    text = page.read_text()
    assert "a<b" not in text
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links == set(re.findall(r'id="([^"]+)"', text))
    assert len(links) == 4
    assert "color-scheme:light dark" in text
    assert "<th>PA-MPJPE</th>" in text
    assert "<th>memory MB</th>" not in text  # nothing was looked at more closely
    command = "lifting leaderboard tiny --budgets 2 --every 2 --set data.epoch_batches=3"
    assert f"<code>{command} --set method.warm_epochs=1 " in text
    value = f"{first['scores']['mpjpe_mm']:.1f}"
    assert f'<td data-value="{value}"><a href="#synthetic-a&lt;b-1">{value}</a></td>' in text
    oracles = text.partition("Told something of the truth")[2]
    assert '<td data-value="41.2"><a href="#synthetic-a&lt;b-1">41.2</a></td>' in oracles


def test_a_page_of_another_file_is_refused(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text("{}")
    assert main(["leaderboard", "--page", str(path), "--output", str(tmp_path)]) == 2
    assert "expected a leaderboard.json of `lifting leaderboard`" in capsys.readouterr().err
    assert main(["leaderboard", "tiny", "--look", "-1"]) == 2
    assert "expected --look from 0, got -1" in capsys.readouterr().err


def test_the_cost_of_a_pose_is_that_of_an_answered_frame(plan, monkeypatch):
    last(["tiny"], replace(plan, budgets=((1, 1),)))
    (run,) = (plan.output / "tiny").iterdir()
    monkeypatch.setattr(training, "repeat", lambda *_, **__: [1.5])
    config = _config("tiny", plan)
    one = training.pose_cpu_ms(config, run / "checkpoints" / "best.ckpt")
    monkeypatch.setattr(training, "answered_frames", lambda module: 3)
    assert training.pose_cpu_ms(config, run / "checkpoints" / "best.ckpt") == one / 3


def test_windows_side_by_side_stand_beside_windows_around_a_frame(plan, monkeypatch):
    does(monkeypatch, 60.0)
    plan = replace(plan, budgets=((1, 1),), gflops=60.0)
    _, file, *_ = write_leaderboard(last(["tiny"], plan))
    chunks = ("data.frames=3", "data.target=all", "data.windows=chunks")
    table = read_beside(file, plan, load_experiment("tiny", [*chunks]))
    assert ("tiny", 1) in table.trained
    with pytest.raises(ConfigError, match="got target=middle there and all here"):
        read_beside(file, plan, load_experiment("tiny", list(chunks[:2])))
