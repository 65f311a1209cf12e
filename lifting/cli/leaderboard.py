"""``lifting leaderboard``: every method under one stated budget, or its learning curve."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path

from lifting.cli.sweep import STATUS_INCOMPLETE
from lifting.errors import ConfigError
from lifting.experiment.console import console
from lifting.studies.command import check_least

PAGE = "leaderboard.html"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "leaderboard",
        help="train and compare every method under one budget",
        description="Train every method on the same data for the same processor seconds, and "
        "write one table of scores, intervals and cost, and a chart, renewed after every "
        "training. What counts is the training itself, its validations and checkpoints; how many "
        "steps that buys is measured first. Called again, it repeats only what is missing. A "
        "training that diverges is noted, the rest goes on, and the exit status is 2.",
    )
    parser.add_argument(
        "methods",
        nargs="*",
        metavar="EXPERIMENT",
        help="default: those named as a method, of keypoints or of pictures as the data are",
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="data/NAME.yaml of the experiments, for those that do not extend it (default: their "
        "own data)",
    )
    parser.add_argument(
        "--budgets",
        type=_budget,
        nargs="+",
        default=[(60, 1), (200, 1)],
        metavar="SECONDS[xSEEDS]",
        help="processor seconds of a training, and how many seeds (default: 60 200)",
    )
    parser.add_argument(
        "--gflops",
        type=_speed,
        metavar="G",
        help="the budgets are seconds of a processor with so many GFLOP/s in a float32 product of "
        "1,024 x 1,024 matrices, one thread; a faster one gets fewer (default: seconds of this "
        "processor)",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=5,
        metavar="N",
        help="validate and score every n-th frame",
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
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FILE",
        help="a leaderboard.json of the same data, frames, speed and settings, such as those of "
        "experiments/curves: what it has is not trained again, and its methods stand in the "
        "table, too",
    )
    parser.add_argument(
        "--look",
        type=int,
        default=0,
        metavar="N",
        help="also look closer at the first seed's run of every line, at about N poses: its "
        "motion, lost and wrong joints, test-time optimisation, multiply-adds, memory (300 will "
        "do; default: no look)",
    )
    parser.add_argument(
        "--page",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="train nothing: write leaderboard.html into the output, a page of these recorded "
        "leaderboard.json, whose tables are sorted by a click",
    )
    parser.set_defaults(handler=handle)


def _budget(text: str) -> tuple[int, int]:
    """Seconds and number of seeds of ``200x3`` or ``200``."""
    found = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"expected processor seconds and a number of seeds, such as 200x3 or 1800, got "
            f"'{text}'; name whole numbers from 1"
        )
    return int(found[1]), int(found[2] or 1)


def _speed(text: str) -> float:
    """A positive number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(
            f"expected GFLOP/s, a number above 0, such as 60, got '{text}'"
        )
    return value


def handle(arguments: argparse.Namespace) -> int:
    """Train what is missing, write the table after each training, and print it in the end."""
    check_least(arguments, "every")
    check_least(arguments, "look", least=0)
    if arguments.page:
        from lifting.studies.board_page import write_board_page

        console.written(write_board_page(arguments.page, arguments.output / PAGE))
        return 0
    budgets = dict(arguments.budgets)
    if len(budgets) < len(arguments.budgets):
        raise ConfigError(
            f"expected each budget once, got {len(arguments.budgets)} with only {len(budgets)} "
            "different ones; say how many seeds after an x"
        )
    from lifting.studies.board import TITLES, Contest, cells, write_leaderboard
    from lifting.studies.board_page import write_board_page
    from lifting.studies.leaderboard import comparable_methods, run_leaderboard

    plan = Contest(
        data=arguments.data,
        budgets=tuple(sorted(budgets.items())),
        output=arguments.output,
        every=arguments.every,
        gflops=arguments.gflops,
        overrides=tuple(arguments.overrides),
        beside=arguments.beside,
        look=arguments.look,
    )
    methods = arguments.methods or comparable_methods(plan.data)
    with console.aside():
        for board in run_leaderboard(methods, plan):
            files = write_leaderboard(board)
            page = write_board_page(
                [path for path in files if path.suffix == ".json"], plan.output / PAGE
            )
    title = f"leaderboard: {board.data['name']}, CPU-seconds of training"
    console.table(title, TITLES, map(cells, board.rows), left=1)
    console.study((*files, page))
    for text in board.problems:
        print(f"error: {text}", file=sys.stderr)
    return STATUS_INCOMPLETE if board.problems else 0
