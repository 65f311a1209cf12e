"""Train, evaluate and predict: the whole of a run, from its folder to its record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from lifting.atomic import write_text
from lifting.data.config import Split
from lifting.data.datamodule import PoseDataModule
from lifting.data.sampler import Share
from lifting.errors import ConfigError, ProcessError
from lifting.experiment.baselines import baseline_scores
from lifting.experiment.build import (
    build_data,
    build_module,
    build_trainer,
    optimization_callbacks,
    prepare_process,
    warn_of_few_steps,
)
from lifting.experiment.callbacks import (
    LastCheckpoint,
    seed_everywhere,
    stage_callbacks,
)
from lifting.experiment.checkpoint import load_weights, read_checkpoint
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.divergence import check_scores
from lifting.experiment.facts import build_record, matrix_gflops, run_facts
from lifting.experiment.folder import (
    BEST,
    CHECKPOINTS,
    CONFIG_FILE,
    EVALUATION,
    FINISHED,
    LAST,
    LEAST_FREE_BYTES,
    RECORD_FILE,
    SUFFIX,
    check_writable,
    create_run_folder,
    existing_run,
    note_start,
    output_folder,
)
from lifting.experiment.forecast import Forecast, Pace, foretell, scored_samples
from lifting.experiment.interruption import interruption
from lifting.experiment.load import save_resolved, to_run
from lifting.experiment.lock import remove_litter, training_lock
from lifting.experiment.loggers import build_loggers, close_loggers, first_process, log_facts
from lifting.experiment.monitor import check_monitor
from lifting.experiment.panels import FOLDER as PICTURES
from lifting.experiment.panels import PanelsCallback
from lifting.experiment.processes import call_trainer
from lifting.experiment.record import write_record
from lifting.experiment.recorded import recorded_scores
from lifting.experiment.resume import (
    check_claim,
    check_data,
    check_nothing_selected,
    check_settings,
    lengthen,
    stage_folder,
)
from lifting.experiment.sequences import SequenceScores
from lifting.experiment.shown_tracks import ShownTracks
from lifting.experiment.terminal import SPLIT, print_facts, print_summary, progress_callback
from lifting.experiment.threads import with_threads, works_alone
from lifting.experiment.trained import (
    INITIAL,
    claim,
    initialised_model,
    trained_model,
    write_weights,
)
from lifting.experiment.without_truth import supervision_callbacks
from lifting.methods.base import LiftingModule
from lifting.methods.settings import Stage
from lifting.metrics.protocol import get_protocol

SPLITS: tuple[Split, ...] = ("train", "val", "test")
SPENT = ("epochs", "steps", "seconds", "cpu_seconds")  # what a stage costs
# Weights, two moments of Adam, an average, for the best, the last and one being written.
COPIES_ON_DISK = 4 * 3


@dataclass(frozen=True)
class RunResult:
    """What a run leaves.

    Attributes:
        run_dir: Its folder.
        checkpoint: The weights that were scored.
        scores: Logged values of the test, by key.
        baselines: Scores by metric, by name of the baseline.
    """

    run_dir: Path
    checkpoint: Path
    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]


@dataclass
class _Run:
    """The parts of a run, and whether its folder holds what is worth keeping."""

    config: ExperimentConfig
    folder: Path
    module: LiftingModule
    data: PoseDataModule
    loggers: list[Logger]
    kept: bool


def train(
    config: ExperimentConfig, *, resume: Path | None = None, init_from: Path | None = None
) -> RunResult:
    """Train all stages of a method, then score the best checkpoint on the test split.

    Args:
        config: The experiment; of a run that is resumed, as it was started, see ``resume``.
        resume: Folder of an interrupted run to continue; finished stages are not repeated.
        init_from: Folder of a run, or a checkpoint, whose weights a new run starts from.

    Raises:
        ConfigError: The configuration cannot be followed.
        CheckpointError: The weights to start from do not fit.
        DataError: Data are missing or damaged, or not those that the run began with.
        OutputError: The run's folder cannot be written, which is known before training starts; or
            another process trains in it.
    """
    if resume is not None and init_from is not None:
        raise ConfigError(
            f"expected a run to resume or weights to start a new run from, got both, {resume} and "
            f"{init_from}; leave --resume or --init-from out"
        )
    with _started(config, resume=resume, init_from=init_from) as run:
        check_writable(run.folder, _space_needed(run.module))
        forecast = _announced(run) if config.trainer.progress else None
        stages = [_train_stage(run, stage, forecast) for stage in run.module.stages()]
        budget: dict[str, Any] = {"devices": config.trainer.devices}
        for key in SPENT:
            budget[key] = sum(spent[key] for _, spent in stages)
        return _score(run, stages[-1][0], budget)


def evaluate(config: ExperimentConfig, checkpoint: Path) -> RunResult:
    """Score a checkpoint on the test split.

    Args:
        config: The experiment.
        checkpoint: Weights of the experiment's method.

    Raises:
        CheckpointError: The checkpoint does not fit.
        OutputError: The record cannot be written.
    """
    with _started(config, suffix=EVALUATION, checkpoint=checkpoint) as run:
        return _score(run, checkpoint, {})


@contextmanager
def _started(
    config: ExperimentConfig,
    *,
    suffix: str = "",
    resume: Path | None = None,
    init_from: Path | None = None,
    checkpoint: Path | None = None,
) -> Iterator[_Run]:
    """Make the parts of a run and open its logs, which are closed at the end, come what may.

    Weights are scored on the test split alone; a training needs all splits. Whatever can be
    missing or unwritable is found out before the run's folder and logs exist; a run that is
    refused later, but before its first step, leaves no folder either.
    """
    with ExitStack() as stack:
        longer = False
        if resume is None:
            stack.enter_context(output_folder(config))
        else:
            existing_run(resume)
            if first_process():
                stack.enter_context(training_lock(resume))
                remove_litter(resume)
            longer = check_settings(config, resume)
        prepare_process(config)
        if checkpoint is None:
            module, data = _untrained(config, resume, init_from)
            config = with_threads(config, module, data)
        else:
            module, data = trained_model(config, checkpoint)
            data.tracks("test")
        if longer and resume is not None and first_process():
            lengthen(config, resume, module)
        folder = resume or create_run_folder(config, suffix)
        if checkpoint is None:
            interruption.run = folder
        run = _Run(config, folder, module, data, [], kept=resume is not None)
        with _logged(run):
            if first_process():
                if resume is None:
                    stack.enter_context(training_lock(folder))
                    note_start(folder, module.claim.get("data", {}))
                    if init_from is not None:
                        write_weights(module, folder / CHECKPOINTS / INITIAL)
                save_resolved(config, folder / CONFIG_FILE)
            size = sum(p.numel() for p in module.parameters())
            print_facts({"run": folder, "parameters": f"{size:,}"})
            run.loggers += build_loggers(config, folder, to_run(config))
            yield run


def _untrained(
    config: ExperimentConfig, resume: Path | None, init_from: Path | None
) -> tuple[LiftingModule, PoseDataModule]:
    """The module as its training starts, and all splits of its data."""
    if resume is not None and (resume / CHECKPOINTS / INITIAL).is_file():
        init_from = resume / CHECKPOINTS / INITIAL
    origin: dict[str, Any] = {}
    if init_from is None:
        data = build_data(config)
        module = build_module(config, data.skeleton)
    else:
        module, data, origin = initialised_model(config, init_from)
    for split in SPLITS:
        data.tracks(split)
    if config.trainer.devices > 1:
        data.train_dataloader(Share(0, config.trainer.devices))  # refuses too small batches
    check_monitor(config, module, data)
    warn_of_few_steps(config, data)
    module.claim = {**claim(config, data), **origin}
    if resume is not None:
        check_data(config, resume, module.claim["data"])
    return module, data


@contextmanager
def _logged(run: _Run) -> Iterator[None]:
    """Close the logs at the end, and remove the folder of a run that never began."""
    done, refused = False, False
    try:
        yield
        done = True
    except Exception as error:
        refused = not run.kept and not isinstance(error, ProcessError)
        raise
    finally:
        close_loggers(run.loggers, failed=not done)
        if refused and first_process():
            shutil.rmtree(run.folder, ignore_errors=True)


def _announced(run: _Run) -> Forecast:
    """Say what is ahead and how long it will take."""
    ahead = []
    for stage in run.module.stages():
        folder = stage_folder(run.folder, run.module, stage)
        last, behind = folder / f"{LAST}{SUFFIX}", 0
        if _spent(folder) is None:
            if last.is_file():
                behind = int(read_checkpoint(last).get("epoch", -1)) + 1
            ahead.append((stage, behind))
    forecast = foretell(run.config, run.module, run.data, ahead)
    samples = run.data.train_dataloader().sampler.samples
    print_facts(forecast.facts(run.config, samples, interruption.predict))
    return forecast


def _train_stage(
    run: _Run, stage: Stage, forecast: Forecast | None
) -> tuple[Path, dict[str, float]]:
    """Fit one stage, or continue or skip it; its best weights are in the module afterwards.

    Returns:
        The checkpoint that was selected, and what the stage cost.
    """
    final = stage == run.module.stages()[-1]
    folder = stage_folder(run.folder, run.module, stage)
    run.module.begin_stage(stage)
    spent = _spent(folder)
    if spent is None:
        spent = _fit(run, stage, folder, forecast, final=final)
        write_text(folder / FINISHED, json.dumps(spent) + "\n")
    best = folder / f"{BEST}{SUFFIX}"
    # A step limit may end a stage before its first validation: then nothing was selected.
    chosen = best if best.is_file() else folder / f"{LAST}{SUFFIX}"
    checkpoint = read_checkpoint(chosen, run.module.settings.method)
    if chosen != best:
        check_nothing_selected(checkpoint, chosen)
    check_claim(run.config, run.folder, checkpoint)
    load_weights(run.module, checkpoint, chosen)
    return chosen, spent


def _spent(folder: Path) -> dict[str, float] | None:
    """What a finished stage cost; None for one that is not, or whose note of it is damaged."""
    try:
        spent = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        return spent if all(spent[key] >= 0 for key in SPENT) else None
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _fit(
    run: _Run, stage: Stage, folder: Path, forecast: Forecast | None, *, final: bool
) -> dict[str, float]:
    """Train a stage, from its last checkpoint if there is one; returns what it cost."""
    config, module = run.config, run.module
    seed_everywhere(config.seed, stage.name)
    monitor = module.key_prefix + config.trainer.monitor
    callbacks = supervision_callbacks(config, run.data) + stage_callbacks(
        config.trainer, seed=config.seed, stage=stage.name, monitor=monitor, folder=folder
    )
    if forecast is not None:
        pace = Pace(forecast, stage.name)
        callbacks += [pace, progress_callback(monitor, stage.name, pace.left)]
    if final:
        callbacks.append(PanelsCallback(config.panels, run.folder))
    trainer = build_trainer(
        config, run.folder, callbacks=callbacks, loggers=run.loggers, epochs=stage.epochs
    )
    last = folder / f"{LAST}{SUFFIX}"
    path = None
    if last.is_file():
        checkpoint = read_checkpoint(last, module.settings.method)
        check_claim(config, run.folder, checkpoint)
        if not (folder / f"{BEST}{SUFFIX}").is_file():
            check_nothing_selected(checkpoint, last)
        path = str(last)
    elif (folder / f"{BEST}{SUFFIX}").is_file():
        print_facts({"stage": f"{stage.name} from its start, there is no {last}"})
    try:
        call_trainer(
            trainer,
            lambda: trainer.fit(module, datamodule=run.data, ckpt_path=path, weights_only=True),
        )
    finally:
        run.kept = run.kept or trainer.global_step > 0
    return {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        **next(c for c in callbacks if isinstance(c, LastCheckpoint)).spent(),
    }


def _score(run: _Run, checkpoint: Path, budget: dict[str, Any]) -> RunResult:
    """Test a checkpoint's weights, which the module has; write and print the outcome."""
    config, module, data = run.config, run.module, run.data
    callbacks: list[Callback] = [
        *optimization_callbacks(config),
        PanelsCallback(config.panels, run.folder),
        SequenceScores(run.folder),
    ]
    if config.panels.tracks > 0:
        callbacks.append(ShownTracks(config.panels.tracks, run.folder))
    if config.trainer.progress:
        callbacks.append(progress_callback(config.trainer.monitor, SPLIT))
        samples = scored_samples(data.test_dataloader(), config.trainer.limit_test_batches)
        print_facts({SPLIT: f"{samples:,} samples of {config.data.name}, then the baselines"})
    module.pictures = run.folder / PICTURES if config.panels.worst > 0 else None
    trainer = build_trainer(config, run.folder, callbacks=callbacks, loggers=run.loggers)
    seed_everywhere(config.seed, SPLIT)
    call_trainer(trainer, lambda: trainer.test(module, datamodule=data, verbose=False))
    scores = {key: float(value) for key, value in trainer.callback_metrics.items()}
    check_scores(scores, get_protocol(config.protocol).headline)
    baselines = baseline_scores(data, module.settings, config.trainer.limit_test_batches)
    if not baselines:
        print_facts({"baselines": "left out, the training data are not there"})
    log_facts(run.loggers, run_facts(module, data))
    record = build_record(config, module, data, scores, baselines, budget)
    if trainer.is_global_zero:
        write_record(run.folder / RECORD_FILE, record)
    run.kept = True
    print_summary(
        f"{config.name}: {config.data.name}, {SPLIT} split",
        scores,
        baselines,
        {"run": run.folder, "checkpoint": checkpoint, "record": run.folder / RECORD_FILE},
        method=str(config.method["name"]),
        recorded=recorded_scores(record, config.data.name, matrix_gflops)
        if works_alone(config)
        else None,
    )
    return RunResult(run.folder, checkpoint, scores, baselines)


def _space_needed(module: LiftingModule) -> int:
    return LEAST_FREE_BYTES + COPIES_ON_DISK * sum(p.nbytes for p in module.parameters())
