"""Threads of a training: measured, bounded by what the process may use, kept by the run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lifting.errors import ConfigError
from lifting.experiment import threads
from lifting.experiment.build import build_data, build_module
from lifting.experiment.load import load_experiment
from lifting.experiment.run import train


@pytest.fixture(autouse=True)
def own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Clock:
    """A clock that only the steps move, and a step of a batch of 64."""

    def __init__(self, one: float, every: float) -> None:
        self.now, self.seconds, self.calls = 0.0, {True: one, False: every}, []

    def perf_counter(self) -> float:
        return self.now

    def step(self, rows):
        taken = min(rows or 64, 64)
        count = torch.get_num_threads()
        self.calls.append((count, rows))
        self.now += self.seconds[count == 1] * taken
        return taken


@pytest.mark.parametrize(("gain", "chosen"), [(2.0, 3), (1.31, 3), (1.29, 1), (0.2, 1)])
@pytest.mark.parametrize("cost", [1e-6, 1e-3, 0.02])
def test_all_cores_only_where_they_bring_enough(monkeypatch, cost, gain, chosen):
    clock = Clock(cost, cost / gain)
    monkeypatch.setattr(threads, "time", clock)
    assert threads.faster(clock.step, 3) == chosen
    assert clock.now < threads.LIMIT_S
    assert {count for count, _ in clock.calls} == {1, 3}
    # What is small enough is timed whole, else a part of the batch.
    assert (clock.calls[-1][1] is None) == (cost < 0.01)


@pytest.mark.parametrize("cost", [1e-5, 1e-3, 0.1])
@pytest.mark.parametrize("once", [0.0, 0.3])
def test_the_time_of_a_batch_is_told_by_a_part_of_it(monkeypatch, cost, once):
    clock = Clock(cost, cost)
    monkeypatch.setattr(threads, "time", clock)

    def step(rows):
        clock.now += once
        return clock.step(rows)

    found = threads.seconds_of(step, 64)
    assert found == pytest.approx(once + 64 * cost, rel=0.02)


def test_the_probe_leaves_no_trace(tiny_experiment):
    config = load_experiment(tiny_experiment, [])
    data = build_data(config)
    module = build_module(config, data.skeleton)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    stage, state = module.stage, torch.random.get_rng_state()
    found = threads.with_threads(config_with("auto", config), module, data)
    assert found.trainer.threads in (1, threads.TORCHS_OWN)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert module.stage == stage
    assert all(p.grad is None for p in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def config_with(wanted, config):
    return replace(config, trainer=replace(config.trainer, threads=wanted))


def test_a_step_that_needs_its_trainer_takes_one_thread(tiny_experiment, monkeypatch, caplog):
    config = config_with("auto", load_experiment(tiny_experiment, []))
    data = build_data(config)
    module = build_module(config, data.skeleton)
    monkeypatch.setattr(threads, "TORCHS_OWN", 2)
    monkeypatch.setattr(threads, "usable_threads", lambda: 2)
    monkeypatch.setattr(type(module), "training_step", lambda self, *_: self.trainer.global_step)
    with caplog.at_level("INFO"):
        assert threads.with_threads(config, module, data).trainer.threads == 1
    assert "no step could be tried" in caplog.text


def test_several_processes_share_the_cores(tiny_experiment, monkeypatch):
    config = load_experiment(tiny_experiment, ["trainer.devices=2", "trainer.threads=auto"])
    monkeypatch.setattr(threads, "TORCHS_OWN", 6)
    monkeypatch.setattr(threads, "usable_threads", lambda: 5)
    assert threads.with_threads(config, None, None).trainer.threads == 2


@pytest.mark.parametrize("wanted", ["two", "-1", "1.5"])
def test_a_number_of_threads_is_checked(tiny_experiment, wanted):
    with pytest.raises(ConfigError, match=r"trainer\.threads"):
        load_experiment(tiny_experiment, [f"trainer.threads={wanted}"])


def test_the_number_goes_into_the_run_and_a_resumed_run_keeps_it(
    tiny_experiment, undrawn, monkeypatch
):
    chosen = iter([2, 1])
    monkeypatch.setattr(threads, "TORCHS_OWN", 2)
    monkeypatch.setattr(threads, "usable_threads", lambda: 2)
    monkeypatch.setattr(threads, "faster", lambda step, most: next(chosen))
    run = train(load_experiment(tiny_experiment, ["trainer.threads=auto"])).run_dir
    stored = load_experiment(str(run / "config.yaml"))
    assert stored.trainer.threads == 2
    train(stored, resume=run)
    assert load_experiment(str(run / "config.yaml")).trainer.threads == 2
    assert next(chosen) == 1  # nobody asked again


def test_threads_wait_asleep_unless_the_user_says_otherwise():
    code = (
        "import os, sys, runpy; from lifting.cli.main import main\n"
        "assert 'torch' not in sys.modules\n"
        "main(['experiments'])\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    for given, found in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        env |= {} if given is None else {"OMP_WAIT_POLICY": given}
        told = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert told.stdout.split()[-1] == found
