"""What each data set is and where its owners give it away; what ``lifting data`` lists and makes.

Behind the commands ``list``, ``describe``, ``fetch`` and ``prepare``. Everything returns plain
rows; how they are printed is the command line's business. No torch is imported, so the answers
are quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lifting.data.folders import VARIABLE, search_folders
from lifting.data.sets import data_sets, find_set
from lifting.errors import ConfigError

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


@dataclass(frozen=True)
class DatasetRow:
    """One data set in the list.

    Attributes:
        name: Name for ``data.name``.
        summary: What it is.
        files: What must be there.
        state: ``ready``, or what to do.
    """

    name: str
    summary: str
    files: str
    state: str


def list_datasets() -> list[DatasetRow]:
    """The data sets that can be named, and whether their files are found."""
    return [
        DatasetRow(name, one.summary, about(name).files_in_words(), _state(name))
        for name, one in sorted(data_sets().items())
    ]


def fetch(
    name: str,
    *,
    subjects: str = "",
    output: Path | None = None,
    url: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Fact]:
    """Get a data set that anyone may fetch.

    Args:
        name: Data set.
        subjects: Which of it, such as ``1,5-7`` or ``all``; empty for a small choice.
        output: Folder to write to; None is one in the data folder of the environment.
        url: A mirror of the data set's server.
        progress: Told of each subject.

    Returns:
        What was done, and what to do next.

    Raises:
        ConfigError: The data set is not to be fetched, or an option is malformed.
        DataError: The server cannot be reached, or has something else there.
        OutputError: A file cannot be written.
    """
    run, page = find_set(name).command("fetch"), about(name).page
    if run is None and not page:
        raise ConfigError(f"data set '{name}' needs {MAKES_ITSELF}; there is nothing to fetch")
    if run is None:
        free = [one for one, found in data_sets().items() if found.command("fetch") is not None]
        raise ConfigError(
            f"expected a data set that anyone may fetch ({', '.join(free)}), got '{name}', which "
            f"is given to those who accept its terms at {page}; get it there, then see `lifting "
            f"data describe {name}`"
        )
    facts: list[Fact] = run(subjects=subjects, output=output, url=url, progress=progress)
    return facts


def _state(name: str) -> str:
    if is_found(name):
        return "ready"
    return f"not found: set {VARIABLE} or see `lifting data describe {name}`"


def prepare(
    name: str, source: Path, output: Path | None = None, joint_map: Path | None = None
) -> list[Fact]:
    """Make a data set's file from source files.

    Args:
        name: Data set.
        source: Folder of the source files.
        output: File or folder to write to; None is the data folder of the environment, or the
            current folder without one.
        joint_map: File that says which names of BVH files are the joints, JSON or TOML.

    Returns:
        What was done.

    Raises:
        ConfigError: No data set has that name, or it needs no preparation.
        DataError: The source files are missing or malformed.
        OutputError: The output exists already or cannot be written.
    """
    run = find_set(name).command("prepare")
    if run is None:
        need = READ_AS_IS if about(name).files else MAKES_ITSELF
        raise ConfigError(
            f"data set '{name}' needs {need}; there is nothing to prepare, see `lifting data "
            f"describe {name}`"
        )
    facts: list[Fact] = run(source, output, joint_map)
    return facts
