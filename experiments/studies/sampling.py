"""Errors of trained DiffPose runs against the network calls they take.

    python experiments/studies/sampling.py RUN ...

Scores what they answer in few and in many calls, by the denoiser and by a few-step student.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lifting.cli.main import answer
from lifting.studies.command import RUN_HELP, add_study, check_least
from lifting.studies.plan import study_of
from sampling_plan import Grid, answers

POSES, BATCH = 1000, 64


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        prog="python experiments/studies/sampling.py",
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
    check_least(arguments, "poses", "batch", "hypotheses", "steps", "student_steps")
    # The keypoints are the data's own; exact ones are no subject of the study.
    runs, plan = study_of(arguments)
    grid = Grid(
        teacher=None if arguments.steps is None else tuple(arguments.steps),
        student=None if arguments.student_steps is None else tuple(arguments.student_steps),
        hypotheses=arguments.hypotheses,
        bf16=arguments.precision == "bf16",
        compiled=arguments.compile,
    )
    for run in runs:
        answers(run, grid)
    from lifting.studies.frames import shown_frames
    from sampling_study import cells, rows, write_study

    shown = shown_frames(runs, plan)
    found = []
    for row in rows(runs, plan, grid):
        found.append(row)
        print(f"{row.answer.run_as} | {' | '.join(cells(row))}", flush=True)
    for path in write_study(found, runs, shown, plan, grid):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
