"""Registries of weights: a JSON file beside weights and their cards, here or on a server.

The package has one, and a user's own folder another, to which ``add`` and ``fetch`` write. What is
read is compared with its SHA-256 every time, also what came with the package.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from lifting.atomic import replacing, write_text
from lifting.errors import CheckpointError, ConfigError, DataError, suggest
from lifting.files.checks import Size, sha256_of
from lifting.files.json_file import load_json

FORMAT, VERSION = "lifting-weights", 1
REGISTRY, SUFFIX, CARD_SUFFIX = "registry.json", ".pt", ".md"
ENVIRONMENT = "LIFTING_WEIGHTS"
PACKAGED = Path(__file__).parent
_LARGEST_REGISTRY = Size(1)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,80}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"https?://")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of weights.

    Attributes:
        name: What ``--weights`` calls it.
        file: Its name beside the registry, or an address.
        sha256: Of its bytes.
        size: Bytes.
        licence: An SPDX identifier, or words.
        frames: Window of the model, 1 for single frames.
        fps: Frames a second of windows; None for single frames.
        place: Folder or address of the registry; not written.
    """

    name: str
    licence: str
    frames: int
    fps: float | None
    file: str = ""
    sha256: str = ""
    size: int = 0
    place: str = ""

    @property
    def card(self) -> str:
        """Its card, in Markdown, where the file is."""
        return f"{self.file.removesuffix(SUFFIX)}{CARD_SUFFIX}"

    @property
    def path(self) -> Path | None:
        """Where its bytes should lie; None on a server."""
        away = _is_address(self.place) or _is_address(self.file)
        return None if away else Path(self.place) / self.file


_KINDS: dict[str, Any] = {
    "size": int, "frames": int, "fps": int | float | None,
    **dict.fromkeys(("name", "file", "sha256", "licence"), str),
}  # fmt: skip


def own_folder() -> Path:
    """Folder of a user's own registry: LIFTING_WEIGHTS, else one in the home folder."""
    chosen = os.environ.get(ENVIRONMENT)
    return Path(chosen).expanduser() if chosen else Path.home() / ".local/share/lifting/weights"


def read_registry(place: str | Path) -> tuple[Entry, ...]:
    """The entries of a registry.

    Args:
        place: The JSON file, the folder that it lies in, or its address.

    Raises:
        DataError: There is none, or it is damaged or of another version.
        ConfigError: It is on a server and pooch is missing.
    """
    if _is_address(str(place)):
        with tempfile.TemporaryDirectory() as folder:
            return _entries(_download(str(place), None, Path(folder) / REGISTRY), str(place))
    path = Path(place)
    path = path / REGISTRY if path.is_dir() else path
    return _entries(path, str(path.parent))


def known() -> dict[str, Entry]:
    """Weights at hand by name: the user's own, then those of the package.

    Raises:
        DataError: A registry is damaged.
    """
    found: dict[str, Entry] = {}
    for folder in (own_folder(), PACKAGED):
        if (folder / REGISTRY).is_file():
            for entry in read_registry(folder):
                found.setdefault(entry.name, entry)
    return found


def find(name: str, registry: str | Path | None = None) -> Entry:
    """The entry of a name.

    Args:
        name: Of the weights.
        registry: As of :func:`fetch`.

    Raises:
        ConfigError: There is none.
        DataError: The registry cannot be read.
    """
    entries = known() if registry is None else {e.name: e for e in read_registry(registry)}
    if name not in entries:
        raise ConfigError(
            f"unknown weights '{name:.80}'{'' if registry is None else f' in {registry}'}; "
            f"{suggest(name, entries)}; get others with `lifting weights fetch`, or give the path "
            "of a file"
        )
    return entries[name]


def checked_file(entry: Entry) -> Path:
    """The file of weights, whose every byte is as registered.

    Raises:
        CheckpointError: It is not there, or not what was registered.
    """
    path = entry.path or Path(entry.file)
    _check(path, entry)
    return path


def add(path: Path, entry: Entry, card: str, folder: Path | None = None) -> Entry:
    """Copy weights and their card beside a registry, and write them into it.

    Args:
        path: The weights.
        entry: What they are; ``file``, ``sha256`` and ``size`` are found here.
        card: Text of the card.
        folder: Folder of the registry; None takes the user's own. An entry of the same name goes.

    Returns:
        The entry as it was written.

    Raises:
        ConfigError: The name is no word.
        OutputError: The folder cannot be written.
    """
    folder = own_folder() if folder is None else folder
    if not _NAME.fullmatch(entry.name):
        raise ConfigError(
            f"expected a name of letters, digits, '_', '-' and '.', got '{entry.name:.80}'; give "
            "another with --name"
        )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    file = f"{entry.name}{SUFFIX}"
    made = replace(entry, file=file, sha256=digest, size=len(data), place=str(folder))
    with replacing(folder / file) as temporary:
        temporary.write_bytes(data)
    write_text(folder / made.card, card)
    before = read_registry(folder) if (folder / REGISTRY).is_file() else ()
    entries = [asdict(one) for one in before if one.name != made.name] + [asdict(made)]
    listed = [{key: one[key] for key in _KINDS} for one in entries]
    content = {"format": FORMAT, "version": VERSION, "weights": listed}
    write_text(folder / REGISTRY, json.dumps(content, indent=2) + "\n")
    return made


