"""Errors of trained DiffPose runs against the network calls they take."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lifting.cli.main import answer
from lifting.cli.options import RUN_HELP, add_study
from lifting.errors import ConfigError

POSES = 1000
BATCH = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask.

    Args:
        argv: Arguments after the script's name; None takes the process's own.

    Returns:
        Exit status, 2 after a mistake that the message on the standard error explains.
    """
    parser = argparse.ArgumentParser(
        description="Score what trained diffpose runs answer in few and in many network calls, by "
        "the denoiser and by a few-step student, and write a table and a chart.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUN_HELP)
    for name, default in (("steps", "1 2 3 5 10"), ("student-steps", "1 2 3 5")):
        parser.add_argument(
            f"--{name}",
            type=int,
            nargs="+",
            metavar="N",
            help=f"default: {default}, as far as the run has levels; after the runs",
        )
    parser.add_argument(
        "--hypotheses", type=int, metavar="N", help="drawn for a pose (default: the run's own)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="bf16 adds rows of products in bfloat16; worth it on a GPU",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="add rows of compiled networks; on a CPU this needs a C++ compiler",
    )
    add_study(
        parser, poses=POSES, batch=BATCH, example="method.eta=0.5", output="outputs/sampling"
    )
    return answer(handle, parser.parse_args(argv))


def handle(arguments: argparse.Namespace) -> int:
    """Find the runs, then study them."""
    for name in ("poses", "batch", "hypotheses", "steps", "student_steps"):
        value = getattr(arguments, name)
        if value is not None and min(value if isinstance(value, list) else [value]) < 1:
            raise ConfigError(f"expected --{name.replace('_', '-')} from 1, got {value}")
    from lifting.experiment.folder import check_writable
    from lifting.studies.plan import Plan, load_runs
    from sampling_plan import Grid, answers

    place = arguments.output.absolute()
    check_writable(next(folder for folder in (place, *place.parents) if folder.exists()))
    data = [f"extends=data/{arguments.data}"] if arguments.data else []
    # The keypoints are the data's own; exact ones are no subject of the study.
    runs = [
        replace(run, views=run.views[:1])
        for run in load_runs(arguments.runs, [*data, *arguments.overrides])
    ]
    grid = Grid(
        teacher=None if arguments.steps is None else tuple(arguments.steps),
        student=None if arguments.student_steps is None else tuple(arguments.student_steps),
        hypotheses=arguments.hypotheses,
        bf16=arguments.precision == "bf16",
        compiled=arguments.compile,
    )
    for run in runs:
        answers(run, grid)
    plan = Plan(
        command=_command(arguments),
        poses=None if arguments.full else arguments.poses,
        seed=arguments.seed,
        batch=arguments.batch,
        output=arguments.output,
        device=arguments.device,
    )
    from lifting.studies.frames import shown_frames
    from sampling_report import cells, write_study
    from sampling_study import rows

    shown = shown_frames(runs, plan)
    found = []
    for row in rows(runs, plan, grid):
        found.append(row)
        print(f"{row.answer.run_as} | {' | '.join(cells(row))}", flush=True)
    for path in write_study(found, runs, shown, plan, grid):
        print(f"written: {path}")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """The command line that repeats the study, wherever its files go."""
    words = ["python", "experiments/studies/sampling.py", *map(str, arguments.runs)]
    for name in ("steps", "student_steps"):
        if getattr(arguments, name) is not None:
            words += [f"--{name.replace('_', '-')}", *map(str, getattr(arguments, name))]
    words += ["--full"] if arguments.full else ["--poses", str(arguments.poses)]
    words += ["--seed", str(arguments.seed)]
    for name, default in (
        ("hypotheses", None), ("precision", "float32"), ("batch", BATCH), ("data", None),
    ):  # fmt: skip
        value = getattr(arguments, name)
        if value != default:
            words += [f"--{name}", str(value)]
    words += ["--compile"] if arguments.compile else []
    for override in arguments.overrides:
        words += ["--set", override]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
