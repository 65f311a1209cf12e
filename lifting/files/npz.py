"""Arrays of npz files, read without trusting them, and written whole or not at all.

Nothing here unpickles. The archive is inspected (names, sizes, array headers) before a byte of its
content is expanded.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lifting.atomic import replacing
from lifting.errors import DataError
from lifting.files.archive import named_member, open_npz, read_array_header

Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["float", "integer", "number", "text", "characters", "boolean"]

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
