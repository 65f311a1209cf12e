"""JSON of unknown origin: size and structure are judged before anything is built from it."""

from __future__ import annotations

import gc
import json
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lifting.errors import DataError, MissingDataError
from lifting.files.archive import LFS_MARK, lfs_pointer

DEFAULT_MAX_BYTES = 1024**3
# A parsed value takes up to about 40 bytes and a container up to about 120, so that the largest
# file that passes stays below some 8 GB; files of detectors of 1 GiB lie below both limits.
MAX_VALUES = 100_000_000
MAX_CONTAINERS = 40_000_000


def load_json(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> object:
    """Content of a JSON file.

    Args:
        path: The file, in UTF-8 or another encoding that JSON allows.
        max_bytes: Largest file that is read, bytes.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is too large, no JSON, or nested beyond reason.
    """
    if not path.is_file():
        raise MissingDataError(f"expected a file at {path}, found none; check the path")
    data = read_bytes(path, max_bytes)
    if data.startswith(LFS_MARK):
        raise lfs_pointer(path, "JSON")
    _check_structure(path, data)
    try:
        with _no_collection():
            return json.loads(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(
            f"expected complete JSON in {path}, got {type(error).__name__}: {error}; it begins "
            f"with {data[:12]!r}: check that it is the right file and not cut short"
        ) from error


def shown(value: object) -> str:
    """A value of a file as an error message can show it, at most a few dozen letters long."""
    return reprlib.repr(value)


def as_table(path: Path, value: object, what: str) -> dict[str, object]:
    """A value that must be an object.

    Args:
        path: The file, for messages.
        value: What the file holds.
        what: What it is called in the message.

    Raises:
        DataError: It is something else.
    """
    if not isinstance(value, dict):
        raise _other_kind(path, value, what, "an object")
    return value


def as_list(path: Path, value: object, what: str) -> list[object]:
    """A value that must be a list.

    Args:
        path: The file, for messages.
        value: What the file holds.
        what: What it is called in the message.

    Raises:
        DataError: It is something else.
    """
    if not isinstance(value, list):
        raise _other_kind(path, value, what, "a list")
    return value


def as_number(path: Path, value: object, what: str) -> float:
    """A value that must be a number; it may be one that is not finite.

    Args:
        path: The file, for messages.
        value: What the file holds; None is not a number.
        what: What it is called in the message.

    Raises:
        DataError: It is something else or beyond any float.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    raise _other_kind(path, value, what, "a number")


def _other_kind(path: Path, value: object, what: str, kind: str) -> DataError:
    return DataError(
        f"expected {what} of {path} to be {kind}, got {shown(value)}; "
        "write the file again with the detector's own export"
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector: parsing makes millions of lists, none of them in a cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_bytes(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """All bytes of a file that is not too large.

    Args:
        path: The file.
        max_bytes: Largest file that is read, bytes.

    Raises:
        DataError: It is too large, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise DataError(f"expected to read {path}, got: {error}; check who may read it") from error
    if len(data) > max_bytes:
        raise DataError(
            f"expected at most {max_bytes} bytes in {path}, got {path.stat().st_size}; cut it "
            "into parts, or raise max_bytes if you trust the file"
        )
    return data


def _check_structure(path: Path, data: bytes) -> None:
    values, containers = data.count(b","), data.count(b"[") + data.count(b"{")
    if values > MAX_VALUES or containers > MAX_CONTAINERS:
        raise DataError(
            f"expected at most {MAX_VALUES} values in {MAX_CONTAINERS} lists in {path}, got about "
            f"{values} in {containers}; cut it into parts"
        )
