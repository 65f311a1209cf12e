"""SIGKILL wherever a training touches its files: it goes on to the same bits, and nothing is left.

A moment is a training step, a file that is opened, moved or removed below the runs, or the middle
of writing a checkpoint. Trainings are forks of this process, which has imported everything.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
import torch

from lifting.atomic import unfinished_files
from lifting.experiment.folder import CONFIG_FILE
from lifting.experiment.load import load_experiment
from lifting.experiment.lock import training_lock
from lifting.experiment.run import train

pytestmark = pytest.mark.slow

MOMENTS, TWICE = 60, 12
SETTINGS = ("method.warm_epochs=1", "trainer.max_epochs=3", "trainer.ema.decay=0.9")
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir")
CHECKPOINTS = ("best.ckpt", "last.ckpt", "warm/best.ckpt", "warm/last.ckpt")
TRAIN_TINY = Path(__file__).parents[1] / "fixtures" / "train_tiny.py"


class Killer:
    """Counts moments, and ends the process at one of them, as abruptly as there is."""

    def __init__(self, folder: Path, last: int | None) -> None:
        self.folder, self.last, self.count = str(folder), last, 0
        self.busy = False

    def moment(self, prepare=lambda: None) -> None:
        self.count += 1
        if self.count == self.last:
            prepare()
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple) -> None:
        if event in EVENTS and str(arguments[0]).startswith(self.folder):
            self.moment()

    def install(self) -> None:
        """In a fork, whose end takes everything away again."""
        from tiny_method.module import Module

        sys.addaudithook(self.audit)
        step, save = Module.training_step, torch.save

        def counted_step(*arguments):
            self.moment()
            return step(*arguments)

        def counted_save(content, file):
            save(content, file)
            self.moment(lambda: os.truncate(file, Path(file).stat().st_size // 2))

        Module.training_step, torch.save = counted_step, counted_save


def in_fork(work) -> int:
    """Do something in a fork of this process; its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def training(tiny_experiment, undrawn, tmp_path):
    """Trains below a folder, or goes on there; killed at a moment, or not at all."""

    def start(name: str, last: int | None = None, *extra: str, resume: bool = False) -> int:
        output = tmp_path / name

        def work() -> None:
            config = load_experiment(tiny_experiment, [*SETTINGS, *extra, f"output={output}"])
            killer = Killer(output, last)
            killer.install()
            train(config, resume=run_below(output) if resume else None)
            (tmp_path / f"{name}.count").write_text(str(killer.count))

        return in_fork(work)

    return start


def run_below(output: Path) -> Path | None:
    """The one run of a folder; None where it had not come to its configuration."""
    found = list(output.glob(f"*/*/{CONFIG_FILE}"))
    assert len(found) <= 1
    return found[0].parent if found else None


def assert_same(run: Path, whole: Path) -> None:
    for name in CHECKPOINTS:
        one, other = (
            torch.load(r / "checkpoints" / name, weights_only=True) for r in (run, whole)
        )
        for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
            torch.testing.assert_close(one.get(key), other.get(key), rtol=0, atol=0)
    records = [json.loads((r / "result.json").read_text()) for r in (run, whole)]
    for key in ("metrics", "weights", "baselines"):
        assert records[0][key] == records[1][key]
    files = [{str(p.relative_to(r)) for p in r.rglob("*") if p.is_file()} for r in (run, whole)]
    assert files[0] == files[1]


def test_a_training_that_is_killed_anywhere_goes_on_to_the_same_bits(training, tmp_path):
    assert training("whole") == 0
    whole = run_below(tmp_path / "whole")
    moments = int((tmp_path / "whole.count").read_text())
    step = max(1, moments // MOMENTS)
    chosen = range(1, moments + 1, step)
    unborn, litter, began = 0, [], time.monotonic()
    for last in chosen:
        name = f"cut{last}"
        assert training(name, last) == -signal.SIGKILL
        run = run_below(tmp_path / name)
        if run is None:  # nothing is lost: it had not begun
            unborn += 1
            continue
        litter.append(len(unfinished_files(run)))
        with training_lock(run):  # nobody holds it
            pass
        if last % (step * (MOMENTS // TWICE)) == 1:  # killed again, while it goes on
            training(name, last // 2 + 1, resume=True)
        assert training(name, resume=True) == 0
        assert_same(run, whole)
    print(
        f"\n{len(chosen)} kills at {moments} moments: {unborn} before there was a run, "
        f"{sum(map(bool, litter))} left half a file, all others equal to the bit; "
        f"{time.monotonic() - began:.0f} s"
    )
    assert any(litter)


def test_the_workers_of_a_killed_training_do_not_hold_its_lock(training, tmp_path):
    assert training("whole") == 0
    moments = int((tmp_path / "whole.count").read_text())
    assert training("cut", moments // 2, "data.workers=2") == -signal.SIGKILL
    run = run_below(tmp_path / "cut")
    with training_lock(run):
        pass
    assert training("cut", None, "data.workers=2", resume=True) == 0


def test_a_process_that_is_killed_from_outside(tiny_experiment, tmp_path):
    """The command itself, in the middle of the second stage."""
    options = ["tiny", "trainer.max_epochs=6", "trainer.ema.decay=0.9"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    marker = tmp_path / "reached"
    slow = {**environment, "TINY_PAUSE_AT": "train:15", "TINY_MARKER": str(marker)}
    command = [sys.executable, str(TRAIN_TINY)]
    process = subprocess.Popen([*command, *options, "run=cut"], env=slow)
    while not marker.exists():
        assert process.poll() is None
        time.sleep(0.05)
    runs = tmp_path / "outputs" / "tiny"
    (cut,) = runs.iterdir()
    second = subprocess.run(
        [*command, "tiny", "--resume", str(cut)], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert second.returncode == 2
    assert f"got another at work there, process {process.pid} on " in second.stderr
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (cut / "result.json").exists()
    subprocess.run([*command, *options, "run=whole"], env=environment, check=True)
    (whole,) = (run for run in runs.iterdir() if run.name.endswith("whole"))
    subprocess.run([*command, "tiny", "--resume", str(cut)], env=environment, check=True)
    assert_same(cut, whole)
