"""``lifting sweep``: one experiment under many settings, and one table of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.errors import ConfigError, suggest
from lifting.experiment.console import console

if TYPE_CHECKING:
    from lifting.experiment.sweep import Sweep
    from lifting.studies.sweep import SweepRuns

STATUS_INCOMPLETE = 2


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "sweep",
        help="train an experiment under many settings and compare",
        description="Train every variant of a sweep file with every seed, and write one table of "
        "scores, differences to the base, and cost; it is renewed after every run. Called again, "
        "it repeats only what is missing. A run that fails is noted in the table, the rest goes "
        "on, and the exit status is 2.",
    )
    parser.add_argument(
        "sweep", metavar="FILE", help="name in experiments/sweep, or the path of a sweep file"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a setting of all variants, below what they change; may be repeated",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the runs and of the table (default: outputs/sweep/NAME)",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="run these variants; the table shows all"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the variants and what is finished; run nothing"
    )
    parser.add_argument(
        "--wandb",
        action="store_true",
        help="hand the variants out by a W&B sweep; needs a key and wandb.mode auto or online",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Check the whole sweep, run what is missing, then print the table."""
    from lifting.experiment.sweep import load_sweep

    sweep = load_sweep(arguments.sweep, arguments.overrides, arguments.output)
    names = [variant.name for variant in sweep.variants]
    chosen = arguments.only or names
    for name in chosen:
        if name not in names:
            raise ConfigError(f"unknown variant '{name}' of {sweep.name}; {suggest(name, names)}")
    if arguments.list:
        return _list(sweep)
    from lifting.studies.sweep import SweepRuns

    runs = SweepRuns(sweep)
    with console.aside():
        if arguments.wandb:
            from lifting.studies.wandb_sweep import run_wandb_sweep

            run_wandb_sweep(runs, chosen)
        else:
            runs.run_all(chosen)
    return _report(runs)


def _list(sweep: Sweep) -> int:
    from lifting.experiment.folder import finished_run

    finished = [
        key.variant
        for key, job in sweep.jobs.items()
        if finished_run(job.config, job.weights_of) is not None
    ]
    rows = [
        (one.name, f"{finished.count(one.name)} of {len(sweep.seeds)}", " ".join(one.overrides))
        for one in sweep.variants
    ]
    console.table(f"sweep: {sweep.name}", ("variant", "finished", "settings"), rows, left=3)
    return 0


def _report(runs: SweepRuns) -> int:
    from lifting.studies.sweep import cells, titles

    rows = runs.rows()
    title, shown = f"sweep: {runs.sweep.name}", (cells(row, runs.sweep) for row in rows)
    console.table(title, titles(runs.sweep), shown)
    console.study(runs.write())
    failed = [
        f"error: variant '{row.variant.name}', seed {seed}: {problem}"
        for row in rows
        for seed, problem in row.problems.items()
    ]
    for line in failed:
        print(line, file=sys.stderr)
    return STATUS_INCOMPLETE if failed else 0
