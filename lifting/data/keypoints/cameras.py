"""What a user knows of the cameras of a rig: a small JSON file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifting.errors import DataError, suggest
from lifting.files.json_file import as_list, as_number, as_table, load_json
from lifting.files.limits import Size

_KEYS = ("image_size", "intrinsics", "rotation", "position")
_ORTHOGONAL = 1e-3


@dataclass(frozen=True)
class CameraFacts:
    """What is known of one camera; None where it is not.

    Attributes:
        image_size: Width and height, pixels.
        intrinsics: fx, fy, cx, cy and optionally five of distortion, pixels.
        rotation: World to camera, three rows.
        position: Centre in the world, mm.
    """

    image_size: tuple[float, ...] | None = None
    intrinsics: tuple[float, ...] | None = None
    rotation: tuple[tuple[float, ...], ...] | None = None
    position: tuple[float, ...] | None = None


def read_cameras(path: Path | None, max_bytes: int) -> dict[str, CameraFacts]:
    """Cameras by name.

    Args:
        path: File with an object of cameras by name; None gives none.
        max_bytes: Largest file that is read, bytes.

    Raises:
        MissingDataError: There is no such file.
        DataError: A key is unknown, a value of another form, or a rotation is none.
    """
    if path is None:
        return {}
    table = as_table(path, load_json(path, Size(max_bytes / 2**20)), "the content")
    return {name: _camera(path, name, value) for name, value in table.items()}


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
    facts = {
        key: _numbers(path, name, key, given) for key in ("image_size", "intrinsics", "position")
    }
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
    return CameraFacts(rotation=rows, **facts)


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
