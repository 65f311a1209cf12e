"""What a run keeps when it is resumed, and what may change.

A run keeps the configuration that it was started with, so that its record says how its weights
came about. Where its data lie may change, but not the data; so may what is logged and drawn, and a
training whose course does not depend on its length may become longer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lifting.errors import CheckpointError, ConfigError, DataError, LiftingError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import (
    BEST,
    CHECKPOINTS,
    CONFIG_FILE,
    EVALUATION,
    FINISHED,
    LAST,
    RECORD_FILE,
    SETTINGS_FILE,
    SUFFIX,
    run_of_checkpoint,
    runs_with,
    start_facts,
)
from lifting.experiment.load import flat, load_experiment, load_values, to_plain, to_run
from lifting.methods.base import LiftingModule
from lifting.methods.lifter import CHECKPOINT_KEY
from lifting.methods.settings import Stage

log = logging.getLogger(__name__)

LENGTH = "trainer.max_epochs"
FREE = (
    "description", "output", "data.root", "data.cache", "data.workers", "data.device",
    "trainer.threads", "trainer.progress", "wandb", "panels",
)  # fmt: skip
"""Keys and sections that say nothing of how weights come about."""
_OF_A_TEST = ("tto", "flip_test")
_SHOWN = 3


def check_settings(asked: ExperimentConfig, run: Path) -> bool:
    """Compare settings with those that a run was started with.

    Args:
        asked: With what it shall go on.
        run: Its folder.

    Returns:
        Whether its training shall have another length, see :func:`lengthen`.

    Raises:
        ConfigError: A setting differs that decides about the weights or the record.
    """
    stored = load_experiment(str(run / CONFIG_FILE))
    changed = _changed(stored, asked)
    if not changed or list(changed) == [LENGTH]:
        return bool(changed)
    scored = any(key.split(".")[0] in _OF_A_TEST for key in changed)
    raise ConfigError(
        f"expected the settings that {run} was started with, which it keeps, got others: "
        f"{_in_words(changed)}; leave them out to go on, or start a new run from its weights: "
        f"{_anew(asked, run)}"
        + (f"; to score its weights so: `lifting test {run / CONFIG_FILE}`" if scored else "")
    )


def check_claim(asked: ExperimentConfig, run: Path, checkpoint: Mapping[str, Any]) -> None:
    """Compare settings with those that the last checkpoint says it was trained with.

    Args:
        asked: With what it shall go on.
        run: Its folder.
        checkpoint: What was read of it.

    Raises:
        ConfigError: They differ: somebody changed the configuration of the run.
    """
    claimed = checkpoint[CHECKPOINT_KEY].get("experiment")
    if claimed is None or claimed == to_run(asked):  # none: of an older version
        return
    changed = _changed(load_values(claimed), asked)
    changed.pop(LENGTH, None)
    if changed:
        raise ConfigError(
            f"expected {run / CONFIG_FILE} as its checkpoints were trained with it, got other "
            f"settings in it: {_in_words(changed)}; put them back to go on, or start a new run "
            f"from its weights: {_anew(asked, run)}"
        )


def _changed(old: ExperimentConfig, new: ExperimentConfig) -> dict[str, tuple[Any, Any]]:
    """Old and new value of every key that differs and decides about weights or record."""
    theirs, mine = dict(flat(to_plain(old))), dict(flat(to_plain(new)))
    keys = (
        key
        for key in dict.fromkeys((*theirs, *mine))
        if not any(key == free or key.startswith(f"{free}.") for free in FREE)
    )
    pairs = {key: (theirs.get(key, "nothing"), mine.get(key, "nothing")) for key in keys}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new}


def _in_words(changed: Mapping[str, tuple[Any, Any]]) -> str:
    found = [f"{key} ({old}, now {new})" for key, (old, new) in changed.items()]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def unfinished_run(config: ExperimentConfig) -> Path | None:
    """The newest run of an experiment with these settings that was stopped after a whole epoch.

    Args:
        config: The experiment.
    """
    for run in runs_with(config.output, config.name, CONFIG_FILE):
        finished = run.name.endswith(EVALUATION) or (run / RECORD_FILE).is_file()
        if finished or not any((run / CHECKPOINTS).rglob(f"{LAST}{SUFFIX}")):
            continue
        with suppress(LiftingError):
            if not check_settings(config, run):
                return run
    return None


def check_nothing_selected(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Check that a stage without its best checkpoint had none.

    Args:
        checkpoint: The last one of the stage.
        path: Where it lies.

    Raises:
        CheckpointError: The validation had selected one, which is gone.
    """
    states = checkpoint.get("callbacks", {})
    if any(isinstance(s, Mapping) and s.get("best_model_path") for s in states.values()):
        best = path.with_stem(BEST)
        raise CheckpointError(
            f"expected {best}, which the validation selected, got no file; put it back, or score "
            f"the last state: `lifting test {run_of_checkpoint(path)}/{CONFIG_FILE} --checkpoint "
            f"{path}`"
        )


