"""``lifting robustness``: hidden, lost and wrong joints before trained runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lifting.experiment.console import console
from lifting.studies.command import RUN_HELP, add_study, check_least

POSES = 1000
BATCH = 256
# Written out, since their module must not be imported for a help text.
_KINDS = "drop jitter freeze swap; occluder truncation advocc for methods of pictures"
_TRIALS = ("kinds", "rates", "levels", "jitter", "seconds", "searched", "stride", "tto")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "robustness",
        help="study what hidden, lost and wrong joints do to trained runs",
        description="Corrupt the keypoints, or hide parts of the pictures, that trained runs are "
        "tested on, and write tables, curves and a chart.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUN_HELP)
    # What is not given is absent: the plan has the defaults.
    tried = parser.add_argument_group("corruptions", argument_default=argparse.SUPPRESS)
    tried.add_argument("--kinds", nargs="+", metavar="KIND", help=f"default: all of {_KINDS}")
    shares = (("rates", "joints that are hit: 0 0.1 0.2 0.3 0.5"),
              ("levels", "a person's box that is hidden: 0 0.1 0.2 0.4"))  # fmt: skip
    for name, text in shares:
        tried.add_argument(
            f"--{name}", nargs="+", type=float, metavar="SHARE", help=f"shares of {text}"
        )
    tried.add_argument(
        "--jitter", type=float, metavar="SHARE", help="deviation, of the person's box (0.05)"
    )
    tried.add_argument(
        "--seconds", type=float, metavar="S", help="how long a joint is hit at a time (0.5)"
    )
    tried.add_argument(
        "--searched", type=int, metavar="N", help="pictures that advocc searches (64)"
    )
    tried.add_argument(
        "--stride", type=int, metavar="PX", help="of its square, pixels of a picture of 224 (10)"
    )
    tried.add_argument(
        "--tto", action="store_true", help="also after test-time optimisation, with the runs' tto"
    )
    add_study(
        parser, poses=POSES, batch=BATCH, example="data.noise=none", output="outputs/robustness"
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Find the runs, then study them."""
    check_least(arguments, "poses", "batch", "searched", "stride")
    from lifting.studies.plan import study_of
    from lifting.studies.robustness.plan import Trials

    tried: dict[str, Any] = {}
    for name in _TRIALS:
        if hasattr(arguments, name):
            value = getattr(arguments, name)
            tried[name] = tuple(value) if isinstance(value, list) else value
    trials = Trials(**tried)
    # The keypoints are the data's own; exact ones are no subject of the study.
    runs, plan = study_of(arguments)
    from lifting.studies.frames import shown_frames
    from lifting.studies.robustness.report import line_of, write_study
    from lifting.studies.robustness.study import rows

    shown = shown_frames(runs, plan)
    found = []
    for row in rows(runs, plan, trials):
        found.append(row)
        console.say(line_of(row))
    console.study(write_study(found, runs, shown, plan, trials))
    return 0
