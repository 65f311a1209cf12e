"""Files that are there, checksums that are known, and containers that can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np

from lifting.data.doctor.rows import CheckRow, failed, judged
from lifting.data.folders import VARIABLE, search_folders
from lifting.errors import DataError
from lifting.files.checks import sha256_of
from lifting.files.npz import Array

SUMS = "SHA256SUMS"
_SHOWN = 6
_MAX_SUMS_BYTES = 1_000_000
_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")
Read = TypeVar("Read")


def find_files(name: str, root: str | None, patterns: Iterable[str]) -> list[Path]:
    """Files below a data set's folders, each name once, the first folder first.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.
        patterns: Which files, relative to the folder.
    """
    found: dict[str, Path] = {}
    wanted = tuple(patterns)
    for folder in search_folders(name, root):
        for pattern in wanted:
            for path in sorted(folder.glob(pattern)):
                if path.is_file():
                    found.setdefault(path.relative_to(folder).as_posix(), path)
    return [found[key] for key in sorted(found)]


def check_presence(
    name: str, root: str | None, what: str, found: list[Path], needed: bool = True
) -> CheckRow:
    """Whether files are there; where they were looked for when they are not.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.
        what: The files, in words.
        found: Those that were found.
        needed: Whether the data set is of no use without them.
    """
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return CheckRow("files", what, ", ".join(map(str, found[:_SHOWN])) + more, "ok")
    looked = " or ".join(map(str, search_folders(name, root))) or "any folder"
    return CheckRow(
        "files",
        what,
        f"not found in {looked}",
        "fail" if needed else "warn",
        f"set {VARIABLE} to the folder that holds {name}/ or give --root; `lifting data describe "
        f"{name}` says where the files are to be had",
    )


def check_content(paths: Iterable[Path]) -> list[CheckRow]:
    """Checksums of files, against a list ``SHA256SUMS`` beside them.

    Args:
        paths: Existing files.
    """
    rows = []
    for path in paths:
        listed = _sums(path.parent / SUMS)
        wanted = listed.get(path.name)
        digest = sha256_of(path)
        expected = (
            f"sha256 {wanted[:12]}..." if wanted else f"no sha256 published, and none in {SUMS}"
        )
        rows.append(
            judged(
                f"content {path.name}",
                expected,
                f"{digest[:12]}...",
                "ok" if wanted in (None, digest) else "fail",
                f"another or a damaged file: get it again, or correct {SUMS}",
            )
        )
    return rows


def _sums(path: Path) -> dict[str, str]:
    """Checksums by file name, as the program sha256sum writes them."""
    if not path.is_file() or path.stat().st_size > _MAX_SUMS_BYTES:
        return {}
    matches = map(_LINE.fullmatch, path.read_text(encoding="utf-8", errors="replace").split("\n"))
    return {Path(m[2].strip()).name: m[1].lower() for m in matches if m is not None}


def attempt(
    rows: list[CheckRow], what: str, expected: str, read: Callable[[], Read]
) -> Read | None:
    """What a reader gives, or None and a row with its refusal.

    Args:
        rows: Takes the row.
        what: The thing that is read.
        expected: What a good file has.
        read: The reader.
    """
    try:
        return read()
    except DataError as error:
        rows.append(failed(what, expected, error))
        return None


class Shapes:
    """Takes arrays out of containers and remembers those of a wrong shape.

    Args:
        what: Names the file.
        expected: The right shape, in words.
    """

    def __init__(self, what: str, expected: str) -> None:
        self.what, self.expected = what, expected
        self.wrong: list[str] = []
        self.count = 0

    def take(self, value: object, tail: tuple[tuple[int, ...], ...], where: str) -> Array | None:
        """An array ``(frames, *tail)`` of numbers; None, remembered, when it is none.

        Args:
            value: What the file has.
            tail: Sizes that each further axis may have; none for any size.
            where: Names it.
        """
        self.count += 1
        if (
            isinstance(value, np.ndarray)
            and value.dtype.kind in "fiu"
            and value.ndim == len(tail) + 1
            and len(value)
            and all(not t or n in t for n, t in zip(value.shape[1:], tail, strict=True))
        ):
            return value
        got = (
            f"{value.dtype} {value.shape}"
            if isinstance(value, np.ndarray)
            else type(value).__name__
        )
        self.wrong.append(f"{where}: {got}")
        return None

    def miss(self, where: str) -> None:
        """Remember something that cannot be taken at all."""
        self.count += 1
        self.wrong.append(where)

    def row(self) -> CheckRow:
        """The row about all arrays that were taken."""
        bad = len(self.wrong)
        return judged(
            f"shapes {self.what}",
            self.expected,
            f"{bad} of {self.count} are not, first {self.wrong[0]}"
            if bad
            else f"{self.count} arrays",
            "fail" if bad else "ok",
            "the file is of another form: get it again from its source",
        )
