"""What a user knows of the cameras of a rig: a small JSON file, or a calibration of Pose2Sim."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lifting.data.keypoints.camera_facts import CameraFacts, by_name
from lifting.data.keypoints.pose2sim_toml import ENDING, read_pose2sim
from lifting.errors import DataError, suggest
from lifting.files.checks import Size
from lifting.files.json_file import as_list, as_number, as_table, load_json

_KEYS = ("image_size", "intrinsics", "rotation", "position")
_ORTHOGONAL = 1e-3
log = logging.getLogger(__name__)


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
    return {name: _camera(path, name, value) for name, value in table.items()}


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


def _camera(path: Path, name: str, value: object) -> CameraFacts:
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
        image_size=_numbers(path, name, "image_size", given),
        intrinsics=_numbers(path, name, "intrinsics", given),
        rotation=rows,
        position=_numbers(path, name, "position", given),
    )


def _numbers(
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
