"""Errors of trained runs against how far a camera and a detector are from those of the training.

    python experiments/studies/unknown_cameras.py RUN ...

Films test subjects of motion capture by cameras of which one thing at a time is changed, and lifts
the keypoints of the four cameras of Pose2Sim's trial, where they are at hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lifting.cli.main import answer
from lifting.errors import ConfigError
from lifting.experiment.folder import check_writable
from lifting.studies.command import RUN_HELP, add_overrides, check_least

FRAMES, TRIAL = 2000, "real/pose2sim"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        prog="python experiments/studies/unknown_cameras.py",
        description="Score trained runs of any method by camera height, tilt, focal length, noise "
        "and missing joints, and on the four cameras of Pose2Sim's trial; write a table.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--frames", type=int, default=FRAMES, metavar="N",
        help=f"frames of motion, of which every camera sees all (default: {FRAMES})",
    )  # fmt: skip
    parser.add_argument(
        "--motion", default="cmu", metavar="NAME",
        help="data set of motion without cameras; its test split is filmed (default: cmu)",
    )  # fmt: skip
    parser.add_argument(
        "--trial", type=Path, metavar="DIR",
        help=f"Pose2Sim's trial (default: {TRIAL} below LIFTING_DATA, if it is there)",
    )  # fmt: skip
    parser.add_argument(
        "--cameras", type=int, nargs="+", choices=range(1, 5), default=[1, 2, 3, 4], metavar="N",
        help="of the trial; choices of a training are made on 1 and 2 (default: 1 2 3 4)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of cuts, cameras and noise")
    add_overrides(parser, "flip_test=false", "outputs/unknown_cameras")
    return answer(handle, parser.parse_args(argv))


def handle(arguments: argparse.Namespace) -> int:
    """Find the runs, then study them."""
    check_least(arguments, "frames")
    for run in arguments.runs:
        if not run.exists():
            raise ConfigError(
                f"expected the folder of a trained run, got {run}, which does not exist; "
                "`lifting train ready_single` makes one"
            )
    arguments.output.mkdir(parents=True, exist_ok=True)
    check_writable(arguments.output)
    from unknown_cameras_study import rows_of, trial_of, write_study

    rows, trial = [], trial_of(arguments.trial, TRIAL)
    if trial is None:
        print("Pose2Sim's trial is not at hand: its cameras are left out (--trial)")
    for row in rows_of(arguments, trial):
        rows.append(row)
        print(" | ".join(row.cells()), flush=True)
    for path in write_study(rows, arguments):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
