"""How long an experiment trains in so many processor seconds: all its stages scaled alike.

A short training measures what a step, a validation, an epoch and the start of every stage cost.
Finished runs correct it. What was decided for a budget is kept, so that a command that is started
again goes on with the same trainings.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from lifting.atomic import write_text
from lifting.data.datamodule import STAGE_SPLITS, PoseDataModule
from lifting.data.sampler import BatchSampler
from lifting.errors import ConfigError
from lifting.experiment.build import (
    build_data,
    build_module,
    build_trainer,
    prepare_process,
    stage_epochs,
    validation_period,
)
from lifting.experiment.callbacks import stage_callbacks
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import machine_facts, matrix_gflops
from lifting.experiment.folder import CHECKPOINTS, FINISHED, settings_text
from lifting.experiment.processes import call_trainer
from lifting.experiment.terminal import print_facts
from lifting.methods.base import LiftingModule
from lifting.methods.settings import Stage

_LEAST_S = 1.0  # that a stage must have cost to say more than the calibration: notes have tenths
_LEAST, _MOST = 1e-6, 1e6  # of a scale; below and above it is a step, or no end


@dataclass(frozen=True)
class StageCost:
    """Processor seconds of the parts of a stage.

    Attributes:
        name: Of the stage.
        epochs: That it asks for, before scaling; None for the trainer's.
        start: Once, up to the first step.
        step: A step with its batch.
        validation: One.
        epoch: The rest of an epoch, such as its checkpoint.
    """

    name: str
    epochs: int | None
    start: float
    step: float
    validation: float
    epoch: float

    def seconds(self, epochs: int, steps: float, every: int) -> float:
        """Of a stage of so many epochs and steps, validated every so many epochs."""
        parts = epochs * self.epoch + epochs // every * self.validation
        return self.start + parts + steps * self.step

    def times(self, factor: float) -> StageCost:
        """All of it so many times dearer."""
        costs = {k: factor * getattr(self, k) for k in ("start", "step", "validation", "epoch")}
        return replace(self, **costs)


@dataclass
class Costs:
    """What is known of an experiment's cost, and what was decided.

    Attributes:
        seconds: Processor seconds of the calibration itself.
        batches: Batches of an epoch.
        samples: Training samples of a batch.
        stages: In their order.
        scales: How much longer than the experiment's own a training is, by budget.
        pose_cpu_ms: Processor milliseconds to lift a pose, once there are weights.
        gflops: Speed of the machine then, as of :func:`lifting.experiment.facts.matrix_gflops`.
    """

    seconds: float
    batches: int
    samples: float
    stages: list[StageCost]
    scales: dict[str, float] = field(default_factory=dict)
    pose_cpu_ms: float | None = None
    gflops: float | None = None

    def predicted(self, config: ExperimentConfig, scale: float = 1.0) -> float:
        """Processor seconds of a training.

        Args:
            config: The experiment.
            scale: How much longer than its own.
        """
        chosen = config.data.epoch_batches if _by_batches(config) else None
        grown = scaled(config, scale) if chosen is None else config
        batches = self.batches if chosen is None else scale * chosen
        return sum(
            stage.seconds(epochs, epochs * batches, every)
            for stage in self.stages
            for epochs, every in (_epochs(grown, stage.epochs),)
        )

    def corrected(self, runs: Iterable[Path], config: ExperimentConfig) -> Costs:
        """The same after what finished trainings really spent, stage by stage.

        Args:
            runs: Folders of trainings of one length.
            config: Their experiment.
        """
        folders, stages = list(runs), []
        for stage in self.stages:
            place = "" if stage is self.stages[-1] else stage.name
            spent, expected = 0.0, 0.0
            for folder in folders:
                note = json.loads((folder / CHECKPOINTS / place / FINISHED).read_text("utf-8"))
                every = _epochs(config, stage.epochs)[1]
                spent += note["cpu_seconds"]
                expected += stage.seconds(note["epochs"], note["steps"], every)
            enough = spent >= _LEAST_S * max(1, len(folders))
            stages.append(stage.times(spent / expected) if enough else stage)
        return replace(self, stages=stages)

    def scale_for(self, config: ExperimentConfig, budget: float) -> float:
        """How much longer than its own an experiment's training is that costs so much.

        Args:
            config: The experiment.
            budget: Processor seconds.
        """
        low, high = _LEAST, 1.0
        while high < _MOST and self.predicted(config, high) < budget:
            low, high = high, 2 * high
        for _ in range(40):
            middle = (low + high) / 2
            if self.predicted(config, middle) < budget:
                low = middle
            else:
                high = middle
        return float(f"{high:.6g}")


def _by_batches(config: ExperimentConfig) -> bool:
    """Whether the length of an experiment's epochs can be chosen."""
    return config.data.epoch_batches is not None and config.trainer.limit_train_batches is None


