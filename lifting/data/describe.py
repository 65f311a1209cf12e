"""What each data set is: content, files, split, terms, and where its owners give it away.

Imports no torch, so that the commands that only talk answer at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lifting.data.folders import VARIABLE, search_folders
from lifting.data.sets import find_set

Fact = tuple[str, str]

MAKES_ITSELF = "nothing: it is made when it is used, from the seed"
READ_AS_IS = (
    "nothing: the files are read as they are, and what is derived from them is kept in the cache"
)
NEVER = (
    "this project contains, mirrors or uploads nothing of it, nor what is derived from it "
    "(keypoints, conversions, rendered ground truth); tables of scores are fine"
)


def on_terms(terms: str) -> tuple[Fact, ...]:
    """The last facts of a set whose owners give it away: preparation, terms, and what is not done.

    Args:
        terms: Its terms in a few words.
    """
    return ("preparation", f"needs {READ_AS_IS}"), ("terms", terms), ("never", NEVER)


@dataclass(frozen=True)
class About:
    """One data set in words.

    Attributes:
        files: Forms it can be found in; a form is a tuple of file patterns below its folder, all
            of which must be there. Empty for data that are generated.
        page: Where its owners give it away; empty when there is nothing to get.
        facts: What it is, by heading.
        shown: Words for the files where the patterns are too many to be shown.
    """

    files: tuple[tuple[str, ...], ...]
    page: str
    facts: tuple[Fact, ...]
    shown: str = ""

    def files_in_words(self) -> str:
        """The files of each form."""
        return self.shown or " or ".join(", ".join(form) for form in self.files) or "none"


def about(name: str) -> About:
    """One data set in words.

    Raises:
        ConfigError: No data set has that name.
    """
    return cast(About, find_set(name).fact("ABOUT", About((), "", ())))


def describe(name: str) -> list[Fact]:
    """What a data set holds, where its files are looked for, and its terms.

    Args:
        name: Data set.

    Raises:
        ConfigError: No data set has that name.
    """
    known = about(name)
    facts: list[Fact] = [("name", name), ("summary", find_set(name).summary)]
    if known.files:
        facts.append(("files", known.files_in_words()))
        facts.append(("looked for in", f"data.root, else {VARIABLE}/{name}, else {VARIABLE}"))
    facts += known.facts
    if known.page:
        facts.append(("page", known.page))
    return facts


def is_found(name: str, root: str | None = None) -> bool:
    """Whether the files of a data set are there, in any of its forms.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.

    Raises:
        ConfigError: No data set has that name.
    """
    forms, folders = about(name).files, search_folders(name, root)
    return not forms or any(all(_any(folders, p) for p in form) for form in forms)


def _any(folders: tuple[Path, ...], pattern: str) -> bool:
    return any(next(folder.glob(pattern), None) is not None for folder in folders)
