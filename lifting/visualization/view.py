"""Frames and viewpoints: from camera or world axes to what a viewer sees on paper.

Pictures use display axes: x right, y away from the viewer, z up, in mm. A view projects them
orthographically, so lengths across the line of sight stay true and both paper axes are in mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lifting.errors import check_shape
from lifting.visualization.style import ArrayLike, FloatArray, as_array

PoseFrame = Literal["camera", "world"]
GRID_MM = 500.0


@dataclass(frozen=True)
class View:
    """Where a viewer stands.

    Attributes:
        azimuth: Degrees the viewer walks to the right around the figure; 0 looks along +y, which
            is the camera's own direction.
        elevation: Degrees the viewer is raised; positive looks down on the floor.
        name: Shown in titles.
    """

    azimuth: float = 0.0
    elevation: float = 12.0
    name: str = ""


FRONT = View(0.0, 8.0, "from the camera")
SIDE = View(70.0, 12.0, "from the side")


def view_matrix(view: View) -> FloatArray:
    """Rotation ``(3, 3)`` from display axes to (paper right, paper up, depth away)."""
    a, e = np.radians(view.azimuth), np.radians(view.elevation)
    right = np.array((np.cos(a), np.sin(a), 0.0))
    ahead = np.array((-np.sin(a), np.cos(a), 0.0))
    sky = np.array((0.0, 0.0, 1.0))
    return np.stack(
        (right, np.cos(e) * sky + np.sin(e) * ahead, np.cos(e) * ahead - np.sin(e) * sky)
    )


def camera_to_display(points: ArrayLike, rotation: ArrayLike | None = None) -> FloatArray:
    """Turn camera-frame points so that up is up.

    Args:
        points: ``(*batch, 3)``, camera frame (x right, y down, z forward), mm.
        rotation: World to camera, ``(3, 3)``, of a world with z up; levels the floor of a tilted
            camera. Without it the camera counts as level.

    Returns:
        ``(*batch, 3)``, display axes, mm.

    Raises:
        ShapeError: Wrong axes.
    """
    check_shape("points", points, "*batch 3")
    return as_array(points) @ _display_axes(rotation).T


def to_display(points: ArrayLike, frame: PoseFrame) -> FloatArray:
    """Points of a named frame in display axes; the world frame (z up) already is one."""
    if frame == "camera":
        return camera_to_display(points)
    check_shape("points", points, "*batch 3")
    return as_array(points)


def floor_grid(low: FloatArray, high: FloatArray, height: float) -> FloatArray:
    """Lines of a square grid on the floor, one cell each ``GRID_MM``.

    Args:
        low: Least x and y that the floor must cover, display axes, mm.
        high: Greatest x and y.
        height: z of the floor.

    Returns:
        ``(lines, 2, 3)``, display axes, mm.
    """
    first = np.floor(low[:2] / GRID_MM) * GRID_MM
    last = np.ceil(high[:2] / GRID_MM) * GRID_MM
    xs = np.arange(first[0], last[0] + 1, GRID_MM)
    ys = np.arange(first[1], last[1] + 1, GRID_MM)
    along_y = [((x, first[1], height), (x, last[1], height)) for x in xs]
    along_x = [((first[0], y, height), (last[0], y, height)) for y in ys]
    return np.array(along_y + along_x)


def facing_heading(poses: FloatArray, left: int, right: int) -> FloatArray:
    """Turn poses about the vertical so that each one faces the viewer.

    Args:
        poses: ``(poses, joints, 3)``, display axes, mm.
        left: Index of the left hip.
        right: Index of the right hip.

    Returns:
        The same shape; the left hip lies to the paper's right of the right one.
    """
    across = poses[:, left, :2] - poses[:, right, :2]
    angle = -np.arctan2(across[:, 1], across[:, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    turned = poses.copy()
    turned[..., 0] = cos[:, None] * poses[..., 0] - sin[:, None] * poses[..., 1]
    turned[..., 1] = sin[:, None] * poses[..., 0] + cos[:, None] * poses[..., 1]
    return turned


def _display_axes(rotation: ArrayLike | None) -> FloatArray:
    """Rows: display x, y and z in camera axes."""
    level = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
    if rotation is None:
        return level
    check_shape("rotation", rotation, "3 3")
    up = as_array(rotation)[:, 2]
    # A camera that looks straight up or down has no heading: its image's top is taken instead.
    steep = abs(up[2]) > 0.99
    heading = np.array((0.0, -1.0, 0.0)) if steep else np.array((0.0, 0.0, 1.0))
    ahead = heading - (heading @ up) * up
    ahead = ahead / np.linalg.norm(ahead)
    return np.stack((np.cross(ahead, up), ahead, up))
