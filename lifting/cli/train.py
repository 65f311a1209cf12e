"""``lifting train``: train an experiment and score its best checkpoint."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.options import add_experiment, all_overrides
from lifting.errors import ConfigError
from lifting.experiment.interruption import interruption

if TYPE_CHECKING:
    from lifting.experiment.config import ExperimentConfig

LAST_RUN = "last"
RESUME_KEY = "resume"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train an experiment and score its best checkpoint",
        description="Train an experiment, choose the best checkpoint on the validation split, "
        "score it on the test split, and write the record of the run.",
    )
    add_experiment(parser)
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="continue an interrupted run, with the settings it was started with: its folder, or "
        "'last' for the experiment's newest (the override resume=true says the same)",
    )
    parser.add_argument(
        "--init-from",
        type=Path,
        metavar="RUN_OR_CHECKPOINT",
        help="start a new run from trained weights: the best ones of a run's folder, or a file",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Validate the configuration, then train."""
    overrides = all_overrides(arguments)
    named = [o for o in overrides if o.startswith("name=")]
    words = ["lifting", "train", arguments.experiment, *named, "--resume"]
    interruption.resume = shlex.join(words)
    finding = [o for o in overrides if o.startswith(("name=", "output=", "method.name="))]
    interruption.predict = shlex.join(["lifting", "predict", arguments.experiment, *finding])
    config, resume = _configuration(arguments)
    from lifting.experiment.run import train

    train(config, resume=resume, init_from=arguments.init_from)
    return 0


def _configuration(arguments: argparse.Namespace) -> tuple[ExperimentConfig, Path | None]:
    """The experiment, and the folder to continue in, whose configuration then counts."""
    from lifting.experiment.folder import CONFIG_FILE, existing_run, newest_run
    from lifting.experiment.load import load_experiment

    overrides, wanted = _take_resume(all_overrides(arguments))
    wanted = arguments.resume or wanted
    config = load_experiment(arguments.experiment, overrides)
    if wanted is None:
        return config, None
    newest = wanted == LAST_RUN
    run = newest_run(config.output, config.name, CONFIG_FILE) if newest else Path(wanted)
    started = load_experiment(str(existing_run(run) / CONFIG_FILE), overrides)
    if started.name != config.name:
        raise ConfigError(
            f"expected a run of experiment '{config.name}', got {run} of '{started.name}'; name "
            "that experiment"
        )
    print(f"continuing {run}")
    return started, run


def _take_resume(overrides: list[str]) -> tuple[list[str], str | None]:
    """Overrides without ``resume=...``, and the run it names."""
    found = [o.split("=", 1)[1] for o in overrides if o.startswith(f"{RESUME_KEY}=")]
    kept = [o for o in overrides if not o.startswith(f"{RESUME_KEY}=")]
    if not found or found[-1] in ("false", "False", "null", ""):
        return kept, None
    return kept, LAST_RUN if found[-1] in ("true", "True") else found[-1]
