"""A command that is stopped says how to go on, in every phase; the shell sees that it was."""

from __future__ import annotations

import signal

import pytest
import torch

from lifting.cli.main import main
from lifting.experiment import run as runs
from lifting.experiment.build import build_trainer
from lifting.experiment.interruption import SIGNALS
from lifting.experiment.load import load_experiment

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(autouse=True)
def heard():
    """What a job in the background is started with, deaf to some signals, is not tested here."""
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    for signum in before:
        plain = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
        signal.signal(signum, plain)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def stop_at(monkeypatch):
    """Sends this process a signal at a call of a function."""

    def stop(owner, name, signum, at=1):
        original, calls = getattr(owner, name), []

        def calling(*arguments, **options):
            calls.append(name)
            if len(calls) == at:
                signal.raise_signal(signum)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, calling)

    return stop


def newest(tmp_path):
    (run,) = (tmp_path / "outputs" / "tiny").iterdir()
    return run


def module_of(method):
    from lifting.methods.discovery import load_module_class

    return load_module_class(method)


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)]
)
def test_before_there_is_a_run(tiny_experiment, tmp_path, stop_at, capsys, signum, status):
    stop_at(runs, "build_data", signum)
    assert main(["train", tiny_experiment, "seed=3"]) == status
    name = signal.Signals(signum).name
    assert capsys.readouterr().err.endswith(
        f"stopped by {name}; start again with `lifting train tiny seed=3`\n"
    )
    assert not (tmp_path / "outputs").exists()


def test_in_a_step_and_resumed(tiny_experiment, tmp_path, stop_at, monkeypatch, capsys):
    module = module_of("tiny_method")
    options = ["trainer.max_epochs=3", "method.warm_epochs=1", "trainer.ema.decay=0.9"]
    with monkeypatch.context() as patch:
        original, seen = module.training_step, []

        def stepping(self, batch, batch_idx):
            seen.append(self.stage.name)
            if seen.count("train") == 3:
                signal.raise_signal(signal.SIGTERM)
                seen.append("the rest of the step")
            return original(self, batch, batch_idx)

        patch.setattr(module, "training_step", stepping)
        assert main(["train", tiny_experiment, *options]) == 143
    assert seen[-1] == "the rest of the step"
    run = newest(tmp_path)
    assert capsys.readouterr().err.endswith(
        "stopped by SIGTERM; go on from the last whole epoch with `lifting train tiny --resume "
        f"{run}`; `lifting predict tiny` answers with the best weights of stage 'warm', "
        f"{run / 'checkpoints/warm/best.ckpt'}\n"
    )
    assert (run / "checkpoints" / "on_exception.ckpt").is_file()
    assert not (run / "result.json").exists()
    assert main(["train", tiny_experiment, "--resume", str(run)]) == 0
    whole = runs.train(load_experiment(tiny_experiment, [*options, "run=whole"]))
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (
            torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
            for folder in (run, whole.run_dir)
        )
        assert all(torch.equal(value, b[key]) for key, value in a.items())
    assert not (run / "checkpoints" / "on_exception.ckpt").exists()


def test_in_a_validation(tiny_experiment, tmp_path, stop_at, capsys):
    stop_at(module_of("tiny_method"), "validation_step", signal.SIGINT)
    assert main(["train", tiny_experiment]) == 130
    assert "SIGINT; no epoch was whole, there are no weights to use yet: go on from the start" in (
        capsys.readouterr().err
    )


def test_in_the_test_and_in_a_prediction(tiny_experiment, tmp_path, stop_at, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(runs, "baseline_scores", lambda *_: signal.raise_signal(signal.SIGTERM))
        assert main(["train", tiny_experiment, "trainer.max_epochs=1"]) == 143
    run = newest(tmp_path)
    assert f"its test is not: go on with `lifting train tiny --resume {run}`" in (
        capsys.readouterr().err
    )
    stop_at(module_of("tiny_method"), "predict_step", signal.SIGTERM)
    words = ["predict", tiny_experiment, "--checkpoint", str(run / "checkpoints/best.ckpt")]
    assert main([*words, "--output", str(tmp_path / "p.npz")]) == 143
    assert "stopped by SIGTERM; start again with `lifting predict tiny" in capsys.readouterr().err
    assert not (tmp_path / "p.npz").exists()


def test_while_the_log_is_closed(tiny_experiment, stop_at, capsys):
    stop_at(runs, "close_loggers", signal.SIGTERM)
    assert main(["train", tiny_experiment, "trainer.max_epochs=1"]) == 143
    assert "--resume" in capsys.readouterr().err


def test_a_signal_that_is_ignored_stays_ignored(tiny_experiment, stop_at):
    """As SIGHUP under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop_at(runs, "build_data", signal.SIGHUP)
        assert main(["train", tiny_experiment, "trainer.max_epochs=1"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_lightning_installs_no_handler_and_ours_go_with_the_command(
    tiny_experiment, tmp_path, monkeypatch
):
    before = [signal.getsignal(one) for one in SIGNALS]
    trainer = build_trainer(load_experiment(tiny_experiment), tmp_path)
    trainer._signal_connector.register_signal_handlers()
    assert [signal.getsignal(one) for one in SIGNALS] == before
    with monkeypatch.context() as patch:
        patch.setattr(runs, "build_data", lambda _: signal.raise_signal(signal.SIGTERM))
        assert main(["train", tiny_experiment]) == 143
    assert [signal.getsignal(one) for one in SIGNALS] == before
