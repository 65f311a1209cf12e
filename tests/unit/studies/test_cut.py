from __future__ import annotations

import json

import pytest

from lifting.errors import ConfigError
from lifting.experiment.load import load_experiment
from lifting.studies.cut import CostFile, Costs, StageCost, calibrate, scaled

SHORT = ("method.warm_epochs=2", "trainer.max_epochs=4", "trainer.check_val_every=2")


def known(**changes) -> Costs:
    """Of the tiny method: 10 and 20 ms a step, validations of 100 ms."""
    stages = [
        StageCost("warm", 2, start=0.3, step=0.01, validation=0.1, epoch=0.05),
        StageCost("train", None, start=0.2, step=0.02, validation=0.1, epoch=0.05),
    ]
    return Costs(**{"seconds": 1.0, "batches": 5, "samples": 32.0, "stages": stages} | changes)


def test_the_stages_of_a_method_grow_together(tiny_experiment):
    config = load_experiment(tiny_experiment, [*SHORT, "data.epoch_batches=10"])
    # 2 x 10 steps of 10 ms and 4 x 10 of 20, 6 epochs, 1 and 2 validations, two starts
    assert known().predicted(config) == pytest.approx(0.2 + 0.8 + 0.3 + 0.3 + 0.5)
    cut = scaled(config, known().scale_for(config, 11.1))
    assert cut.data.epoch_batches == 100
    assert cut.trainer == config.trainer
    assert known().predicted(cut) == pytest.approx(11.1)


def test_what_trains_in_passes_gets_more_of_them(tiny_experiment):
    config = load_experiment(tiny_experiment, list(SHORT))
    cut = scaled(config, known().scale_for(config, 11.5))
    assert cut.data.epoch_batches is None
    # about 20 and 40 epochs where there were 2 and 4
    assert cut.trainer.epoch_scale == pytest.approx(10, rel=0.1)
    assert known().predicted(cut) == pytest.approx(11.5, rel=0.1)
    limited = load_experiment(
        tiny_experiment, ["data.epoch_batches=10", "trainer.limit_train_batches=4"]
    )
    assert scaled(limited, 2.0).trainer.epoch_scale == 2


def test_a_budget_below_what_the_validations_cost_leaves_one_step(tiny_experiment):
    config = load_experiment(tiny_experiment, [*SHORT, "data.epoch_batches=10"])
    assert scaled(config, known().scale_for(config, 0.1)).data.epoch_batches == 1


def test_finished_runs_correct_every_stage_by_itself(tiny_experiment, tmp_path):
    config = load_experiment(tiny_experiment, [*SHORT, "data.epoch_batches=100"])
    for place, epochs, cost in (("warm", 2, 2 * 2.5), ("", 4, 8.6)):
        folder = tmp_path / "checkpoints" / place
        folder.mkdir(parents=True, exist_ok=True)
        note = {"epochs": epochs, "steps": 100 * epochs, "cpu_seconds": cost}
        (folder / "finished").write_text(json.dumps(note))
    found = known().corrected([tmp_path], config).stages
    assert found[0].step == pytest.approx(0.02)
    assert found[0].validation == pytest.approx(0.2)
    assert found[1] == known().stages[1].times(8.6 / 8.6)
    (tmp_path / "checkpoints" / "finished").write_text(
        json.dumps({"epochs": 4, "steps": 1, "cpu_seconds": 0.1})
    )
    assert known().corrected([tmp_path], config).stages[1] == known().stages[1]


def test_a_calibration_takes_some_steps_of_every_stage(tiny_experiment, tmp_path):
    config = load_experiment(tiny_experiment, [*SHORT, "data.epoch_batches=7"])
    costs = calibrate(config, 0.001)
    assert [(stage.name, stage.epochs) for stage in costs.stages] == [
        ("warm", 2),
        ("train", None),
    ]
    assert all(stage.step > 0 and stage.validation > 0 for stage in costs.stages)
    assert (costs.batches, costs.samples) == (7, 32)
    assert costs.seconds > sum(stage.step + stage.validation for stage in costs.stages)
    assert not (tmp_path / "outputs").exists()


def test_what_was_measured_and_decided_is_found_again(tiny_experiment, tmp_path, monkeypatch):
    config = load_experiment(tiny_experiment)
    monkeypatch.setattr("lifting.studies.cut.calibrate", lambda config, seconds: known())
    monkeypatch.setattr("lifting.studies.cut.matrix_gflops", lambda: 60.0)
    file = CostFile(tmp_path / "board", config, 1.0)
    file.costs.scales["200"] = 0.123457
    file.save()
    monkeypatch.setattr("lifting.studies.cut.matrix_gflops", lambda: 90.0)
    again = CostFile(tmp_path / "board", config, 1.0).costs
    assert again == known(scales={"200": 0.123457}, gflops=60.0)
    other = load_experiment(tiny_experiment, ["method.head.width=4"])
    assert CostFile(tmp_path / "board", other, 1.0).costs == known(gflops=90.0)
    file.path.write_text("{}")
    with pytest.raises(ConfigError, match=r"expected measured costs .*remove it"):
        CostFile(tmp_path / "board", config, 1.0)
