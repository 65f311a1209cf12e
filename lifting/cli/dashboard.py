"""``lifting dashboard``: creates the dashboard of a W&B project, or writes it to a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.experiment.console import console

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

TIMEOUT_SECONDS = 8.0


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "dashboard",
        help="create the W&B dashboard of a project, or write it as JSON",
        description="Create the project's dashboard, which is defined in the package, as a W&B "
        "workspace. Without a key, a network or the package wandb-workspaces it is written to a "
        "JSON file instead.",
    )
    parser.add_argument("project", metavar="PROJECT", help="W&B project")
    parser.add_argument("--entity", help="W&B team or user (default: that of the key)")
    parser.add_argument(
        "--offline", type=Path, metavar="FILE.json", help="only write the definition there"
    )
    parser.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Create or write the dashboard; returns the exit status."""
    from lifting.experiment.dashboard import dashboard_spec, obstacle, publish, write_spec

    spec = dashboard_spec(args.project, args.entity)
    reason = "as asked" if args.offline is not None else obstacle(TIMEOUT_SECONDS)
    if reason is None:
        address = publish(args.project, args.entity)
        console.tell(f"dashboard created: {address}", address=address)
        return 0
    path = args.offline or Path(f"dashboard-{args.project}.json")
    write_spec(path, spec)
    if args.offline is None:
        console.tell(f"not sent to W&B: {reason}", reason=reason)
    panels = sum(len(section["panels"]) for section in spec["sections"])
    console.written(path, f", a dashboard of {panels} panels")
    return 0
