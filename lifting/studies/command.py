"""Options that the command lines of studies share. Light: for help texts and first mistakes."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path

from lifting.errors import ConfigError

RUN_HELP = "folder of a trained run, outputs/<experiment>/<date>-<name>"
_LEFT_OUT = ("help", "output", "device", "json", "quiet")
_ALWAYS = ("poses", "seed", "seeds")


def add_overrides(parser: argparse.ArgumentParser, example: str, output: str) -> None:
    """Settings of all runs, and where the results go.

    Args:
        parser: Of the study; the arguments get ``command``, see :func:`command_line`.
        example: An override, for the help.
        output: Folder by default.
    """
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help=f"override a setting of all runs, such as {example}; may be repeated",
    )
    parser.add_argument("--output", type=Path, default=Path(output), metavar="DIR")
    parser.set_defaults(command=partial(command_line, parser))


def add_study(
    parser: argparse.ArgumentParser, *, poses: int, batch: int, example: str, output: str
) -> None:
    """What studies of trained runs share: frames, data, overrides, device and folder.

    Args:
        parser: Of the study.
        poses: Frames by default.
        batch: Poses at a time by default.
        example: An override, for the help.
        output: Folder by default.
    """
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--poses",
        type=int,
        default=poses,
        metavar="N",
        help=f"frames that are looked at, the same for all runs (default: {poses})",
    )
    size.add_argument(
        "--full", action="store_true", help="all frames that the runs are tested on; for a GPU"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of frames")
    parser.add_argument(
        "--batch", type=int, default=batch, metavar="N", help=f"poses at a time (default: {batch})"
    )
    parser.add_argument(
        "--data", metavar="NAME", help="data/NAME.yaml of the experiments (default: the runs' own)"
    )
    add_overrides(parser, example, output)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def check_least(arguments: argparse.Namespace, *names: str, least: int = 1) -> None:
    """Check numbers, and lists of them; what was not given is left alone.

    Args:
        arguments: Of a command line.
        names: Of the options.
        least: The smallest that is allowed.

    Raises:
        ConfigError: A number is smaller.
    """
    for name in names:
        value = getattr(arguments, name, None)
        if value is not None and min(value if isinstance(value, list) else [value]) < least:
            raise ConfigError(f"expected --{name.replace('_', '-')} from {least}, got {value}")


def command_line(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """The command line that repeats a study, wherever its files go.

    Args:
        parser: Of the study.
        arguments: What it read.
    """
    words = parser.prog.split()
    for action in parser._actions:
        name, value = action.dest, getattr(arguments, action.dest, None)
        usual = bool(action.option_strings) and value == action.default and name not in _ALWAYS
        if usual or value is None or name in _LEFT_OUT:
            continue
        if name == "poses" and arguments.full:
            continue
        flag = action.option_strings[-1:]
        several = value if isinstance(value, list) else [] if value is True else [value]
        if isinstance(action, argparse._AppendAction):
            words += [word for one in several for word in (*flag, one)]
        else:
            words += [*flag, *map(str, several)]
    return shlex.join(words)
