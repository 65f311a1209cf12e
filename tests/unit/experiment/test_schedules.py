"""What Lightning counts, and what a schedule, an average and a step make of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lifting.batch import collate
from lifting.experiment.build import build_module, build_trainer
from lifting.experiment.load import load_experiment
from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config as SimpleBaseline
from lifting.methods.simple_baseline.module import Module as SimpleBaselineModule
from lifting.nn.pose_loss import mean_of_valid

EPOCH = 6  # batches of 32 of the 192 samples


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
    fitted, tmp_path, options, steps, epochs_behind
):
    trainer = fitted(
        tmp_path, "optimizer.schedule=exponential", "optimizer.gamma=0.5", *options.split()
    )
    assert trainer.global_step == steps
    assert rate(trainer) == pytest.approx(0.5**epochs_behind)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", ["", "trainer.max_steps=8", "trainer.accumulate=4"])
def test_the_cosine_ends_with_the_training(fitted, tmp_path, options):
    trainer = fitted(
        tmp_path, "optimizer.schedule=cosine", "trainer.max_epochs=2", *options.split()
    )
    assert rate(trainer) == pytest.approx(0.02)


def assert_equal(a, b):
    assert (a.current_epoch, a.global_step, rate(a)) == (b.current_epoch, b.global_step, rate(b))
    for one, other in zip(a.model.parameters(), b.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", ["accumulate=4", "max_steps=15"])
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(fitted, tmp_path, limit):
    options = (
        "optimizer.schedule=exponential", "optimizer.gamma=0.5", f"trainer.{limit}",
        "trainer.ema.decay=0.9",
    )  # fmt: skip
    fitted(tmp_path / "part", *options, "trainer.max_epochs=1")
    last = str(tmp_path / "part/last.ckpt")
    grown = fitted(tmp_path / "part", *options, "trainer.max_epochs=3", resume=last)
    whole = fitted(tmp_path / "whole", *options, "trainer.max_epochs=3")
    assert_equal(grown, whole)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", ["9 trainer.max_steps=50", "8 trainer.check_val_every=2"])
def test_an_early_stop_is_restored(fitted, tmp_path, limit):
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


class Gradients(pl.Callback):
    """Keeps the batches, and the gradient of each step."""

    def __init__(self) -> None:
        self.batches, self.seen = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append(batch)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen.append([p.grad.clone() for p in pl_module.correction.parameters()])


@pytest.mark.filterwarnings("ignore")
def test_batches_of_a_foreign_loader_count_alike(fitted, tmp_path, tiny_experiment, monkeypatch):
    """A data module may have any loader of pose batches; the last step has two of them."""
    kept = Gradients()
    options = (
        "trainer.precision=64-true", "trainer.accumulate=4", "optimizer.lr=1e-300",
        "method.noise=0", "method.head.dropout=0", "trainer.max_epochs=1",
    )  # fmt: skip
    own = fitted(tmp_path / "own", *options, callbacks=[kept])
    expected, kept.seen = kept.seen, []
    config = load_experiment(tiny_experiment, options)
    module, data = build_module(config), own.datamodule
    trainer = build_trainer(config, tmp_path, callbacks=[kept])
    loader = DataLoader(kept.batches[:EPOCH], batch_size=None)
    monkeypatch.setattr(data, "train_dataloader", lambda: loader)
    trainer.fit(module, datamodule=data)
    for got, wanted in zip(kept.seen, expected, strict=True):
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [32, 30])  # six alike; seven of 28 and 27
def test_a_step_of_several_batches_is_that_of_one_big_batch(fitted, tmp_path, size):
    kept = Gradients()
    trainer = fitted(
        tmp_path, "trainer.precision=64-true", "trainer.accumulate=4", "optimizer.lr=1e-300",
        f"data.batch_size={size}", "method.noise=0", "method.head.dropout=0",
        "trainer.max_epochs=1", callbacks=[kept],
    )  # fmt: skip
    module = trainer.lightning_module
    assert len(kept.seen) == 2
    for step, gradients in enumerate(kept.seen):
        whole = collate(kept.batches[4 * step : 4 * step + 4])
        error = module(whole)[:, None] - module.target(whole) / 1000
        expected = torch.autograd.grad(error.square().mean(), module.correction.parameters())
        for got, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-15)


def test_labels_that_do_not_count_weigh_nothing_over_all_processes(tiny_batch):
    """The mean of the processes' losses, each over its own valid labels, is that over all."""
    batch = tiny_batch.rows(slice(0, 9))
    batch.visible = torch.rand(9, 1, 17, generator=torch.Generator().manual_seed(0)) < 0.4
    module = SimpleBaselineModule(SimpleBaseline(channels=8), ModuleSettings("simple_baseline"))
    errors = torch.rand(9, 1, 17, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for rows in (slice(0, 5), slice(5, 9)):
        part, label = batch.rows(rows), module.label_weights(batch.rows(rows))
        module.trainer = SimpleNamespace(
            world_size=2, strategy=SimpleNamespace(reduce=lambda own, **_: batch.visible.sum())
        )
        module.on_train_batch_start(part, 0)
        total += module._part * mean_of_valid(errors[rows], label) / 2
    torch.testing.assert_close(total, mean_of_valid(errors, batch.visible), rtol=1e-12, atol=0)


def test_gradients_are_clipped_in_mixed_precision(fitted, tmp_path):
    """Lightning refuses that for a fused optimiser."""
    settings = ("trainer.precision=bf16-mixed", "trainer.gradient_clip=1", "trainer.max_epochs=1")
    assert fitted(tmp_path, *settings).global_step > 0
