"""What a zip archive claims about itself, judged before anything in it is expanded."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from lifting.errors import DataError, suggest
from lifting.files.checks import check_file, readable

_DEFLATE_LIMIT = 1040  # deflate cannot expand a byte to more than about 1032
_STORED_OVERHEAD = 64


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
