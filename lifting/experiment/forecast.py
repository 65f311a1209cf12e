"""What a training is about to do and how long it will take: said before it, from measured steps.

A copy of the module takes a step and lifts some poses in every stage; the first epoch of each then
tells how fast it really is, and a forecast that was wrong by more than a half is corrected.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from lifting.batch import PoseBatch
from lifting.data.datamodule import PoseDataModule
from lifting.data.sampler import BatchLoader
from lifting.experiment.build import stage_epochs, validation_period
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.terminal import SPLIT, print_facts
from lifting.experiment.threads import parts_of, seconds_of, steps_of, uses_gpu
from lifting.methods.base import LiftingModule
from lifting.methods.settings import Stage

SOON_S = 5.0  # after which a forecast is made of the first steps where none was possible before
WRONG = 1.5  # how many times slower or faster a stage may be before it is said
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A stage that is ahead, or the test.

    Attributes:
        name: Of the stage.
        epochs: It still has; 0 for the test.
        batches: Of an epoch; of the test all of them.
        steps: Of an epoch.
        validations: It still has.
        batch_s: Seconds of a batch; None where it could not be tried.
        validation_s: Seconds of a validation.
    """

    name: str
    epochs: int
    batches: int
    steps: int
    validations: int
    batch_s: float | None
    validation_s: float

    @property
    def seconds(self) -> float | None:
        """Of all of it."""
        if self.batch_s is None:
            return None
        batches = max(1, self.epochs) * self.batches
        return self.batch_s * batches + self.validations * self.validation_s


class Forecast:
    """How long a training and its test take.

    Args:
        parts: What is ahead, the test last.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = {part.name: part for part in parts}
        self.factor = 1.0  # measured over foretold, of the newest stage that was measured

    def after(self, stage: str) -> float | None:
        """Seconds of what comes after a stage; None where they are not known."""
        names = list(self.parts)
        later = [self.parts[name].seconds for name in names[names.index(stage) + 1 :]]
        return None if None in later else self.factor * sum(s for s in later if s is not None)

    def facts(self, config: ExperimentConfig, samples: int, predict: str) -> dict[str, str]:
        """In words what is ahead.

        Args:
            config: The experiment.
            samples: Of the training split.
            predict: The command that answers meanwhile.
        """
        stages = [part for part in self.parts.values() if part.epochs]
        course = "; then ".join(
            f"{part.name}, {_counted(part.epochs, 'epoch')} of {_counted(part.steps, 'step')}"
            for part in stages
        )
        threads = _counted(int(config.trainer.threads), "thread")
        facts = {
            "training": f"{samples:,} samples of {config.data.name}, in batches of "
            f"{config.data.batch_size:,}, with {threads}: {course or 'done, but for the test'}",
            "time": self.in_words(),
        }
        if stages:
            facts["meanwhile"] = (
                f"`{predict}` answers with the newest weights from the first epoch on; Ctrl-C "
                "keeps them, and says how to go on"
            )
        return facts

    def in_words(self) -> str:
        """The time in all, and of each part, as far as it is known."""
        known = {name: part.seconds for name, part in self.parts.items()}
        told = [f"{name} {in_words(s)}" for name, s in known.items() if s is not None]
        if not told:
            return f"is told after {SOON_S:.0f} seconds of training"
        unknown = [name for name, seconds in known.items() if seconds is None]
        more = (
            f" and what {' and '.join(unknown)} takes, which is not known yet" if unknown else ""
        )
        total = sum(s for s in known.values() if s is not None)
        return f"about {in_words(total)} ({', '.join(told)}){more}, by measured steps"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def in_words(seconds: float) -> str:
    """A duration, as exact as a forecast is."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds > 20 else 0)):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def foretell(
    config: ExperimentConfig,
    module: LiftingModule,
    data: PoseDataModule,
    ahead: Sequence[tuple[Stage, int]],
) -> Forecast:
    """Measure what steps cost and foretell what a training takes.

    Args:
        config: The experiment.
        module: As its training starts; a copy of it takes the steps.
        data: Its data.
        ahead: Stages that are not finished, and the epochs that each has behind it.
    """
    options = config.trainer
    train = _batches(data.train_dataloader(), options.limit_train_batches)
    validated = scored_samples(data.val_dataloader(), options.limit_val_batches)
    tested = scored_samples(data.test_dataloader(), options.limit_test_batches)
    last = module.stages()[-1]
    costs = _measured(config, module, data, [*(stage for stage, _ in ahead), last])
    parts = []
    for stage, behind in ahead:
        epochs, batches = stage_epochs(options, stage.epochs), train
        period = validation_period(epochs, options.check_val_every)
        if options.max_steps > 0:
            batches = min(train, options.max_steps * options.accumulate)
            epochs = min(epochs, math.ceil(options.max_steps * options.accumulate / batches))
        batch_s, sample_s = costs.get(stage.name, (None, 0.0))
        parts.append(
            Part(
                stage.name, epochs - behind, batches, math.ceil(batches / options.accumulate),
                epochs // period - behind // period, batch_s, sample_s * validated,
            )
        )  # fmt: skip
    optimised = config.tto.enabled  # which takes many times as long as an answer
    answer_s = None if optimised or last.name not in costs else costs[last.name][1]
    parts.append(Part(SPLIT, 0, tested, 0, 0, answer_s, 0.0))
    return Forecast(parts)


