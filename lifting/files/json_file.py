"""JSON of unknown origin, whose size and structure are judged before anything is built from it.

And our own: what is not finite is null, as JSON has no such numbers.
"""

from __future__ import annotations

import gc
import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lifting.errors import DataError
from lifting.files.checks import Size, check_file, readable

# A parsed number takes about 32 bytes, a list or object up to 120 and the pair of brackets that
# makes it two: files of detectors lie far below these shares of their bytes, bombs above.
NDARRAY = "__ndarray__"
_BYTES_A_VALUE = 5
_BYTES_A_CONTAINER = 20
_FREE = 1_000_000  # so many are harmless whatever the size
_CHUNK = 2**20


def load_json(path: Path, size: Size | None = None) -> object:
    """Content of a JSON file.

    Args:
        path: The file, in UTF-8 or another encoding that JSON allows.
        size: Largest file that is read.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is too large, no JSON, or nested beyond reason.
    """
    return parse_json(path, read_text_bytes(path, size or Size()))


def parse_json(path: Path, data: bytes) -> object:
    """Content of JSON that :func:`read_text_bytes` read.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        DataError: It is no JSON, or nested beyond reason.
    """
    if not data.strip():
        raise DataError(
            f"expected complete JSON in {path}, got a file that is empty; write it again"
        )
    try:
        with _no_collection():
            return json.loads(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(
            f"expected complete JSON in {path}, got {type(error).__name__}: {error!s:.80}; it "
            f"begins with {data[:12]!r}: check that it is the right file and not cut short"
        ) from error


def read_text_bytes(path: Path, size: Size) -> bytes:
    """Bytes of a text file, counted for brackets and commas while they are read.

    Args:
        path: The file.
        size: Largest file that is read.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is too large, holds more values than such a file of a detector does, or is a
            git-lfs pointer.
    """
    check_file(path, holds="text")
    size.check_bytes(path, path.stat().st_size)
    values = _FREE + size.bytes // _BYTES_A_VALUE
    containers = _FREE + size.bytes // _BYTES_A_CONTAINER
    chunks: list[bytes] = []
    with readable(path, "text"), path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            values -= chunk.count(b",")
            containers -= chunk.count(b"[") + chunk.count(b"{")
            if min(values, containers) < 0:
                raise DataError(
                    f"expected as many values as a detector writes in {path}, got more than "
                    f"{size.megabytes:g} MB of them should be; cut it into parts, or raise "
                    "--max-size if you trust the file"
                )
            chunks.append(chunk)
    return b"".join(chunks)


def shown(value: object) -> str:
    """A value of a file in words of at most a few dozen letters: never a dump of what it holds.

    Args:
        value: Of the file.
    """
    if isinstance(value, dict):
        keys = ", ".join(str(key)[:24] for key in list(value)[:6])
        return f"an object with keys {keys}" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
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
    """A value that must be a list, or the array that ``json_tricks`` writes for one.

    Args:
        path: The file, for messages.
        value: What the file holds.
        what: What it is called in the message.

    Raises:
        DataError: It is something else.
    """
    if isinstance(value, dict) and isinstance(value.get(NDARRAY), list):
        value = value[NDARRAY]
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


def as_json(value: object) -> str:
    """Nested values as the text of a JSON file.

    Args:
        value: Null takes the place of a number that is not finite, text that of a path.
    """
    return json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


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
