"""What a zip archive claims about itself, judged before anything in it is expanded."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from lifting.errors import DataError, MissingDataError

LFS_MARK = b"version https://git-lfs"
_DEFLATE_LIMIT = 1040  # deflate cannot expand a byte to more than about 1032
_STORED_OVERHEAD = 64


def check_is_zip(path: Path) -> None:
    """Check that a file is a zip archive with a beginning and an end.

    Args:
        path: The file.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is a git-lfs pointer, another kind of file, or cut short.
    """
    if not path.is_file():
        raise MissingDataError(f"expected a file at {path}, found none; check the path")
    with path.open("rb") as stream:
        start = stream.read(len(LFS_MARK))
    if start == LFS_MARK:
        raise DataError(
            f"expected arrays in {path}, got a git-lfs pointer, which only names the data; "
            "run `git lfs pull` or download the file itself"
        )
    if not start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise DataError(
            f"expected an npz (zip) archive in {path}, got a file that begins with {start[:8]!r}; "
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
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in info.filename:
            raise DataError(
                f"expected plain member names in {path}, got '{info.filename}'; "
                "the archive is not one that numpy wrote: do not use it"
            )
        if info.filename in {f"{key}.npy" for key in members}:
            raise DataError(
                f"expected each member once in {path}, got '{info.filename}' twice; "
                "write the file again with numpy.savez"
            )
        if info.file_size > info.compress_size * _DEFLATE_LIMIT + _STORED_OVERHEAD:
            raise DataError(
                f"expected a believable size of '{info.filename}' in {path}, got "
                f"{info.file_size} bytes from {info.compress_size}; do not use the file"
            )
        total, packed = total + info.file_size, packed + info.compress_size
        members[info.filename.removesuffix(".npy")] = info
    if total > max_bytes or packed > path.stat().st_size:
        raise DataError(
            f"expected at most {max_bytes} bytes uncompressed in {path}, got {total} "
            f"(packed {packed}); raise max_bytes only if you trust the file"
        )
    return members
