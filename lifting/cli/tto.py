"""``lifting tto``: what test-time optimisation does to trained runs."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.options import RUN_HELP, add_study
from lifting.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lifting.studies.plan import Plan, Run

    Actions = argparse._SubParsersAction[argparse.ArgumentParser]

TABLE, CURVES, CALIBRATE = "table", "curves", "calibrate"
POSES = {TABLE: 1000, CURVES: 256, CALIBRATE: 1000}
STEPS = 50
BATCH = 256


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "tto",
        help="study test-time optimisation on trained runs",
        description="Study test-time optimisation on trained runs: tables, curves over its steps, "
        "and calibration of the expected error.",
    )
    parser.set_defaults(handler=handle)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    table = _add(actions, TABLE, "methods beside variants of the optimisation")
    table.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUN_HELP)
    curves = _add(actions, CURVES, "error and 2D residual against the number of steps")
    curves.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUN_HELP)
    curves.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"default: {STEPS}")
    calibrate = _add(
        actions, CALIBRATE, "fit the expected error on validation data, judge it on test data"
    )
    calibrate.add_argument("runs", nargs=1, type=Path, metavar="RUN", help=RUN_HELP)


def _add(actions: Actions, name: str, text: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_study(action, poses=POSES[name], batch=BATCH, example="tto.lr=2e-3", output="outputs/tto")
    return action


def handle(arguments: argparse.Namespace) -> int:
    """Find the runs, then study them."""
    for name in ("poses", "batch", "steps"):
        if getattr(arguments, name, 1) < 1:
            raise ConfigError(f"expected --{name} from 1, got {getattr(arguments, name)}")
    from lifting.experiment.folder import check_writable
    from lifting.studies.plan import Plan, load_runs

    place = arguments.output.absolute()
    check_writable(next(folder for folder in (place, *place.parents) if folder.exists()))
    data = [f"extends=data/{arguments.data}"] if arguments.data else []
    runs = load_runs(arguments.runs, [*data, *arguments.overrides])
    plan = Plan(
        command=_command(arguments),
        poses=None if arguments.full else arguments.poses,
        seed=arguments.seed,
        batch=arguments.batch,
        output=arguments.output,
        device=arguments.device,
    )
    if arguments.action == CALIBRATE:
        written = _calibrate(runs[0], plan)
    elif arguments.action == CURVES:
        written = _curves(runs, plan, arguments.steps)
    else:
        written = _table(runs, plan)
    for path in written:
        print(f"written: {path}")
    return 0


def _table(runs: list[Run], plan: Plan) -> Iterable[Path]:
    from lifting.studies.frames import shown_frames
    from lifting.studies.optimisation import table_rows
    from lifting.studies.optimisation_report import cells, heading, write_table

    shown = shown_frames(runs, plan)
    rows = []
    for row in table_rows(runs, plan):
        rows.append(row)
        print(f"{heading(row.exact, row.root)} | {' | '.join(cells(row))}", flush=True)
    return write_table(rows, runs, shown, plan)


def _curves(runs: list[Run], plan: Plan, steps: int) -> Iterable[Path]:
    from lifting.studies.curves import courses
    from lifting.studies.frames import shown_frames
    from lifting.studies.optimisation_report import write_courses

    shown = shown_frames(runs, plan)
    followed = []
    for course in courses(runs, plan, steps):
        followed.append(course)
        first, last, least = course.mpjpe_mm[0], course.mpjpe_mm[-1], min(course.mpjpe_mm)
        print(
            f"{course.run} | root {course.root} | {course.variant} | MPJPE {first:.1f} to "
            f"{last:.1f} mm, least {least:.1f}",
            flush=True,
        )
    return write_courses(followed, runs, shown, plan)


def _calibrate(run: Run, plan: Plan) -> Iterable[Path]:
    from lifting.studies.calibration import AFFINE, TEMPERATURE, calibrate
    from lifting.studies.optimisation_report import overrides_of, write_calibration

    study = calibrate(run, plan)
    for name in (TEMPERATURE, AFFINE):
        print(f"{name}: {overrides_of(study, name)}")
    return write_calibration(study, run, plan)


def _command(arguments: argparse.Namespace) -> str:
    """The command line that repeats the study, wherever its files go."""
    words = ["lifting", "tto", arguments.action, *map(str, arguments.runs)]
    words += ["--full"] if arguments.full else ["--poses", str(arguments.poses)]
    words += ["--seed", str(arguments.seed)]
    for name, default in (("batch", BATCH), ("steps", STEPS), ("data", None)):
        value = getattr(arguments, name, default)
        if value != default:
            words += [f"--{name}", str(value)]
    for override in arguments.overrides:
        words += ["--set", override]
    return shlex.join(words)
