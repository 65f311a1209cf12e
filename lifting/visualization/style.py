"""How pictures look: colours by side of the body, line widths, viewpoints, and how one is saved.

Pictures use display axes: x right, y away from the viewer, z up, in mm. A view projects them
orthographically, so lengths across the line of sight stay true and both paper axes are in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from lifting.atomic import replacing
from lifting.errors import check_shape
from lifting.skeleton import Skeleton

FloatArray: TypeAlias = npt.NDArray[np.float64]
ArrayLike: TypeAlias = Tensor | npt.NDArray[Any]
PoseFrame = Literal["camera", "world"]

GRID_MM = 500.0
# Okabe and Ito's palette without its yellow, which is too pale for a line on white.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#333333")


class Side(Enum):
    """Side of the body a joint or a bone belongs to."""

    LEFT = "left"
    RIGHT = "right"
    CENTRE = "centre"


@dataclass(frozen=True)
class Style:
    """Colours and sizes. Blue and vermilion stay apart for every common colour blindness.

    Attributes:
        left: Colour of the left side.
        right: Colour of the right side.
        centre: Colour of spine and head.
        truth: Colour of the truth where it lies behind a prediction.
        floor: Colour of the floor's lines.
        accent: Colour of bars and curves without a side.
        text: Colour of titles and labels.
        quiet: Colour of secondary text.
        line_width: Width of a bone, points.
        joint_size: Diameter of a joint, points.
        font_size: Points.
        dpi: Dots an inch of saved pictures.
    """

    left: str = "#0072B2"
    right: str = "#D55E00"
    centre: str = "#333333"
    truth: str = "#B4B4B4"
    floor: str = "#DCDCDC"
    accent: str = "#56789A"
    text: str = "#222222"
    quiet: str = "#707070"
    line_width: float = 2.2
    joint_size: float = 4.0
    font_size: float = 9.0
    dpi: int = 150

    def colour(self, side: Side) -> str:
        """Colour of a side."""
        return {Side.LEFT: self.left, Side.RIGHT: self.right, Side.CENTRE: self.centre}[side]


DEFAULT_STYLE = Style()


def joint_sides(skeleton: Skeleton) -> tuple[Side, ...]:
    """Side of every joint, in the order of the skeleton."""
    sides = [Side.CENTRE] * len(skeleton)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        sides[left], sides[right] = Side.LEFT, Side.RIGHT
    return tuple(sides)


def joint_colours(skeleton: Skeleton, style: Style = DEFAULT_STYLE) -> list[str]:
    """Colour of every joint; a bone takes that of its child."""
    return [style.colour(side) for side in joint_sides(skeleton)]


def as_array(values: ArrayLike) -> FloatArray:
    """The values as a float64 array on the CPU, whatever tensor or array they come as."""
    plain = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(plain, dtype=np.float64)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with an Agg canvas, known to no global state.

    Args:
        width: Inches.
        height: Inches.
    """
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def headline(figure: Figure, text: str, style: Style = DEFAULT_STYLE) -> None:
    """Say at the upper left what a figure shows; names may have dollars."""
    figure.suptitle(
        text, fontsize=style.font_size + 1, color=style.text, x=0.01, ha="left", parse_math=False
    )


def legend_below(
    figure: Figure, handles: Sequence[Artist], *, columns: int, style: Style = DEFAULT_STYLE
) -> None:
    """Name what is drawn below a figure.

    Args:
        figure: The figure.
        handles: With labels.
        columns: At most so many beside one another.
        style: Colours and sizes.
    """
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(columns, len(handles)),
        frameon=False, fontsize=style.font_size - 1, labelcolor=style.text,
    )  # fmt: skip


def bare(axes: Axes) -> None:
    """Remove ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)


def quiet_frame(axes: Axes, style: Style = DEFAULT_STYLE) -> None:
    """Keep only the left and bottom spines, in the colour of secondary text."""
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(style.quiet)
    axes.tick_params(colors=style.quiet, labelsize=style.font_size - 1)


def save_figure(figure: Figure, path: Path, *, dpi: int = DEFAULT_STYLE.dpi) -> None:
    """Write a figure and release what it drew.

    Args:
        figure: The figure, empty afterwards.
        path: File to write, whole or not at all; the ending chooses the format.
        dpi: Dots an inch.

    Raises:
        OutputError: It cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
    figure.clear()


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
