"""Folders of runs: ``outputs/<experiment>/<date>-<name>/``, writable or not, finished or not.

The date is the UTC time of the start, for people; how old a run is stands in the run. A comparison
does not repeat a finished run of the same settings. Imports no torch.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lifting.atomic import write_text
from lifting.errors import ConfigError, OutputError, suggest
from lifting.experiment.config import ExperimentConfig

CONFIG_FILE, RECORD_FILE, CHECKPOINTS, FINISHED = (
    "config.yaml",
    "result.json",
    "checkpoints",
    "finished",
)
START_FILE = "start.json"
BEST, LAST, SUFFIX = "best", "last", ".ckpt"
EVALUATION = "-evaluate"  # ends the names of folders in which nothing was trained
LEAST_FREE_BYTES = 64 * 2**20
DATE, DATE_LENGTH = "%Y%m%d-%H%M%S", 15
# A launcher starts a process for each device; all of them write to the first one's folder.
SHARED_RUN_VARIABLE = "LIFTING_RUN_DIR"

SETTINGS_FILE = "settings.json"
# Where a run is written, and what is logged and drawn of it, does not change what is measured.
_BESIDE = ("description", "output", "panels", "wandb")


@contextmanager
def output_folder(config: ExperimentConfig) -> Iterator[Path]:
    """The folder of an experiment's runs, made when missing, after a test that it can be written.

    If it was made here and is still empty in the end, because a run was refused, it goes again.

    Args:
        config: The experiment; ``output`` and ``name`` are read.

    Raises:
        OutputError: The place cannot be written or has no room.
    """
    folder = Path(config.output).expanduser() / config.name
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield _made(folder)
    finally:
        with suppress(OSError):  # of a run that stays, the first of them
            for place in made:
                place.rmdir()


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    check_writable(folder)
    return folder


def create_run_folder(config: ExperimentConfig, suffix: str = "") -> Path:
    """Make the folder of a new run, in a place that was tested to be writable.

    Args:
        config: The experiment; ``output``, ``name``, ``run`` and the data's name are read.
        suffix: Appended to the folder's name.

    Raises:
        OutputError: The place cannot be written or has no room.
    """
    shared = os.environ.get(SHARED_RUN_VARIABLE)
    if shared and os.environ.get("LOCAL_RANK", "0") != "0":
        return Path(shared)
    parent = _made(Path(config.output).expanduser() / config.name)
    date = datetime.now(UTC).strftime(DATE)
    name = f"{date}-{config.run or config.data.name}{suffix}"
    try:
        folder = _fresh(parent, name)
    except OSError as error:
        raise _unwritable(parent, error) from error
    os.environ[SHARED_RUN_VARIABLE] = str(folder)
    return folder


def check_writable(folder: Path, needed_bytes: int = LEAST_FREE_BYTES) -> None:
    """Check that files can be written to a folder and that it has room.

    Args:
        folder: An existing folder.
        needed_bytes: What the run will write at least.

    Raises:
        OutputError: It cannot be written, or has less room.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _unwritable(folder, error) from error
    if free < needed_bytes:
        raise OutputError(
            f"expected {needed_bytes / 2**20:.0f} MB of room in {folder}, got "
            f"{free / 2**20:.0f} MB; free some space or choose another folder with output=FOLDER, "
            "or --output where a command has it"
        )


def newest_weights(run: Path) -> Path | None:
    """The checkpoint of a run that counts so far; None before its first whole epoch.

    Of the newest stage that has any it is the best, else the last. The last stage's lie on top;
    before it has any, the newest stage is the one that is not finished.

    Args:
        run: Its folder.
    """
    top = run / CHECKPOINTS
    stages: list[tuple[bool, bool, int, Path]] = []
    for folder in (top, *top.glob("*/")):
        for name in (BEST, LAST):
            path = folder / f"{name}{SUFFIX}"
            with suppress(OSError):
                age = path.stat().st_mtime_ns
                stages.append((folder == top, not (folder / FINISHED).is_file(), age, path))
                break
    return max(stages, default=(None,))[-1]


def has_ended(run: Path) -> bool:
    """Whether the training of a run has reached its end; a run that was thinned out tells, too."""
    top = run / CHECKPOINTS
    kept = (run / RECORD_FILE).is_file() and not (top / f"{LAST}{SUFFIX}").is_file()
    return kept or (top / FINISHED).is_file()


def newest_run(
    output: str,
    experiment: str,
    containing: str | None = None,
    fits: Callable[[Path], bool] = lambda run: True,
) -> Path:
    """The newest training run of an experiment that has a certain file.

    Args:
        output: Folder of all runs.
        experiment: Name of the experiment.
        containing: The file, relative to the run's folder; None for :func:`newest_weights`.
        fits: Whether a run will do; the newest is asked first. Where none does, the newest of all
            is given, so that what is wrong with it can be said.

    Raises:
        ConfigError: There is none.
    """
    runs = _trainings(output, experiment, containing)
    if runs:
        return next(filter(fits, runs), runs[0])
    begun = [] if containing else _trainings(output, experiment, CONFIG_FILE)
    advice = f"train one with `lifting train {experiment}` or name the file"
    if begun and not has_ended(begun[0]):
        advice = f"wait for the first whole epoch of {begun[0]}, or go on with it"
    raise ConfigError(
        f"expected a run with {containing or 'weights'} in "
        f"{Path(output).expanduser() / experiment}, got none; {advice}"
    )