def scaled(config: ExperimentConfig, scale: float) -> ExperimentConfig:
    """An experiment with all its stages so many times as long: by the batches of an epoch.

    One whose epochs are passes over the data gets more of them.

    Args:
        config: The experiment.
        scale: Factor.
    """
    if _by_batches(config):
        assert config.data.epoch_batches is not None
        batches = max(1, round(scale * config.data.epoch_batches))
        return replace(config, data=replace(config.data, epoch_batches=batches))
    own = config.trainer.epoch_scale
    return replace(config, trainer=replace(config.trainer, epoch_scale=scale * own))


class CostFile:
    """The costs of an experiment, kept in a file for each of its settings and processors.

    They are measured where there is none.

    Args:
        output: Folder of the runs.
        config: The experiment.
        seconds: Processor seconds of training steps that measure each stage.

    Raises:
        ConfigError: The file is there, but damaged.
        OutputError: It cannot be written.
    """

    def __init__(self, output: Path, config: ExperimentConfig, seconds: float) -> None:
        of = machine_facts()["cpu"] + settings_text(config)  # another's seconds are others
        digest = hashlib.sha256(of.encode()).hexdigest()[:12]
        self.path = output / f"{config.name}.{digest}.costs.json"
        if not self.path.is_file():
            self.costs = replace(calibrate(config, seconds), gflops=matrix_gflops())
            self.save()
            spent = self.costs.seconds
            told = f"{config.name}: {spent:.1f} CPU seconds show what a step costs"
            print_facts({"calibration": told})
            return
        try:
            plain: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            plain["stages"] = [StageCost(**stage) for stage in plain["stages"]]
            self.costs = Costs(**plain)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise ConfigError(
                f"expected measured costs in {self.path}, got another file ({error}); remove "
                "it, and they are measured again"
            ) from error

    def save(self) -> None:
        """Write them down.

        Raises:
            OutputError: They cannot be written.
        """
        write_text(self.path, json.dumps(asdict(self.costs), indent=2) + "\n")


def calibrate(config: ExperimentConfig, seconds: float) -> Costs:
    """Train every stage for a moment, with one validation, and see what it costs.

    Args:
        config: The experiment; its folder is left alone.
        seconds: Processor seconds of training steps in each stage, unless an epoch ends before.
    """
    prepare_process(config)
    data = build_data(config)
    module = build_module(config, data.skeleton)
    for split in STAGE_SPLITS["fit"]:
        data.tracks(split)
    began = time.process_time()
    with TemporaryDirectory() as folder:
        stages = [
            _measured(config, module, data, stage, Path(folder) / stage.name, seconds)
            for stage in module.stages()
        ]
    sampler = data.train_dataloader().sampler
    assert isinstance(sampler, BatchSampler)
    batches, samples = len(sampler), sampler.length / len(sampler)
    limit = config.trainer.limit_train_batches
    return Costs(
        seconds=time.process_time() - began,
        batches=batches if limit is None else min(batches, limit),
        samples=samples,
        stages=stages,
    )


class _Clock(Callback):
    """Notes when the parts of a stage end, and stops it once its steps took long enough."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began = self.trained = time.process_time()
        self.steps: list[float] = []
        self.validation = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Everything is set up."""
        self.trained = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Enough of them?"""
        self.steps.append(time.process_time())
        if self.steps[-1] - self.steps[0] >= self.seconds:
            trainer.should_stop = True

    def on_validation_start(self, *_: Any) -> None:
        """It begins."""
        self.validation -= time.process_time()

    def on_validation_end(self, *_: Any) -> None:
        """It ends, and the stage with it."""
        self.validation += time.process_time()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One is enough."""
        trainer.should_stop = True


def _measured(
    config: ExperimentConfig,
    module: LiftingModule,
    data: PoseDataModule,
    stage: Stage,
    folder: Path,
    seconds: float,
) -> StageCost:
    options = replace(config.trainer, check_val_every=1, max_steps=-1)
    module.begin_stage(stage)
    clock = _Clock(seconds)
    callbacks = stage_callbacks(
        options,
        seed=config.seed,
        stage=stage.name,
        monitor=module.key_prefix + options.monitor,
        folder=folder,
    )
    trainer = build_trainer(
        replace(config, trainer=options),
        folder,
        callbacks=[*callbacks, clock],
        epochs=stage.epochs,
    )
    call_trainer(trainer, lambda: trainer.fit(module, datamodule=data))
    ended, marks = time.process_time(), clock.steps
    several = len(marks) > 1
    step = (marks[-1] - marks[0]) / (len(marks) - 1) if several else marks[0] - clock.trained
    return StageCost(
        name=stage.name,
        epochs=stage.epochs,
        start=max(0.0, marks[0] - clock.began - step),
        step=step,
        validation=clock.validation,
        epoch=max(0.0, ended - marks[-1] - clock.validation),
    )


def _epochs(config: ExperimentConfig, own: int | None) -> tuple[int, int]:
    """Epochs of a stage, and how many lie between two validations."""
    length = stage_epochs(config.trainer, own)
    return length, validation_period(length, config.trainer.check_val_every)
