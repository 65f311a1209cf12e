"""``lifting convert``: import weights that a method's authors published."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifting.cli.options import OVERRIDES_HELP


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "convert",
        help="import weights that a method's authors published",
        description="Turn published weights into a checkpoint that `lifting test EXPERIMENT "
        "--checkpoint` reads. Names and shapes must fit the experiment's network exactly; nothing "
        "in the files is executed. diffpose takes two files: the denoiser, then the context "
        "encoder.",
    )
    parser.add_argument("experiment", help="experiment whose network the weights are for")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="published weights")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="OUT.ckpt", help="checkpoint to write"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"override of the experiment, may be repeated: {OVERRIDES_HELP}",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Convert, then say what was read and what was not needed."""
    from lifting.experiment.load import load_experiment

    config = load_experiment(arguments.experiment, arguments.settings)
    from lifting.experiment.trained import convert

    converted = convert(config, arguments.files, arguments.output)
    count = sum(value.numel() for value in converted.state.values())
    print(f"written: {arguments.output} ({len(converted.state)} weights, {count:,} numbers)")
    for name in converted.unused:
        print(f"not used: {name}")
    return 0
