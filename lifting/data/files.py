"""Files a user supplies: where they are looked for, and how arrays are read without trusting them.

Nothing here unpickles. A zip archive is inspected (names, sizes, array headers) before a byte of
its content is expanded.
"""

from __future__ import annotations

import hashlib
import math
import os
import zipfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lifting.atomic import replacing
from lifting.data.archive import named_member, open_npz, read_array_header
from lifting.data.sets import find_set
from lifting.errors import DataError, MissingDataError

Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["float", "integer", "number", "text", "characters", "boolean"]

VARIABLE = "LIFTING_DATA"
DEFAULT_MAX_BYTES = 4 * 1024**3
_LAST_CODE_POINT = 0x10FFFF

_KINDS: Mapping[str, str] = {
    "float": "f",
    "integer": "iu",
    "number": "fiu",
    "text": "U",
    "characters": "US",  # text, or the bytes of it
    "boolean": "b",
}


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
    if find_set(name).part("prepare") is not None:
        command = f"prepare {name} --source DIR` makes it"
    return (
        f"set {VARIABLE} to the folder that holds {name}/ or give data.root; "
        f"`lifting data {command}"
    )


def read_plain_npz(
    path: Path,
    keys: Mapping[str, tuple[Kind, int]],
    max_bytes: int = DEFAULT_MAX_BYTES,
    optional: frozenset[str] = frozenset(),
) -> dict[str, Array]:
    """Read named arrays of an npz file without unpickling anything.

    Args:
        path: The file.
        keys: Kind and number of axes of every array that must be there; others are left alone.
        max_bytes: Limit of the expanded size of the whole archive, bytes.
        optional: Names in ``keys`` that may be absent from the file, and then from the result.

    Returns:
        The arrays by name, in native byte order.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no readable npz, is unsafe, or an array is absent or of another form.
    """
    with open_npz(path, max_bytes) as (archive, members):
        return {
            key: _read_member(path, archive, named_member(path, members, key), key, kind, ndim)
            for key, (kind, ndim) in keys.items()
            if key in members or key not in optional
        }


def _read_member(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, kind: Kind, ndim: int
) -> Array:
    with archive.open(info) as stream:
        shape, dtype = read_array_header(path, stream, key)
        if dtype.hasobject:
            raise DataError(
                f"expected plain numbers or text in '{key}' of {path}, got pickled objects, "
                "which are refused because reading them can run code; save it without objects"
            )
        if dtype.kind not in _KINDS[kind] or len(shape) != ndim:
            raise DataError(
                f"expected '{key}' of {path} to be {kind} with {ndim} axes, got {dtype} of shape "
                f"{shape}; check that the file is of the data set's described form"
            )
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size >= info.file_size:
            raise DataError(
                f"expected '{key}' of {path} to hold {size} bytes for shape {shape}, got at most "
                f"{info.file_size}; the file is damaged: copy or download it again"
            )
    with archive.open(info) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise DataError(
                f"expected '{key}' of {path} to end after shape {shape}, got further bytes; "
                "write the file again with numpy.savez"
            )
    native: Array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "U" and native.dtype.itemsize:
        _check_text(path, native, key)
    return native


def _check_text(path: Path, array: Array, key: str) -> None:
    """Every number stands for a character; Python's text functions fail badly on others."""
    codes = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
    half = (codes >= 0xD800) & (codes <= 0xDFFF)
    if bool((half | (codes > _LAST_CODE_POINT)).any()):
        raise DataError(
            f"expected text in '{key}' of {path}, got numbers that are no characters; the file is "
            "damaged: copy or download it again"
        )


def write_npz_atomically(path: Path, **arrays: Array) -> None:
    """Write arrays to a compressed npz file that is either whole or absent.

    Args:
        path: The file; its folder is made when missing, an older file is replaced.
        arrays: Arrays without objects, by name.

    Raises:
        DataError: An array holds Python objects.
        OutputError: The folder cannot be written.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise DataError(
                f"expected numbers or text in '{name}' for {path}, got Python objects; "
                "convert it to a plain array first"
            )
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    The digest is remembered for the life of the process, by path, size and time of change.

    Args:
        path: An existing file.
    """
    state = path.stat()
    return _digest(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_hash(paths: Iterable[Path]) -> str:
    """Hash of names and contents.

    Args:
        paths: Existing files, in a fixed order.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def files_state(paths: Iterable[Path]) -> str:
    """Hash of names, sizes and times of change, for archives too large to be read for a hash.

    Args:
        paths: Existing files, in a fixed order.
    """
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        name = "/".join(path.parts[-3:])
        digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
