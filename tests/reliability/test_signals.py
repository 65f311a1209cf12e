"""Real processes are stopped in every phase, one and two of them: status, line, time, litter."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

FIXTURE = Path(__file__).parents[1] / "fixtures" / "train_tiny.py"
SHORT = ("trainer.max_epochs=4", "method.warm_epochs=1")
TWO = ("trainer.devices=2", "trainer.strategy=ddp")
ALL_GONE_SECONDS = 30
PHASES = {
    "import": "import",
    "data": "lifting.experiment.run:build_data",
    "step": "tiny_method.module:Module.training_step",
    "validation": "tiny_method.module:Module.validation_step",
    "test": "tiny_method.module:Module.test_step",
    "pictures": "lifting.experiment.panels:PanelsCallback.on_test_end",
    "optimisation": "lifting.tto.callback:TestTimeOptimization.on_test_batch_end",
    "W&B": "wandb.sdk.wandb_run:Run.finish",
}


class Started:
    """A command in a session of its own.

    Args:
        folder: Where it notes what it reaches and says.
        arguments: After the program's name.
        environment: Besides the usual one.
    """

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.marker, self.log = folder / "reached", folder / "log"
        for old in folder.glob("reached.*"):
            old.unlink()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(FIXTURE), *arguments],
                env={
                    **os.environ, "OMP_NUM_THREADS": "1", "TINY_MARKER": str(self.marker),
                    **environment,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
                restore_signals=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip

    def wait_for(self, *ranks: int) -> None:
        """Until these processes are where they shall be stopped."""
        while not all(Path(f"{self.marker}.{rank}").exists() for rank in ranks):
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)
        time.sleep(0.2)

    def said(self) -> str:
        return self.log.read_text()

    def ended(self, what: str) -> int:
        """Status of the first process, once all are gone; prints the time."""
        start = time.monotonic()
        status = self.process.wait(300)
        own = time.monotonic() - start
        while self._any() and time.monotonic() - start < 120:
            time.sleep(0.05)
        last = self.said().splitlines()[-1] if self.said() else ""
        took = time.monotonic() - start
        print(f"{what}: status {status}, {own:.1f} s, all gone {took:.1f} s: {last[:90]}")
        assert not self._any()
        return status

    def _any(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


def line(text: str) -> str:
    """The last word, which is said once."""
    told = [one for one in text.splitlines() if one.startswith(("stopped by", "error:"))]
    assert len(told) == 1, text
    assert "Traceback" not in text, text
    return told[0]


@pytest.fixture
def quiet(tmp_path):
    return ("tiny", *SHORT)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("phase", PHASES)
def test_one_process(tiny_experiment, tmp_path, quiet, phase, signum):
    extra = {
        "optimisation": ("tto.enabled=true", "tto.iterations=2"),
        "pictures": ("panels.worst=2",),
        "W&B": ("wandb.mode=offline",),
    }.get(phase, ())
    started = Started(tmp_path, *quiet, *extra, TINY_PAUSE_IN=PHASES[phase])
    started.wait_for(0)
    started.process.send_signal(signum)
    # A step that does not end is ended when the time is up.
    status = started.ended(f"{phase} {signum.name}")
    assert status == {signal.SIGTERM: 143, signal.SIGINT: 130}[signum]
    told = line(started.said())
    assert told.startswith(f"stopped by {signum.name}; ")
    assert ("start again with" in told) == (phase in ("import", "data"))
    assert "`lifting train tiny" in told
    if phase != "W&B":
        assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("phase", ["import", "data", "validation", "test"])
def test_two_processes(tiny_experiment, tmp_path, quiet, phase, signum):
    started = Started(tmp_path, *quiet, *TWO, TINY_PAUSE_IN=PHASES[phase])
    started.wait_for(*((0,) if phase in ("import", "data") else (0, 1)))
    started.process.send_signal(signum)
    status = started.ended(f"two processes, {phase} {signum.name}")
    assert status == {signal.SIGTERM: 143, signal.SIGINT: 130}[signum]
    line(started.said())


@pytest.mark.parametrize("whom", ["first", "second", "group"])
def test_two_processes_leave_at_the_same_step_and_go_on(tiny_experiment, tmp_path, whom):
    options = (
        "tiny", "trainer.max_epochs=3", "method.warm_epochs=1", *TWO,
        "data.synthetic.train_sequences=8", "data.synthetic.sequence_frames=50",
    )  # fmt: skip
    started = Started(tmp_path, *options, "run=cut")
    outputs = tmp_path / "outputs" / "tiny"
    while not list(outputs.glob("*-cut/checkpoints/last.ckpt")):
        assert started.process.poll() is None, started.said()
        time.sleep(0.05)
    time.sleep(0.2)  # into the steps of the next epoch
    if whom == "group":  # as Ctrl-C in a terminal
        os.killpg(started.process.pid, signal.SIGTERM)
    elif whom == "first":
        started.process.send_signal(signal.SIGTERM)
    else:
        (child,) = children(started.process.pid)
        os.kill(child, signal.SIGTERM)
    assert started.ended(f"two processes, steps, SIGTERM to the {whom}") == 143
    told = line(started.said())
    assert "go on from the last whole epoch with" in told
    (cut,) = outputs.glob("*-cut")
    together = (cut / "checkpoints" / "on_exception.ckpt").is_file()
    print("all at the same step" if together else "between steps, each for itself")
    resumed = Started(tmp_path, "tiny", "--resume", str(cut))
    assert resumed.ended("resumed") == 0, resumed.said()
    whole = Started(tmp_path, *options, "run=whole")
    assert whole.ended("uninterrupted") == 0, whole.said()
    (uncut,) = outputs.glob("*-whole")
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (
            torch.load(run / "checkpoints" / name, weights_only=True)["state_dict"]
            for run in (cut, uncut)
        )
        assert all(torch.equal(value, b[key]) for key, value in a.items())
    scores = [json.loads((run / "result.json").read_text())["metrics"] for run in (cut, uncut)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("phase", ["step", "validation", "test"])
def test_a_process_that_waits_for_a_deaf_one_is_gone_in_time(
    tiny_experiment, tmp_path, quiet, phase
):
    """The first process waits in a collective, where it runs no handler."""
    started = Started(
        tmp_path, *quiet, *TWO, TINY_PAUSE_IN=PHASES[phase], TINY_RANK="1", TINY_DEAF="1"
    )
    started.wait_for(1)
    time.sleep(3)
    start = time.monotonic()
    started.process.send_signal(signal.SIGTERM)
    assert started.ended(f"deaf process, {phase}") == 143
    assert time.monotonic() - start < ALL_GONE_SECONDS
    assert line(started.said()).startswith("stopped by SIGTERM; ")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_second_signal_ends_at_once(tiny_experiment, tmp_path, quiet, signum):
    started = Started(
        tmp_path, *quiet, *TWO, TINY_PAUSE_IN=PHASES["step"], TINY_RANK="1", TINY_DEAF="1"
    )
    started.wait_for(1)
    time.sleep(3)
    started.process.send_signal(signal.SIGTERM)
    time.sleep(2)
    assert started.process.poll() is None
    start = time.monotonic()
    started.process.send_signal(signum)
    assert started.ended(f"second signal {signum.name}") == 143
    assert time.monotonic() - start < 5  # seconds before the time is up


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("phase", ["step", "validation", "test"])
def test_a_killed_process(tiny_experiment, tmp_path, quiet, phase, lost):
    started = Started(tmp_path, *quiet, *TWO, TINY_PAUSE_IN=PHASES[phase], TINY_RANK=str(lost))
    started.wait_for(lost)
    time.sleep(3)
    (child,) = children(started.process.pid)
    os.kill((started.process.pid, child)[lost], signal.SIGKILL)
    start = time.monotonic()
    assert started.ended(f"killed process {lost}, {phase}") == (2 if lost else -signal.SIGKILL)
    assert time.monotonic() - start < ALL_GONE_SECONDS
    told = line(started.said())
    assert re.match("error: expected all processes of the run to go on, got the loss of", told)
    assert "`lifting train tiny --resume " in told


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in found.split()]
