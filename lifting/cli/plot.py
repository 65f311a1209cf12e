"""``lifting plot``: pictures of poses over time."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifting.errors import OutputError
from lifting.experiment.console import console

KINDS = ("sheet", "angles", "above")
ENDINGS = (".png", ".pdf", ".svg")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "plot",
        help="draw poses: a contact sheet, angles over time, paths from above",
        description="Draw a file of poses. sheet: one person at even steps of time; angles: of "
        "knee, hip, elbow and shoulder; above: everybody's path and the cameras, from above.",
    )
    parser.add_argument("kind", choices=KINDS, help="what to draw")
    parser.add_argument("poses", type=Path, metavar="POSES", help="a file of poses (.npz)")
    parser.add_argument("--person", help="whose sheet or angles (default: who is there longest)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help=f"{', '.join(ENDINGS)} (default: KIND.png "
        "beside the poses)"
    )  # fmt: skip
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Read the poses, draw and write."""
    output = arguments.output or arguments.poses.with_name(f"{arguments.kind}.png")
    if output.suffix.lower() not in ENDINGS:
        raise OutputError(
            f"expected a picture ({', '.join(ENDINGS)}) for --output, got {output}; name "
            f"{output.stem or arguments.kind}.png"
        )
    from lifting.atomic import replacing
    from lifting.poses import Poses
    from lifting.visualization.clip_plots import above_figure, angles_figure, sheet_figure
    from lifting.visualization.style import save_figure

    poses = Poses.load(arguments.poses)
    if arguments.kind == "above":
        figure = above_figure(poses)
    else:
        draw = sheet_figure if arguments.kind == "sheet" else angles_figure
        figure = draw(poses, arguments.person)
    with replacing(output) as temporary:
        save_figure(figure, temporary)
    console.written(output)
    return 0
