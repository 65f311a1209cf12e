"""TRC: positions of named markers as tab-separated text.

Where the header and the columns disagree, the columns count and a note says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from lifting.data.mocap.captured import CapturedMotion, FloatArray, marker_motion
from lifting.data.mocap.lines import LARGEST_NUMBER, MAX_FRAMES, bad_line, read_texts
from lifting.errors import DataError

MAX_TRC_BYTES = 256 * 1024**2
MAX_VALUES = 100_000_000
_AXES = re.compile(r"([XYZ])\d*", re.IGNORECASE)
_ADVICE = "check that this is a TRC file and not cut short"
_TOLERANCE = 0.02  # of the rate, against times that are rounded


def read_trc(path: Path) -> CapturedMotion:
    """Markers of a file.

    Args:
        path: The ``.trc`` file. A marker is missing where its cells are empty, NaN or 0, 0, 0.

    Returns:
        The markers, in the file's axes and unit; which axis is vertical the form does not say.

    Raises:
        MissingDataError: There is no such file.
        DataError: A line is malformed or cut short, or the file holds no measured marker.
    """
    texts = ((number, text) for number, text in read_texts(path, MAX_TRC_BYTES) if text.strip())
    number, text = _next(path, texts, "PathFileType")
    if not text.removeprefix("\xef\xbb\xbf").lower().startswith("pathfiletype"):
        raise bad_line(path, number, "PathFileType", text.split()[0], _ADVICE)
    _, keys = _next(path, texts, "the names of the header")
    _, values = _next(path, texts, "the values of the header")
    header = dict(zip((key.lower() for key in _cells(keys)), _cells(values), strict=False))
    number, text = _next(path, texts, "Frame#, Time and the names of the markers")
    if not text.strip().lower().startswith("frame"):
        raise bad_line(path, number, "Frame#, Time and the names", text.split()[0], _ADVICE)
    table = _Table(path)
    for number, row in _without_axes(path, texts):
        table.take(number, row)
    positions = table.positions()
    names = _names(text)
    notes = table.notes(header, len(names))
    names = [*names, *[""] * positions.shape[1]][: positions.shape[1]]
    units = [header["units"]] if header.get("units") else []
    first = table.numbers[0]
    return marker_motion(
        path, "trc", names, positions, table.rate(header, notes), units,
        int(first) if math.isfinite(first) else None, notes,
    )  # fmt: skip


def _next(path: Path, texts: Iterator[tuple[int, str]], expected: str) -> tuple[int, str]:
    found = next(texts, None)
    if found is None:
        raise DataError(f"{path}: expected {expected}, got the end of the file; {_ADVICE}")
    return found


def _cells(text: str) -> list[str]:
    """Cells between tabs, or words where a line has no tab."""
    body = text.rstrip("\r\n")
    return [cell.strip() for cell in body.split("\t")] if "\t" in body else body.split()


def _names(text: str) -> list[str]:
    """Names of the markers: what stands over each X, or all there are where they are displaced."""
    cells = _cells(text)[2:]
    listed = [cell for cell in cells if cell]
    over_x = cells[::3]
    names = over_x if sum(map(bool, over_x)) == len(listed) else listed
    while names and not names[-1]:
        names.pop()
    try:
        return [name.encode("latin-1").decode("utf-8") for name in names]
    except UnicodeDecodeError:
        return names


def _without_axes(path: Path, texts: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Rows of the table, after the line X1 Y1 Z1 ... where there is one."""
    number, text = _next(path, texts, "the line X1 Y1 Z1 ...")
    axes = [_AXES.fullmatch(cell) for cell in text.split()]
    if not all(axes):
        return chain([(number, text)], texts)
    order = "".join(match[1].upper() for match in axes if match)
    if order != "XYZ" * (len(order) // 3):
        raise bad_line(path, number, "X, Y and Z of each marker in this order", order[:12],
                       "export the file with these axes")  # fmt: skip
    return texts


def _number(cell: str) -> float:
    """NaN for an empty cell, infinity for what is no number."""
    try:
        return float(cell or "nan")
    except ValueError:
        return math.inf


@dataclass
class _Table:
    """Rows below the header, as they are read."""

    path: Path
    numbers: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    rows: list[FloatArray] = field(default_factory=list)
    untabbed: list[int] = field(default_factory=list)

    def take(self, number: int, text: str) -> None:
        cells = _cells(text)
        surplus = (len(cells) - 2) % 3
        if surplus and not any(cells[-surplus:]):  # trailing tabs
            del cells[-surplus:]
        if len(cells) < 2 or (len(cells) - 2) % 3:
            raise bad_line(self.path, number, "Frame#, Time and three cells a marker",
                           f"{len(cells)} cells", "the line is cut short")  # fmt: skip
        if len(self.rows) == MAX_FRAMES:
            raise bad_line(self.path, number, f"at most {MAX_FRAMES} frames", "more",
                           "cut the recording")  # fmt: skip
        values = np.array([_number(cell) for cell in cells])
        wild = np.abs(values) > LARGEST_NUMBER
        if wild.any():
            raise bad_line(self.path, number, f"a number below {LARGEST_NUMBER:g}",
                           cells[int(wild.argmax())],
                           "repair the line; numbers have a decimal point")  # fmt: skip
        if "\t" not in text:
            self.untabbed.append(number)
        self.numbers.append(values[0])
        self.times.append(values[1])
        self.rows.append(values[2:])

    def positions(self) -> FloatArray:
        """``(T, P, 3)``, NaN where missing; as many markers as the widest row has."""
        width = max((len(row) for row in self.rows), default=0)
        if not width or width * len(self.rows) > MAX_VALUES:
            raise DataError(
                f"{self.path}: expected frames of markers, at most {MAX_VALUES} values, got "
                f"{len(self.rows)} frames of {width // 3} markers; {_ADVICE}"
            )
        if self.untabbed and min(map(len, self.rows)) < width:
            raise DataError(
                f"{self.path}, line {self.untabbed[0]}: expected tabs between the cells of a file "
                "whose rows have unequal lengths, got blanks; export it with tabs"
            )
        flat = np.full((len(self.rows), width), np.nan)
        for row, values in zip(flat, self.rows, strict=True):
            row[: len(values)] = values
        positions: FloatArray = flat.reshape(len(self.rows), -1, 3)
        missing = np.isnan(positions).any(axis=-1) | (positions == 0).all(axis=-1)
        positions[missing] = np.nan
        return positions

    def notes(self, header: Mapping[str, str], named: int) -> list[str]:
        """Where the header, the names and the rows do not agree."""
        count = max(map(len, self.rows)) // 3
        short = sum(len(row) < 3 * count for row in self.rows)
        pairs = (
            ("NumFrames says", header.get("numframes"), len(self.rows), "frames"),
            ("NumMarkers says", header.get("nummarkers"), count, "markers"),
            ("the line of names holds", str(named), count, "markers"),
        )
        notes = [
            f"{what} {told[:20]}, the columns hold {found} {things}: the columns count"
            for what, told, found, things in pairs
            if told and told != str(found)
        ]
        if short:
            notes.append(f"{short} rows end early; their last markers count as missing")
        if len(np.unique(np.diff(self.numbers))) > 1:
            notes.append(
                "the numbers of the frames do not rise evenly; rows are taken as they come"
            )
        return notes

    def rate(self, header: Mapping[str, str], notes: list[str]) -> float:
        """Frames a second by DataRate, else by Time; adds a note where the two differ."""
        span = self.times[-1] - self.times[0]
        timed = (len(self.times) - 1) / span if span > 0 else math.nan
        try:
            told = float(header.get("datarate", ""))
        except ValueError:
            told = math.nan
        if math.isnan(told) and math.isnan(timed):
            raise DataError(
                f"{self.path}: expected DataRate in the header or rising times, got "
                f"'{header.get('datarate', 'none')[:20]}'; give DataRate in line 3"
            )
        if math.isnan(told):
            nearest = round(timed)
            timed = float(nearest) if math.isclose(timed, nearest, rel_tol=2e-3) else timed
            notes.append(f"the header has no DataRate; Time gives {timed:.5g} frames a second")
            return timed
        if abs(timed - told) > _TOLERANCE * told:
            notes.append(
                f"DataRate says {told:g}, Time rises as at {timed:.4g} frames a second: "
                "DataRate counts"
            )
        return told
