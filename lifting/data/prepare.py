"""What ``lifting data list`` and ``lifting data prepare`` run.

Everything returns plain rows; how they are printed is the command line's business. No torch is
imported, so the answers are quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lifting.data.describe import MAKES_ITSELF, READ_AS_IS, Fact, about, is_found
from lifting.data.folders import VARIABLE
from lifting.data.sets import data_sets, find_set
from lifting.errors import ConfigError


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