def fetch(name: str, registry: str | Path | None = None) -> Entry:
    """Get weights of a registry into the user's own, once their checksum is right.

    Args:
        name: Of the weights.
        registry: Its JSON file, folder or address; None takes those that are known.

    Raises:
        ConfigError: It has no such weights, or is on a server and pooch is missing.
        DataError: The registry or the card cannot be read.
        CheckpointError: The weights are not what was registered.
    """
    entry = find(name, registry)
    with tempfile.TemporaryDirectory() as place:
        path = _got(entry, entry.file, entry.sha256, Path(place) / f"weights{SUFFIX}")
        _check(path, entry)
        return add(path, entry, card_of(entry))


def card_of(entry: Entry) -> str:
    """Text of a card.

    Raises:
        DataError: It cannot be read.
    """
    with tempfile.TemporaryDirectory() as place:
        path = _got(entry, entry.card, None, Path(place) / f"card{CARD_SUFFIX}")
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"expected the card of '{entry.name}' at {path}, got: {error!s:.200}; ask whoever "
                "keeps the registry"
            ) from error


def default_weights(seconds: float, fps: float) -> Entry | None:
    """The weights that keypoints are lifted with where none are named.

    Windows need to know how fast frames follow one another, at least half as fast as they were
    trained, and tracks that fill one; else single frames. Of several the first counts, those of
    the user before those of the package.

    Args:
        seconds: Length of the tracks, by frames over their rate; 0 where it is not known.
        fps: Frames a second; 0 where it is not known.

    Returns:
        None where there are no weights that would do.
    """
    at_hand = [e for e in known().values() if e.path is not None and e.path.is_file()]
    singles = [e for e in at_hand if e.frames == 1]
    windows = [
        e for e in at_hand if e.fps and fps >= e.fps / 2 and seconds * e.fps >= e.frames > 1
    ]
    return next(iter(windows + singles), None)


def _is_address(place: str) -> bool:
    return _ADDRESS.match(place) is not None


def _got(entry: Entry, name: str, sha256: str | None, path: Path) -> Path:
    """A file of an entry: where it lies, or downloaded to a path."""
    if _is_address(entry.place) or _is_address(name):
        return _download(urljoin(entry.place, name), sha256, path)
    return Path(entry.place) / name


def _download(address: str, sha256: str | None, path: Path) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ConfigError(
            f"expected the package pooch to get {address}, got none; install it with `pip install "
            "'lifting[weights]'`, or get the file by other means and give its path"
        ) from error
    pooch.get_logger().setLevel("WARNING")
    known_hash = None if sha256 is None else f"sha256:{sha256}"
    try:
        pooch.retrieve(address, known_hash, fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:  # of the network, of the checksum
        raise CheckpointError(
            f"expected {address} as registered, got: {error!s:.300}; check the address and the "
            "network, and ask whoever keeps the registry"
        ) from error
    return path


def _check(path: Path, entry: Entry) -> None:
    found = f"{path.stat().st_size} bytes, {sha256_of(path)}" if path.is_file() else "no file"
    if found != f"{entry.size} bytes, {entry.sha256}":
        raise CheckpointError(
            f"expected the weights '{entry.name}' of {entry.size} bytes with SHA-256 "
            f"{entry.sha256} at {path}, got {found}; get them again with `lifting weights fetch "
            f"{entry.name} --registry PLACE`, or install the package again"
        )


def _entries(path: Path, place: str) -> tuple[Entry, ...]:
    content = load_json(path, _LARGEST_REGISTRY)
    given = content if isinstance(content, dict) else {}
    listed = given.get("weights")
    if (given.get("format"), given.get("version")) != (FORMAT, VERSION) or type(
        listed
    ) is not list:
        raise _damaged(path, f"{content!r:.80}")
    return tuple(_entry(path, one, place) for one in listed)


def _entry(path: Path, values: object, place: str) -> Entry:
    if not isinstance(values, dict) or set(values) != set(_KINDS):
        raise _damaged(path, f"an entry whose keys are not {', '.join(_KINDS)}")
    for key, kind in _KINDS.items():
        if not isinstance(values[key], kind) or isinstance(values[key], bool):
            raise _damaged(path, f"'{key}' that is {values[key]!r:.60}")
    file = values["file"]
    inside = _is_address(file) or not (Path(file).is_absolute() or ".." in Path(file).parts)
    if not (_NAME.fullmatch(values["name"]) and _HASH.fullmatch(values["sha256"]) and inside):
        raise _damaged(path, f"a name, file or SHA-256 that is none: {values!r:.120}")
    return Entry(**values, place=place)


def _damaged(path: Path, got: str) -> DataError:
    return DataError(
        f"expected a registry of weights, {FORMAT} {VERSION}, in {path}, got {got}; write it with "
        "`lifting weights add`"
    )
