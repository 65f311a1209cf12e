"""What is true of every foreign file before it is opened: it is there, and how large it may be.

A file is judged by its header, its size or its brackets before it is parsed. Hashes say for
records and caches which file it was: of its content, or of its state where it is too large.
"""

from __future__ import annotations

import hashlib
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lifting.errors import ConfigError, DataError, MissingDataError

# What reading a damaged archive or array header raises, beside the project's own errors.
UNREADABLE = (
    ValueError, TypeError, SyntaxError, EOFError, OverflowError, NotImplementedError,
    RuntimeError, OSError, MemoryError, zlib.error, zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip
_LFS_MARK = b"version https://git-lfs"

_MEGABYTE = 1024**2


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


def as_path(given: object, of: str) -> Path:
    """A path that a user gives.

    Args:
        given: Text or a path.
        of: What it leads to, for the message.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(given, str | Path):
        return Path(given)
    raise ConfigError(
        f"expected a path {of}, got {given!r:.80}; give it as text or as a pathlib.Path"
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


@dataclass(frozen=True)
class Size:
    """The largest file that is read.

    Attributes:
        megabytes: Of the file, of all files of a folder, or of what an archive expands to.
        frames: Of the video; grows with ``megabytes`` where :meth:`of` sets that.
    """

    megabytes: float = 256.0
    frames: int = 500_000

    @classmethod
    def of(cls, megabytes: float | None) -> Size:
        """The limits for ``--max-size``; None leaves them as they are.

        Args:
            megabytes: Above zero; the frames grow in proportion.

        Raises:
            ConfigError: It is not above zero.
        """
        usual = cls()
        if megabytes is None:
            return usual
        if not (math.isfinite(megabytes) and 0 < megabytes <= 2**30):
            raise ConfigError(
                f"expected megabytes above zero, got {megabytes:g}; correct --max-size"
            )
        frames = max(math.ceil(usual.frames * megabytes / usual.megabytes), usual.frames)
        return cls(megabytes, frames)

    @property
    def bytes(self) -> int:
        """The limit in bytes."""
        return math.ceil(self.megabytes * _MEGABYTE)

    def check_bytes(self, path: Path, size: int) -> None:
        """Refuse what is larger than allowed.

        Args:
            path: The file or folder, for messages.
            size: Its bytes.

        Raises:
            DataError: It is larger.
        """
        if size > self.bytes:
            raise DataError(
                f"expected at most {self.megabytes:g} MB in {path}, got {size / _MEGABYTE:.0f} MB;"
                f" cut it into parts, or give --max-size {math.ceil(size / _MEGABYTE)} (max_bytes "
                "in a data section)"
            )

    def check_frames(self, path: Path, frames: int) -> None:
        """Refuse more frames than allowed.

        Args:
            path: The file or folder, for messages.
            frames: What it claims to have.

        Raises:
            DataError: There are more.
        """
        if frames > self.frames:
            needed = math.ceil(Size.megabytes * frames / Size.frames)
            raise DataError(
                f"expected at most {self.frames} frames in {path}, got {frames}; cut it into "
                f"parts, or give --max-size {needed} if the file is right"
            )


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