def _trainings(output: str, experiment: str, containing: str | None) -> list[Path]:
    runs = runs_with(output, experiment, containing)
    return [folder for folder in runs if not folder.name.endswith(EVALUATION)]


def runs_with(output: str, experiment: str, containing: str | None) -> list[Path]:
    """The runs of an experiment that have a certain file, evaluations included, the newest first.

    Args:
        output: Folder of all runs.
        experiment: Name of the experiment.
        containing: The file, relative to a run's folder; None for :func:`newest_weights`.
    """
    parent = Path(output).expanduser() / experiment
    files = {
        folder: newest_weights(folder) if containing is None else folder / containing
        for folder in parent.glob("*")
    }
    found = {folder: file for folder, file in files.items() if file and file.is_file()}

    def age(folder: Path) -> tuple[datetime, int, int]:
        began, number = _age(folder)
        # Names of older versions tell the second; of two, the later wrote its file later.
        return began, number, found[folder].stat().st_mtime_ns

    return sorted(found, key=age, reverse=True)


def note_start(folder: Path, data: Mapping[str, str]) -> None:
    """Write down when a run starts, which of its experiment's runs it is, and what it learns from.

    Args:
        folder: Folder of the run.
        data: Fingerprint of each split that decides about the training.

    Raises:
        OutputError: The file cannot be written.
    """
    others = [_age(run)[1] for run in folder.parent.glob("*") if run.is_dir()]
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "number": 1 + max(others, default=0),
        "data": dict(data),
    }
    write_text(folder / START_FILE, json.dumps(facts, indent=2) + "\n")


def start_facts(folder: Path) -> dict[str, Any]:
    """What :func:`note_start` wrote; empty for a run of an older version."""
    try:
        facts = json.loads((folder / START_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _age(folder: Path) -> tuple[datetime, int]:
    """When a run began, and its number; of an older version by its name, in this place's time."""
    facts = start_facts(folder)
    try:
        return datetime.fromisoformat(facts["started"]).astimezone(UTC), int(facts["number"])
    except (KeyError, TypeError, ValueError):
        pass
    try:
        return datetime.strptime(folder.name[:DATE_LENGTH], DATE).astimezone(UTC), 0
    except ValueError:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC), 0


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, finished or not."""
    return any((folder / name).exists() for name in (START_FILE, CHECKPOINTS, RECORD_FILE))


def run_of_checkpoint(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, if it lies in one."""
    for folder in checkpoint.resolve().parents[:3]:
        if (folder / CONFIG_FILE).is_file():
            return folder
    return None


def existing_run(folder: Path) -> Path:
    """A run's folder that is to be continued.

    Raises:
        ConfigError: It is not the folder of a run, or of one that trained nothing.
        OutputError: It cannot be written or has no room.
    """
    if not (folder / CONFIG_FILE).is_file():
        near = [f.name for f in folder.parent.glob("*") if (f / CONFIG_FILE).is_file()]
        what = f"which has no {CONFIG_FILE}" if folder.is_dir() else "which is no folder"
        what = what if folder.exists() else "which is not there"
        do = suggest(folder.name, near) if near else (
            "leave --resume out to start a run, or give `--resume last` for the newest of the "
            "experiment"
        )  # fmt: skip
        raise ConfigError(f"expected the folder of a run, got {folder}, {what}; {do}")
    if folder.name.endswith(EVALUATION):
        raise ConfigError(
            f"expected the folder of a training, got {folder}, which only tested weights; name "
            "the run that trained them"
        )
    check_writable(folder)
    return folder


def _fresh(parent: Path, name: str) -> Path:
    """A new folder; a number is appended when two runs start in the same second."""
    for number in range(1, 1000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise OutputError(f"expected a free name for a run in {parent}, got 1000 of {name}")


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"expected to write to {folder}, got '{error.strerror or error}'; choose another folder "
        "with output=FOLDER, or --output where a command has it"
    )


def finished_run(
    config: ExperimentConfig, weights_of: ExperimentConfig | None = None
) -> Path | None:
    """The newest run that was marked as finished with these settings, None if there is none.

    Args:
        config: The experiment.
        weights_of: The experiment whose weights were tested, for a run that trained none.
    """
    wanted = settings_text(config, weights_of)
    for run in runs_with(config.output, config.name, SETTINGS_FILE):
        if (run / SETTINGS_FILE).read_text(encoding="utf-8") == wanted:
            return run
    return None


def mark_finished(
    folder: Path, config: ExperimentConfig, weights_of: ExperimentConfig | None = None
) -> Path:
    """Keep a finished run's settings in its folder, where :func:`finished_run` looks for them.

    Args:
        folder: Folder of the run.
        config: The experiment.
        weights_of: As in :func:`finished_run`.

    Returns:
        The folder.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(folder / SETTINGS_FILE, settings_text(config, weights_of))
    return folder


def settings_text(config: ExperimentConfig, weights_of: ExperimentConfig | None = None) -> str:
    """What decides about a run's numbers, as JSON.

    Args:
        config: The experiment.
        weights_of: As in :func:`finished_run`.
    """
    parts = [config] if weights_of is None else [config, weights_of]
    plain = [{k: v for k, v in asdict(part).items() if k not in _BESIDE} for part in parts]
    return json.dumps(plain, sort_keys=True)
