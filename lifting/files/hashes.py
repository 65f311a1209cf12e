"""Hashes of files: of their content, or of their state where they are too large to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path


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
