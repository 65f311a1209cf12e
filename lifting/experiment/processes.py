"""Several processes of one run: started, watched, and stopped at the same step.

Lightning would start them, too; but it ends the first one by SIGKILL, without a word, some seconds
after another is gone, and communicates in its handler of SIGTERM.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor

from lifting.errors import ConfigError
from lifting.experiment.interruption import PARENT_VARIABLE, interruption

T = TypeVar("T")


def call_trainer(trainer: pl.Trainer, call: Callable[[], object]) -> None:
    """Call a trainer, with all processes that it asks for.

    Args:
        trainer: The trainer.
        call: Calls it.

    Raises:
        ConfigError: The trainer refuses its settings.
        ProcessError: Another process of the run is gone.
        Interrupted: A signal ended it.
    """
    _start(trainer)
    interruption.waiting = trainer.world_size > 1
    try:
        call()
    except MisconfigurationException as error:
        raise ConfigError(
            f"expected trainer settings that fit the method and the data, got: {error}"
        ) from error
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        interruption.check()
        lost = interruption.lost_process()
        raise lost or error from error
    finally:
        interruption.defer(False)
        interruption.waiting = False


def _start(trainer: pl.Trainer) -> None:
    """Start the processes for the other devices, as Lightning's launcher would do next."""
    interruption.watch_parent()
    launcher = trainer.strategy.launcher
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if (
        not isinstance(launcher, _SubprocessScriptLauncher)
        or not isinstance(environment, LightningEnvironment)
        or environment.creates_processes_externally
    ):
        return
    spec = sys.modules["__main__"].__spec__
    script = [str(Path(sys.argv[0]).absolute())] if spec is None else ["-m", spec.name]
    os.environ.update(
        MASTER_ADDR=environment.main_address,
        MASTER_PORT=str(environment.main_port),
        NODE_RANK="0",
        LOCAL_RANK="0",  # which tells the launcher that they are there
        WORLD_SIZE=str(trainer.world_size),
    )
    for rank in range(1, trainer.world_size):
        own = {"LOCAL_RANK": str(rank), PARENT_VARIABLE: str(os.getpid())}
        command = [sys.executable, *script, *sys.argv[1:]]
        child = subprocess.Popen(command, env={**os.environ, **own})
        interruption.watch_child(rank, child)


def of_all(value: T) -> list[T]:
    """What each process has in the place of this value, by rank; every process must call this."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


class StopAtStep(Callback):
    """Ends a training at the end of the step in which a signal came, in all processes alike.

    Each tells the others at the end of a step, and reads what they told at the end of the next: no
    step waits for the answer.
    """

    def __init__(self) -> None:
        self._told: tuple[Tensor, dist.Work | None] | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From here a signal is looked at when the step is done."""
        interruption.defer(True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Look whether a signal came."""
        if trainer.world_size == 1:
            interruption.defer(False)
            interruption.check()
            return
        self._read()
        told = torch.tensor(interruption.signum or 0, device=trainer.strategy.root_device)
        self._told = told, dist.all_reduce(told, dist.ReduceOp.MAX, async_op=True)
        if trainer.is_last_batch:
            self._settle()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """No steps until the next batch."""
        self._settle()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """No steps until the next epoch."""
        self._settle()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """No more steps."""
        interruption.defer(False)

    def _settle(self) -> None:
        self._read()
        interruption.defer(False)
        interruption.check()

    def _read(self) -> None:
        if self._told is not None:
            (signum, work), self._told = self._told, None
            if work is not None:
                work.wait()
            if int(signum):  # else this process alone knows of one, and tells it with this step
                interruption.check(agreed=int(signum))
