"""``lifting export``: write poses as files that other programs open."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifting.errors import ConfigError
from lifting.experiment.console import console
from lifting.export import chosen
from lifting.export.names import PROFILES

FORMATS = "bvh, glb, c3d, trc, csv, csv-wide, json, npz, or one of an installed package"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "export",
        help="write poses as BVH, GLB, C3D, TRC, CSV or JSON",
        description="Write the poses of `lifting predict` as files that other programs open. What "
        "they hold (frame, scale, gaps, how far an animation is from the poses) is printed, and "
        "stands in a file .meta.json beside them.",
    )
    parser.add_argument(
        "poses", type=Path, metavar="FILE", help="an npz file of `lifting predict`"
    )
    parser.add_argument(
        "--to", required=True, metavar="FORMATS", help=f"with commas between them: {FORMATS}"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="default: the folder of the file"
    )
    add_joint_names(parser)
    parser.add_argument(
        "--max-gap",
        type=float,
        metavar="SECONDS",
        help="longest gap that is interpolated in bvh and glb; in a longer one the pose is held "
        "(default: 0.5)",
    )
    parser.set_defaults(handler=handle)


def add_joint_names(parser: argparse._ActionsContainer) -> None:
    """The names of joints in exported files."""
    parser.add_argument(
        "--joint-names",
        metavar="NAMES",
        help=f"names of joints in the files: {', '.join(PROFILES)} (default: opensim in trc, else "
        "those of the skeleton)",
    )


def write(poses: Path, formats: str, folder: Path, profile: str | None, **options: float) -> None:
    """Export a file of poses, and say what was written.

    Args:
        poses: The file.
        formats: With commas between them.
        folder: Where the files go; their names begin with that of the file.
        profile: Names of joints.
        options: ``max_gap``.
    """
    from lifting.export.motion import export_poses
    from lifting.poses import Poses

    written = export_poses(
        Poses.load(poses), formats, folder, stem=poses.stem, profile=profile, **options
    )
    for line in written.remarks:
        console.say(line)
    for file in written.files:
        console.written(file)
    console.values(remarks=list(written.remarks))


def handle(arguments: argparse.Namespace) -> int:
    """Check what is asked for, then read and write."""
    chosen(arguments.to, arguments.joint_names)
    gap = arguments.max_gap
    if gap is not None and not 0 <= gap < 3600:
        raise ConfigError(f"expected --max-gap from 0 to 3600 seconds, got {gap}; give 0.5")
    options = {} if gap is None else {"max_gap": gap}
    folder = arguments.output or arguments.poses.parent
    write(arguments.poses, arguments.to, folder, arguments.joint_names, **options)
    return 0
