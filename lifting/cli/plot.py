"""``lifting plot``: pictures of poses over time, of a run, of a leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.options import ENDINGS, picture
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.experiment.console import console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_POSES = ("sheet", "angles", "above")
JOINTS, ACTIONS, CURVES, LEADERBOARD = "joints", "actions", "curves", "leaderboard"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "plot",
        help="draw poses, the errors and curves of a run, or a leaderboard",
        description="Of a file of poses (.npz), sheet: one person at even steps of time; angles: "
        "of knee, hip, elbow and shoulder; above: everybody's path and the cameras, from above. "
        "Of a run, joints and actions: its error by joint and by action; curves: its "
        "validations. Of a leaderboard.json, leaderboard: methods beside one another; curves: "
        "their errors after ever longer trainings.",
    )
    kinds = (*OF_POSES, JOINTS, ACTIONS, CURVES, LEADERBOARD)
    parser.add_argument("kind", choices=kinds, metavar="KIND", help=", ".join(kinds))
    parser.add_argument(
        "source", type=Path, metavar="RUN_OR_FILE", help="poses, folder of a run, or JSON"
    )
    parser.add_argument("--person", help="whose sheet or angles (default: who is there longest)")
    parser.add_argument(
        "--output",
        type=picture,
        metavar="FILE",
        help=f"{ENDINGS} (default: KIND.png beside the file, or in the run's pictures)",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Read, draw and write."""
    kind, source = arguments.kind, arguments.source
    if arguments.person is not None and kind not in OF_POSES[:2]:
        raise ConfigError(
            f"expected --person for a sheet or angles, got it for {kind}; leave it out"
        )
    if not source.exists():
        raise MissingDataError(
            f"expected what to draw, got {source}, which does not exist; name a file of poses, "
            "the folder of a run or a leaderboard.json"
        )
    if kind not in OF_POSES and source.is_file() and source.suffix.lower() == ".npz":
        raise ConfigError(
            f"expected a run or its record to draw {kind}, got {source}, which holds poses; "
            f"`lifting plot {'|'.join(OF_POSES)} {source}` draw those"
        )
    if kind in OF_POSES:
        figure = _poses(kind, source, arguments.person)
    elif kind in (JOINTS, ACTIONS):
        figure = _errors(kind, source)
    elif kind == CURVES and source.is_dir():
        figure = _validations(source)
    else:
        figure = _board(kind, source)
    from lifting.visualization.style import save_figure

    folder = source / "pictures" if source.is_dir() else source.parent
    output = arguments.output or folder / f"{kind}.png"
    save_figure(figure, output)
    console.written(output)
    return 0


def _poses(kind: str, source: Path, person: str | None) -> Figure:
    from lifting.poses import Poses
    from lifting.visualization.clip_plots import above_figure, angles_figure, sheet_figure

    poses = Poses.load(source)
    if kind == "above":
        return above_figure(poses)
    return (sheet_figure if kind == "sheet" else angles_figure)(poses, person)


def _errors(kind: str, source: Path) -> Figure:
    """Errors of a record; those of joints in the order of the skeleton."""
    from lifting.experiment.folder import RECORD_FILE
    from lifting.experiment.record import read_record
    from lifting.skeleton import set_of_names
    from lifting.visualization.charts import action_chart, joint_chart

    file = source / RECORD_FILE if source.is_dir() else source
    record = read_record(file)
    prefix = "mpjpe_mm/joint/" if kind == JOINTS else "mpjpe_mm/"
    values = {
        key.removeprefix(prefix): value
        for key, value in record.metrics.items()
        if key.startswith(prefix) and (kind == JOINTS or not key.startswith(f"{prefix}joint/"))
    }
    if not values:
        raise DataError(
            f"expected errors by {kind[:-1]} in {file}, got none; score the run again with "
            "`lifting test`"
        )
    of = f"{record.experiment}, {record.dataset} {record.split}"
    if kind == ACTIONS:
        return action_chart(values, of=of)
    return joint_chart(values, set_of_names(record.joints), of=of)


def _board(kind: str, source: Path) -> Figure:
    from lifting.studies.board import curves_figure, read_table, standings_figure

    table = read_table(source)
    name = str(table.data.get("name", source.stem))
    if kind == CURVES:
        return curves_figure(table.rows, name, table.plan.get("gflops"))
    return standings_figure(table.rows, name)


def _validations(run: Path) -> Figure:
    from lifting.experiment.panels import validation_figure

    return validation_figure(run)
