"""``sampling.py`` on a tiny run with a student."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import sampling
import sampling_study as study_module
from lifting.cli.main import main
from lifting.errors import CheckpointError
from lifting.experiment.record import read_record
from lifting.studies.plan import Plan, load_runs
from sampling_plan import STUDENT, TEACHER, Answer, Grid
from sampling_study import rows

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SMALL = [
    "extends=overlay/smoke", "wandb.mode=disabled", "panels.worst=0", "data.flip=false",
    "method.hidden=8", "method.layers=1", "method.heads=2", "method.hypotheses=3",
    "method.sampling_steps=2", "method.start_level=10", "method.student=consistency",
    "optimizer.lr=0.05",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _places(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    patch.setenv("LIFTING_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setattr("lifting.experiment.panels.PanelsCallback._save", lambda *_: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, _places):
    output = tmp_path_factory.mktemp("outputs")
    assert main(["train", "diffpose", f"output={output}", *SMALL]) == 0
    return next((output / "diffpose").iterdir())


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("study")
    sizes = ["--full", "--batch", "10", "--steps", "1", "5", "--student-steps", "1", "3"]
    options = [*sizes, "--precision", "bf16", "--device", "cpu", "--output", str(output)]
    assert sampling.main([str(folder), *options]) == 0
    return output


@pytest.fixture(scope="module")
def found(written):
    table = json.loads((written / "sampling.json").read_text())["rows"]
    return {(r["answer"]["by"], r["answer"]["steps"], r["answer"]["bf16"]): r for r in table}


def test_every_answer_has_its_row(found):
    plain = [("context encoder", 0), *((TEACHER, n) for n in (1, 2, 5))]
    plain += [(STUDENT, 1), (STUDENT, 3)]
    assert list(found) == [
        *((*answer, False) for answer in plain), (TEACHER, 2, True), (STUDENT, 1, True),
    ]  # fmt: skip


def test_calls_are_counted_with_the_hypotheses(found):
    calls = {(by, steps): row["calls"] for (by, steps, _), row in found.items()}
    assert calls["context encoder", 0] == 0
    for steps in (1, 2, 5):
        assert calls[TEACHER, steps] == 3 * steps
    for steps in (1, 3):
        assert calls[STUDENT, steps] == 3 * steps


def test_the_student_scores_as_the_run_was_tested(found, folder):
    metrics = read_record(folder / "result.json").metrics
    for key, value in found[STUDENT, 1, False]["scores"].items():
        assert value == pytest.approx(metrics[key], rel=1e-6)


def test_changes_are_to_the_runs_own_setting(found):
    own = found[TEACHER, 2, False]
    assert own["own"]
    assert own["change"] is None
    for row in found.values():
        if row is own:
            continue
        assert not row["own"]
        gained = row["scores"]["mpjpe_mm"] - own["scores"]["mpjpe_mm"]
        assert row["change"]["mm"] == pytest.approx(gained, abs=1e-6)
        assert row["change"]["percent"] == pytest.approx(100 * gained / own["scores"]["mpjpe_mm"])
        low, high = row["change"]["interval_mm"]
        assert low - 1e-6 <= gained <= high + 1e-6
        assert row["pose_ms"] > 0
    assert found["context encoder", 0, False]["change"]["mm"] != 0
    assert found[STUDENT, 1, False]["change"]["mm"] != 0


def test_bfloat16_is_compared_with_the_same_answer(found):
    for by, steps in ((TEACHER, 2), (STUDENT, 1)):
        exact, rounded = (found[by, steps, bf16] for bf16 in (False, True))
        assert exact["same_change"] is None
        change = rounded["scores"]["mpjpe_mm"] - exact["scores"]["mpjpe_mm"]
        assert rounded["same_change"]["mm"] == pytest.approx(change, abs=1e-6)
        assert 0 < abs(change) < 1


def test_the_table_says_what_was_done(written, folder):
    text = (written / "sampling.md").read_text()
    assert text.startswith(
        f"`python experiments/studies/sampling.py {folder} --steps 1 5 --student-steps 1 3 "
        "--precision bf16 --full --seed 0 --batch 10`"
    )
    assert "24 test poses of 1 recordings, every 5th frame" in text
    assert "torch " in text
    assert "| diffpose | teacher, the run's own | 2 | 6 |" in text
    assert "| diffpose | context encoder | - | 0 |" in text
    assert "| diffpose | student | 1 | bfloat16 |" in text
    assert f"| diffpose | {folder.parent.name}/{folder.name} |" in text
    assert "| 0 | 2 | 10 | 0 | 3 | mean |" in text
    assert (written / "sampling.png").stat().st_size > 500


@pytest.fixture(scope="module")
def run(folder):
    (run,) = load_runs([folder])
    return replace(run, views=run.views[:1])


@pytest.fixture
def plan(tmp_path):
    return Plan("sampling", poses=5, seed=0, batch=5, output=tmp_path, device="cpu")


def test_hypotheses_can_be_set(run, plan):
    found = rows([run], plan, Grid(teacher=(1,), student=(1,), hypotheses=2))
    calls = {(row.answer.by, row.answer.steps): row.calls for row in found}
    assert calls[TEACHER, 2] == 4
    assert calls[STUDENT, 1] == 2


def test_compiled_networks_are_those_that_answer(run, plan, monkeypatch):
    built = []

    def compile_it(function, **_):
        def compiled(*arguments, **named):
            built.append(function.__name__)
            return function(*arguments, **named)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_it)
    wanted = [Answer(TEACHER, 2), Answer(TEACHER, 2, compiled=True)]
    monkeypatch.setattr(study_module, "answers", lambda *_: wanted)
    plain, compiled = rows([run], plan, Grid())
    # Compiled networks are not folded, which changes the rounding.
    assert compiled.same_change.mm == pytest.approx(0, abs=1e-3)
    assert compiled.scores == pytest.approx(plain.scores, rel=1e-5)
    # Once to warm up and once to score: the encoder, of the mirrored input too, then two steps.
    assert built == ["encode", "encode", "_call_impl", "_call_impl"] * 2


def test_an_untrained_student_is_not_asked(run, plan, monkeypatch):
    load = study_module.load_trained

    def undistilled(*arguments):
        module = load(*arguments)
        module.network.student.distilled.fill_(False)
        return module

    monkeypatch.setattr(study_module, "load_trained", undistilled)
    with pytest.raises(CheckpointError, match="student is not trained"):
        list(rows([run], plan, Grid(teacher=(1,))))
