"""A training says what is ahead and how long it takes, and corrects itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lifting.experiment import forecast as module
from lifting.experiment.build import build_data, build_module
from lifting.experiment.forecast import Forecast, Pace, Part, foretell, in_words
from lifting.experiment.load import load_experiment
from lifting.experiment.run import train

WARM = Part("warm", 2, 10, 5, 1, 0.5, 20.0)
TRAIN = Part("train", 4, 10, 10, 2, 1.0, 10.0)
TEST = Part("test", 0, 600, 0, 0, 0.1, 0.0)
UNKNOWN = Part("train", 4, 10, 10, 2, None, 0.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (14.4, "14 s"), (57, "60 s"), (200, "3 min"), (9000, "2.5 h")],
)
def test_a_duration_is_as_exact_as_it_is_known(seconds, words):
    assert in_words(seconds) == words


def test_what_is_ahead_is_said_in_words(tiny_experiment):
    config = load_experiment(tiny_experiment)
    facts = Forecast([WARM, TRAIN, TEST]).facts(config, 12345, "lifting predict tiny")
    assert facts["training"] == (
        "12,345 samples of synthetic, in batches of 32, with 1 thread: warm, 2 epochs of 5 steps; "
        "then train, 4 epochs of 10 steps"
    )
    assert facts["time"] == "about 2 min (warm 30 s, train 60 s, test 60 s), by measured steps"
    assert "`lifting predict tiny` answers" in facts["meanwhile"]
    rest = Forecast([TEST]).facts(config, 5, "")
    assert rest["training"].endswith("with 1 thread: done, but for the test")
    assert "meanwhile" not in rest


def test_what_is_not_known_is_not_said():
    assert Forecast([UNKNOWN]).in_words() == "is told after 5 seconds of training"
    assert Forecast([WARM, UNKNOWN, TEST]).in_words() == (
        "about 2 min (warm 30 s, test 60 s) and what train takes, which is not known yet, by "
        "measured steps"
    )
    assert Forecast([WARM, UNKNOWN, TEST]).after("warm") is None


def test_steps_are_tried_on_a_copy(tiny_experiment):
    options = ["trainer.limit_train_batches=3", "trainer.accumulate=2", "trainer.max_epochs=4"]
    config = load_experiment(tiny_experiment, [*options, "trainer.check_val_every=2"])
    data = build_data(config)
    own = build_module(config, data.skeleton)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    state = torch.random.get_rng_state()
    warm, last = own.stages()
    parts = foretell(config, own, data, [(warm, 0), (last, 2)]).parts
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert own.stage == last
    assert list(parts) == ["warm", "train", "test"]
    assert all(part.seconds > 0 for part in parts.values())
    found = [(p.epochs, p.batches, p.steps, p.validations) for p in parts.values()]
    assert found[:2] == [(2, 3, 2, 1), (2, 3, 2, 1)]
    assert parts["test"].batches == 24 * 4 // config.data.eval_every


def test_a_limit_of_steps_counts(tiny_experiment):
    config = load_experiment(tiny_experiment, ["trainer.max_steps=4"])
    data = build_data(config)
    own = build_module(config, data.skeleton)
    parts = foretell(config, own, data, [(stage, 0) for stage in own.stages()]).parts
    assert [(p.epochs, p.steps) for p in parts.values()] == [(1, 4), (1, 4), (0, 0)]


@pytest.mark.parametrize("option", ["trainer.devices=2", "tto.enabled=true"])
def test_what_cannot_be_tried_is_unknown(tiny_experiment, option):
    config = load_experiment(tiny_experiment, [option])
    data = build_data(config)
    own = build_module(config, data.skeleton)
    assert foretell(config, own, data, []).parts["test"].seconds is None


class Time:
    """A clock that only the test moves."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def fit(monkeypatch):
    """A fit of four epochs of ten batches that has not begun, and its clock."""
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    trainer = SimpleNamespace(
        fit_loop=SimpleNamespace(total_batch_idx=-1), num_training_batches=10, max_epochs=4,
        max_steps=-1, accumulate_grad_batches=1, check_val_every_n_epoch=2,
    )  # fmt: skip
    return trainer, clock


def test_a_forecast_that_holds_is_not_repeated(fit, capsys):
    trainer, clock = fit
    pace = Pace(Forecast([WARM, TRAIN, TEST]), "train")
    pace.on_train_start(trainer, None)
    assert pace.left(trainer) == "-"
    trainer.fit_loop.total_batch_idx, clock.now = 9, 112.0
    pace.on_train_batch_end(trainer, None)
    pace.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().out == ""
    # 30 batches of 1.2 s, two validations and the test, all 1.2 times as slow as foretold
    assert pace.left(trainer) == "0:01:00, all 0:02:12"


def test_a_forecast_that_is_contradicted_is_corrected_once(fit, capsys):
    trainer, clock = fit
    pace = Pace(Forecast([WARM, TRAIN, TEST]), "train")
    pace.on_train_start(trainer, None)
    trainer.fit_loop.total_batch_idx, clock.now = 9, 120.0
    pace.on_validation_start(trainer, None)
    clock.now = 127.0
    pace.on_validation_end(trainer, None)
    pace.on_train_epoch_end(trainer, None)
    pace.on_train_epoch_end(trainer, None)
    told = capsys.readouterr().out
    assert told.count("corrected, a step of train takes 2000 ms, not 1000: left ") == 1
    # A validation took 7 s; the test has to be foretold still.
    assert "left 0:01:14, all 0:03:14" in told


def test_first_steps_tell_where_nothing_was_known(fit, capsys):
    trainer, clock = fit
    pace = Pace(Forecast([UNKNOWN, TEST]), "train")
    pace.on_train_start(trainer, None)
    trainer.fit_loop.total_batch_idx, clock.now = 0, 104.0
    pace.on_train_batch_end(trainer, None)
    assert capsys.readouterr().out == ""
    trainer.fit_loop.total_batch_idx, clock.now = 1, 106.0
    pace.on_train_batch_end(trainer, None)
    pace.on_train_batch_end(trainer, None)
    assert capsys.readouterr().out == (
        "time:        by the first steps: left 0:01:54, all 0:02:54\n"
    )


def test_a_run_says_what_is_ahead_before_it_begins(tiny_experiment, undrawn, capsys):
    options = ["trainer.progress=true", "trainer.max_epochs=2", "method.warm_epochs=1"]
    train(load_experiment(tiny_experiment, options))
    out = capsys.readouterr().out
    places = [
        out.index(words)
        for words in (
            "training:    192 samples of synthetic, in batches of 32, with 1 thread: warm, 1 "
            "epoch of 6 steps; then train, 2 epochs of 6 steps\n",
            "time:        about ",
            "meanwhile:   `lifting predict",
            "warm: epoch 1/1",
            "train: epoch 1/2",
            ", all 0:00:",
            "test:        ",
        )
    ]
    assert places[:-2] == sorted(places[:-2])
    assert places[-1] == max(places)
