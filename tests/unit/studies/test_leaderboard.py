from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lifting.errors import ConfigError, DataError, DivergedError
from lifting.experiment.record import read_record
from lifting.experiment.sequences import SequenceScore, read_sequences
from lifting.studies.leaderboard import (
    Contest,
    Standing,
    bootstrap_interval,
    cells,
    comparable_methods,
    run_leaderboard,
    write_leaderboard,
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


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaderboard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTING_CACHE", str(folder / "cache"))
        yield Contest(
            "synthetic", 64, (0, 1), folder / "board",
            overrides=("extends=overlay/smoke", "wandb.mode=disabled", "panels.worst=0"),
        )  # fmt: skip


@pytest.fixture(scope="module")
def rows(plan):
    """Two runs of one method, trained once for all that is asked of them."""
    return run_leaderboard(["simple_baseline"], plan)


def test_methods_are_trained_once_and_compared(plan, rows, monkeypatch):
    assert {row.method for row in rows} == {"simple_baseline", "mean_pose", "nearest_neighbour"}
    errors = [row.scores["mpjpe_mm"] for row in rows]
    assert errors == sorted(errors)
    (ours,) = (row for row in rows if row.method == "simple_baseline")
    runs = sorted((plan.output / "simple_baseline").iterdir())
    records = [read_record(run / "result.json") for run in runs]
    assert [r.seed for r in records] == [0, 1]
    mean = sum(r.metrics["mpjpe_mm"] for r in records) / 2
    assert ours.scores["mpjpe_mm"] == pytest.approx(mean)
    low, high = ours.intervals["mpjpe_mm"]
    assert low <= mean + 1e-6
    assert high >= mean - 1e-6
    assert ours.samples == 16
    assert ours.parameters == 4_296_755

    def refuse(config, resume=None):
        raise AssertionError(f"{config.name} was trained again")

    monkeypatch.setattr("lifting.studies.measure.train", refuse)
    again = run_leaderboard(["simple_baseline"], plan)
    assert [row.scores for row in again] == [row.scores for row in rows]
    text, values = write_leaderboard(rows, plan)
    assert "| simple_baseline |" in text.read_text()
    assert json.loads(values.read_text())["plan"]["samples"] == 64


@pytest.mark.usefixtures("rows")
def test_a_training_that_diverged_is_told_and_the_others_are_shown(plan, monkeypatch):
    def diverge(config, resume=None):
        raise DivergedError(f"got a loss that is not finite with seed {config.seed}")

    monkeypatch.setattr("lifting.studies.measure.train", diverge)
    rows = run_leaderboard(["uao", "simple_baseline"], replace(plan, seeds=(1, 2)))
    one, none = (next(r for r in rows if r.method == m) for m in ("simple_baseline", "uao"))
    assert rows[-1] is none
    assert (one.seeds, len(one.problems), len(none.problems)) == ((1,), 1, 2)
    assert cells(none)[1:3] == ("-", "-")
    text, _ = write_leaderboard(rows, plan)
    assert "Left out: uao, seed 2: got a loss that is not finite" in text.read_text()


@pytest.mark.usefixtures("rows")
def test_tracks_add_up_to_the_score(plan):
    run = next((plan.output / "simple_baseline").iterdir())
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


def test_unknown_methods_are_named(plan):
    with pytest.raises(ConfigError, match=r"unknown method 'simple_base'.*'simple_baseline'"):
        run_leaderboard(["simple_base"], plan)


def test_every_method_has_an_experiment_of_its_name():
    assert {"diffpose", "simple_baseline", "videopose3d"} <= set(comparable_methods())


def test_what_does_not_apply_is_a_dash():
    row = Standing("mean_pose", (), {"mpjpe_mm": 200.04, "pa_mpjpe_mm": 175.0})
    assert cells(row) == ("mean_pose", "200.0", "175.0", "-", "-", "-", "-", "-")
