"""Arrays of npz files, read without trusting them, and written whole or not at all.

Nothing here unpickles. What the archive claims about itself (names, sizes, array headers) is
judged before a byte of its content is expanded.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from lifting.atomic import replacing
from lifting.errors import DataError, suggest
from lifting.files.checks import check_file, readable

_DEFLATE_LIMIT = 1040  # deflate cannot expand a byte to more than about 1032
_STORED_OVERHEAD = 64

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


@contextmanager
def open_npz(
    path: Path, max_bytes: int
) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """An npz file, open, and its members by array name; damage found inside names the file.

    Args:
        path: The file.
        max_bytes: Limit of the expanded size of all members, bytes.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no readable npz, or one that cannot be believed.
    """
    check_is_zip(path)
    with readable(path, "npz archive"), zipfile.ZipFile(path) as archive:
        yield archive, array_members(path, archive, max_bytes)


def check_is_zip(path: Path) -> None:
    """Check that a file is a zip archive with a beginning and an end.

    Args:
        path: The file.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is a git-lfs pointer, another kind of file, or cut short.
    """
    check_file(path)
    with path.open("rb") as stream:
        start = stream.read(8)
    if not start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise DataError(
            f"expected an npz (zip) archive in {path}, got a file that begins with {start!r}; "
            "check that it is the right file and not a saved web page"
        )
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"expected a complete npz archive in {path}, got one without its end "
            f"({path.stat().st_size} bytes); it is truncated: copy or download it again"
        )


def array_members(
    path: Path, archive: zipfile.ZipFile, max_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    """Members by array name, after every claim of the archive's directory was judged.

    Args:
        path: The file, for messages.
        archive: The file, open.
        max_bytes: Limit of the expanded size of all members, bytes.

    Raises:
        DataError: A name leaves the folder or comes twice, or a size is too large or impossible.
    """
    total, packed = 0, 0
    seen: set[str] = set()
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in info.filename:
            raise DataError(
                f"expected plain member names in {path}, got '{info.filename}'; "
                "the archive is not one that numpy wrote: do not use it"
            )
        if info.filename in seen:
            raise DataError(
                f"expected each member once in {path}, got '{info.filename}' twice; "
                "write the file again with numpy.savez"
            )
        if info.file_size > info.compress_size * _DEFLATE_LIMIT + _STORED_OVERHEAD:
            raise DataError(
                f"expected a believable size of '{info.filename}' in {path}, got "
                f"{info.file_size} bytes from {info.compress_size}; do not use the file"
            )
        seen.add(info.filename)
        total, packed = total + info.file_size, packed + info.compress_size
        members[info.filename.removesuffix(".npy")] = info
    if total > max_bytes or packed > path.stat().st_size:
        raise DataError(
            f"expected at most {max_bytes} bytes uncompressed in {path}, got {total} "
            f"(packed {packed}); allow more (--max-size, or max_bytes of a data "
            "section) only if you trust the file"
        )
    return members


def named_member(path: Path, members: Mapping[str, zipfile.ZipInfo], key: str) -> zipfile.ZipInfo:
    """The member that holds an array.

    Args:
        path: The file, for messages.
        members: Members by array name, see :func:`array_members`.
        key: Name of the array.

    Raises:
        DataError: There is none; the message names the nearest.
    """
    if key not in members:
        raise DataError(
            f"expected an array '{key}' in {path}; {suggest(key, short_names(members))}; "
            "check that the file is of the data set's described form"
        )
    return members[key]


def short_names(names: Iterable[str]) -> list[str]:
    """The first names of a file that a message can show; a file may hold any number of any length.

    Args:
        names: Names as the file gives them.
    """
    return [name for name in islice(names, 200) if len(name) <= 80]


def read_array_header(
    path: Path, stream: IO[bytes], key: str
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that the header of an array claims; the stream then stands at its data.

    Args:
        path: The file, for messages.
        stream: The open member.
        key: Name of the array, for messages.

    Raises:
        DataError: The array format is an unknown one; further damage raises what numpy raises.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise DataError(
            f"expected '{key}' of {path} in array format 1.0 or 2.0, got {version}; "
            "write the file again with numpy.savez"
        )
    return tuple(shape), dtype


def check_end(path: Path, stream: IO[bytes], key: str) -> None:
    """Check that nothing follows; reading to the end also verifies the member's checksum.

    Args:
        path: The file, for messages.
        stream: The open member, behind its content.
        key: Name of the array, for messages.

    Raises:
        DataError: There is more.
    """
    if stream.read(1):
        raise DataError(
            f"expected '{key}' of {path} to end after its content, got further bytes; "
            "write the file again with numpy.savez"
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


class ArrayHeader(NamedTuple):
    """What an array claims of itself.

    Attributes:
        shape: Size of each axis.
        dtype: Type of its numbers; one of objects means that it is pickled.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def npz_headers(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> dict[str, ArrayHeader]:
    """What the arrays of an npz file claim of themselves; none of them is expanded.

    Args:
        path: The file.
        max_bytes: Limit of the expanded size of the whole archive, bytes.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no readable npz, or one that cannot be believed.
    """
    headers: dict[str, ArrayHeader] = {}
    with open_npz(path, max_bytes) as (archive, members):
        for key, info in members.items():
            if not info.filename.endswith(".npy"):
                raise DataError(
                    f"expected arrays in {path}, got a zip archive with '{info.filename[:60]}'; "
                    "unpack it, and give what is in it"
                )
            with archive.open(info) as stream:
                headers[key] = ArrayHeader(*read_array_header(path, stream, key))
    return headers


def npy_header(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> ArrayHeader:
    """What the array of an npy file claims of itself.

    Args:
        path: The file.
        max_bytes: Limit of the size, bytes.

    Raises:
        DataError: It is damaged, or its size is not what its header says.
    """
    with readable(path, "npy file"), path.open("rb") as stream:
        header = ArrayHeader(*read_array_header(path, stream, "the array"))
        size, wanted = path.stat().st_size - stream.tell(), _bytes_of(header)
    if not header.dtype.hasobject and (min(header.shape, default=0) < 0 or wanted != size):
        raise DataError(
            f"expected {wanted} bytes for shape {header.shape} in {path}, got {size}; the file is "
            "damaged: copy or download it again"
        )
    if wanted > max_bytes:
        raise DataError(
            f"expected at most {max_bytes} bytes in {path}, got {wanted}; cut it into parts, or "
            "give --max-size"
        )
    return header


def read_npy(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> Array:
    """The numbers of an npy file, in native byte order; nothing is unpickled.

    Args:
        path: The file.
        max_bytes: Limit of the size, bytes.

    Raises:
        DataError: It is damaged, too large, or holds no numbers.
    """
    header = npy_header(path, max_bytes)
    if header.dtype.kind not in _KINDS["number"]:
        raise DataError(
            f"expected numbers in {path}, got {header.dtype}; save it without objects, padded "
            "with NaN where people or frames are missing"
        )
    with readable(path, "npy file"):
        array: Array = np.load(path, allow_pickle=False)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _bytes_of(header: ArrayHeader) -> int:
    return math.prod(header.shape) * header.dtype.itemsize


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
        size = _bytes_of(ArrayHeader(shape, dtype))
        if min(shape, default=0) < 0 or size >= info.file_size:
            raise DataError(
                f"expected '{key}' of {path} to hold {size} bytes for shape {shape}, got at most "
                f"{info.file_size}; the file is damaged: copy or download it again"
            )
    with archive.open(info) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
        check_end(path, stream, key)
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
