"""Numbered lines of a text file, with errors that name the file and the line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lifting.errors import DataError
from lifting.files.checks import check_file

MAX_TEXT_BYTES = 512 * 1024**2
MAX_FRAMES = 1_000_000
LARGEST_NUMBER = 1e7


class Line(NamedTuple):
    """One line that is neither blank nor a comment.

    Attributes:
        path: The file.
        number: From 1, as an editor counts.
        words: Split at white space.
    """

    path: Path
    number: int
    words: list[str]

    def bad(self, expected: str, found: object, advice: str) -> DataError:
        """The error for a line that does not say what the format asks for.

        Args:
            expected: What the format asks for.
            found: What stands there.
            advice: What the user can do.
        """
        shown = str(found)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        return DataError(
            f"{self.path}, line {self.number}: expected {expected}, got '{shown}'; {advice}"
        )

    def numbers(self, words: Sequence[str], count: int) -> list[float]:
        """Finite numbers of the line.

        Args:
            words: The words to read.
            count: How many there must be.

        Raises:
            DataError: The count differs, or a word is not a finite number of believable size.
        """
        if len(words) != count:
            raise self.bad(f"{count} numbers", f"{len(words)}: {' '.join(words[:4])}",
                           "the line is cut short or belongs to another skeleton")  # fmt: skip
        return [self.value(word) for word in words]

    def value(self, word: str) -> float:
        """One finite number of believable size; see :meth:`numbers`."""
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST_NUMBER:
            raise self.bad(f"a finite number below {LARGEST_NUMBER:g}", word,
                           "repair or remove the file")  # fmt: skip
        return value


def read_lines(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> Iterator[Line]:
    """Lines of a text file without blank ones and without comments that start with ``#``.

    Args:
        path: The file; Unix or DOS line ends.
        max_bytes: Limit of the file's size.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is larger than the limit.
    """
    for number, text in read_texts(path, max_bytes):
        words = text.split()
        if words and not words[0].startswith("#"):
            yield Line(path, number, words)


def read_texts(path: Path, max_bytes: int) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and whole lines of a text file; see :func:`read_lines`."""
    check_file(path, max_bytes, "text")
    with path.open(encoding="latin-1") as stream:
        yield from enumerate(stream, start=1)
