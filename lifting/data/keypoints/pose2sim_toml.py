"""Calibrations as Pose2Sim writes them: TOML, a section a camera.

A section has ``size``, ``matrix`` (3 x 3), ``distortions`` (k1, k2, p1, p2 and seldom k3, in
OpenCV's model), ``rotation`` (Rodrigues' vector, world to camera) and ``translation`` (t of
``R X + t`` and not the camera's centre, metres). No file says its unit, and aniposelib's, which
looks alike, has that of the board: the distances of the cameras are looked at.
"""

from __future__ import annotations

import logging
import math
import tomllib
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from lifting.data.keypoints.camera_facts import CameraFacts
from lifting.errors import DataError
from lifting.files.checks import Size
from lifting.files.json_file import read_text_bytes, shown
from lifting.geometry.rotation import axis_angle_to_matrix

ENDING = ".toml"
LARGEST = Size(0.25)
"""Largest file that is read: some five hundred cameras."""

_MAX_LINE = 1000  # tomllib takes time by the square of the length of dotted keys
_NEEDED = ("matrix", "distortions", "rotation", "translation")
_IGNORED = ("metadata",)
_LIMITS_M = (0.05, 200.0)
_ADVICE = (
    "only Pose2Sim's form of TOML is read (size, matrix 3 x 3, distortions k1 k2 p1 p2 [k3], "
    "rotation and translation of each camera); convert the calibration to it, or write a JSON "
    "file as in lifting/data/README.md"
)
log = logging.getLogger(__name__)


def read_pose2sim(path: Path) -> dict[str, CameraFacts]:
    """Cameras by their ``name``, or their section's, in the order of the file.

    Args:
        path: The file.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no TOML, too large, of another form, or a camera has a fisheye lens.
    """
    data = read_text_bytes(path, LARGEST)
    if max(map(len, data.splitlines()), default=0) > _MAX_LINE:
        raise DataError(
            f"expected lines of at most {_MAX_LINE} bytes in {path}, got a longer one; {_ADVICE}"
        )
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"expected TOML in UTF-8 in {path}, got {type(error).__name__}: {str(error)[:80]}; "
            "check that it is the right file and not cut short"
        ) from error
    found: dict[str, CameraFacts] = {}
    for section, value in table.items():
        if section in _IGNORED:
            continue
        name, facts = _camera(path, section, value)
        if name in found:
            raise DataError(
                f"expected a name of its own for each camera in {path}, got {shown(name)} twice; "
                "correct 'name'"
            )
        found[name] = facts
    if not found:
        raise DataError(f"expected cameras in {path}, got no section of one; {_ADVICE}")
    _check_unit(path, found)
    return found


def _camera(path: Path, section: str, value: object) -> tuple[str, CameraFacts]:
    where = f"section [{section[:40]}] of {path}"
    if not isinstance(value, dict):
        raise DataError(
            f"expected sections of cameras only in {path}, got {shown(section)} = {shown(value)}; "
            f"{_ADVICE}"
        )
    if lacking := [key for key in _NEEDED if key not in value]:
        raise DataError(
            f"expected {', '.join(_NEEDED)} in {where}, got none of {', '.join(lacking)}; "
            f"{_ADVICE}"
        )
    if value.get("fisheye", False) is not False:
        raise DataError(
            f"expected a lens without fisheye in {where}, got fisheye = "
            f"{shown(value['fisheye'])}; this lens model is not known here: take the distortion "
            "out of the videos before keypoints are detected, and calibrate those"
        )
    name = value.get("name", section)
    if not isinstance(name, str) or not name:
        raise DataError(f"expected text as name in {where}, got {shown(name)}; correct it")
    turn = _numbers(where, value, "rotation", (3,))
    matrix = axis_angle_to_matrix(torch.tensor(turn, dtype=torch.float64)).numpy()
    shift = np.array(_numbers(where, value, "translation", (3,)))
    return name, CameraFacts(
        image_size=_size(where, value),
        intrinsics=_intrinsics(where, value),
        rotation=tuple(tuple(map(float, row)) for row in matrix),
        position=tuple(map(float, -1000 * matrix.T @ shift)),
        tangential="brown",
        section=section,
    )


def _size(where: str, value: Mapping[str, object]) -> tuple[float, ...] | None:
    if "size" not in value:
        return None
    size = _numbers(where, value, "size", (2,))
    if min(size) < 1:
        raise DataError(
            f"expected width and height above 0 as size in {where}, got {shown(size)}; correct it"
        )
    return size


def _intrinsics(where: str, value: Mapping[str, object]) -> tuple[float, ...]:
    rows = value["matrix"]
    if not isinstance(rows, list) or len(rows) != 3:
        raise DataError(f"expected three rows as matrix in {where}, got {shown(rows)}; {_ADVICE}")
    numbers = [_numbers(where, {"matrix": row}, "matrix", (3,)) for row in rows]
    (fx, skew, cx), (zero, fy, cy), last = numbers
    if not (fx > 0 and fy > 0 and skew == zero == 0 and last == (0, 0, 1)):
        raise DataError(
            f"expected a matrix [fx 0 cx; 0 fy cy; 0 0 1] with fx, fy above 0 in {where}, got "
            f"{shown(rows)}; a lens with skew is not known here: calibrate without it"
        )
    k1, k2, p1, p2, k3 = (*_numbers(where, value, "distortions", (4, 5)), 0.0)[:5]
    return fx, fy, cx, cy, k1, k2, k3, p1, p2


def _numbers(
    where: str, value: Mapping[str, object], key: str, counts: tuple[int, ...]
) -> tuple[float, ...]:
    """Finite numbers of a list."""
    listed = value[key]
    try:
        plain = isinstance(listed, list) and all(type(v) in (int, float) for v in listed)
        numbers = tuple(map(float, listed)) if plain and isinstance(listed, list) else ()
    except OverflowError:
        numbers = ()
    if len(numbers) not in counts or not all(math.isfinite(v) for v in numbers):
        wanted = " or ".join(map(str, counts))
        raise DataError(
            f"expected {wanted} finite numbers as {key} in {where}, got {shown(listed)}; {_ADVICE}"
        )
    return numbers


def _check_unit(path: Path, cameras: Mapping[str, CameraFacts]) -> None:
    """Say that the unit may not be the metre, where the cameras stand too near or too far."""
    centres = [np.array(facts.position) / 1000 for facts in cameras.values()]
    distances = [float(np.linalg.norm(a - b)) for a, b in combinations(centres, 2)]
    if not distances:
        return
    median = float(np.median(distances))
    low, high = _LIMITS_M
    if not low <= median <= high:
        log.warning(
            "%s: translations are read as metres, as Pose2Sim writes them, and the cameras then "
            "stand %.4g m apart (median); if they are in millimetres or another unit (aniposelib "
            "has that of its board), convert them, or lengths and positions are wrong",
            path,
            median,
        )
