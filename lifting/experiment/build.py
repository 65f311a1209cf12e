"""From a configuration to the parts of a run: module, data, trainer."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from lifting.data.config import Split
from lifting.data.datamodule import PoseDataModule
from lifting.data.info import Supervision
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError
from lifting.experiment.callbacks import seed_everywhere
from lifting.experiment.checkpoint import (
    described,
    load_weights,
    method_config_of,
    read_checkpoint,
)
from lifting.experiment.checkpoint_io import AtomicCheckpointIO
from lifting.experiment.claims import build_settings
from lifting.experiment.config import ExperimentConfig, TrainerConfig
from lifting.experiment.load import method_config
from lifting.experiment.schema import to_schema
from lifting.methods.base import LiftingModule
from lifting.methods.discovery import load_module_class
from lifting.methods.lifter import CHECKPOINT_KEY
from lifting.methods.settings import BuiltOn, ModuleSettings
from lifting.metrics.protocol import get_protocol
from lifting.nn.threads import set_threads
from lifting.skeleton import H36M_17, Skeleton
from lifting.tto.callback import TestTimeOptimization

LOG_EVERY_STEPS = 50
FEW_STEPS = 20
log = logging.getLogger(__name__)


def build_module(config: ExperimentConfig, skeleton: Skeleton = H36M_17) -> LiftingModule:
    """The method with fresh weights, which depend on the seed alone.

    Args:
        config: The experiment.
        skeleton: Joints of its data, to which the method is built.

    Raises:
        ConfigError: Unknown method or protocol, or values that the method refuses.
    """
    get_protocol(config.protocol)
    method, settings = method_config(config.method), build_settings(config, skeleton)
    seed_everywhere(config.seed, "weights")
    return make_module(method, settings)


def make_module(config: Any, settings: ModuleSettings) -> LiftingModule:
    """A method's module with fresh weights, on top of another's where the method asks for one.

    Args:
        config: The method's own ``Config``.
        settings: What the run gives to every method.

    Raises:
        CheckpointError: The trained model below cannot be read.
        ConfigError: Unknown method, or values that it refuses.
    """
    base: list[LiftingModule] = []
    if isinstance(config, BuiltOn):
        below = config.base_method()
        if isinstance(below, Path):
            base.append(frozen_module(below))
        else:
            own = replace(settings, method=str(below["name"]))
            base.append(make_module(method_config(below), own))
    return load_module_class(settings.method)(config, settings, *base)


def frozen_module(path: Path) -> LiftingModule:
    """The module of a checkpoint, in evaluation mode, with frozen weights.

    Args:
        path: Written by ``lifting train`` or ``lifting convert``.

    Raises:
        CheckpointError: No such file, or it is unsafe, damaged, or no checkpoint of a method that
            is installed.
    """
    checkpoint = read_checkpoint(path)
    facts = checkpoint[CHECKPOINT_KEY]
    with described(path):
        values = {**facts["settings"], "method": facts["method"]}
        skeleton = values.pop("skeleton", H36M_17.name)
        settings = replace(to_schema(ModuleSettings, values, "settings"), skeleton=skeleton)
        module = make_module(method_config(method_config_of(checkpoint)), settings)
    load_weights(module, checkpoint, path)
    module.supervision = Supervision(str(facts.get("supervision", "unknown")))
    return module.requires_grad_(False).eval()


def build_data(
    config: ExperimentConfig,
    skeleton: Skeleton | None = None,
    fps: float | None = None,
    test: PoseTracks | None = None,
) -> PoseDataModule:
    """The data module.

    Args:
        config: The experiment.
        skeleton: Joints that weights were trained for; None before a training.
        fps: Frames a second that they were trained at.
        test: Tracks to lift instead of the data set's.
    """
    given: dict[Split, PoseTracks] = {} if test is None else {"val": test, "test": test}
    protocol = get_protocol(config.protocol)
    choices = [protocol.joints, *(choice.scored for choice in protocol.others.values())]
    scored = {joint for joints in choices for group in joints.values() for joint in group}
    return PoseDataModule(
        config.data, config.seed, given, skeleton=skeleton, fps=fps, scored=scored
    )


def warn_of_few_steps(config: ExperimentConfig, data: PoseDataModule) -> None:
    """Say when an epoch is so short that a training of some epochs learns nothing.

    Args:
        config: The experiment.
        data: Its data.
    """
    if config.data.epoch_batches is not None or config.trainer.limit_train_batches is not None:
        return
    loader = data.train_dataloader()
    steps = math.ceil(len(loader) / config.trainer.accumulate)
    if steps < FEW_STEPS:
        log.warning(
            "expected an epoch of at least %d steps, got %d from %s samples: lower "
            "data.batch_size=%d, or let data.epoch_batches say how many batches an epoch has, "
            "whatever the number of samples",
            FEW_STEPS, steps, f"{loader.sampler.samples:,}", config.data.batch_size,
        )  # fmt: skip


def validation_period(epochs: int, wanted: int) -> int:
    """Epochs between two validations: at most those wanted, and such that the last is validated.

    The learning rate is lowest at the end of a training, so the end must not be missed.
    """
    return next(n for n in range(min(wanted, epochs), 0, -1) if epochs % n == 0)


def stage_epochs(options: TrainerConfig, epochs: int | None) -> int:
    """Epochs of a stage after scaling.

    Args:
        options: Trainer section.
        epochs: Those that the stage asks for; None takes the section's.
    """
    return max(1, round((epochs or options.max_epochs) * options.epoch_scale))


def build_trainer(
    config: ExperimentConfig,
    run_dir: Path,
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    epochs: int | None = None,
) -> pl.Trainer:
    """A trainer for one stage, or for evaluation.

    Args:
        config: The experiment.
        run_dir: Folder of the run.
        callbacks: Its callbacks.
        loggers: Its loggers.
        epochs: Length of the stage before scaling; None takes the trainer section's.

    Raises:
        ConfigError: The machine cannot do what the trainer section asks for.
    """
    options = config.trainer
    length = stage_epochs(options, epochs)
    every = min(LOG_EVERY_STEPS, options.limit_train_batches or LOG_EVERY_STEPS)
    try:
        trainer = pl.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=options.strategy,
            precision=options.precision,  # type: ignore[arg-type]
            max_epochs=length,
            max_steps=options.max_steps,
            limit_train_batches=options.limit_train_batches,
            limit_val_batches=options.limit_val_batches,
            limit_test_batches=options.limit_test_batches,
            gradient_clip_val=options.gradient_clip or None,
            accumulate_grad_batches=options.accumulate,
            check_val_every_n_epoch=validation_period(length, options.check_val_every),
            deterministic=options.deterministic,
            enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
            enable_model_summary=False,
            enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
            num_sanity_val_steps=0,
            log_every_n_steps=every,
            inference_mode=False,  # test-time optimisation differentiates
            use_distributed_sampler=False,  # the data module shares out its samples itself
            default_root_dir=run_dir,
            callbacks=list(callbacks),
            logger=list(loggers) or False,
            plugins=[AtomicCheckpointIO()],
        )
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        raise ConfigError(
            f"expected trainer settings that this machine can follow, got: {error}; change "
            "trainer.accelerator, devices, strategy or precision"
        ) from error
    # It would replace the handlers of the command by one that communicates, and that ends a run as
    # if it were done. There is no option for it.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def optimization_callbacks(config: ExperimentConfig) -> list[Callback]:
    """Test-time optimisation, if it is on; put it before callbacks that look at predictions."""
    if not config.tto.enabled:
        return []
    return [TestTimeOptimization(config.tto, flip=config.flip_test)]


def prepare_process(config: ExperimentConfig) -> None:
    """Threads of torch, and silence for hints that do not concern the user."""
    set_threads(config.trainer.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for hint in (
        ".*does not have many workers.*",  # tensors are gathered in the main process on purpose
        ".*is smaller than the logging interval.*",  # short epochs are logged at their end
        ".*in eval mode at the start of training.*",  # parts of other stages are frozen
        ".*when logging on epoch level in distributed.*",  # metrics are summed over processes
        ".*LeafSpec.*",  # Lightning's own tree utilities under a newer torch
        ".*Checkpoint directory .* exists and is not empty.*",  # resuming is meant to
    ):
        warnings.filterwarnings("ignore", hint)
