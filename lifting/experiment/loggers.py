"""Loggers of a run: a CSV file always, Weights & Biases as configuration and network allow.

wandb is imported here alone in a run, and only when the run wants it.
"""

from __future__ import annotations

import csv
import importlib
import io
import logging
import os
import shlex
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from lifting.atomic import not_written, replacing, write_text
from lifting.errors import OutputError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.connection import Choice, choose_mode

if TYPE_CHECKING:
    from wandb import Run

METRICS_FILE = ExperimentWriter.NAME_METRICS_FILE
ID_FILE = "wandb-id.txt"
FINISH_SECONDS, LEAST_SECONDS = 120.0, 1.0
BYTES_PER_STEP = 32
_FOLDERS = {
    "WANDB_DIR": ".",
    "WANDB_DATA_DIR": "wandb/data",
    "WANDB_CACHE_DIR": "wandb/cache",
    "WANDB_ARTIFACT_DIR": "wandb/artifacts",
}
_log = logging.getLogger(__name__)


def build_loggers(
    config: ExperimentConfig, run_dir: Path, plain: Mapping[str, Any]
) -> list[Logger]:
    """Make the loggers of a run; never asks a question, and never waits for a dead network.

    Args:
        config: The experiment; its section ``wandb`` decides.
        run_dir: Folder of the run: ``metrics.csv``, ``hparams.yaml`` and ``wandb/`` go there.
        plain: The resolved configuration as plain values, logged with the run.

    Returns:
        The CSV log, then a started W&B logger unless it is disabled, absent or broken.

    Raises:
        ConfigError: ``wandb.mode=online`` without a key.
        OutputError: ``wandb.mode=online``, and the server does not answer.
    """
    loggers: list[Logger] = [CsvLog(run_dir)]
    loggers[0].log_hyperparams(dict(plain))
    remote = _build_wandb(config, run_dir, plain)
    return loggers if remote is None else [*loggers, remote]


def log_facts(loggers: Sequence[Logger], facts: Mapping[str, Any]) -> None:
    """Add facts of the run (see ``facts``) to every logger's configuration, below ``run``."""
    for logger in loggers:
        logger.log_hyperparams({"run": dict(facts)})


def close_loggers(loggers: Sequence[Logger], *, failed: bool = False) -> None:
    """Write what is pending and end the W&B run, so that the next run starts its own.

    Args:
        loggers: What :func:`build_loggers` gave.
        failed: Mark the run as failed.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=int(failed))
            if first_process() and logger.experiment.offline:
                _log.info("W&B gets the run by: %s", sync_command(Path(str(logger.save_dir))))
        else:
            logger.save()


class CsvLog(CSVLogger):
    """``metrics.csv`` of a run. Keys may appear at any time, and a resumed run goes on writing.

    A run that resumes from a checkpoint may repeat steps: the last row of a step counts.

    Args:
        run_dir: Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__(save_dir=run_dir, name="", version="", flush_logs_every_n_steps=50)

    @property
    def log_dir(self) -> str:
        """The run's folder itself."""
        return self.save_dir

    @property
    def experiment(self) -> Any:
        """The writer of the file; does nothing on other processes than the first."""
        if self._experiment is None and first_process():
            self._experiment = _KeepingWriter(self.log_dir)
        return super().experiment


class _KeepingWriter(ExperimentWriter):
    """Appends to the file of an earlier part of the run; a full disk leaves whole files."""

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Write all parameters so far; Lightning's own way takes ten times as long."""
        self.hparams.update(params)
        text = yaml.safe_dump(self.hparams, sort_keys=False, allow_unicode=True)
        write_text(Path(self.log_dir) / self.NAME_HPARAMS_FILE, text)

    def save(self) -> None:
        """Append the rows that are pending."""
        try:
            super().save()
        except OSError as error:
            self._check_log_dir_exists()
            if isinstance(error, OutputError):
                raise
            raise not_written(self.metrics_file_path, error) from error

    def _check_log_dir_exists(self) -> None:
        """Cut off half a line that a kill or a full disk may have left; know which keys remain."""
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        os.truncate(path, len(whole))
        text = io.StringIO(whole.decode("utf-8"))
        self.metrics_keys = list(csv.DictReader(text).fieldnames or ())
        if not self.metrics_keys:
            path.unlink()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with (
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=fieldnames)
            writer.writeheader()
            writer.writerows(rows)


def _build_wandb(
    config: ExperimentConfig, run_dir: Path, plain: Mapping[str, Any]
) -> WandbLogger | None:
    if config.wandb.mode == "disabled":
        return None
    try:
        importlib.import_module("wandb")
    except ImportError as error:
        _log.warning("no W&B log: wandb cannot be imported (%s); metrics go to the CSV", error)
        return None
    if not first_process():
        return WandbLogger(save_dir=run_dir, project=config.wandb.project)
    until = time.monotonic() + config.wandb.timeout
    choice = choose_mode(config.wandb)
    if choice.mode == "disabled":
        return None
    _use_folders(run_dir)
    return _started(config, run_dir, plain, choice, until)


