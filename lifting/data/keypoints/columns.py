"""Tables of comma-separated values: rows of one length, columns by name, cells as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lifting.data.keypoints.plausibility import FloatArray
from lifting.errors import DataError


def full_rows(path: Path, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows that hold anything, without blanks around their cells.

    Args:
        path: The file, for messages.
        rows: Of text.

    Raises:
        DataError: They are not all as long as the first.
    """
    kept = {i: [cell.strip() for cell in row] for i, row in enumerate(rows, 1) if any(row)}
    kept = {i: row for i, row in kept.items() if any(row)}
    width = len(next(iter(kept.values()), []))
    for i, row in kept.items():
        if len(row) != width:
            raise DataError(
                f"expected {width} cells in every row of {path}, got {len(row)} in row {i}; it is "
                "cut short or edited: export it again"
            )
    return list(kept.values())


def columns_by_name(path: Path, rows: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Columns under the names in the first row; those without a name are left out.

    Args:
        path: The file, for messages.
        rows: Of text.

    Raises:
        DataError: A row is of another length, or a name comes twice.
    """
    header, *body = full_rows(path, rows) or [[]]
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise DataError(
            f"expected each column once in {path}, got a name twice; export the file again"
        )
    return {name: [row[i] for row in body] for i, name in enumerate(header) if name}


def numbers(path: Path, rows: Iterable[Sequence[str]]) -> FloatArray:
    """Cells as numbers, ``(rows, columns)``; NaN where one is empty.

    Args:
        path: The file, for messages.
        rows: Of text.

    Raises:
        DataError: A cell is no number.
    """
    return np.array([[_number(path, i, cell) for cell in row] for i, row in enumerate(rows, 1)])


def _number(path: Path, row: int, cell: str) -> float:
    try:
        return float(cell) if cell else np.nan
    except ValueError:
        raise DataError(
            f"expected numbers in the cells of {path}, got {cell[:24]!r} in row {row} below the "
            "header; export the file again"
        ) from None
