"""What `trainer.threads: auto` costs beside the better choice, on an idle machine and a busy one.

A wall time: processor seconds do not tell who waits. Run it while nothing else computes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from timing import BenchRow

# Experiment, and settings that leave the data small.
CASES = ("simple_baseline", "videopose3d", "uao", "diffpose", "nbf")
SMALL = (
    "data.synthetic.train_sequences=24", "data.images.train_images=128",
    "data.images.val_images=16", "data.images.test_images=16", "wandb.mode=disabled", "pss=[]",
)  # fmt: skip
ROUNDS, ROUND_S = 7, 1.0
LOADER_BATCHES = 20


def rows() -> Iterator[BenchRow]:
    """Milliseconds of a training step, and of loading a batch, by what computes beside."""
    for busy in (False, True):
        with _neighbour(busy):
            for name in CASES:
                found = _measured(name)
                for what in ("step", "load"):
                    yield _row(name, what, found, busy)


def _row(name: str, what: str, found: dict[str, dict[str, float]], busy: bool) -> BenchRow:
    times, chosen = found[what], int(found["chosen"]["threads"])
    note = ", ".join(f"{count} thread(s) {ms:.3g}" for count, ms in times.items())
    return BenchRow(
        f"{name}, {what}, {'another process beside' if busy else 'idle'}",
        min(times.values()),
        times[str(chosen)],
        "ms",
        f"{note}; chosen: {chosen}",
    )


@contextmanager
def _neighbour(wanted: bool) -> Iterator[None]:
    """A process that computes all the time, if it is wanted."""
    loop = [sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(loop) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _measured(name: str) -> dict[str, dict[str, float]]:
    """Of a process of its own, since the wait policy is read when torch is imported."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(name: str) -> dict[str, dict[str, float]]:
    import torch

    from lifting.experiment.build import build_data, build_module
    from lifting.experiment.load import load_experiment
    from lifting.experiment.threads import faster, probe_step, usable_threads

    config = load_experiment(name, list(SMALL))
    data = build_data(config)
    data.setup("fit")
    step = probe_step(build_module(config, data.skeleton), data)
    loader, most = data.train_dataloader(), usable_threads()
    chosen = faster(step, most)

    def load() -> None:
        for _, _ in zip(range(LOADER_BATCHES), loader, strict=False):
            pass

    calls: dict[str, Callable[[], object]] = {"step": lambda: step(None), "load": load}
    found: dict[str, dict[str, float]] = {"chosen": {"threads": chosen}}
    for what, call in calls.items():
        times: dict[int, list[float]] = {1: [], most: []}
        for _ in range(ROUNDS):
            for threads, taken in times.items():
                torch.set_num_threads(threads)
                taken.append(_milliseconds(call))
        each = LOADER_BATCHES if what == "load" else 1
        found[what] = {str(n): statistics.median(t) / each for n, t in times.items()}
    return found


def _milliseconds(call: Callable[[], object]) -> float:
    """Mean wall time of calls over about a second."""
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() < start + ROUND_S:
        call()
        count += 1
    return 1000 * (time.perf_counter() - start) / count


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))
