"""Reads npz files whose arrays are pickled containers, as several published data sets are.

The archive is judged before anything is expanded, the pickle is read by the restricted reader of
``lifting.files.pickles`` straight from the archive, and what comes out is checked once more: plain
containers, texts, numbers and arrays of numbers, and never more of them than the file has bytes.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lifting.errors import DataError, suggest
from lifting.files.npz import (
    DEFAULT_MAX_BYTES,
    check_end,
    named_member,
    open_npz,
    read_array_header,
    short_names,
)
from lifting.files.pickles import read_pickle

Array = np.ndarray[Any, np.dtype[Any]]

_WRONG_FORM = "check that the file is of the data set's described form"


def read_object_npz(
    path: Path,
    keys: tuple[str, ...],
    max_bytes: int = DEFAULT_MAX_BYTES,
    optional: frozenset[str] = frozenset(),
) -> dict[str, object]:
    """Read the pickled containers of an npz file without running anything.

    Args:
        path: The file.
        keys: Names of the containers; other members of the archive are never opened.
        max_bytes: Limit of the expanded size of the whole archive, bytes.
        optional: Names in ``keys`` that may be absent from the file, and then from the result.

    Returns:
        By name: dictionaries, lists, tuples, texts, numbers and arrays of numbers.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no readable npz, is unsafe, or a container is absent or of another form.
    """
    with open_npz(path, max_bytes) as (archive, members):
        return {
            key: _read_objects(path, archive, named_member(path, members, key), key, None)[0]
            for key in keys
            if key in members or key not in optional
        }


def read_object_rows(
    path: Path, key: str, columns: int, max_bytes: int = DEFAULT_MAX_BYTES
) -> list[list[object]]:
    """Read a table of pickled objects, ``(rows, columns)``, without running anything.

    Args:
        path: The file.
        key: Name of the array; other members of the archive are never opened.
        columns: Objects in a row.
        max_bytes: Limit of the expanded size of the whole archive, bytes.

    Returns:
        The rows; their objects are what :func:`read_object_npz` gives.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no readable npz, is unsafe, or the array is absent or of another form.
    """
    with open_npz(path, max_bytes) as (archive, members):
        info = named_member(path, members, key)
        flat = _read_objects(path, archive, info, key, columns)
    return [flat[i : i + columns] for i in range(0, len(flat), columns)]


def _read_objects(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, columns: int | None
) -> list[object]:
    """The objects of a table of so many columns, one after another; None is a single object."""
    with archive.open(info) as stream:
        shape, dtype = read_array_header(path, stream, key)
        fits = shape in ((), (1,)) if columns is None else len(shape) == 2 and shape[1] == columns
        if not dtype.hasobject or not fits:
            wanted = "one pickled container" if columns is None else f"rows of {columns} objects"
            raise DataError(
                f"expected '{key}' of {path} to be {wanted}, got {dtype} of shape "
                f"{shape}; {_WRONG_FORM}"
            )
        found = read_pickle(stream, f"'{key}' of {path}")
        check_end(path, stream, key)
    count = math.prod(shape)
    if not isinstance(found, list) or len(found) != count:
        raise DataError(
            f"expected {'one object' if count == 1 else f'{count} objects'} in '{key}' of {path}, "
            f"got {type(found).__name__}; {_WRONG_FORM}"
        )
    known: dict[int, int] = {}
    weight = sum(
        _weight(value, key if columns is None else _below(key, i), known)
        for i, value in enumerate(found)
    )
    if weight > info.file_size:
        raise DataError(
            f"expected '{key}' of {path} to hold what its {info.file_size} bytes can, got "
            f"{weight} bytes of values, which repeat one another; do not use the file"
        )
    return found


def _weight(value: object, where: str, known: dict[int, int]) -> int:
    """Bytes of a container's values, an object counted as often as it is referred to.

    A file can refer to one array a million times; whoever copies what it reads would then copy
    the array as often.
    """
    if isinstance(value, str | int | float):
        return 1
    if id(value) not in known:
        known[id(value)] = _weight_of_new(value, where, known)
    return known[id(value)]


def _weight_of_new(value: object, where: str, known: dict[int, int]) -> int:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value.nbytes
    if isinstance(value, dict):
        return 1 + sum(1 + _weight(v, _below(where, k), known) for k, v in value.items())
    if isinstance(value, list | tuple):
        return 1 + sum(_weight(v, _below(where, i), known) for i, v in enumerate(value))
    kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise DataError(
        f"expected containers, texts, numbers and arrays of numbers in a data file, got "
        f"{kind} at {where}; {_WRONG_FORM}"
    )


def _below(where: str, name: object) -> str:
    return f"{where:.120}/{name!s:.40}"


def entries(value: object, where: str) -> dict[str, object]:
    """A dictionary with text keys.

    Args:
        value: What was read.
        where: Names it in the message.

    Raises:
        DataError: It is something else, or empty.
    """
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        return value
    raise DataError(
        f"expected a dictionary by name at {where:.200}, got {_words(value)}; {_WRONG_FORM}"
    )


def entry(values: Mapping[str, object], name: str, kind: str, where: str) -> object:
    """One value of a dictionary.

    Args:
        values: The dictionary.
        name: Its key.
        kind: What the key is, for the message: ``subject``, ``camera`` ...
        where: Names the dictionary in the message.

    Raises:
        DataError: It has no such key; the message names the nearest.
    """
    if name not in values:
        raise DataError(
            f"missing {kind} '{name}' in {where:.200}; {suggest(name, short_names(values))}; "
            "get a file that has it, or leave it out of the data section"
        )
    return values[name]


def items(value: object, where: str) -> list[object]:
    """A list's values.

    Args:
        value: What was read; an array counts as the list of its rows.
        where: Names it in the message.

    Raises:
        DataError: It is something else.
    """
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        return list(value)
    raise DataError(f"expected a list at {where:.200}, got {_words(value)}; {_WRONG_FORM}")


def numbers(value: object, where: str, shape: tuple[int | tuple[int, ...] | None, ...]) -> Array:
    """An array of finite numbers of a given shape, in float32.

    Args:
        value: What was read.
        where: Names it in the message.
        shape: Size of each axis: a number, a choice of numbers, or None for any size from 1.

    Raises:
        DataError: It is something else, of another shape, or not finite.
    """
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind not in "fiub"
        or value.ndim != len(shape)
        or not all(_fits(n, want) for n, want in zip(value.shape, shape, strict=True))
    ):
        wanted = ", ".join(map(_size_words, shape))
        raise DataError(
            f"expected numbers of shape ({wanted}) at {where:.200}, got {_words(value)}; "
            f"{_WRONG_FORM}"
        )
    with np.errstate(over="ignore"):
        array: Array = value.astype(np.float32, copy=False)
    bad = next(_not_finite(array), None)
    if bad is not None:
        raise DataError(
            f"expected finite numbers at {where:.200}, got {array[bad]} at index {bad}; "
            "get the file again from its source, or leave the recording out"
        )
    return array


def cut_to(array: Array, frames: int, where: str) -> Array:
    """The first frames of a 2D array, which may be longer than its labels but never shorter.

    Args:
        array: ``(frames or more, ...)``.
        frames: Frames that have labels.
        where: Names the array in the message.

    Raises:
        DataError: It is shorter.
    """
    if len(array) < frames:
        raise DataError(
            f"expected at least {frames} frames, as the 3D file has, in {where}, got "
            f"{len(array)}; use 2D and 3D files that belong together"
        )
    return array[:frames]


def _fits(size: int, wanted: int | tuple[int, ...] | None) -> bool:
    if wanted is None:
        return size > 0
    return size in (wanted if isinstance(wanted, tuple) else (wanted,))


def _size_words(wanted: int | tuple[int, ...] | None) -> str:
    if wanted is None:
        return "any"
    return " or ".join(map(str, wanted)) if isinstance(wanted, tuple) else str(wanted)


def _not_finite(array: Array) -> Iterator[tuple[int, ...]]:
    finite = np.isfinite(array)
    if not finite.all():
        yield tuple(int(i) for i in np.argwhere(~finite)[0])


def _words(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} {value!r:.40}"
