"""C3D: positions of named markers in a binary file, read by ezc3d in a child process.

The library ends in a crash or runs without end on some damaged files, so that it never runs in
the process that trains.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lifting.data.mocap.captured import CapturedMotion, marker_motion
from lifting.data.mocap.lines import LARGEST_NUMBER
from lifting.errors import ConfigError, DataError
from lifting.files.checks import check_file
from lifting.files.sandbox import Limits, read_mat

MAX_C3D_BYTES = 512 * 1024**2
MOST_FRAMES = 65_535  # the form's counter ends here
_AXES = {"points": 3, "residuals": 2, "rate": 0, "labels": 1, "units": 1}


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
    found = read_mat(path, _AXES, limits)
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