def check_data(asked: ExperimentConfig, run: Path, found: Mapping[str, str]) -> None:
    """Compare the data with those that a run began to learn from.

    Args:
        asked: With what it shall go on.
        run: Its folder.
        found: Fingerprint of each split that decides about the training.

    Raises:
        DataError: They are others.
    """
    began = start_facts(run).get("data")
    if not isinstance(began, dict) or not began:
        log.warning("%s does not say which data it began with: they are not compared", run)
        return
    for split, fingerprint in found.items():
        if fingerprint != began.get(split):
            raise DataError(
                f"expected the {split} split that {run} began with, of fingerprint "
                f"{began.get(split)}, got one of {fingerprint}; name the folder of its data with "
                f"data.root=FOLDER, or start a new run from its weights: {_anew(asked, run)}"
            )


def lengthen(asked: ExperimentConfig, run: Path, module: LiftingModule) -> None:
    """Let a training go on to another number of epochs, also one that was finished.

    It is no longer the finished run of a sweep or leaderboard then.

    Args:
        asked: With what it shall go on.
        run: Its folder.
        module: Its method.

    Raises:
        ConfigError: It would be shorter, or what was trained so far depends on the length.
    """
    old = load_experiment(str(run / CONFIG_FILE)).trainer.max_epochs
    places = [stage_folder(run, module, stage) for stage in module.stages()]
    growing = [i for i, stage in enumerate(module.stages()) if stage.epochs is None]
    later = places[growing[0] + 1 :] if growing else []
    reason = None
    if asked.trainer.max_epochs < old:
        reason = "a training is not made shorter"
    elif asked.optimizer.schedule == "cosine":
        reason = "under optimizer.schedule=cosine every step depends on the length"
    elif module.length_matters:
        reason = f"every epoch of {asked.method['name']} depends on the length"
    elif any(
        (places[i] / FINISHED).is_file() and not (places[i] / f"{LAST}{SUFFIX}").is_file()
        for i in growing
    ):
        reason = f"there is no {LAST}{SUFFIX} to go on from"
    elif any((place / f"{LAST}{SUFFIX}").is_file() for place in later):
        reason = "a later stage has begun from the weights of the one that would be longer"
    if reason is not None:
        raise ConfigError(
            f"expected {LENGTH}={old}, with which {run} was started, got "
            f"{asked.trainer.max_epochs}: {reason}; leave it out to go on, or start a new run "
            f"from its weights: {_anew(asked, run)}"
        )
    (run / SETTINGS_FILE).unlink(missing_ok=True)
    for index in growing:
        (places[index] / FINISHED).unlink(missing_ok=True)


def stage_folder(run: Path, module: LiftingModule, stage: Stage) -> Path:
    """Where the checkpoints of a stage lie; those of the last, which count, on top."""
    return run / CHECKPOINTS / ("" if stage == module.stages()[-1] else stage.name)


def _anew(asked: ExperimentConfig, run: Path) -> str:
    return f"`lifting train {asked.name} KEY=VALUE --init-from {run}`"
