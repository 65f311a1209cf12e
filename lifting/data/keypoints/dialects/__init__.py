"""Formats of keypoints, a file each, found by listing.

A module of this folder, or of an installed package that names it under the entry points
``lifting.keypoint_dialects``, holds ``DIALECTS``: what it recognises, and how each is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.source import PLAIN, Kind, Source
from lifting.errors import DataError
from lifting.listing import listed_modules

ENTRY_POINT_GROUP = "lifting.keypoint_dialects"


@dataclass(frozen=True)
class Dialect:
    """One format.

    Attributes:
        name: Short, for records: ``alphapose``.
        title: What people call it: ``AlphaPose results``.
        kinds: Kinds of files that it comes in.
        keys: Names that are always in it, of which an error tells those that a file lacks.
        sees: Whether a source is of it; looks at the outline only.
        read: Its people. Raises ``DataError`` for what cannot be lifted, with what to save
            instead.
        folders: Whether a folder with a file for every frame is of it, too.
    """

    name: str
    title: str
    kinds: tuple[Kind, ...]
    keys: tuple[str, ...]
    sees: Callable[[Source], bool]
    read: Callable[[Source], Sightings]
    folders: bool = False


@cache
def dialects() -> tuple[Dialect, ...]:
    """Every dialect: those of installed packages first, then ours by name of their modules."""
    found: list[Dialect] = []
    for module in listed_modules(__name__, Path(__file__).parent, ENTRY_POINT_GROUP):
        found.extend(importlib.import_module(module).DIALECTS)
    return tuple(found)


def find_dialect(source: Source) -> Dialect:
    """The dialect of a source.

    Args:
        source: The file or folder.

    Raises:
        DataError: There is none; the message says what was seen, what is nearest and what that
            lacks, and the plain form to write.
    """
    known = [one for one in dialects() if source.kind in one.kinds]
    found = next((one for one in known if one.sees(source)), None)
    if found is not None and source.is_folder and not found.folders:
        raise DataError(
            f"expected one file of {found.title} for a video, got {len(source.files)} of them in "
            f"{source.path}; give a file, or join them with the frames' names or numbers"
        )
    if found is not None:
        return found
    near = max(known, key=lambda one: _likeness(one, source), default=None)
    hint = ""
    if near is not None and _likeness(near, source) > 0:
        missing = [key for key in near.keys if key not in source.keys]
        lacks = f", which has {', '.join(missing)}" if missing else ""
        hint = f"\nnearest: {near.title}{lacks}"
    raise DataError(
        f"expected keypoints in a known format in {source.path}, got {source.in_words()}{hint}\n"
        f"export one of the formats that lifting/data/README.md lists, {PLAIN}"
    )


def _likeness(dialect: Dialect, source: Source) -> float:
    return len(source.keys & set(dialect.keys)) / max(len(dialect.keys), 1)
