"""``lifting tto``: what test-time optimisation does to trained runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.experiment.console import console
from lifting.studies.command import RUN_HELP, add_study, check_least

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lifting.studies.optimisation import Row
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
    _add(actions, TABLE, "methods beside variants of the optimisation")
    curves = _add(actions, CURVES, "error and 2D residual against the number of steps")
    curves.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"default: {STEPS}")
    _add(actions, CALIBRATE, "fit the expected error on validation data, judge it on test data")


def _add(actions: Actions, name: str, text: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    count = 1 if name == CALIBRATE else "+"
    action.add_argument("runs", nargs=count, type=Path, metavar="RUN", help=RUN_HELP)
    add_study(action, poses=POSES[name], batch=BATCH, example="tto.lr=2e-3", output="outputs/tto")
    return action


def handle(arguments: argparse.Namespace) -> int:
    """Find the runs, then study them."""
    check_least(arguments, "poses", "batch", "steps")
    from lifting.studies.plan import study_of

    runs, plan = study_of(arguments, exact=True)
    if arguments.action == CALIBRATE:
        written = _calibrate(runs[0], plan)
    elif arguments.action == CURVES:
        written = _curves(runs, plan, arguments.steps)
    else:
        written = _table(runs, plan)
    console.study(written)
    return 0


def _table(runs: list[Run], plan: Plan) -> Iterable[Path]:
    from lifting.studies.frames import shown_frames
    from lifting.studies.optimisation import (
        TITLES,
        by_oracle,
        cells,
        heading,
        table_rows,
        write_table,
    )
    from lifting.studies.page import timed

    shown = shown_frames(runs, plan)
    rows: list[Row] = []
    for row in table_rows(runs, plan):
        if not rows or (row.exact, row.root) != (rows[-1].exact, rows[-1].root):
            console.say(heading(row.exact, row.root))
        rows.append(row)
        error = "-" if row.scores is None else f"MPJPE {row.scores['mpjpe_mm']:.1f} mm"
        console.say(f"  {row.run} | {row.variant} | {error}")
    for (exact, root), chosen in by_oracle(rows).items():
        titles = timed(TITLES, plan)
        console.table(heading(exact, root), titles, map(cells, chosen), values={})
    return write_table(rows, runs, shown, plan)


def _curves(runs: list[Run], plan: Plan, steps: int) -> Iterable[Path]:
    from lifting.studies.curves import courses, write_courses
    from lifting.studies.frames import shown_frames

    shown = shown_frames(runs, plan)
    followed = []
    for course in courses(runs, plan, steps):
        followed.append(course)
        first, last, least = course.mpjpe_mm[0], course.mpjpe_mm[-1], min(course.mpjpe_mm)
        console.say(
            f"{course.run} | root {course.root} | {course.variant} | MPJPE {first:.1f} to "
            f"{last:.1f} mm, least {least:.1f}"
        )
    return write_courses(followed, runs, shown, plan)


def _calibrate(run: Run, plan: Plan) -> Iterable[Path]:
    from lifting.studies.calibration import (
        AFFINE,
        TEMPERATURE,
        calibrate,
        overrides_of,
        write_calibration,
    )

    study = calibrate(run, plan)
    overrides = {name: overrides_of(study, name) for name in (TEMPERATURE, AFFINE)}
    lines = (f"{name}: {text}" for name, text in overrides.items())
    console.tell("\n".join(lines), overrides=overrides)
    return write_calibration(study, run, plan)
