"""Callbacks of the training: seeds, averaged weights, checkpoints, early stop."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from torch import Tensor

from lifting.errors import OutputError
from lifting.experiment.config import EmaConfig, TrainerConfig
from lifting.experiment.divergence import DivergenceGuard
from lifting.experiment.folder import BEST, LAST, SUFFIX
from lifting.experiment.processes import StopAtStep
from lifting.metrics.protocol import higher_is_better

RESCUE = "on_exception"
VALIDATION = "val/"  # begins the keys of scores that may choose a checkpoint
AVERAGE_KEY = "averaged_weights"


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best state by a score of the validation; one that is not finite is never it.

    What it stores of itself names files, not where they lie, so that a run that was moved goes on
    with the best it had; older states are read by the names of their files, too.

    Args:
        folder: Where it is written.
        monitor: Logged key of the score.
        mode: ``max`` or ``min``.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        super().__init__(
            folder, BEST, monitor=monitor, mode=mode, save_top_k=1, enable_version_counter=False
        )

    @property
    def state_key(self) -> str:
        """That of Lightning's class, under which older checkpoints hold its state."""
        return ModelCheckpoint.__qualname__ + super().state_key.removeprefix(
            type(self).__qualname__
        )

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Whether a score is the best so far."""
        finite = current is not None and bool(current.isfinite())
        return finite and super().check_monitor_top_k(trainer, current)

    def state_dict(self) -> dict[str, Any]:
        """Scores and names of files."""
        return _placed(super().state_dict(), "")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the scores, and the files in the folder in use."""
        super().load_state_dict(_placed(state_dict, str(self.dirpath)))


