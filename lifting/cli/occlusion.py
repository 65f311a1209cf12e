"""``lifting bench occlusion``: hidden, lost and wrong joints before trained runs."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from lifting.errors import ConfigError

NAME = "occlusion"
FRAMES = 1000
BATCH = 256
OUTPUT = Path("outputs/occlusion")
# Written out, since their module must not be imported for a help text.
_KINDS = "drop jitter freeze swap; occluder truncation advocc for methods of pictures"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options; what is not given is absent, so that others can refuse it."""
    group = parser.add_argument_group(
        f"options of `lifting bench {NAME} RUN ...`",
        "Corrupt the keypoints, or hide parts of the pictures, that trained runs are tested on.",
        argument_default=argparse.SUPPRESS,
    )
    group.add_argument("--kinds", nargs="+", metavar="KIND", help=f"default: all of {_KINDS}")
    shares = (("rates", "joints that are hit: 0 0.1 0.2 0.3 0.5"),
              ("levels", "a person's box that is hidden: 0 0.1 0.2 0.4"))  # fmt: skip
    for name, text in shares:
        group.add_argument(
            f"--{name}", nargs="+", type=float, metavar="SHARE", help=f"shares of {text}"
        )
    group.add_argument(
        "--jitter", type=float, metavar="SHARE", help="deviation, of the person's box (0.05)"
    )
    group.add_argument(
        "--seconds", type=float, metavar="S", help="how long a joint is hit at a time (0.5)"
    )
    group.add_argument(
        "--searched", type=int, metavar="N", help="pictures that advocc searches (64)"
    )
    group.add_argument(
        "--stride", type=int, metavar="PX", help="of its square, pixels of a picture of 224 (10)"
    )
    group.add_argument(
        "--tto", action="store_true", help="also after test-time optimisation, with the runs' tto"
    )
    size = group.add_mutually_exclusive_group()
    size.add_argument(
        "--frames", type=int, metavar="N", help=f"frames, the same for all runs ({FRAMES})"
    )
    size.add_argument("--full", action="store_true", help="all test frames; for a GPU")
    group.add_argument("--seed", type=int, help="of frames and corruptions (0)")
    group.add_argument("--batch", type=int, metavar="N", help=f"poses at a time ({BATCH})")
    group.add_argument(
        "--data", metavar="NAME", help="file in experiments/data (default: the runs' own data)"
    )
    group.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        dest="settings",
        help="override a setting of all runs; may be repeated",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"))
    group.add_argument("--output", type=Path, metavar="DIR", help=str(OUTPUT))


OPTIONS = (
    "kinds", "rates", "levels", "jitter", "seconds", "searched", "stride", "tto", "frames", "full",
    "seed", "batch", "data", "settings", "device", "output",
)  # fmt: skip
_TRIALS = OPTIONS[:8]


def refuse_options(arguments: argparse.Namespace) -> None:
    """Refuse the options where something else is run.

    Raises:
        ConfigError: One was given.
    """
    given = [name for name in OPTIONS if hasattr(arguments, name)]
    if given:
        option = {"settings": "set"}.get(given[0], given[0])
        raise ConfigError(
            f"expected --{option} with `lifting bench {NAME} RUN ...` only, got it without; leave "
            f"it out, or put {NAME} first"
        )


def handle(folders: list[str], arguments: argparse.Namespace) -> int:
    """Find the runs, then study them.

    Args:
        folders: Folders of trained runs.
        arguments: With the options that were given.
    """
    given = {name: getattr(arguments, name) for name in OPTIONS if hasattr(arguments, name)}
    for name in ("frames", "batch", "searched", "stride"):
        if given.get(name, 1) < 1:
            raise ConfigError(f"expected --{name} from 1, got {given[name]}")
    if not folders:
        raise ConfigError(
            f"expected folders of trained runs, `lifting bench {NAME} RUN ...`, got none; name "
            "outputs/<experiment>/<date>-<name>"
        )
    from lifting.benchmark.occlusion.plan import Trials
    from lifting.benchmark.tto.plan import Plan, load_runs
    from lifting.experiment.folder import check_writable

    chosen: dict[str, Any] = {
        name: tuple(given[name]) if isinstance(given[name], list) else given[name]
        for name in _TRIALS
        if name in given
    }
    trials = Trials(**chosen)
    output = given.get("output", OUTPUT)
    place = output.absolute()
    check_writable(next(folder for folder in (place, *place.parents) if folder.exists()))
    data = [f"extends=data/{given['data']}"] if "data" in given else []
    overrides = [*data, *given.get("settings", ())]
    # The keypoints are the data's own; exact ones are no subject of the study.
    runs = [
        replace(run, views=run.views[:1])
        for run in load_runs([Path(folder) for folder in folders], overrides)
    ]
    plan = Plan(
        command=_command(folders, given),
        poses=None if "full" in given else given.get("frames", FRAMES),
        seed=given.get("seed", 0),
        batch=given.get("batch", BATCH),
        output=output,
        device=given.get("device", "auto"),
    )
    from lifting.benchmark.occlusion.report import line_of, write_study
    from lifting.benchmark.occlusion.study import rows
    from lifting.benchmark.tto.subset import shown_frames

    shown = shown_frames(runs, plan)
    found = []
    for row in rows(runs, plan, trials):
        found.append(row)
        print(line_of(row), flush=True)
    for path in write_study(found, runs, shown, plan, trials):
        print(f"written: {path}")
    return 0


def _command(folders: list[str], given: dict[str, object]) -> str:
    """The command line that repeats the study, wherever its files go."""
    words = ["lifting", "bench", NAME, *folders]
    for name, value in given.items():
        if name == "settings":
            assert isinstance(value, list)
            words += [word for setting in value for word in ("--set", setting)]
        elif name not in ("output", "device"):
            several = value if isinstance(value, list) else [] if value is True else [value]
            words += [f"--{name}", *map(str, several)]
    return shlex.join(words)
