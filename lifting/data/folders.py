"""Where the files of data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from lifting.data.sets import find_set
from lifting.errors import MissingDataError

VARIABLE = "LIFTING_DATA"


def search_folders(name: str, root: str | None) -> tuple[Path, ...]:
    """Folders in which the files of a data set are looked for, first choice first.

    Args:
        name: Data set.
        root: Folder from the configuration; when given, only it (and its sub-folder ``name``).

    Returns:
        The candidates, existing or not; empty when neither a root nor the variable is set.
    """
    base = root or os.environ.get(VARIABLE)
    if not base:
        return ()
    folder = Path(base).expanduser()
    return (folder, folder / name) if root else (folder / name, folder)


def data_folder(name: str, root: str | None) -> Path:
    """The first folder that exists among those of :func:`search_folders`.

    Args:
        name: Data set.
        root: Folder from the configuration, or None for the environment's.

    Raises:
        MissingDataError: None of them exists.
    """
    folders = search_folders(name, root)
    for folder in folders:
        if folder.is_dir():
            return folder
    raise MissingDataError(
        f"expected a folder for data set '{name}', {_looked_in(folders)}; {_cure(name)}"
    )


def is_there(dataset: str, filename: str, root: str | None) -> bool:
    """Whether a data set's file is found, see :func:`find_file`."""
    return any((folder / filename).is_file() for folder in search_folders(dataset, root))


def find_file(dataset: str, filename: str, root: str | None) -> Path:
    """Path of a data set's file.

    Args:
        dataset: Data set.
        filename: Name of the file inside the folder.
        root: Folder from the configuration, or None for the environment's.

    Raises:
        MissingDataError: No candidate folder holds it.
    """
    folders = search_folders(dataset, root)
    for folder in folders:
        if (folder / filename).is_file():
            return folder / filename
    raise MissingDataError(
        f"expected the file {filename} of data set '{dataset}', {_looked_in(folders)}; "
        f"{_cure(dataset)}"
    )


def _looked_in(folders: tuple[Path, ...]) -> str:
    if not folders:
        return f"got neither data.root nor the variable {VARIABLE}"
    return "not found in " + " or ".join(str(folder) for folder in folders)


def _cure(name: str) -> str:
    command = f"describe {name}` says whose it is"
    if find_set(name).command("prepare") is not None:
        command = f"prepare {name} --source DIR` makes it"
    return (
        f"set {VARIABLE} to the folder that holds {name}/ or give data.root; "
        f"`lifting data {command}"
    )
