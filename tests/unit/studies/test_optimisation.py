"""The commands of ``lifting tto`` on runs of two tiny methods, one with an expected error."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lifting.cli.main import main
from lifting.errors import ConfigError
from lifting.experiment.record import read_record
from lifting.studies import plan as plan_module
from lifting.studies.calibration import calibrate
from lifting.studies.curves import course_config, iterates
from lifting.studies.frames import Frames, shown_frames
from lifting.studies.measure import load_trained
from lifting.studies.plan import (
    OFF,
    PROJECTION,
    UNCERTAINTY,
    VARIANTS,
    Plan,
    View,
    load_runs,
)
from lifting.tto.refine import refine

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SMALL = {
    "uao": [f"method.{n}_hidden=8" for n in ("encoder", "channel", "head")]
    + ["method.hidden=16", "method.blocks=1"],
    "simple_baseline": ["method.channels=16"],
}
STEPS = 5
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _places(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    patch.setenv("LIFTING_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setattr("lifting.experiment.panels.PanelsCallback._save", lambda *_: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folders(tmp_path_factory, _places):
    output = tmp_path_factory.mktemp("outputs")
    shared = ["extends=overlay/smoke", f"output={output}", "wandb.mode=disabled", "panels.worst=0",
              "pss=[]"]  # fmt: skip
    for name, small in SMALL.items():
        assert main(["train", name, *shared, *small]) == 0
    return {name: next((output / name).iterdir()) for name in SMALL}


@pytest.fixture(scope="module")
def runs(folders):
    return load_runs(list(folders.values()))


@pytest.fixture(scope="module")
def study(runs):
    """The command, whose runs are read once for all tests, since that takes its time."""

    def call(action, chosen, output, *options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan_module, "load_runs", lambda folders, overrides, exact: chosen)
            places = [str(run.folder) for run in chosen]
            words = ["tto", action, *places, "--output", str(output), *options]
            if action == "calibrate" or "--quiet" in options:  # lines for a person are looked at
                return main(words)
            with contextlib.redirect_stdout(io.StringIO()) as said:
                status = main([*words, "--json"])
            assert json.loads(said.getvalue())["written"]
            return status

    return call


@pytest.fixture(scope="module")
def table(study, runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("table")
    assert study("table", runs, output, "--full") == 0
    return output


@pytest.fixture(scope="module")
def rows(table):
    found = json.loads((table / "table.json").read_text())["rows"]
    return {(r["run"], r["exact"], r["root"], r["variant"]): r for r in found}


def test_off_is_what_the_run_was_tested_with(rows, folders):
    for name, folder in folders.items():
        metrics = read_record(folder / "result.json").metrics
        for root in ("solve", "gt"):
            scores = rows[name, False, root, OFF]["scores"]
            assert scores == pytest.approx({key: metrics[key] for key in scores}, rel=1e-9)


def test_every_variant_has_its_row(rows):
    assert len(rows) == 2 * 2 * 2 * (1 + len(VARIANTS))
    for (name, exact, root, variant), row in rows.items():
        assert row["oracle"] == (exact or root == "gt")
        if name == "simple_baseline" and variant == UNCERTAINTY:
            assert row["scores"] is None
        elif variant != OFF:
            before = rows[name, exact, root, OFF]["scores"]["mpjpe_mm"]
            gained = row["scores"]["mpjpe_mm"] - before
            assert row["change_mm"] == pytest.approx(gained, abs=1e-6)
            low, high = row["interval_mm"]
            assert low - 1e-6 <= gained <= high + 1e-6
            assert row["pose_ms"] > 0
            assert sum(row["statuses"].values()) == 24
        if variant == PROJECTION:
            first, last = row["residual_px"]
            assert last < first
            assert first == rows[name, exact, root, OFF]["residual_px"][0]


def test_exact_keypoints_change_the_input(rows):
    scores = [rows["uao", exact, "solve", OFF]["scores"]["mpjpe_mm"] for exact in (False, True)]
    assert scores[0] != scores[1]


def test_oracle_results_have_tables_of_their_own(table):
    text = (table / "table.md").read_text()
    deployable = text.split("**Deployable")[1].split("**Oracle")[0]
    assert deployable.count("\n| uao |") == 1 + len(VARIANTS)
    assert [part.split("**")[0] for part in text.split("**Oracle: ")[1:]] == [
        "true root",
        "exact keypoints",
        "exact keypoints, true root",
    ]
    assert text.startswith("`lifting tto table ")
    assert "| simple_baseline | uncertainty anchor (UAO) | - | - |" in text
    assert "24 test poses of 1 recordings, every 5th frame" in text
    # Two steps of eight samples were trained on.
    assert "| 16 | 4 | 0.001 | 0.005 | 50 |" in text


def test_tables_are_printed_in_the_width_of_the_terminal(
    study, runs, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    assert study("table", runs[:1], tmp_path, "--poses", "4", "--quiet") == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "written:" not in line]
    assert max(map(len, said)) <= 80
    assert "Oracle: true root" in "\n".join(said)
    assert sum("+ uniform anchor" in line for line in said) >= 4


def test_runs_of_other_data_are_not_compared(runs):
    plan = Plan("lifting tto table", poses=7, seed=1, batch=8, output=Path())
    assert shown_frames(runs, plan).poses == 7
    config = runs[1].config
    other = replace(config, data=replace(config.data, noise="light"))
    light = replace(runs[1], views=(View(other, exact=False), runs[1].views[1]))
    with pytest.raises(ConfigError, match="other keypoints or labels for 'simple_baseline'"):
        shown_frames([runs[0], light], plan)


def test_curves_begin_where_nothing_was_optimised(study, runs, rows, tmp_path):
    assert study("curves", runs, tmp_path, "--full", "--steps", str(STEPS)) == 0
    found = json.loads((tmp_path / "curves.json").read_text())["courses"]
    assert len(found) == 2 * 3 + 2 * 2
    for course in found:
        row = rows[course["run"], False, course["root"], OFF]
        assert course["mpjpe_mm"][0] == pytest.approx(row["scores"]["mpjpe_mm"], abs=1e-3)
        assert course["residual_px"][0] == pytest.approx(row["residual_px"][0], rel=1e-5)
        assert course["residual_px"][-1] < course["residual_px"][0]
    with (tmp_path / "curves.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found) * (STEPS + 1)
    assert float(lines[STEPS]["mpjpe_mm"]) == pytest.approx(found[0]["mpjpe_mm"][-1], abs=1e-4)
    for name in ("curves.md", "curves-uao.png", "curves-simple_baseline.png"):
        assert (tmp_path / name).stat().st_size > 500


@pytest.mark.parametrize("index", range(len(SMALL)))
@pytest.mark.parametrize(("sigma", "chunk"), [("current", 64), ("initial", 64), ("current", 4)])
def test_an_iterate_is_what_so_many_steps_leave(runs, index, sigma, chunk, monkeypatch):
    for module in ("lifting.studies.curves", "lifting.tto.refine"):
        monkeypatch.setattr(f"{module}.CHUNK", chunk)
    run = runs[index]
    module = load_trained(run, CPU)
    frames = Frames(run.config, "test", every=5, poses=6, seed=0)
    (batch,) = frames.batches(6, CPU)
    config = course_config(replace(run.config.tto, sigma=sigma), UNCERTAINTY, "solve", 3)
    flip = run.config.flip_test
    for steps, shown in enumerate(iterates(module, batch, config)):
        alone = refine(module, batch, replace(config, iterations=steps), flip=flip)
        assert torch.allclose(shown.pose, alone.pose, atol=1e-2)
        assert torch.allclose(shown.residual_after, alone.residual_after, atol=1e-3)
    assert steps == 3
    assert (shown.pose - alone.start).norm(dim=-1).mean() > 0.1


def test_a_calibration_is_printed_as_overrides(study, runs, tmp_path, capsys):
    assert study("calibrate", runs[:1], tmp_path) == 0
    found = json.loads((tmp_path / "calibration.json").read_text())
    fitted = found["qualities"]["scale and shift"]["calibration"]
    overrides = f"tto.sigma_scale={fitted['scale']:.6g} tto.sigma_shift={fitted['shift']:.6g}"
    assert f"scale and shift: {overrides}" in capsys.readouterr().out
    assert found["qualities"]["as predicted"]["calibration"] == {"scale": 1.0, "shift": 0.0}
    assert len(found["qualities"]["temperature"]["reliability"]["expected"]) == 10
    assert (tmp_path / "calibration.png").stat().st_size > 500
    assert fitted["scale"] != 1


def test_a_method_without_an_expected_error_is_not_calibrated(runs, tmp_path):
    plan = Plan("lifting tto calibrate", poses=7, seed=1, batch=8, output=tmp_path)
    with pytest.raises(ConfigError, match="got 'simple_baseline', which does not"):
        calibrate(runs[1], plan)
