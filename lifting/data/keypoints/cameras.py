"""What a user knows of the cameras of a rig, and which camera a keypoint file belongs to.

It is in a small JSON file, or in a calibration as Pose2Sim writes it: TOML, a section a camera.

A section has ``size``, ``matrix`` (3 x 3), ``distortions`` (k1, k2, p1, p2 and seldom k3, in
OpenCV's model), ``rotation`` (Rodrigues' vector, world to camera) and ``translation`` (t of
``R X + t`` and not the camera's centre, metres). No file says its unit, and aniposelib's, which
looks alike, has that of the board: the distances of the cameras are looked at.
"""

from __future__ import annotations

import logging
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from lifting.errors import DataError, suggest
from lifting.files.checks import Size
from lifting.files.json_file import as_list, as_number, as_table, load_json, read_text_bytes, shown
from lifting.geometry.camera import Tangential
from lifting.geometry.rotation import axis_angle_to_matrix

FOLDER_ENDING = "_json"
"""What Pose2Sim adds to the name of a video for the folder of its keypoints."""
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_JOINING = re.compile(r"(?<![0-9])[_-]|[_-](?![0-9])")

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

_KEYS = ("image_size", "intrinsics", "rotation", "position")
_ORTHOGONAL = 1e-3


@dataclass(frozen=True)
class CameraFacts:
    """What is known of one camera; None where it is not.

    Attributes:
        image_size: Width and height, pixels.
        intrinsics: fx, fy, cx, cy and optionally k1, k2, k3, p1, p2 of distortion, pixels.
        rotation: World to camera, three rows.
        position: Centre in the world, mm.
        tangential: Model that p1 and p2 belong to.
        section: Second name of the camera, the section's of a calibration.
    """

    image_size: tuple[float, ...] | None = None
    intrinsics: tuple[float, ...] | None = None
    rotation: tuple[tuple[float, ...], ...] | None = None
    position: tuple[float, ...] | None = None
    tangential: Tangential = "videopose"
    section: str | None = None


def plain_name(name: str) -> str:
    """A camera's name for comparison: ``cam_01``, ``Cam-1`` and ``cam01_json`` are one.

    Case, the zeros a number begins with, ``_`` and ``-`` (but between two numbers), and the ending
    of Pose2Sim's folders do not count.
    """
    folded = name.casefold().removesuffix(FOLDER_ENDING)
    return _JOINING.sub("", _ZEROS.sub("", folded)) or folded


