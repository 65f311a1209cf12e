"""What is true of every foreign file before it is opened, and of its errors."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lifting.errors import DataError, MissingDataError

# What reading a damaged archive or array header raises, beside the project's own errors.
UNREADABLE = (
    ValueError, TypeError, SyntaxError, EOFError, OverflowError, NotImplementedError,
    RuntimeError, OSError, MemoryError, zlib.error, zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip
_LFS_MARK = b"version https://git-lfs"


def check_file(
    path: Path, max_bytes: int | None = None, holds: str = "arrays", cure: str = "check the path"
) -> None:
    """Check that a file is there, is the data itself, and is not too large to be read.

    Args:
        path: The file.
        max_bytes: Limit of its size; None for files whose content is judged piece by piece.
        holds: What should be in it, for the message.
        cure: What to do where it is missing.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is larger, or a git-lfs pointer, or may not be read.
    """
    if not path.is_file():
        raise MissingDataError(f"expected a file at {path}, found none; {cure}")
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise DataError(
            f"expected at most {max_bytes} bytes in {path}, got {size}; check that it is "
            "the right file, or cut it into shorter ones"
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_LFS_MARK))
    except OSError as error:
        raise DataError(f"expected to read {path}, got: {error}; check who may read it") from error
    if start == _LFS_MARK:
        raise DataError(
            f"expected {holds} in {path}, got a git-lfs pointer, which only names the data; "
            "run `git lfs pull` or download the file itself"
        )


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Name the file in whatever reading it raises.

    Args:
        path: The file.
        kind: What it should be, for the message.

    Raises:
        DataError: In place of any of :data:`UNREADABLE`.
    """
    try:
        yield
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(
            f"expected a readable {kind} in {path}, got {type(error).__name__}: {error!s:.200}; "
            "the file is damaged or cut short: copy or download it again"
        ) from error


def misfit(advice: str) -> Callable[[Path, str, object], DataError]:
    """Makes the errors of one form of file: path, what was expected and what came.

    Args:
        advice: What to do about any of them.
    """
    return lambda path, expected, got: DataError(
        f"expected {expected} in {path}, got {got!s:.200}; {advice}"
    )
