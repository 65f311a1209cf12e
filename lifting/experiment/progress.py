"""What a person sees while a model trains: how far, how well, how long still."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar
from rich.console import Console


class Clock:
    """Estimates the time to the end of a fit from the batches done since it started."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.done_before = 0

    def begin(self, trainer: pl.Trainer) -> None:
        """Start counting; a resumed fit has batches behind it that cost no time now."""
        self.start = time.monotonic()
        self.done_before = trainer.fit_loop.total_batch_idx + 1

    def remaining(self, trainer: pl.Trainer) -> str:
        """Time to the end as ``h:mm:ss``, or ``-`` while it is not known."""
        done = trainer.fit_loop.total_batch_idx + 1
        total = float(trainer.num_training_batches) * (trainer.max_epochs or 1)
        if trainer.max_steps > 0:
            total = min(total, trainer.max_steps * trainer.accumulate_grad_batches)
        fresh = done - self.done_before
        if fresh <= 0 or total == float("inf"):
            return "-"
        seconds = (time.monotonic() - self.start) / fresh * max(0.0, total - done)
        return str(timedelta(seconds=round(seconds)))


class TrainingBar(RichProgressBar):
    """Progress bar with the newest validation score and the time to the end of the stage.

    Args:
        monitor: Logged key to show.
    """

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.monitor = monitor
        self.clock = Clock()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self.clock.begin(trainer)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar."""
        shown: dict[str, Any] = {}
        if self.monitor in trainer.callback_metrics:
            shown[self.monitor.partition("val/")[2] or self.monitor] = (
                f"{float(trainer.callback_metrics[self.monitor]):.1f}"
            )
        if trainer.training or trainer.validating:
            shown["left"] = self.clock.remaining(trainer)
        return shown


class EpochLines(Callback):
    """One line an epoch, for logs that are no terminal.

    Args:
        monitor: Logged key to show.
        stage: Name of the stage.
    """

    def __init__(self, monitor: str, stage: str) -> None:
        self.monitor = monitor
        self.stage = stage
        self.clock = Clock()
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.clock.begin(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how far the stage has come."""
        value = trainer.callback_metrics.get(self.monitor)
        score = "" if value is None else f"  {self.monitor} {float(value):.2f}"
        self.console.print(
            f"{self.stage}: epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{score}  "
            f"left {self.clock.remaining(trainer)}"
        )


def progress_callback(monitor: str, stage: str) -> Callback:
    """A bar in a terminal, lines elsewhere."""
    return TrainingBar(monitor) if sys.stdout.isatty() else EpochLines(monitor, stage)
