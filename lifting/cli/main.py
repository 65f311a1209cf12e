"""``lifting``: the parser only. Imports no torch, so that help and mistakes answer at once."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lifting import __version__
from lifting.cli.options import add_output
from lifting.errors import DivergedError, LiftingError, ProcessError
from lifting.experiment.console import console
from lifting.experiment.interruption import Interrupted, interruption

COMMANDS = (
    "train", "test", "predict", "experiments", "data", "results", "leaderboard", "sweep",
    "robustness", "tto", "dashboard", "convert", "export", "evaluate-file", "rig", "view", "plot",
    "weights",
)  # fmt: skip
REMOVED = {
    "bench": "`make bench`, or `python benchmarks/run.py NAME`; `bench occlusion` is "
    "`lifting robustness`",
    "sampling": "`python experiments/studies/sampling.py`",
    "epipolar": "`python experiments/studies/epipolar.py`",
    "nbf": "`python experiments/studies/nbf_claims.py`",
    "fits": "`python experiments/studies/nbf_fits.py`",
}
FAILED = 2
INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="lifting",
        description="Monocular 3D human pose lifting: train, evaluate and compare methods.",
        epilog="A run writes outputs/<experiment>/<date>-<name>/ with config.yaml, result.json, "
        "logs and checkpoints/.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=18),
    )
    parser.add_argument("--version", action="version", version=f"lifting {__version__}")
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of an error (before the command)"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"lifting.cli.{name.replace('-', '_')}").register(subparsers)
    add_output(parser)
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse arguments; overrides may stand before, between and after options."""
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    unknown = [a for a in rest if a.startswith("-") or not hasattr(arguments, "overrides")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        arguments.overrides = [*arguments.overrides, *rest]
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments after the program's name; None takes the process's own.

    Returns:
        Exit status: 0 done, 2 a mistake that the message on the standard error explains, 3 a
        training that diverged, 130 and 143 for a signal, see `Interrupted`.
    """
    # Threads without work sleep instead of spinning; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = sys.argv[1:] if argv is None else argv
    command = next((word for word in words if not word.startswith("-")), None)
    if command in REMOVED:
        print(
            f"error: `lifting {command}` is now {REMOVED[command]}, in a checkout of the project",
            file=sys.stderr,
        )
        return FAILED
    typed = shlex.join(["lifting", *words])
    with interruption.handled(typed, program=argv is None):
        try:
            arguments = parse(words)
            arguments.words = typed
            return answer(arguments.handler, arguments, debug=arguments.debug)
        except Interrupted as stop:
            return interruption.leave(stop.status, interruption.message())


def answer(
    handle: Callable[[argparse.Namespace], int],
    arguments: argparse.Namespace,
    *,
    debug: bool = False,
) -> int:
    """Do what was asked for, by a subcommand or by a script beside the package.

    Args:
        handle: Does it, and returns the exit status.
        arguments: What was asked for.
        debug: Let an error of the project through instead of telling it.

    Returns:
        Exit status, as of :func:`main`.
    """
    try:
        machine, quiet = (getattr(arguments, name, False) for name in ("json", "quiet"))
        with (
            interruption.handled(shlex.join(sys.argv)),
            console.opened(machine=machine, quiet=quiet),
            _messages(logging.WARNING if quiet else logging.INFO),
        ):
            status = int(handle(arguments))
            interruption.join()
        return status
    except LiftingError as error:
        if debug:
            raise
        common = isinstance(error, DivergedError | ProcessError)  # of all processes of a run
        return interruption.leave(error.exit_status, f"error: {error}", common=common)
    except Interrupted as stop:
        return interruption.leave(stop.status, interruption.message())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe went away; nothing is wrong, and the flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@contextmanager
def _messages(least: int) -> Iterator[None]:
    """What the package has to say meanwhile, on the standard error: long work, terms of use."""
    log, handler = logging.getLogger("lifting"), logging.StreamHandler(sys.stderr)
    level = log.level
    log.addHandler(handler)
    log.setLevel(least)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


if __name__ == "__main__":
    sys.exit(main())
