"""``lifting test``: score a checkpoint on the test split."""

from __future__ import annotations

import argparse

from lifting.cli.options import add_checkpoint, add_experiment, load_for_checkpoint


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "test",
        help="score a checkpoint on the test split",
        description="Score a checkpoint on the test split and write the record. The "
        "configuration is the one the checkpoint was trained with, under the overrides.",
    )
    add_experiment(parser)
    add_checkpoint(parser)
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Find the weights, then score them."""
    config, checkpoint = load_for_checkpoint(arguments)
    from lifting.experiment.run import evaluate

    evaluate(config, checkpoint)
    return 0
