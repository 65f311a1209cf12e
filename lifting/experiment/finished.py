"""Finished runs of the same settings, so that a comparison does not repeat them.

Imports no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from lifting.atomic import write_text
from lifting.experiment.config import ExperimentConfig

SETTINGS_FILE = "settings.json"
# Where a run is written, and what is logged and drawn of it, does not change what is measured.
_BESIDE = ("description", "output", "panels", "wandb")


def finished_run(
    config: ExperimentConfig, weights_of: ExperimentConfig | None = None
) -> Path | None:
    """Folder of a run that was marked as finished with these settings, None if there is none.

    Args:
        config: The experiment.
        weights_of: The experiment whose weights were tested, for a run that trained none.
    """
    wanted = _settings(config, weights_of)
    parent = Path(config.output).expanduser() / config.name
    for copy in sorted(parent.glob(f"*/{SETTINGS_FILE}")):
        if copy.read_text(encoding="utf-8") == wanted:
            return copy.parent
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
    write_text(folder / SETTINGS_FILE, _settings(config, weights_of))
    return folder


def _settings(config: ExperimentConfig, weights_of: ExperimentConfig | None) -> str:
    parts = [config] if weights_of is None else [config, weights_of]
    plain = [{k: v for k, v in asdict(part).items() if k not in _BESIDE} for part in parts]
    return json.dumps(plain, sort_keys=True)