def _batches(loader: BatchLoader, limit: int | None) -> int:
    return len(loader) if limit is None else min(limit, len(loader))


def scored_samples(loader: BatchLoader, limit: int | None) -> int:
    """Samples of a split that are scored.

    Args:
        loader: Of the split.
        limit: Batches at most, None for all.
    """
    sampler = loader.sampler
    return sum(sampler.size(number) for number in range(_batches(loader, limit)))


def _measured(
    config: ExperimentConfig, module: LiftingModule, data: PoseDataModule, stages: Sequence[Stage]
) -> Mapping[str, tuple[float, float]]:
    """Seconds of a training batch and of an evaluated sample by stage; none where not known."""
    if config.trainer.devices > 1 or uses_gpu(config):
        return {}
    costs: dict[str, tuple[float, float]] = {}
    try:
        own = copy.deepcopy(module)
        loader = iter(data.train_dataloader())
        batch: PoseBatch = next(loader)
        start = time.perf_counter()
        batch = next(loader, batch)
        gathered = 0.0 if config.data.workers else time.perf_counter() - start
        with torch.random.fork_rng(devices=()):
            for stage in stages:
                if stage.name not in costs:
                    own.begin_stage(stage)
                    step = seconds_of(steps_of(own.train(), batch), len(batch))
                    size = config.data.eval_batch_size
                    answers = seconds_of(parts_of(batch, torch.no_grad()(own.eval().infer)), size)
                    costs[stage.name] = gathered + step, answers / size
    except Exception as error:  # a method may need more of the trainer than there is yet
        log.debug("no forecast before the training: %s", error)
    return costs


class Pace(Callback):
    """How fast a stage really is, what is left of it and of all, and whether the forecast holds.

    Args:
        forecast: Of the training.
        stage: Name of the stage.
    """

    def __init__(self, forecast: Forecast, stage: str) -> None:
        self.forecast, self.stage = forecast, stage
        self.start = self.validating = 0.0
        self.done_before = self.validations = 0
        self.judged = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting; a resumed fit has batches behind it that cost no time now."""
        self.start = time.monotonic()
        self.done_before = trainer.fit_loop.total_batch_idx + 1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave validations out of the time of batches."""
        self.validating -= time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count one."""
        self.validating += time.monotonic()
        self.validations += 1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Make the forecast of the first seconds where there was none."""
        part = self.forecast.parts[self.stage]
        if part.batch_s is None and time.monotonic() - self.start > SOON_S:
            self._judge(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After the first epoch, correct a forecast that it contradicts."""
        self._judge(trainer)

    def _judge(self, trainer: pl.Trainer) -> None:
        """Compare with what was foretold, once."""
        batch_s = self._batch_s(trainer)
        if self.judged or batch_s is None:
            return
        self.judged = True
        foretold = self.forecast.parts[self.stage].batch_s
        if foretold:
            self.forecast.factor = batch_s / foretold
        if foretold is None or not 1 / WRONG < self.forecast.factor < WRONG:
            what = "by the first steps"
            if foretold is not None:
                what = (
                    f"corrected, a step of {self.stage} takes {1e3 * batch_s:.0f} ms, not "
                    f"{1e3 * foretold:.0f}"
                )
            print_facts({"time": f"{what}: left {self.left(trainer)}"})

    def _batch_s(self, trainer: pl.Trainer) -> float | None:
        fresh = trainer.fit_loop.total_batch_idx + 1 - self.done_before
        return (time.monotonic() - self.start - self.validating) / fresh if fresh > 0 else None

    def left(self, trainer: pl.Trainer) -> str:
        """Time to the end of the stage and of all as ``h:mm:ss``, ``-`` while it is not known."""
        done = trainer.fit_loop.total_batch_idx + 1
        batches = float(trainer.num_training_batches)
        epochs = trainer.max_epochs or 1
        total = batches * epochs
        if trainer.max_steps > 0:
            total = min(total, trainer.max_steps * trainer.accumulate_grad_batches)
        batch_s = self._batch_s(trainer)
        if batch_s is None or math.isinf(total):
            return "-"
        every = trainer.check_val_every_n_epoch or 1
        validations = math.ceil(total / batches) // every - int(done // batches) // every
        foretold = self.forecast.factor * self.forecast.parts[self.stage].validation_s
        validation_s = self.validating / self.validations if self.validations else foretold
        seconds = batch_s * max(0.0, total - done) + validation_s * max(0, validations)
        stage, later = timedelta(seconds=round(seconds)), self.forecast.after(self.stage)
        if later is None:
            return f"{stage} of {self.stage}"
        return f"{stage}, all {timedelta(seconds=round(seconds + later))}"
