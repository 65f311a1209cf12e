"""``lifting robustness``: hidden, lost and wrong joints before trained runs."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from lifting.cli.options import RUN_HELP, add_study, all_overrides
from lifting.errors import ConfigError

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
    for name in ("poses", "batch", "searched", "stride"):
        if getattr(arguments, name, 1) < 1:
            raise ConfigError(f"expected --{name} from 1, got {getattr(arguments, name)}")
    from lifting.experiment.folder import check_writable
    from lifting.studies.plan import Plan, load_runs
    from lifting.studies.robustness.plan import Trials

    given = {name: getattr(arguments, name) for name in _TRIALS if hasattr(arguments, name)}
    tried: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    trials = Trials(**tried)
    place = arguments.output.absolute()
    check_writable(next(folder for folder in (place, *place.parents) if folder.exists()))
    # The keypoints are the data's own; exact ones are no subject of the study.
    runs = [
        replace(run, views=run.views[:1])
        for run in load_runs(arguments.runs, all_overrides(arguments))
    ]
    plan = Plan(
        command=_command(arguments, given),
        poses=None if arguments.full else arguments.poses,
        seed=arguments.seed,
        batch=arguments.batch,
        output=arguments.output,
        device=arguments.device,
    )
    from lifting.studies.frames import shown_frames
    from lifting.studies.robustness.report import line_of, write_study
    from lifting.studies.robustness.study import rows

    shown = shown_frames(runs, plan)
    found = []
    for row in rows(runs, plan, trials):
        found.append(row)
        print(line_of(row), flush=True)
    for path in write_study(found, runs, shown, plan, trials):
        print(f"written: {path}")
    return 0


def _command(arguments: argparse.Namespace, given: dict[str, object]) -> str:
    """The command line that repeats the study, wherever its files go."""
    words = ["lifting", "robustness", *map(str, arguments.runs)]
    for name, value in given.items():
        several = value if isinstance(value, list) else [] if value is True else [value]
        words += [f"--{name}", *map(str, several)]
    words += ["--full"] if arguments.full else ["--poses", str(arguments.poses)]
    words += ["--seed", str(arguments.seed)]
    for name, default in (("batch", BATCH), ("data", None)):
        value = getattr(arguments, name)
        if value != default:
            words += [f"--{name}", str(value)]
    for override in arguments.overrides:
        words += ["--set", override]
    return shlex.join(words)
