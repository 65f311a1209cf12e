"""``lifting weights``: the ready weights that are at hand, and how others get there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.options import print_table
from lifting.errors import ConfigError

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

    listing = actions.add_parser("list", help="the weights at hand, or those of a registry")
    _add_registry(listing)
    listing.set_defaults(handler=_list)

    show = actions.add_parser("show", help="the card of weights")
    show.add_argument("name", metavar="NAME")
    _add_registry(show)
    show.set_defaults(handler=_show)

    add = actions.add_parser(
        "add",
        help="put weights into a registry",
        description="Copy a file of `lifting convert weights` and a card into the folder of a "
        "registry, and write its name, size and SHA-256 into registry.json.",
    )
    add.add_argument("file", metavar="FILE", type=Path, help="of `lifting convert weights`")
    add.add_argument("--name", required=True, help="what --weights shall call them")
    add.add_argument("--licence", default=LICENCE, help=f"of the weights (default: {LICENCE})")
    add.add_argument(
        "--card",
        type=Path,
        metavar="FILE.md",
        help="a card of your own (default: one is made of what the weights say of themselves)",
    )
    add.add_argument(
        "--to", type=Path, metavar="FOLDER", help="of the registry (default: your own)"
    )
    add.set_defaults(handler=_add)

    fetch = actions.add_parser(
        "fetch",
        help="get weights of a registry",
        description="Copy weights of a registry into your own folder, once their checksum is "
        "right. From a server it needs the extra `weights`.",
    )
    fetch.add_argument("name", metavar="NAME")
    _add_registry(fetch, required=True)
    fetch.set_defaults(handler=_fetch)


def _add_registry(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--registry",
        metavar="PLACE",
        required=required,
        help="folder, JSON file or address of a registry",
    )


def _list(arguments: argparse.Namespace) -> int:
    from lifting.weights.registry import checked_file, known, read_registry

    place = arguments.registry
    entries = known().values() if place is None else read_registry(place)
    if not entries:
        print(
            "there are no ready weights yet: train a model, and add it with `lifting convert "
            "weights RUN` and `lifting weights add FILE --name NAME`, or get others with "
            "`lifting weights fetch NAME --registry PLACE`"
        )
        return 0
    rows = []
    for entry in entries:
        if entry.path is not None:
            checked_file(entry)
        window = "single frames" if entry.frames == 1 else f"{entry.frames} at {entry.fps:g} Hz"
        rows.append((entry.name, window, f"{entry.size / 1e6:.1f} MB", entry.licence, entry.place))
    print_table("weights", ("name", "frames", "size", "licence", "place"), rows, left=5)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from lifting.weights.registry import card_of, find, read_registry

    if arguments.registry is None:
        entry = find(arguments.name)
    else:
        entries = {one.name: one for one in read_registry(arguments.registry)}
        entry = entries.get(arguments.name) or find(arguments.name)
    print(card_of(entry))
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
    size, sha256 = file.stat().st_size, sha256_of(file)
    with described(file):
        text = card(arguments.name, facts, sha256, size, arguments.licence)
    if arguments.card is not None:
        text = _own_card(arguments.card, sha256)
    entry = Entry(
        name=arguments.name, file="", sha256=sha256, size=size, licence=arguments.licence,
        card="", frames=facts["frames"], fps=facts["fps"],
    )  # fmt: skip
    made = add(file, entry, text, arguments.to)
    print(f"added: {made.path} ({made.size / 1e6:.1f} MB, SHA-256 {made.sha256[:12]}...)")
    return 0


def _own_card(path: Path, sha256: str) -> str:
    """Text of a user's card, which names the file that it is of."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a card in Markdown, got {path}: {error!s:.200}") from error
    if sha256 not in text:
        raise ConfigError(
            f"expected the SHA-256 of the weights, {sha256}, in the card {path}, got none; write "
            "it there"
        )
    return text


def _fetch(arguments: argparse.Namespace) -> int:
    from lifting.weights.registry import fetch

    entry = fetch(arguments.name, arguments.registry)
    print(f"fetched: {entry.path} ({entry.size / 1e6:.1f} MB)")
    return 0
