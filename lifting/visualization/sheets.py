"""Many in one picture: poses at one scale, so that an odd one stands out; images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from lifting.errors import DataError, OutputError, check_shape
from lifting.skeleton import Skeleton
from lifting.visualization.style import (
    DEFAULT_STYLE,
    ArrayLike,
    FloatArray,
    PoseFrame,
    Style,
    View,
    bare,
    facing_heading,
    headline,
    joint_colours,
    new_figure,
    to_display,
    view_matrix,
)

GAP = 2  # pixels between images
COLOURS = 256
CELL_INCHES = 1.05
PADDING_MM = 220.0
DEFAULT_VIEW = View(25.0, 12.0)


def contact_sheet(
    poses: ArrayLike,
    skeleton: Skeleton,
    *,
    frame: PoseFrame = "world",
    columns: int = 10,
    labels: Sequence[str] | None = None,
    view: View = DEFAULT_VIEW,
    face_viewer: bool = True,
    title: str = "",
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw poses on a grid: one scale, each above its own ground line.

    Args:
        poses: ``(poses, joints, 3)``, mm.
        skeleton: Bones and sides.
        frame: Axes of the poses: ``world`` (z up, the floor at zero) or ``camera`` (y down; the
            ground line is then drawn under the lowest joint).
        columns: Poses in a row.
        labels: One below each pose.
        view: Viewpoint.
        face_viewer: Turn every pose about the vertical so that it faces the viewpoint's azimuth 0.
        title: Above the sheet.
        style: Colours and sizes.

    Raises:
        DataError: No poses, or a coordinate that is not finite.
        ShapeError: Wrong number of joints.
    """
    check_shape("poses", poses, "poses joints 3", joints=len(skeleton))
    display = _checked(to_display(poses, frame))
    if face_viewer and skeleton.left:
        left, right = _hips(skeleton)
        display = facing_heading(display, left, right)
    ground = np.zeros(len(display)) if frame == "world" else display[..., 2].min(-1)
    display = display - _anchors(display, skeleton.root, ground)[:, None]
    seen = display @ view_matrix(view).T
    columns = max(1, min(columns, len(seen)))
    cell = _cell_size(seen)
    corners = _corners(len(seen), columns, cell)
    figure = new_figure(columns * CELL_INCHES, 0.4 + _rows(len(seen), columns) * _tall(cell))
    axes = figure.add_subplot()
    _draw(axes, seen, corners, cell, skeleton, style)
    for label, corner in zip(labels or (), corners, strict=False):
        axes.text(
            corner[0], corner[1] - 0.02 * cell[1], label, ha="center", va="top",
            fontsize=style.font_size - 2, color=style.quiet,
        )  # fmt: skip
    axes.set_xlim(-cell[0] / 2, (columns - 0.5) * cell[0])
    low = corners[-1, 1] + min(float(seen[..., 1].min()), 0.0) - PADDING_MM
    axes.set_ylim(low - (0.08 * cell[1] if labels else 0.0), cell[1])
    axes.set_aspect("equal")
    bare(axes)
    if title:
        headline(figure, title, style)
    return figure


def _checked(poses: FloatArray) -> FloatArray:
    if len(poses) == 0:
        raise DataError("expected at least one pose for the sheet, got none; select some frames")
    bad = ~np.isfinite(poses).all((1, 2))
    if bad.any():
        raise DataError(
            f"expected finite poses for the sheet, got non-finite coordinates in pose "
            f"{int(bad.argmax())} and {int(bad.sum())} in all; clean the data first"
        )
    return poses


def _hips(skeleton: Skeleton) -> tuple[int, int]:
    for left, right in skeleton.mirror:
        if left.endswith("hip"):
            return skeleton.index(left), skeleton.index(right)
    return skeleton.left[0], skeleton.right[0]


def _anchors(poses: FloatArray, root: int, ground: FloatArray) -> FloatArray:
    """The point of each pose that goes to its cell's corner: under the root, on the ground."""
    return np.concatenate((poses[:, root, :2], ground[:, None]), axis=-1)


def _cell_size(seen: FloatArray) -> FloatArray:
    reach = 2 * np.abs(seen[..., 0]).max() + PADDING_MM
    tall = seen[..., 1].max() - min(seen[..., 1].min(), 0.0) + PADDING_MM
    return np.array((max(reach, 0.45 * tall), tall))


def _rows(count: int, columns: int) -> int:
    return -(-count // columns)


def _tall(cell: FloatArray) -> float:
    return CELL_INCHES * float(cell[1] / cell[0])


def _corners(count: int, columns: int, cell: FloatArray) -> FloatArray:
    index = np.arange(count)
    return np.stack((index % columns * cell[0], -(index // columns) * cell[1]), axis=-1)


def _draw(
    axes: Axes,
    seen: FloatArray,
    corners: FloatArray,
    cell: FloatArray,
    skeleton: Skeleton,
    style: Style,
) -> None:
    """All bones of all poses in one collection, far before near; ground lines in another."""
    bones = np.array(skeleton.bones)
    lines = (seen[..., :2] + corners[:, None])[:, bones]  # (poses, bones, 2, 2)
    depth = seen[:, bones, 2].mean(-1)
    order = np.argsort(-depth, axis=-1)
    lines = np.take_along_axis(lines, order[..., None, None], axis=1)
    colours = np.array(joint_colours(skeleton, style))[bones[:, 1]][order]
    half = np.array((0.4 * cell[0], 0.0))
    ground = np.stack((corners - half, corners + half), axis=1)
    axes.add_collection(LineCollection(list(ground), colors=style.floor, linewidths=1.0, zorder=0))
    axes.add_collection(
        LineCollection(
            list(lines.reshape(-1, 2, 2)),
            colors=colours.reshape(-1).tolist(),
            linewidths=style.line_width * 0.7,
            capstyle="round",
            zorder=2,
        )
    )


def image_sheet(images: npt.NDArray[np.uint8], *, columns: int = 8) -> npt.NDArray[np.uint8]:
    """Put pictures on a grid with white gaps; what is left of the last row stays white.

    Args:
        images: ``(n, 3, height, width)`` uint8.
        columns: Pictures in a row.

    Returns:
        ``(rows, columns, 3)`` uint8, pixels.

    Raises:
        DataError: There is no picture.
        ShapeError: They have another form.
    """
    check_shape("images", images, "n 3 height width")
    if len(images) == 0:
        raise DataError("expected at least one picture for the sheet, got none; select some")
    count, _, height, width = images.shape
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    framed = np.full((rows * columns, height + GAP, width + GAP, 3), 255, dtype=np.uint8)
    framed[:count, :height, :width] = images.transpose(0, 2, 3, 1)
    grid = framed.reshape(rows, columns, height + GAP, width + GAP, 3)
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * (height + GAP), -1, 3)
    return np.ascontiguousarray(sheet[:-GAP, :-GAP])


def save_image_sheet(path: Path, sheet: npt.NDArray[np.uint8], *, colours: int = COLOURS) -> None:
    """Write a sheet with few colours, a third of the size of all of them.

    Args:
        path: File to write; the ending chooses the format.
        sheet: ``(rows, columns, 3)`` uint8.
        colours: At most 256.

    Raises:
        OutputError: It is to be of lines (.svg), which photographs have none of.
    """
    if path.suffix.lower() == ".svg":
        raise OutputError(f"expected a .png or .pdf for photographs, got {path.suffix}; name one")
    picture: Any = Image.fromarray(sheet)
    picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
