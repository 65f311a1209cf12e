"""``lifting leaderboard``: every method under one stated budget."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lifting.cli.sweep import STATUS_INCOMPLETE
from lifting.errors import ConfigError


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "leaderboard",
        help="train and compare every method under one budget",
        description="Train every method on the same data with the same number of training "
        "samples and the same seeds, and write one table of scores, intervals and cost. "
        "Called again, it repeats only what is missing. A training that diverges is noted, the "
        "rest goes on, and the exit status is 2.",
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="default: all")
    parser.add_argument(
        "--data", default="synthetic", metavar="NAME", help="data/NAME.yaml of the experiments"
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=500_000,
        metavar="N",
        help="training samples a method sees, all its stages together",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED")
    parser.add_argument(
        "--every", type=int, default=5, metavar="N", help="score every n-th test frame"
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/leaderboard"), metavar="DIR")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a setting of all methods; may be repeated",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Train what is missing, then print and write the table."""
    if arguments.samples < 1:
        raise ConfigError(f"expected --samples from 1, got {arguments.samples}; name a budget")
    from rich.console import Console
    from rich.table import Table

    from lifting.studies.leaderboard import (
        TITLES,
        Contest,
        cells,
        comparable_methods,
        run_leaderboard,
        write_leaderboard,
    )

    plan = Contest(
        data=arguments.data,
        samples=arguments.samples,
        seeds=tuple(dict.fromkeys(arguments.seeds)),
        output=arguments.output,
        every=arguments.every,
        overrides=tuple(arguments.overrides),
    )
    standings = run_leaderboard(arguments.methods or comparable_methods(), plan)
    table = Table(title=f"leaderboard: {plan.data}, {plan.samples:,} training samples")
    for title in TITLES:
        table.add_column(title, justify="left" if title == "method" else "right")
    for row in standings:
        table.add_row(*cells(row))
    console = Console(soft_wrap=True)
    console.print(table)
    for path in write_leaderboard(standings, plan):
        console.print(f"written: {path}", highlight=False, markup=False)
    problems = [text for row in standings for text in row.problems]
    for text in problems:
        print(f"error: {text}", file=sys.stderr)
    return STATUS_INCOMPLETE if problems else 0
