"""``lifting experiments``: the experiments that exist, one line each."""

from __future__ import annotations

import argparse

from lifting.experiment.console import console


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "experiments",
        help="list the experiments",
        description="List the experiments, or print one as it resolves.",
    )
    parser.add_argument("experiment", nargs="?", help="print this one, all its keys resolved")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for `train`")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Print the list, or the named experiment."""
    from lifting.experiment.load import list_experiments, load_experiment, to_plain, to_yaml

    if arguments.experiment:
        config = load_experiment(arguments.experiment, arguments.overrides)
        console.tell(to_yaml(config).rstrip("\n"), **to_plain(config))
        return 0
    found = list_experiments()
    console.table("experiments", ("name", "what"), found.items(), values=found)
    return 0
