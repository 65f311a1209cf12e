"""A training that diverges ends with its own status, and keeps its last good state."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lifting.cli.main import main
from lifting.errors import DivergedError
from lifting.experiment import run as runs
from lifting.experiment.divergence import EARLY_STEPS, SKIPPED_STEPS, DivergenceGuard, check_scores
from lifting.experiment.load import load_experiment
from lifting.experiment.panels import PanelsCallback
from lifting.methods.discovery import load_module_class

INF = float("inf")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr(PanelsCallback, "_save", lambda *_: None)


@pytest.fixture
def run_of(tmp_path):
    def find():
        (run,) = (tmp_path / "outputs" / "tiny").iterdir()
        return run

    return find


def look(guard, losses, norms=None, scaler=None):
    """Let a guard read steps."""
    norms = norms or [1.0] * len(losses)
    trainer = SimpleNamespace(
        current_epoch=0, global_step=0, world_size=1, log_every_n_steps=10**9,
        precision_plugin=SimpleNamespace(scaler=scaler),
    )  # fmt: skip
    for loss, norm in zip(losses, norms, strict=True):
        trainer.global_step += 1
        guard._norm = torch.tensor(norm)
        guard.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, 0)
    guard._look(trainer)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([1.0, float("nan")], r"a loss that is not finite, in stage 'a', epoch 1, step 2"),
        ([1.0, 2.0, -INF], "a loss that is not finite.*step 3"),
        ([1.0, 3e4], "a loss of 3e\\+04, over 1,000 times the usual 1"),
        ([0.1] * EARLY_STEPS + [101.0], f"step {EARLY_STEPS + 1}; train with a lower optimizer"),
    ],
)
def test_losses_that_end_a_training(tmp_path, losses, message):
    with pytest.raises(DivergedError, match=message):
        look(DivergenceGuard("a", []), losses)


@pytest.mark.parametrize(
    "losses",
    [
        [0.001, 4.0, 3.0, 2.0],  # the first of a likelihood was near zero by chance
        [9.0, 3.0, 0.01, -0.02, -2.0, -4.0, 5.0, -1e9],  # crosses zero
        [0.0, 0.0, 0.5],
        [500.0] + [0.6] * 60,
        [1.0] * EARLY_STEPS + [999.0],
    ],
)
def test_losses_that_do_not(losses):
    look(DivergenceGuard("a", []), losses)


def test_gradients_and_the_steps_that_a_scaler_skips():
    with pytest.raises(DivergedError, match="a gradient that is not finite, at a loss of 2"):
        look(DivergenceGuard("a", []), [1.0, 2.0], [1.0, INF])
    guard, skipped = DivergenceGuard("a", []), [INF] * (SKIPPED_STEPS - 1)
    look(guard, [1.0] * SKIPPED_STEPS, [*skipped, 1.0], scaler=object())
    look(guard, [float("nan"), 1.0], [INF, 1.0], scaler=object())
    with pytest.raises(DivergedError, match="gradient that is not finite"):
        look(guard, [1.0] * (SKIPPED_STEPS + 1), [INF] * (SKIPPED_STEPS + 1), scaler=object())


def test_what_is_usual_is_that_of_the_first_epoch_also_when_resumed():
    guard = DivergenceGuard("a", [])
    look(guard, [1.0, 2.0, 3.0])
    guard.weights = INF
    guard.on_train_epoch_end(
        SimpleNamespace(world_size=1, current_epoch=0, global_step=3), torch.nn.Linear(1, 1)
    )
    look(guard, [0.001] * 9)
    resumed = DivergenceGuard("a", [])
    resumed.load_state_dict(guard.state_dict())
    look(resumed, [1999.0])
    with pytest.raises(DivergedError, match="1,000 times the usual 2,"):
        look(resumed, [2001.0])


@pytest.mark.parametrize("rate", ["1e10", "1e30"])
def test_a_rate_that_is_far_too_high(tiny_experiment, run_of, capsys, rate):
    options = [f"optimizer.lr={rate}", "trainer.max_epochs=2", "method.warm_epochs=1"]
    assert main(["train", tiny_experiment, *options]) == 3
    told = capsys.readouterr().err
    assert "error: expected a training that converges, got " in told
    assert "stage 'warm', epoch 1, step 2; train with a lower optimizer.lr" in told
    assert "no state was good enough to be kept" in told
    assert not (run_of() / "result.json").exists()
    assert not list(run_of().rglob("best.ckpt"))


def test_the_last_good_state_is_kept(tiny_experiment, run_of, monkeypatch, capsys):
    """The last step of the second epoch ruins the weights; its loss was still fine."""
    module = load_module_class("tiny_method")
    original = module.training_step

    def stepping(self, batch, batch_idx):
        if self.stage.name == "train" and self.current_epoch == 1 and self.trainer.is_last_batch:
            self.optimizers().param_groups[0]["lr"] = 1e12
        return original(self, batch, batch_idx)

    monkeypatch.setattr(module, "training_step", stepping)
    assert main(["train", tiny_experiment, "trainer.max_epochs=3", "method.warm_epochs=1"]) == 3
    told = capsys.readouterr().err
    best = run_of() / "checkpoints" / "best.ckpt"
    assert "got weights of norm" in told
    assert f"the last good state is {best}: `lifting test`" in told
    for name in ("best", "last"):
        saved = torch.load(run_of() / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert saved["epoch"] == 0
        assert max(float(value.abs().max()) for value in saved["state_dict"].values()) < 100
    assert not (run_of() / "result.json").exists()


def test_scores_that_are_not_finite_are_no_result(
    tiny_experiment, run_of, tmp_path, monkeypatch, capsys
):
    config = load_experiment(tiny_experiment, ["trainer.max_epochs=1", "method.warm_epochs=1"])
    checkpoint = runs.train(config).checkpoint
    module = load_module_class("tiny_method")
    original = module.predict

    def predict(self, batch):
        answer = original(self, batch)
        answer.joints_3d[:, :, 3] = torch.nan
        return answer

    monkeypatch.setattr(module, "predict", predict)
    assert main(["test", tiny_experiment, "--checkpoint", str(checkpoint)]) == 3
    assert "expected finite scores, got mpjpe_mm nan; no result is written" in (
        capsys.readouterr().err
    )
    assert run_of() == checkpoint.parents[1]  # the test left no folder
    assert main(["train", tiny_experiment, "trainer.max_epochs=1", "run=other"]) == 3
    assert list(tmp_path.rglob("result.json")) == [checkpoint.parents[1] / "result.json"]


def test_only_scores_of_the_main_answer_must_be_finite():
    fine = {"test/mpjpe_mm": 1.0, "test/pa_mpjpe_mm": 1.0, "test/sigma_spearman": float("nan")}
    check_scores(fine, "mpjpe_mm")
    with pytest.raises(DivergedError, match="got pck_150mm nan"):
        check_scores({**fine, "test/pck_150mm": float("nan")}, "pck_150mm")
