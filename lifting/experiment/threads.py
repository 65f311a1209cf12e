"""How many threads a training computes in: measured with its own step, not assumed.

On an idle machine a second core may nearly double the speed of large matrix products; of small
ones, or where something else is at work, it may cost several times what it brings.
"""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from lifting.batch import PoseBatch
from lifting.data.datamodule import PoseDataModule
from lifting.experiment.config import AUTO, ExperimentConfig
from lifting.methods.base import LiftingModule
from lifting.nn.threads import TORCHS_OWN, torch_threads, usable_threads

GAIN = 1.3  # that all cores must bring, or one is taken
LIMIT_S = 2.0  # of the whole probe
_STEP_S = 0.15  # that one timed step shall take at most
_TRIED_S = 0.3  # from which on the time of a part of a batch tells that of the whole
_ROUNDS = 4
_LEAST_ROWS = 2  # batch normalisation needs two
Step = Callable[[int | None], int]  # on so many rows of a batch, None for all; says on how many
log = logging.getLogger(__name__)


def with_threads(
    config: ExperimentConfig, module: LiftingModule, data: PoseDataModule
) -> ExperimentConfig:
    """The same experiment with a number of threads in the place of ``auto``.

    Args:
        config: The experiment.
        module: As its training starts; a copy of it takes the steps.
        data: Its data.
    """
    if config.trainer.threads != AUTO:
        return config
    most = min(TORCHS_OWN, usable_threads())
    if config.trainer.devices > 1:
        chosen = max(1, most // config.trainer.devices)
    elif most == 1 or config.trainer.accelerator not in ("auto", "cpu") or uses_gpu(config):
        chosen = most
    else:
        chosen = _measured(module, data, most)
    torch.set_num_threads(chosen)
    return replace(config, trainer=replace(config.trainer, threads=chosen))


def uses_gpu(config: ExperimentConfig) -> bool:
    """Whether a training computes on an accelerator."""
    return config.trainer.accelerator != "cpu" and torch.accelerator.is_available()


def works_alone(config: ExperimentConfig) -> bool:
    """Whether the processor seconds of one process tell all the work of a training."""
    return config.trainer.devices == 1 and config.data.workers == 0 and not uses_gpu(config)


def _measured(module: LiftingModule, data: PoseDataModule, most: int) -> int:
    try:
        return faster(probe_step(module, data), most)
    except Exception as error:  # a method may need more of the trainer than there is yet
        log.info("one thread, as no step could be tried before the training: %s", error)
        return 1


def faster(step: Step, most: int) -> int:
    """One thread or all of them: those only if they are ``GAIN`` times as fast.

    Args:
        step: Takes a step on so many rows of a batch, None for all, and says on how many.
        most: Threads that may be used.

    Returns:
        1 or ``most``.
    """
    end = time.perf_counter() + LIMIT_S
    with torch_threads(1):
        rows = _sized(step)
    best = {1: float("inf"), most: float("inf")}
    for _ in range(_ROUNDS):
        for threads in best:
            with torch_threads(threads):
                best[threads] = min(best[threads], _seconds(step, rows)[0])
        if time.perf_counter() > end - sum(best.values()):
            break
    return most if best[1] >= GAIN * best[most] else 1


def _sized(step: Step) -> int | None:
    """Rows of a step that takes long enough to be timed; None for a whole batch."""
    rows: int | None = _LEAST_ROWS
    _seconds(step, rows)  # what is done once, imports among it
    end = time.perf_counter() + LIMIT_S / 2
    while rows is not None:
        took, taken = _seconds(step, rows)
        if took > _STEP_S / 2 or time.perf_counter() > end:
            break
        rows = None if taken < rows else 2 * rows
    return rows


def seconds_of(step: Step, size: int) -> float:
    """What a step on so many rows takes, by steps on as many as are soon tried.

    It is a line through the times of two steps: a step also costs what does not grow with rows.

    Args:
        step: As of :func:`faster`.
        size: Rows of a batch.
    """
    rows = _LEAST_ROWS
    _seconds(step, rows)  # what is done once
    took, taken = _seconds(step, rows)
    while taken == rows:
        rows *= 4
        less, few = took, taken
        took, taken = _seconds(step, rows)
        if took > _TRIED_S and (took > 2 * less or took > LIMIT_S / 2):
            break
    else:
        return took * size / taken
    return took + max(0.0, took - less) / (taken - few) * (size - taken)


def probe_step(module: LiftingModule, data: PoseDataModule) -> Step:
    """A training step of a copy of a module, in its first stage, that leaves no trace.

    Args:
        module: As its training starts.
        data: Its data.

    Returns:
        Takes a step on so many rows of the first batch, None for all, and says on how many.
    """
    own = copy.deepcopy(module)
    own.begin_stage(own.stages()[0])
    batch: PoseBatch = next(iter(data.train_dataloader()))
    return steps_of(own.train(), batch)


def steps_of(own: LiftingModule, batch: PoseBatch) -> Step:
    """Training steps of a module that is there to be tried, its optimiser's included.

    Args:
        own: In the stage whose steps are wanted.
        batch: What they are taken on.

    Returns:
        Takes a step on so many rows of the batch, None for all, and says on how many.
    """
    learning = [p for p in own.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.0, fused=True)

    def step(part: PoseBatch) -> None:
        with torch.random.fork_rng(devices=()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing is logged without a trainer
            optimizer.zero_grad()
            loss: Any = own.training_step(part, 0)
            loss.backward()
            optimizer.step()

    return parts_of(batch, step)


def parts_of(batch: PoseBatch, work: Callable[[PoseBatch], object]) -> Step:
    """Work that is done on as many rows of a batch as are asked for.

    Args:
        batch: The whole.
        work: What is done on a part.
    """

    def on(rows: int | None) -> int:
        part = batch if rows is None else batch.rows(slice(0, rows))
        work(part)
        return len(part)

    return on


def _seconds(step: Step, rows: int | None) -> tuple[float, int]:
    start = time.perf_counter()
    taken = step(rows)
    return time.perf_counter() - start, taken
