"""Where a camera was while it filmed: frames that move, and the one that does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifting.errors import DataError
from lifting.files.npz import Array, read_plain_npz

_NO_TURN = 1e-3  # by which R R^T of a rotation may differ from 1


@dataclass(frozen=True)
class CameraPath:
    """Where the camera was, and how it was turned, at every row.

    Attributes:
        rotation: ``(N, 3, 3)``, from a frame that does not move to the camera.
        position: ``(N, 3)``, its centre there, mm.
    """

    rotation: Array
    position: Array

    def axes(self, vectors: Array, *, back: bool = False) -> Array:
        """Vectors ``(N, points, 3)`` of the camera in the frame that does not move, or back."""
        turned: Array = vectors @ (self.rotation.swapaxes(1, 2) if back else self.rotation)
        return turned

    def points(self, seen: Array) -> Array:
        """Points ``(N, 3)`` of the camera's frame in the one that does not move."""
        found: Array = self.axes(seen[:, None])[:, 0] + self.position
        return found

    def seen(self, points: Array) -> Array:
        """The same back."""
        return self.axes((points - self.position)[:, None], back=True)[:, 0]


def read_camera_path(path: Path, frames: Array) -> CameraPath:
    """Poses of a camera from an npz file.

    Args:
        path: The file, with ``rotation (F, 3, 3)``, world to camera, ``position (F, 3)``, mm, in a
            world whose z is up, and ``frame (F,)`` where they are not those from 0 on.
        frames: ``(N,)``, frames that are needed.

    Raises:
        MissingDataError: There is no such file.
        DataError: It has no such arrays, or not every frame.
    """
    arrays = read_plain_npz(
        path,
        {"rotation": ("number", 3), "position": ("number", 2), "frame": ("integer", 1)},
        optional=frozenset({"frame"}),
    )
    turn, place = arrays["rotation"].astype(np.float64), arrays["position"].astype(np.float64)
    number = arrays.get("frame", np.arange(len(turn)))
    count = len(turn)
    if turn.shape != (count, 3, 3) or place.shape != (count, 3) or number.shape != (count,):
        raise DataError(
            f"expected rotation (F, 3, 3), position (F, 3) and frame (F,) in {path}, got "
            f"{turn.shape}, {place.shape} and {number.shape}; give one pose a frame"
        )
    off = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max((1, 2), initial=0.0)
    if not np.isfinite(place).all() or not ((off < _NO_TURN) & (np.linalg.det(turn) > 0)).all():
        raise DataError(
            f"expected rotations, world to camera, and finite positions in {path}, got others; "
            "rows of a rotation are unit vectors at right angles, without a mirror"
        )
    order = np.argsort(number, kind="stable")
    found = np.searchsorted(number[order], frames).clip(max=max(count - 1, 0))
    lacking = np.unique(frames[number[order][found] != frames]) if count else np.unique(frames)
    if len(lacking):
        raise DataError(
            f"expected a pose of the camera for every frame in {path}, got none for "
            f"{len(lacking)}, the first of them {lacking[0]}; give them all, or --moving-camera "
            "to leave the world out"
        )
    return CameraPath(turn[order][found], place[order][found])
