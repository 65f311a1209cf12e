"""Arguments that several commands share, and what they mean. Imports no torch."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.errors import ConfigError, LiftingError
from lifting.experiment.console import console

if TYPE_CHECKING:
    from lifting.experiment.config import ExperimentConfig

ENDINGS = ".png, .pdf, .svg"  # of pictures
OVERRIDES_HELP = (
    "key=value with dots between sections, for example optimizer.lr=1e-4; extends=data/cmu lays "
    "another file over the experiment"
)


def picture(text: str) -> Path:
    """The file of a picture, for a parser."""
    path = Path(text)
    if path.suffix.lower() not in ENDINGS.split(", "):
        raise argparse.ArgumentTypeError(
            f"expected a picture ({ENDINGS}), got {text}; name {path.stem or 'picture'}.png"
        )
    return path


def add_output(parser: argparse.ArgumentParser) -> None:
    """How a command, or each of its actions, says what came of it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                add_output(one)
            return
    said = parser.add_argument_group("what is said")
    said.add_argument(
        "--json",
        action="store_true",
        help="print the result as one JSON object, and all else on the standard error",
    )
    said.add_argument(
        "--quiet", action="store_true", help="print nothing but results, warnings and errors"
    )


def add_experiment(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The experiment and its overrides."""
    parser.add_argument(
        "experiment",
        nargs=None if required else "?",
        help="name (`lifting experiments`), or path of a YAML file",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES_HELP)
    parser.add_argument("--data", metavar="NAME", help="shorthand for extends=data/NAME")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The weights to use."""
    parser.add_argument(
        "--checkpoint",
        "--ckpt",
        type=Path,
        metavar="FILE",
        help="weights to use; without it those of the experiment's newest run, of its newest "
        "stage that has any, also while it trains",
    )


def all_overrides(arguments: argparse.Namespace) -> list[str]:
    """The overrides of a command line, the data set's file first."""
    data = [f"extends=data/{arguments.data}"] if arguments.data else []
    return [*data, *arguments.overrides]


def load_for_checkpoint(arguments: argparse.Namespace) -> tuple[ExperimentConfig, Path]:
    """The experiment as it was trained, and the weights to use.

    The configuration is the one saved beside the weights, with the command line's overrides; for
    weights outside a run's folder it is the experiment's file, with the method as the weights
    were trained. Without a named checkpoint the newest run of the experiment is taken, and said;
    where the experiment is the configuration of a run, that run.

    Args:
        arguments: Of a command with an experiment and a checkpoint.

    Raises:
        ConfigError: The experiment is unknown or has no run.
        CheckpointError: The checkpoint cannot be used.
    """
    from lifting.experiment.folder import (
        CONFIG_FILE,
        newest_run,
        newest_weights,
        run_of_checkpoint,
    )
    from lifting.experiment.load import load_experiment

    overrides = all_overrides(arguments)
    config = load_experiment(arguments.experiment, overrides)
    checkpoint: Path | None = arguments.checkpoint
    if checkpoint is None:
        file, which = Path(arguments.experiment), "the run's own"
        checkpoint = newest_weights(file.parent) if file.name == CONFIG_FILE else None
        if checkpoint is None:
            run = newest_run(config.output, config.name, fits=partial(_is_of_method, config))
            checkpoint, which = newest_weights(run) or run, "the newest run"
        console.say(f"no checkpoint named: taking {which}, {checkpoint}")
    folder = run_of_checkpoint(checkpoint)
    if folder is not None:
        trained = load_experiment(str(folder / CONFIG_FILE))
        _check_method(config, trained, checkpoint)
        used = load_experiment(str(folder / CONFIG_FILE), overrides)
        _say_what_differs(config, used, arguments.experiment)
        return used, checkpoint
    from lifting.experiment.checkpoint import method_config_of, read_checkpoint
    from lifting.methods.lifter import CHECKPOINT_KEY

    loaded = read_checkpoint(checkpoint, str(config.method["name"]))
    method, frames = method_config_of(loaded), loaded[CHECKPOINT_KEY].get("frames")
    if frames is not None:  # the window that the weights were trained on, unless it is given
        overrides = [f"data.frames={frames}", *overrides]
    return load_experiment(arguments.experiment, overrides, method=method), checkpoint


def known_bone(text: str) -> tuple[str, float]:
    """A joint and the length of the bone that ends at it, mm, of ``JOINT=MM``.

    Raises:
        ConfigError: It is none.
    """
    joint, _, length = text.partition("=")
    try:
        return joint, float(length)
    except ValueError:
        raise ConfigError(
            f"expected --bone JOINT=MM, got '{text}'; for example --bone left_knee=430"
        ) from None


def _say_what_differs(asked: ExperimentConfig, used: ExperimentConfig, name: str) -> None:
    """Name the keys in which the run's configuration, which counts, is not the experiment's."""
    from lifting.experiment.load import flat, to_plain

    sections = ("data", "method", "protocol", "flip_test", "tto", "pss")  # what a number means
    mine, theirs = (
        {k: v for k, v in flat(to_plain(config)) if k.split(".")[0] in sections}
        for config in (asked, used)
    )
    differ = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        console.say(f"as trained, not as in {name}: {', '.join(differ[:3])}{more}")


def _is_of_method(asked: ExperimentConfig, run: Path) -> bool:
    """Whether a run trained the method that is asked for: an experiment may train others, too."""
    from lifting.experiment.folder import CONFIG_FILE
    from lifting.experiment.load import load_experiment

    try:
        trained = load_experiment(str(run / CONFIG_FILE))
    except LiftingError:
        return False
    return bool(trained.method["name"] == asked.method["name"])


def _check_method(asked: ExperimentConfig, trained: ExperimentConfig, checkpoint: Path) -> None:
    if asked.method["name"] != trained.method["name"]:
        raise ConfigError(
            f"expected a checkpoint of method '{asked.method['name']}' for experiment "
            f"'{asked.name}', got {checkpoint} of method '{trained.method['name']}'; name an "
            "experiment of that method or another checkpoint"
        )
