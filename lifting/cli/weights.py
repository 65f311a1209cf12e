"""``lifting weights``: the ready weights that are at hand, and how others get there."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.errors import ConfigError
from lifting.experiment.console import console, folded

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

LICENCE = "Apache-2.0"


def register(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "weights",
        help="list, show, add and fetch ready weights",
        description="Ready weights lift keypoints without an experiment: `lifting predict "
        "--keypoints FILE`. They are those of the package and those in a folder of your own, "
        "LIFTING_WEIGHTS, by default ~/.local/share/lifting/weights. A registry is a file "
        "registry.json beside weights and cards; put the folder on a server to share it.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    about = {
        "list": (_list, "the weights at hand, or those of a registry"),
        "show": (_show, "the card of weights"),
        "add": (_add, "put a file of `lifting convert weights` into a registry, with a card"),
        "fetch": (_fetch, "get weights of a registry, once their checksum is right"),
    }
    parsers = {}
    for action, (handler, words) in about.items():
        parsers[action] = actions.add_parser(action, help=words, description=words)
        parsers[action].set_defaults(handler=handler)
    for action in ("show", "fetch"):
        parsers[action].add_argument("name", metavar="NAME")
    for action in ("list", "fetch"):
        parsers[action].add_argument(
            "--registry",
            metavar="PLACE",
            help="folder, JSON file or address of a registry (an address: extra `weights`)",
        )
    add = parsers["add"]
    add.add_argument("file", metavar="FILE", type=Path, help="of `lifting convert weights`")
    add.add_argument("--name", required=True, help="what --weights shall call them")
    add.add_argument("--licence", default=LICENCE, help=f"of the weights (default: {LICENCE})")
    add.add_argument("--to", type=Path, metavar="FOLDER", help="of a registry (default: your own)")


def _list(arguments: argparse.Namespace) -> int:
    from lifting.weights.registry import checked_file, known, read_registry

    place = arguments.registry
    entries = known().values() if place is None else read_registry(place)
    if not entries:
        console.tell(
            "there are no ready weights: train a model, and add it with `lifting convert "
            "weights RUN` and `lifting weights add FILE --name NAME`, or get others with "
            "`lifting weights fetch NAME --registry PLACE`",
            rows=[],
        )
        return 0
    rows = []
    for entry in entries:
        if entry.path is not None:
            checked_file(entry)
        window = "single frames" if entry.frames == 1 else f"{entry.frames} at {entry.fps:g} Hz"
        rows.append((entry.name, window, f"{entry.size / 1e6:.1f} MB", entry.licence, entry.place))
    console.table(
        "weights",
        ("name", "frames", "size", "licence", "place"),
        rows,
        left=5,
        values={"rows": list(map(asdict, entries))},
    )
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from lifting.weights.registry import card_of, find

    entry = find(arguments.name)
    card = card_of(entry)
    console.tell(folded(card), **asdict(entry), card=card)
    return 0


def _add(arguments: argparse.Namespace) -> int:
    from lifting.experiment.card import card
    from lifting.experiment.checkpoint import described, read_checkpoint
    from lifting.files.checks import sha256_of
    from lifting.methods.lifter import CHECKPOINT_KEY
    from lifting.weights.registry import Entry, add

    file = arguments.file
    facts = read_checkpoint(file)[CHECKPOINT_KEY]
    if not isinstance(facts.get("training"), dict) or "skeleton" not in facts:
        raise ConfigError(
            f"expected a file of `lifting convert weights`, got {file}, which is none; make one "
            f"with `lifting convert weights {file} --output OUT.pt`"
        )
    with described(file):
        text = card(arguments.name, facts, sha256_of(file), file.stat().st_size, arguments.licence)
    entry = Entry(
        name=arguments.name, licence=arguments.licence, frames=facts["frames"], fps=facts["fps"]
    )
    made = add(file, entry, text, arguments.to)
    told = f"added: {made.path} ({made.size / 1e6:.1f} MB, SHA-256 {made.sha256[:12]}...)"
    console.tell(told, **asdict(made))
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from lifting.weights.registry import fetch

    entry = fetch(arguments.name, arguments.registry)
    console.tell(f"fetched: {entry.path} ({entry.size / 1e6:.1f} MB)", **asdict(entry))
    return 0
