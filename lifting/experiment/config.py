"""Schema of an experiment file. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from lifting.data.config import DataConfig
from lifting.methods.settings import OptimizerConfig
from lifting.tto.config import TtoConfig

AUTO = "auto"


@dataclass
class EmaConfig:
    """Exponential moving average of the weights.

    Attributes:
        decay: Per optimiser step; 0 switches it off.
        warmup: Let the decay rise to its value over the first steps.
        evaluate: Validate, test and save the averaged weights (else they are only kept beside).
    """

    decay: float = 0.0
    warmup: bool = True
    evaluate: bool = True


@dataclass
class TrainerConfig:
    """How long and on what to train.

    Attributes:
        max_epochs: Epochs of the last stage (a method's earlier stages name their own).
        epoch_scale: Multiplies the epochs of every stage (at least one is left): a small value
            gives a quick run, and `lifting leaderboard` sets it where an experiment has
            no ``data.epoch_batches``, which else it scales.
        max_steps: Optimiser steps at most in a stage, -1 for no limit.
        limit_train_batches: Batches an epoch at most, None for all.
        limit_val_batches: Validation batches at most, None for all.
        limit_test_batches: Test batches at most, None for all.
        accelerator: Lightning's accelerator.
        devices: Number of devices, each with a process of its own; they share out the batches of
            ``data.batch_size``, so that steps and epochs are those of one.
        strategy: Lightning's strategy.
        precision: Lightning's precision, for example 32-true or bf16-mixed.
        gradient_clip: Global norm, 0 is off.
        accumulate: Batches whose gradients are averaged over their samples for one step; the last
            step of an epoch takes those that are left.
        check_val_every: Epochs between two validations at most; the last epoch is always
            validated.
        patience: Validations without improvement before stopping, 0 never stops early.
        monitor: Logged key that chooses the best checkpoint; on the validation split only.
        threads: CPU threads of torch; ``auto`` takes a training's steps with one and with all
            that the process may use, and keeps all where they are 1.3 times as fast; the run's
            configuration then has the number. 0 leaves torch's own choice.
        deterministic: Ask torch for deterministic algorithms.
        progress: Show progress bars.
        ema: Averaged weights.
    """

    max_epochs: int = 10
    epoch_scale: float = 1.0
    max_steps: int = -1
    limit_train_batches: int | None = None
    limit_val_batches: int | None = None
    limit_test_batches: int | None = None
    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    gradient_clip: float = 0.0
    accumulate: int = 1
    check_val_every: int = 1
    patience: int = 0
    monitor: str = "val/mpjpe_mm"
    threads: int | str = AUTO
    deterministic: bool = False
    progress: bool = True
    ema: EmaConfig = field(default_factory=EmaConfig)


@dataclass
class WandbConfig:
    """Weights & Biases.

    Attributes:
        mode: ``auto`` is online with a key and a network, else offline; never asks, never hangs.
        project: Project name.
        entity: Team or user, None for the key's default.
        timeout: Seconds to wait for the network before falling back to offline.
        log_model: Upload the best checkpoint as an artifact.
        tags: Tags of the run.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "lifting"
    entity: str | None = None
    timeout: float = 2.0
    log_model: bool = True
    tags: tuple[str, ...] = ()


@dataclass
class PanelsConfig:
    """Pictures and tables that go with a run.

    Attributes:
        worst: Worst test samples shown; 0 also leaves out the pictures of a method's own.
        every: Validations between two sets of pictures, 0 draws after the test only.
        tracks: Test tracks shown whole, predictions beside truth: as a page, as a film of the
            first frames, and in W&B as a table, too. 0 shows none.
    """

    worst: int = 8
    every: int = 0
    tracks: int = 0


@dataclass
class ExperimentConfig:
    """A whole experiment: everything a run depends on.

    Attributes:
        name: Name of the experiment, by default that of its file.
        description: One line for ``lifting experiments``.
        seed: Seeds weights, batches and sampling.
        method: ``name`` of the method and the keys of its own ``Config``.
        protocol: Benchmark protocol that scores it.
        flip_test: Average the prediction with that of the mirrored input.
        pss: Files with clusters of the pose structure score, one for each number of clusters;
            relative ones lie beside the experiment files.
        data: Data section.
        optimizer: Optimiser section.
        trainer: Trainer section.
        wandb: Weights & Biases section.
        panels: Pictures and tables.
        tto: Test-time optimisation, while testing and predicting.
        output: Folder under which runs are written.
        run: Ends the name of the run's folder, after date and time; None is the data set's name.
    """

    name: str = "experiment"
    description: str = ""
    seed: int = 0
    method: dict[str, Any] = field(default_factory=dict)
    protocol: str = "default"
    flip_test: bool = False
    pss: tuple[str, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    panels: PanelsConfig = field(default_factory=PanelsConfig)
    tto: TtoConfig = field(default_factory=TtoConfig)
    output: str = "outputs"
    run: str | None = None
