"""What Lightning counts, and what a schedule, an average and a step make of it."""

from __future__ import annotations

import pytest
import torch

from lifting.experiment.build import build_data, build_module, build_trainer
from lifting.experiment.callbacks import stage_callbacks
from lifting.experiment.load import load_experiment

EPOCH = 6  # batches of 32 of the 192 samples


def fitted(folder, *overrides, resume=None):
    """The trainer of the last stage of ``tiny`` after its fit; its file is ``last.ckpt``."""
    config = load_experiment("tiny", list(overrides))
    data = build_data(config)
    module = build_module(config, data.skeleton)
    module.begin_stage(module.stages()[-1])
    callbacks = stage_callbacks(
        config.trainer, seed=0, stage="train", monitor=config.trainer.monitor, folder=folder
    )
    trainer = build_trainer(config, folder, callbacks=callbacks)
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer


def rate(trainer):
    return trainer.optimizers[0].param_groups[0]["lr"] / 1e-3


@pytest.mark.parametrize(
    ("options", "steps", "epochs_behind"),
    [
        ("trainer.max_epochs=2", 12, 2),
        ("trainer.max_epochs=1000 trainer.max_steps=9", 9, 1),
        ("trainer.max_epochs=1000 trainer.max_steps=12", 12, 2),
        ("trainer.max_epochs=3 trainer.limit_train_batches=2", 6, 3),
        ("trainer.max_epochs=2 trainer.accumulate=4", 4, 2),
        ("trainer.max_epochs=9 trainer.max_steps=3 trainer.accumulate=4", 3, 1),
        ("trainer.max_epochs=2 trainer.accumulate=3 trainer.limit_train_batches=4", 4, 2),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_exponential_schedule_counts_true_epochs(
    tiny_experiment, tmp_path, options, steps, epochs_behind
):
    trainer = fitted(
        tmp_path, "optimizer.schedule=exponential", "optimizer.gamma=0.5", *options.split()
    )
    assert trainer.global_step == steps
    assert rate(trainer) == pytest.approx(0.5**epochs_behind)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", ["", "trainer.max_steps=8", "trainer.accumulate=4"])
def test_the_cosine_ends_with_the_training(tiny_experiment, tmp_path, options):
    trainer = fitted(
        tmp_path, "optimizer.schedule=cosine", "trainer.max_epochs=2", *options.split()
    )
    assert rate(trainer) == pytest.approx(0.02)


def assert_equal(a, b):
    assert (a.current_epoch, a.global_step, rate(a)) == (b.current_epoch, b.global_step, rate(b))
    for one, other in zip(a.model.parameters(), b.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("schedule", ["exponential", "constant"])
@pytest.mark.parametrize("limit", ["accumulate=4", "max_steps=15"])
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(
    tiny_experiment, tmp_path, schedule, limit
):
    options = (
        f"optimizer.schedule={schedule}", "optimizer.gamma=0.5", f"trainer.{limit}",
        "trainer.ema.decay=0.9",
    )  # fmt: skip
    fitted(tmp_path / "part", *options, "trainer.max_epochs=1")
    last = str(tmp_path / "part/last.ckpt")
    grown = fitted(tmp_path / "part", *options, "trainer.max_epochs=3", resume=last)
    whole = fitted(tmp_path / "whole", *options, "trainer.max_epochs=3")
    assert_equal(grown, whole)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", ["9", "9 trainer.max_steps=50", "8 trainer.check_val_every=2"])
def test_an_early_stop_is_restored(tiny_experiment, tmp_path, limit):
    options = ("optimizer.lr=1e-12", "trainer.patience=2")
    whole = fitted(tmp_path / "whole", *options, *f"trainer.max_epochs={limit}".split())
    part = f"2{limit[1:]}"
    fitted(tmp_path / "part", *options, *f"trainer.max_epochs={part}".split())
    for _ in range(2):  # first in the middle, then killed before the stage was marked as finished
        last = str(tmp_path / "part/last.ckpt")
        resumed = fitted(
            tmp_path / "part", *options, *f"trainer.max_epochs={limit}".split(), resume=last
        )
        assert resumed.global_step == whole.global_step < int(limit[0]) * EPOCH
        stops = [t.early_stopping_callbacks[0] for t in (whole, resumed)]
        assert stops[0].best_score == stops[1].best_score
        assert stops[0].wait_count == stops[1].wait_count == 2