def _placed(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """A state of ``ModelCheckpoint`` with its files in another folder; empty leaves the names."""

    def place(path: str) -> str:
        name = PureWindowsPath(path).name  # which knows both kinds of slash
        return str(Path(folder, name)) if name else ""

    paths = ("best_model_path", "kth_best_model_path", "last_model_path")
    return {
        **state,
        **{key: place(state[key]) for key in paths if key in state},
        "best_k_models": {place(k): v for k, v in state.get("best_k_models", {}).items()},
        "dirpath": folder,
    }


def seed_everywhere(*parts: object) -> int:
    """Seed Python, numpy and torch from some values; returns the seed.

    Args:
        parts: Whatever the randomness shall depend on, such as the seed, stage and epoch.
    """
    text = "/".join(map(str, parts))
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what a method draws with is not ours to say
    # Without an accelerator torch looks for one of every kind, for half a step of a small network.
    everywhere = torch.accelerator.is_available()
    (torch.manual_seed if everywhere else torch.default_generator.manual_seed)(seed)
    return seed


class StepSeed(Callback):
    """Makes what a training step draws depend on the seed, stage, epoch and batch alone.

    A run that was killed and resumed then draws what an uninterrupted one draws, whatever the
    loaders, the validation or a picture drew in between.

    Args:
        seed: Seed of the experiment.
        stage: Name of the stage.
    """

    def __init__(self, seed: int, stage: str) -> None:
        self.parts = (seed, stage)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed what an epoch draws before its first batch."""
        seed_everywhere(*self.parts, trainer.global_rank, trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the step."""
        seed_everywhere(*self.parts, trainer.global_rank, trainer.current_epoch, batch_idx)


def average_decay(options: EmaConfig, step: int) -> float:
    """Decay of the averaged weights at a step, counted from 0.

    While the average warms up it looks back over about a ninth of the steps so far, so that a
    short training is not spoilt by the weights it started from.
    """
    return min(options.decay, (1 + step) / (10 + step)) if options.warmup else options.decay


class AveragedWeights(WeightAveraging):
    """Exponential moving average of the weights, evaluated or only kept beside.

    When evaluated, validation sees the average and checkpoints hold it as their weights; when
    not, the network under training is evaluated and saved, and the average goes along under a
    key of its own.

    Args:
        options: Decay, and whether to evaluate.
    """

    def __init__(self, options: EmaConfig) -> None:
        super().__init__(multi_avg_fn=self._interpolate)
        self.options = options
        self.evaluate = options.evaluate

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make the average, in the precision that the weights are about to get."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            trainer.precision_plugin.convert_module(self._average_model)

    def _interpolate(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        """One step of the average."""
        if not averaged[0].is_floating_point():  # counters have no mean; lists have one type
            torch._foreach_copy_(averaged, current)
            return
        # Counted here, because reading the device's own count would wait for the device.
        decay = average_decay(self.options, self._latest_update_step)
        # Unlike a sum of two products, this leaves constant buffers as they are.
        torch._foreach_lerp_(averaged, current, 1 - decay)

    def on_validation_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Put the average in place, if it is to be evaluated."""
        if self.evaluate:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the average out again."""
        if self.evaluate:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the module, if it is to be evaluated."""
        if self.evaluate:
            super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the weights, or beside them."""
        if self.evaluate:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)
        elif self._average_model is not None:
            checkpoint[AVERAGE_KEY] = self._average_model.state_dict()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the average of an interrupted training."""
        if self.evaluate:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
        elif self._average_model is not None and AVERAGE_KEY in checkpoint:
            self._average_model.load_state_dict(checkpoint[AVERAGE_KEY])


class LastCheckpoint(Checkpoint):
    """Saves the state at the end of every epoch, to resume from.

    A callback of its own, because ``save_last`` of the best one's writes only in epochs that
    improve on the best, and because loggers shall hear of the best only.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.max_steps = -1
        self._before = {"seconds": 0.0, "cpu_seconds": 0.0}
        self._start = {"seconds": time.monotonic(), "cpu_seconds": time.process_time()}

    def spent(self) -> dict[str, float]:
        """Seconds of the stage so far, of the wall and the processor, earlier parts included."""
        now = {"seconds": time.monotonic(), "cpu_seconds": time.process_time()}
        return {k: round(self._before[k] + now[k] - self._start[k], 3) for k in now}

    def state_dict(self) -> dict[str, Any]:
        """What the stage cost so far."""
        return self.spent()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add what the earlier parts cost."""
        self._before = dict(state_dict)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put a limit of steps aside while the state is restored.

        With one, Lightning takes what was saved at the end of an epoch for the middle of one: it
        ends that epoch again, and numbers those that follow one too low.
        """
        self.max_steps = trainer.max_steps
        trainer.fit_loop.epoch_loop.max_steps = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the limit, and end a stage that the early stop had ended before it was killed."""
        trainer.fit_loop.epoch_loop.max_steps = self.max_steps
        if any(stop.wait_count >= stop.patience for stop in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, after validation, early stop and the best checkpoint had their turn."""
        trainer.save_checkpoint(self.path)


class RescueCheckpoint(Checkpoint):
    """Saves the state at an error, to look into; resuming starts from the last whole epoch.

    Lightning's own callback of this kind would make every fresh fit continue from its file, in
    the middle of an epoch.

    Args:
        path: The file; it is removed when the stage ends well.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save, once a step was taken; not when saving has failed, or others are elsewhere."""
        together = trainer.world_size == 1 or getattr(exception, "agreed", False)
        if trainer.global_step > 0 and together and not isinstance(exception, OutputError):
            trainer.save_checkpoint(self.path)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what an earlier attempt left."""
        self.path.unlink(missing_ok=True)


def stage_callbacks(
    options: TrainerConfig, *, seed: int, stage: str, monitor: str, folder: Path
) -> list[Callback]:
    """Callbacks of one stage of a training.

    Args:
        options: Trainer section.
        seed: Seed of the experiment.
        stage: Name of the stage.
        monitor: Logged key that chooses the best checkpoint.
        folder: Where its checkpoints go.

    Returns:
        Them, in the order in which Lightning shall call them.
    """
    mode = "max" if higher_is_better(options.monitor.removeprefix(VALIDATION)) else "min"
    best = BestCheckpoint(folder, monitor, mode)
    rescue = RescueCheckpoint(folder / f"{RESCUE}{SUFFIX}")
    last = LastCheckpoint(folder / f"{LAST}{SUFFIX}")
    guard = DivergenceGuard(stage, [folder / f"{BEST}{SUFFIX}", last.path])
    callbacks: list[Callback] = [StepSeed(seed, stage), guard]
    if options.ema.decay > 0:
        callbacks.append(AveragedWeights(options.ema))
    if options.patience > 0:
        callbacks.append(
            EarlyStopping(
                monitor, mode=mode, patience=options.patience, strict=False, check_finite=False
            )
        )
    return [*callbacks, best, last, rescue, StopAtStep()]