def _started(
    config: ExperimentConfig, run_dir: Path, plain: Mapping[str, Any], choice: Choice, until: float
) -> WandbLogger | None:
    """Start the run in the chosen mode; what fails online is tried offline, then given up."""
    import wandb

    if wandb.run is not None:
        wandb.finish()
    try:
        run = _init(config, run_dir, plain, choice, until)
    except wandb.Error as error:
        if choice.mode == "online" and config.wandb.mode == "online":
            raise OutputError(
                f"expected {choice.reason} to accept the run for wandb.mode=online, got "
                f"'{error}'; check key, entity and project, or use wandb.mode=auto"
            ) from error
        if choice.mode == "online":
            # The background service still holds the identity of the refused run.
            wandb.teardown()
            fallback = Choice("offline", f"{choice.reason} refused the run: {error}")
            return _started(config, run_dir, plain, fallback, until)
        _log.warning("no W&B log: %s; metrics go to the CSV", error)
        return None
    if choice.mode == "offline" and config.wandb.mode != "offline":
        _log.warning("W&B is offline (%s); upload with: %s", choice.reason, sync_command(run_dir))
    return WandbLogger(
        experiment=run,
        save_dir=run_dir,
        project=config.wandb.project,
        log_model=config.wandb.log_model and choice.mode == "online",
    )


def _init(
    config: ExperimentConfig, run_dir: Path, plain: Mapping[str, Any], choice: Choice, until: float
) -> Run:
    """Start a run, or a further part of it under the same identity.

    Lightning would do it too, but only later, and with no limit of time. What W&B would note by
    itself of the command line and the repository is left out: there are keys in it at times. What
    matters of them is among the facts of the run.
    """
    import wandb

    _wait_for_own_second(run_dir)
    patience = max(LEAST_SECONDS, until - time.monotonic())
    before = _steps_before(run_dir)
    run = wandb.init(
        mode=choice.mode,
        project=config.wandb.project,
        entity=config.wandb.entity,
        name=f"{config.name}/{run_dir.name}",
        group=config.name,
        id=_run_id(run_dir),
        resume="allow",
        dir=str(run_dir),
        tags=config.wandb.tags,
        config=dict(plain),
        settings=wandb.Settings(
            init_timeout=patience,
            login_timeout=patience,
            finish_timeout=FINISH_SECONDS,
            silent=True,
            # Progress bars redraw their line many times a second and would flood the log.
            console="off",
            disable_git=True,
            x_disable_meta=True,
            x_save_requirements=False,
        ),
    )
    if before > run.step:
        run.log({}, step=before, commit=False)
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def sync_command(run_dir: Path) -> str:
    """What sends all offline parts of a run, which W&B does in the order in which they began.

    Args:
        run_dir: Folder of the run; said as seen from the working folder where it lies below that.
    """
    folder = run_dir.resolve()
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    return f"wandb sync {shlex.quote(str(folder / 'wandb'))}/offline-run-*"


def _wait_for_own_second(run_dir: Path) -> None:
    """W&B names a part by its second, and would write over one that began in the same."""
    while any(run_dir.glob(f"wandb/*run-{time.strftime('%Y%m%d_%H%M%S')}-*")):
        time.sleep(0.05)


def _steps_before(run_dir: Path) -> int:
    """A number that no step of W&B's own in earlier parts of the run has reached.

    Offline, every part would count its steps anew, and the server drops what lies behind the last
    step that it has. No step takes less than so many bytes of a part's file.
    """
    parts = {part.resolve() for part in run_dir.glob("wandb/*run-*/*.wandb")}
    return sum(part.stat().st_size for part in parts) // BYTES_PER_STEP


def first_process() -> bool:
    """Whether this is the process, of several of one training, that writes for all."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _run_id(run_dir: Path) -> str:
    """Identity of the run, kept in its folder so that a resumed run is the same one."""
    path = run_dir / ID_FILE
    if not path.is_file():
        write_text(path, uuid.uuid4().hex[:12] + "\n")
    return path.read_text(encoding="utf-8").strip()


def _use_folders(run_dir: Path) -> None:
    """Keep everything that wandb writes inside the run's folder, and keep it quiet."""
    (run_dir / "wandb").mkdir(parents=True, exist_ok=True)
    for name, folder in _FOLDERS.items():
        os.environ[name] = str((run_dir / folder).resolve())
    os.environ["WANDB_SILENT"] = "true"
