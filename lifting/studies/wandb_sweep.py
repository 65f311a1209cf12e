"""A sweep as a W&B sweep: the server hands out the variants, and this process is its agent."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from lifting.atomic import write_text
from lifting.errors import ConfigError, OutputError
from lifting.experiment.config import WandbConfig
from lifting.experiment.connection import choose_mode
from lifting.experiment.folder import RECORD_FILE
from lifting.experiment.record import read_record
from lifting.experiment.sweep import JobKey
from lifting.experiment.terminal import SPLIT
from lifting.studies.sweep import SweepRuns

ID_FILE = "wandb-sweep.json"


def run_wandb_sweep(runs: SweepRuns, names: Collection[str]) -> str:
    """Create a W&B sweep, or go on with that of an earlier call, and run all of it.

    A variant that is finished already is not repeated; its scores are reported.

    Args:
        runs: Runs of the sweep; their ``wandb.mode`` becomes ``online``.
        names: Names of the variants to run.

    Returns:
        The identifier of the W&B sweep.

    Raises:
        ConfigError: There is no key or no package wandb, or ``wandb.mode`` forbids it.
        OutputError: The server does not answer or refuses the sweep, or the table cannot be
            written.
    """
    options = _put_online(runs)
    wandb = _connected(options)
    identifier = _identifier(wandb, options, runs, names)
    runs.write()

    def run_one() -> None:
        run = wandb.init(mode="online")
        key = JobKey(str(run.config["variant"]), int(run.config["seed"]))
        folder = runs.folders.get(key)
        if folder is not None:
            metrics = read_record(folder / RECORD_FILE).metrics
            run.summary.update({f"{SPLIT}/{name}": value for name, value in metrics.items()})
        # The training starts this W&B run again, with its own settings.
        run.finish()
        runs.run(key)
        runs.write()

    wandb.agent(identifier, function=run_one, project=options.project, entity=options.entity)
    return identifier


def sweep_definition(runs: SweepRuns, names: Collection[str]) -> dict[str, Any]:
    """What the server is told: a grid of the variants' names and the seeds.

    Args:
        runs: Runs of the sweep.
        names: Names of the variants.
    """
    sweep = runs.sweep
    return {
        "name": sweep.name,
        "description": sweep.description,
        "method": "grid",
        "parameters": {
            "seed": {"values": list(sweep.seeds)},
            "variant": {"values": [v.name for v in sweep.variants if v.name in names]},
        },
    }


def _put_online(runs: SweepRuns) -> WandbConfig:
    """Let no run fall back to an offline log, which the server would wait for."""
    for key, job in runs.sweep.jobs.items():
        mode = job.config.wandb.mode
        if mode not in ("auto", "online"):
            raise ConfigError(
                f"expected wandb.mode auto or online with --wandb, got {mode} in variant "
                f"'{key.variant}'; say --set wandb.mode=online"
            )
        config = replace(job.config, wandb=replace(job.config.wandb, mode="online"))
        runs.sweep.jobs[key] = replace(job, config=config)
    return config.wandb


def _connected(options: WandbConfig) -> Any:
    """The package wandb, once the server is known to answer."""
    choose_mode(options)
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ConfigError(
            f"expected the package wandb for a W&B sweep, got '{error}'; install it, or leave "
            "--wandb out"
        ) from error


def _identifier(wandb: Any, options: WandbConfig, runs: SweepRuns, names: Collection[str]) -> str:
    """The W&B sweep of the same definition in this folder, created now unless it is there."""
    definition = sweep_definition(runs, names)
    place = {"project": options.project, "entity": options.entity}
    path = runs.sweep.output / ID_FILE
    if path.is_file():
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["definition"] == definition and known["place"] == place:
            return str(known["id"])
    try:
        identifier = str(wandb.sweep(definition, **place))
    except wandb.Error as error:
        raise OutputError(
            f"expected W&B to accept a sweep in project '{options.project}', got '{error}'; check "
            "key, entity and project, or leave --wandb out"
        ) from error
    text = json.dumps({"id": identifier, "definition": definition, "place": place}, indent=2)
    write_text(path, text + "\n")
    return identifier
