"""Positions of named markers: TRC, tab-separated text, and C3D, binary and read by ezc3d.

Where the header and the columns disagree, the columns count and a note says so.

C3D is read in a child process: the library ends in a crash or runs without end on some damaged
files, so that it never runs in the process that trains.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lifting.data.mocap.captured import CapturedMotion, FloatArray, marker_motion, whole_rate
from lifting.data.mocap.lines import LARGEST_NUMBER, MAX_FRAMES, Line, read_texts
from lifting.errors import ConfigError, DataError
from lifting.files.checks import check_file
from lifting.files.sandbox import Limits, read_mat

MAX_C3D_BYTES = 512 * 1024**2
MOST_FRAMES = 65_535  # the form's counter ends here
_DIMENSIONS = {"points": 3, "residuals": 2, "rate": 0, "labels": 1, "units": 1}

MAX_TRC_BYTES = 256 * 1024**2
MAX_VALUES = 100_000_000
_HEADER = ("PathFileType", "names of the header", "values of the header", "Frame#")
_AXES = re.compile(r"(\s*X\d*\s+Y\d*\s+Z\d*)*\s*", re.IGNORECASE)
_ADVICE = "check that this is a TRC file, with X, Y and Z of each marker, and not cut short"
_TOLERANCE = 0.02  # of the rate, against times that are rounded


def read_c3d(path: Path, limits: Limits | None = None) -> CapturedMotion:
    """Markers of a file.

    Args:
        path: The ``.c3d`` file. A marker is missing where its residual is negative or it is NaN.
        limits: What reading may cost.

    Returns:
        The markers, in the file's axes and unit; which axis is vertical the form does not say.

    Raises:
        ConfigError: ezc3d is not installed.
        MissingDataError: There is no such file.
        DataError: The file is damaged, too large, or holds no measured marker.
    """
    if find_spec("ezc3d") is None:
        raise ConfigError(
            f"expected the package ezc3d to read {path}, got none; install it with "
            "`pip install 'lifting[c3d]'`"
        )
    check_file(path, MAX_C3D_BYTES)
    found = read_mat(path, _DIMENSIONS, limits)
    positions, residuals = found["points"].astype(np.float64), found["residuals"]
    if positions.shape[:2] != residuals.shape or positions.shape[2:] != (3,):
        raise DataError(
            f"{path}: expected a residual a marker and frame, got {residuals.shape} for "
            f"{positions.shape}; the file is damaged: export it again"
        )
    positions[(residuals < 0) | ~np.isfinite(positions).all(axis=-1)] = np.nan
    if np.nanmax(np.abs(positions), initial=0) > LARGEST_NUMBER:
        raise DataError(
            f"{path}: expected positions below {LARGEST_NUMBER:g}, got "
            f"{np.nanmax(np.abs(positions)):.3g}; the file is damaged: export it again"
        )
    frames, count = residuals.shape
    labels, units = (_texts(found[key]) for key in ("labels", "units"))
    cut = f"{frames} frames are as many as the form counts: more may have been cut"
    names = [*labels, *[""] * count][:count]
    rate = float(str(np.float32(found["rate"])))  # 29.97 is stored as 29.969999
    notes = [cut] if frames >= MOST_FRAMES else []
    return marker_motion(path, "c3d", names, positions, rate, units, notes)


def _texts(codes: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[str]:
    """Texts that the child handed back as one array of UTF-8."""
    text = codes.astype(np.uint8).tobytes().decode("utf-8", errors="replace")
    return [line.strip() for line in text.split("\n")] if text else []


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
    lines = [(n, text) for n, text in read_texts(path, MAX_TRC_BYTES) if text.strip()]
    if len(lines) <= len(_HEADER) or len(lines) > MAX_FRAMES:
        raise DataError(
            f"{path}: expected a header of {len(_HEADER)} lines and at most {MAX_FRAMES} frames, "
            f"got {len(lines)} lines; {_ADVICE}"
        )
    for (number, text), expected in zip(lines, _HEADER, strict=False):
        word = text.removeprefix("\xef\xbb\xbf").split()[0]
        if expected[0].isupper() and not word.lower().startswith(expected.lower()):
            raise Line(path, number, [word]).bad(expected, word, _ADVICE)
    keys, values, names = (_cells(text) for _, text in lines[1:4])
    header = dict(zip((key.lower() for key in keys), values, strict=False))
    rows = lines[5 if _AXES.fullmatch(lines[4][1]) else 4 :]
    table, positions = _table(path, rows)
    count = positions.shape[1]
    labels = _labels(names)
    notes = [
        f"{what} {told[:20]}, the columns hold {found} {things}: the columns count"
        for what, told, found, things in (
            ("NumFrames says", header.get("numframes"), len(positions), "frames"),
            ("NumMarkers says", header.get("nummarkers"), count, "markers"),
            ("the line of names holds", str(len(labels)), count, "markers"),
        )
        if told and told != str(found)
    ]
    rate = _rate(path, table[:, 1], header, notes)
    units = [header["units"]] if header.get("units") else []
    labels = [*labels, *[""] * count][:count]
    return marker_motion(path, "trc", labels, positions, rate, units, notes)


def _cells(text: str) -> list[str]:
    """Cells between tabs, or words where a line has no tab."""
    body = text.rstrip("\r\n")
    return [cell.strip() for cell in body.split("\t")] if "\t" in body else body.split()


def _labels(cells: Sequence[str]) -> list[str]:
    """Names of the markers: what stands over each X, or all there are where they are displaced."""
    listed = [cell for cell in cells[2:] if cell]
    over_x = [*cells[2::3]]
    while over_x and not over_x[-1]:
        over_x.pop()
    names = over_x if sum(map(bool, over_x)) == len(listed) else listed
    try:
        return [name.encode("latin-1").decode("utf-8") for name in names]
    except UnicodeDecodeError:
        return names


def _table(path: Path, lines: Sequence[tuple[int, str]]) -> tuple[FloatArray, FloatArray]:
    """All cells, NaN where empty; and positions, ``(T, P, 3)``, of as many as the widest row."""
    widest = max((len(_cells(text.rstrip())) for _, text in lines), default=2)
    width = 2 + 3 * math.ceil((widest - 2) / 3)
    if width < 5 or width * len(lines) > MAX_VALUES:
        raise DataError(
            f"{path}: expected frames of markers, at most {MAX_VALUES} values, got {len(lines)} "
            f"frames of {(width - 2) // 3} markers; {_ADVICE}"
        )
    table = np.full((len(lines), width), np.nan)
    for into, (number, text) in zip(table, lines, strict=True):
        row = _cells(text)
        line = Line(path, number, row)
        # Only between tabs does an early end say which cells are missing.
        if len(row) < width and ("\t" not in text or len(row) < 2 or (len(row) - 2) % 3):
            raise line.bad(f"Frame#, Time and three cells a marker ({width} in all)",
                           f"{len(row)} cells", "the line is cut short")  # fmt: skip
        for i, cell in enumerate(row[:width]):
            if cell.lower() not in ("", "nan"):
                into[i] = line.value(cell)
    positions: FloatArray = table[:, 2:].reshape(len(lines), -1, 3)
    positions[(positions == 0).all(axis=-1) | np.isnan(positions).any(axis=-1)] = np.nan
    return table, positions


def _rate(path: Path, times: FloatArray, header: Mapping[str, str], notes: list[str]) -> float:
    """Frames a second by DataRate, else by Time; adds a note where the two differ."""
    span = times[-1] - times[0]
    timed = (len(times) - 1) / span if span > 0 else math.nan
    try:
        told = float(header.get("datarate", ""))
    except ValueError:
        told = math.nan
    if math.isnan(told) and math.isnan(timed):
        raise DataError(
            f"{path}: expected DataRate in the header or rising times, got "
            f"'{header.get('datarate', 'none')[:20]}'; give DataRate in line 3"
        )
    if math.isnan(told):
        notes.append(f"the header has no DataRate; Time gives {timed:.5g} frames a second")
        return whole_rate(timed)
    if abs(timed - told) > _TOLERANCE * told:
        notes.append(
            f"DataRate says {told:g}, Time rises as at {timed:.4g} frames a second: "
            "DataRate counts"
        )
    return told
