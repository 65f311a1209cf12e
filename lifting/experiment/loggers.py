"""Loggers of a run: a CSV file always, Weights & Biases as configuration and network allow.

wandb is imported here alone in a run, and only when the run wants it.
"""

from __future__ import annotations

import csv
import importlib
import io
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.core.saving import save_hparams_to_yaml
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from lifting.atomic import replacing, write_text
from lifting.errors import OutputError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.connection import Choice, choose_mode

if TYPE_CHECKING:
    from wandb import Run

METRICS_FILE = ExperimentWriter.NAME_METRICS_FILE
ID_FILE = "wandb-id.txt"
FINISH_SECONDS = 120.0
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
        """Write all parameters so far."""
        self.hparams.update(params)
        with replacing(Path(self.log_dir) / self.NAME_HPARAMS_FILE) as temporary:
            save_hparams_to_yaml(temporary, self.hparams)

    def save(self) -> None:
        """Append the rows that are pending."""
        try:
            super().save()
        except OSError as error:
            self._check_log_dir_exists()
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"expected to write {self.metrics_file_path}, got '{error.strerror or error}'; "
                "free some space or choose another folder with output=FOLDER"
            ) from error

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
    choice = choose_mode(config.wandb)
    if choice.mode == "disabled":
        return None
    _use_folders(run_dir)
    return _started(config, run_dir, plain, choice)


def _started(
    config: ExperimentConfig, run_dir: Path, plain: Mapping[str, Any], choice: Choice
) -> WandbLogger | None:
    """Start the run in the chosen mode; what fails online is tried offline, then given up."""
    import wandb

    if wandb.run is not None:
        wandb.finish()
    try:
        run = _init(config, run_dir, plain, choice)
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
            return _started(config, run_dir, plain, fallback)
        _log.warning("no W&B log: %s; metrics go to the CSV", error)
        return None
    if choice.mode == "offline" and config.wandb.mode != "offline":
        folder = Path(run.dir).parent
        _log.warning("W&B is offline (%s); upload with: wandb sync %s", choice.reason, folder)
    return WandbLogger(
        experiment=run,
        save_dir=run_dir,
        project=config.wandb.project,
        log_model=config.wandb.log_model and choice.mode == "online",
    )


def _init(
    config: ExperimentConfig, run_dir: Path, plain: Mapping[str, Any], choice: Choice
) -> Run:
    """Start a run. Lightning would do it too, but only later, and with no limit of time."""
    import wandb

    run = wandb.init(
        mode=choice.mode,
        project=config.wandb.project,
        entity=config.wandb.entity,
        name=f"{config.name}/{run_dir.name}",
        group=config.name,
        id=_run_id(run_dir),
        resume="allow" if choice.mode == "online" else None,
        dir=str(run_dir),
        tags=config.wandb.tags,
        config=dict(plain),
        settings=wandb.Settings(
            init_timeout=max(1.0, config.wandb.timeout),
            login_timeout=max(1.0, config.wandb.timeout),
            finish_timeout=FINISH_SECONDS,
            silent=True,
            # Progress bars redraw their line many times a second and would flood the log.
            console="off",
        ),
    )
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


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