def by_name(cameras: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """Names of cameras by the names of the keypoint files they belong to.

    A name that is the same counts first, then one that :func:`plain_name` makes the same, where
    it does so for one file and one camera only. Cameras without a file, and files without a
    camera, are left out.

    Args:
        cameras: Names in the file of cameras.
        names: Names of the keypoint files.
    """
    cameras = list(cameras)
    found = {name: name for name in names if name in cameras}
    left = _single(name for name in cameras if name not in found)
    files = _single(name for name in names if name not in found)
    return found | {files[plain]: left[plain] for plain in files if plain in left}


def _single(names: Iterable[str]) -> dict[str, str]:
    """Names by their plain form, without those that share one."""
    plain = {name: plain_name(name) for name in names}
    count = Counter(plain.values())
    return {short: name for name, short in plain.items() if count[short] == 1}


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
        name, facts = _toml_camera(path, section, value)
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


def _toml_camera(path: Path, section: str, value: object) -> tuple[str, CameraFacts]:
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
    turn = _toml_numbers(where, value, "rotation", (3,))
    matrix = axis_angle_to_matrix(torch.tensor(turn, dtype=torch.float64)).numpy()
    shift = np.array(_toml_numbers(where, value, "translation", (3,)))
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
    size = _toml_numbers(where, value, "size", (2,))
    if min(size) < 1:
        raise DataError(
            f"expected width and height above 0 as size in {where}, got {shown(size)}; correct it"
        )
    return size


def _intrinsics(where: str, value: Mapping[str, object]) -> tuple[float, ...]:
    rows = value["matrix"]
    if not isinstance(rows, list) or len(rows) != 3:
        raise DataError(f"expected three rows as matrix in {where}, got {shown(rows)}; {_ADVICE}")
    numbers = [_toml_numbers(where, {"matrix": row}, "matrix", (3,)) for row in rows]
    (fx, skew, cx), (zero, fy, cy), last = numbers
    if not (fx > 0 and fy > 0 and skew == zero == 0 and last == (0, 0, 1)):
        raise DataError(
            f"expected a matrix [fx 0 cx; 0 fy cy; 0 0 1] with fx, fy above 0 in {where}, got "
            f"{shown(rows)}; a lens with skew is not known here: calibrate without it"
        )
    k1, k2, p1, p2, k3 = (*_toml_numbers(where, value, "distortions", (4, 5)), 0.0)[:5]
    return fx, fy, cx, cy, k1, k2, k3, p1, p2


def _toml_numbers(
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


def read_cameras(path: Path | None, size: Size | None = None) -> dict[str, CameraFacts]:
    """Cameras by the names of the file.

    Args:
        path: JSON file with an object of cameras by name, or, by its ending ``.toml``, a
            calibration of Pose2Sim; None gives none.
        size: Largest file that is read.

    Raises:
        MissingDataError: There is no such file.
        DataError: A key is unknown, a value of another form, or a rotation is none.
    """
    if path is None:
        return {}
    if is_calibration(path):
        return read_pose2sim(path)
    table = as_table(path, load_json(path, size), "the content")
    return {name: _json_camera(path, name, value) for name, value in table.items()}


def is_calibration(path: Path) -> bool:
    """Whether a file of cameras is one of a calibration, whose names are not the user's."""
    return path.suffix.casefold() == ENDING


def cameras_of(
    path: Path | None, known: Mapping[str, CameraFacts], names: Sequence[str]
) -> dict[str, CameraFacts]:
    """What is known of the cameras of one recording, by the names of its keypoint files.

    Names are compared as :func:`by_name` does, in a calibration also those of the sections. It
    must have every camera of the recording, and may have more; where none of its names is one of
    the recording's, and it has as many, cameras are taken in their order, which the log says. A
    JSON file may leave cameras out.

    Args:
        path: The file of cameras.
        known: Its content.
        names: Names of the recording's cameras.

    Raises:
        DataError: A calibration lacks a camera.
    """
    found = {file: known[name] for file, name in by_name(known, names).items()}
    if path is None or not is_calibration(path) or len(found) == len(names):
        return found
    sections = {facts.section: facts for facts in known.values() if facts.section is not None}
    matched = by_name(sections, names)
    if len(matched) > len(found):
        found = {file: sections[name] for file, name in matched.items()}
    if len(found) == len(names):
        return found
    if not found and len(known) == len(names):
        pairs = ", ".join(f"{a} = {b}" for a, b in zip(names, known, strict=True))
        log.warning(
            "%s: no camera has the name of a keypoint file, so they are taken in order: %s",
            path,
            pairs,
        )
        return dict(zip(names, known.values(), strict=True))
    lacking = [name for name in names if name not in found]
    raise DataError(
        f"expected the cameras {_few(names)} in {path}, got {_few(list(known))}, so nothing for "
        f"{_few(lacking)}; name the keypoint files or folders after the cameras (case, '_', '-' "
        "and zeros before a number do not count)"
    )


def _few(names: Sequence[str]) -> str:
    """Some names for a message."""
    listed = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names[:12])
    return listed if len(names) <= 12 else f"{listed} and {len(names) - 12} more"


def _json_camera(path: Path, name: str, value: object) -> CameraFacts:
    given = as_table(path, value, f"camera '{name}'")
    for key in given:
        if key not in _KEYS:
            raise DataError(
                f"unknown key '{key}' of camera '{name}' in {path}; {suggest(key, _KEYS)}"
            )
    if ("rotation" in given) != ("position" in given):
        raise DataError(
            f"expected rotation and position of camera '{name}' in {path}, got one of them; give "
            "both or neither"
        )
    rows = None
    if "rotation" in given:
        listed = as_list(path, given["rotation"], f"rotation of camera '{name}'")
        rows = tuple(_listed(path, row, f"rotation of camera '{name}'", (3,)) for row in listed)
        matrix = np.array(rows)
        if (
            matrix.shape != (3, 3)
            or abs(matrix @ matrix.T - np.eye(3)).max() > _ORTHOGONAL
            or (np.linalg.det(matrix) < 0)
        ):
            raise DataError(
                f"expected a rotation matrix, 3 x 3, of camera '{name}' in {path}, got another; "
                "give the rotation from the world to the camera's x right, y down, z forward"
            )
    return CameraFacts(
        image_size=_json_numbers(path, name, "image_size", given),
        intrinsics=_json_numbers(path, name, "intrinsics", given),
        rotation=rows,
        position=_json_numbers(path, name, "position", given),
    )


def _json_numbers(
    path: Path, name: str, key: str, given: dict[str, object]
) -> tuple[float, ...] | None:
    counts = {"image_size": (2,), "intrinsics": (4, 9), "position": (3,)}[key]
    return (
        None
        if key not in given
        else _listed(path, given[key], f"{key} of camera '{name}'", counts)
    )


def _listed(path: Path, value: object, what: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    numbers = tuple(as_number(path, v, what) for v in as_list(path, value, what))
    if len(numbers) not in counts or not all(math.isfinite(v) for v in numbers):
        wanted = " or ".join(map(str, counts))
        raise DataError(
            f"expected {wanted} finite numbers as {what} in {path}, got {len(numbers)}; see "
            "lifting/data/README.md"
        )
    return numbers
