"""Draws poses: 2D keypoints with confidence, 3D skeletons from a viewpoint, and a test sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lifting.errors import check_shape
from lifting.skeleton import Skeleton
from lifting.visualization.style import (
    DEFAULT_STYLE,
    FRONT,
    GRID_MM,
    SIDE,
    ArrayLike,
    FloatArray,
    Side,
    Style,
    View,
    as_array,
    bare,
    camera_to_display,
    floor_grid,
    headline,
    joint_colours,
    legend_below,
    new_figure,
    view_matrix,
)

FLOOR_MARGIN_MM = 150.0
_WIDE = 7.0  # inches, in which the names of all sides stand beside one another


@dataclass(frozen=True, kw_only=True)
class SamplePicture:
    """A sample: what a method saw, what was true and what it answered.

    Attributes:
        keypoints_2d: ``(joints, 2)``, pixels.
        truth: ``(joints, 3)``, camera frame, root-relative, mm.
        predicted: ``(joints, 3)``, camera frame, root-relative, mm.
        image_size: Width and height, pixels.
        confidence: ``(joints,)``, 0 to 1; None when unknown.
        rotation: World to camera, ``(3, 3)``, levels the floor; None when unknown.
        title: Shown above the picture.
    """

    keypoints_2d: ArrayLike
    truth: ArrayLike
    predicted: ArrayLike
    image_size: tuple[float, float]
    confidence: ArrayLike | None = None
    rotation: ArrayLike | None = None
    title: str = ""


def draw_keypoints(
    axes: Axes,
    keypoints_2d: ArrayLike,
    skeleton: Skeleton,
    *,
    confidence: ArrayLike | None = None,
    image_size: tuple[float, float] | None = None,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Draw 2D keypoints; the surer the detector, the stronger the colour.

    A joint of zero confidence, or a non-finite one, is drawn as a cross without bones.

    Args:
        axes: Where to draw.
        keypoints_2d: ``(joints, 2)``, pixels, y down.
        skeleton: Bones and sides.
        confidence: ``(joints,)``, 0 to 1; None draws all at full strength.
        image_size: Width and height, pixels; draws the image's frame and clips the view to it.
        style: Colours and sizes.

    Raises:
        ShapeError: Wrong number of joints.
    """
    check_shape("keypoints_2d", keypoints_2d, "joints 2", joints=len(skeleton))
    points = as_array(keypoints_2d)
    sure = np.ones(len(skeleton)) if confidence is None else as_array(confidence).clip(0, 1)
    seen = (sure > 0) & np.isfinite(points).all(-1)
    colours = joint_colours(skeleton, style)
    strength = 0.25 + 0.75 * sure
    bones = [(p, c) for p, c in skeleton.bones if seen[p] and seen[c]]
    axes.add_collection(
        LineCollection(
            [points[[p, c]] for p, c in bones],
            colors=to_rgba_array(
                [colours[c] for _, c in bones], [min(strength[p], strength[c]) for p, c in bones]
            ),
            linewidths=style.line_width,
            capstyle="round",
        )
    )
    _mark_joints(axes, points, seen, colours, strength, style)
    missed = ~seen & np.isfinite(points).all(-1)
    crosses = points[missed]
    axes.scatter(
        crosses[:, 0], crosses[:, 1], marker="x", c=style.quiet, s=18, linewidths=1, zorder=2
    )
    _pixel_limits(axes, points[seen | missed], image_size, style)


def draw_skeleton(
    axes: Axes,
    points: ArrayLike,
    skeleton: Skeleton,
    *,
    view: View = FRONT,
    ghost: bool = False,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Draw a 3D skeleton as a viewer sees it, near bones over far ones. Both axes are in mm.

    Args:
        axes: Where to draw; limits are left to :func:`frame_scene`.
        points: ``(joints, 3)``, display axes (see ``view``), mm.
        skeleton: Bones and sides.
        view: Viewpoint.
        ghost: Draw thin and grey, as a comparison behind another skeleton.
        style: Colours and sizes.

    Raises:
        ShapeError: Wrong number of joints.
    """
    check_shape("points", points, "joints 3", joints=len(skeleton))
    seen = as_array(points) @ view_matrix(view).T
    colours = [style.truth] * len(skeleton) if ghost else joint_colours(skeleton, style)
    depth = {bone: -(seen[bone[0], 2] + seen[bone[1], 2]) / 2 for bone in skeleton.bones}
    bones = sorted(skeleton.bones, key=lambda bone: depth[bone])
    axes.add_collection(
        LineCollection(
            [seen[[p, c], :2] for p, c in bones],
            colors=[colours[c] for _, c in bones],
            linewidths=style.line_width * (0.7 if ghost else 1.0),
            capstyle="round",
            zorder=1 if ghost else 3,
        )
    )
    if not ghost:
        everything = np.ones(len(skeleton), dtype=bool)
        _mark_joints(axes, seen[:, :2], everything, colours, np.ones(len(skeleton)), style)


def frame_scene(
    axes: Axes,
    poses: Sequence[FloatArray],
    *,
    view: View = FRONT,
    floor: float | None = None,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Draw the floor under poses and set equal axes and limits that hold them and the floor.

    Args:
        axes: Where to draw.
        poses: Poses that must be in view, each ``(joints, 3)``, display axes, mm.
        view: Viewpoint.
        floor: Height of the floor, mm; None is the lowest joint.
        style: Colours and sizes.
    """
    joints = np.concatenate(poses)
    joints = joints[np.isfinite(joints).all(-1)]
    height = float(joints[:, 2].min()) if floor is None else floor
    low, high = joints.min(0) - FLOOR_MARGIN_MM, joints.max(0) + FLOOR_MARGIN_MM
    matrix = view_matrix(view)
    grid = floor_grid(low, high, height) @ matrix.T
    axes.add_collection(
        LineCollection(list(grid[..., :2]), colors=style.floor, linewidths=0.8, zorder=0)
    )
    everything = np.concatenate((grid.reshape(-1, 3), joints @ matrix.T))[:, :2]
    least, most = everything.min(0) - 60.0, everything.max(0) + 60.0
    axes.set_xlim(least[0], most[0])
    axes.set_ylim(least[1], most[1])
    axes.set_aspect("equal")
    bare(axes)


def sample_figure(
    sample: SamplePicture,
    skeleton: Skeleton,
    *,
    views: tuple[View, View] = (FRONT, SIDE),
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """The 2D input, and the true and predicted pose side by side from two viewpoints.

    The truth lies in grey behind the prediction. All 3D panels of a viewpoint share one scale.

    Args:
        sample: What to draw.
        skeleton: Bones and sides.
        views: Viewpoints, one a row.
        style: Colours and sizes.
    """
    truth = camera_to_display(sample.truth, sample.rotation)
    predicted = camera_to_display(sample.predicted, sample.rotation)
    figure = new_figure(9.6, 6.0)
    panels = figure.subplot_mosaic(
        [["input", "true 0", "predicted 0"], ["input", "true 1", "predicted 1"]],
        width_ratios=(1.25, 1, 1),
    )
    draw_keypoints(
        panels["input"],
        sample.keypoints_2d,
        skeleton,
        confidence=sample.confidence,
        image_size=sample.image_size,
        style=style,
    )
    panels["input"].set_title("2D input", fontsize=style.font_size, color=style.text, loc="left")
    for row, view in enumerate(views):
        for kind, pose in (("true", truth), ("predicted", predicted)):
            axes = panels[f"{kind} {row}"]
            if kind == "predicted":
                draw_skeleton(axes, truth, skeleton, view=view, ghost=True, style=style)
            draw_skeleton(axes, pose, skeleton, view=view, style=style)
            frame_scene(
                axes, (truth, predicted), view=view, floor=float(truth[:, 2].min()), style=style
            )
            heading = f"{kind}, {view.name}" if view.name else kind
            axes.set_title(heading, fontsize=style.font_size, color=style.text, loc="left")
    if sample.title:
        headline(figure, sample.title, style)
    side_legend(figure, ghost=True, style=style)
    return figure


def frames_figure(
    frames: Sequence[tuple[str, ArrayLike, Sequence[str]]],
    skeleton: Skeleton,
    image_size: tuple[float, float] | None = None,
    *,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw the people of a few frames of a video, each frame in a picture of its own.

    Args:
        frames: Name of the frame, ``(people, joints, 3)``, pixels and confidence, and the people's
            names.
        skeleton: Bones and sides.
        image_size: Width and height, pixels; None shows where people are.
        style: Colours and sizes.
    """
    everyone = np.concatenate(
        [as_array(people)[..., :2].reshape(-1, 2) for _, people, _ in frames]
    )
    low, high = np.nanmin(everyone, axis=0), np.nanmax(everyone, axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    if image_size is not None:
        low, high = np.minimum(low, 0), np.maximum(high, image_size)
    shape = float((high[0] - low[0]) / max(high[1] - low[1], 1e-6))
    wide = 4.5 * min(max(shape, 0.5), 1.8)
    figure = new_figure(max(wide, 2.6) * len(frames), 4.5)
    for place, (name, people, names) in enumerate(frames, 1):
        axes = figure.add_subplot(1, len(frames), place)
        for person, label in zip(as_array(people), names, strict=True):
            draw_keypoints(
                axes, person[:, :2], skeleton, confidence=person[:, 2], image_size=image_size,
                style=style,
            )  # fmt: skip
            seen = person[np.isfinite(person[:, 0]) & (person[:, 2] > 0), :2]
            axes.annotate(label, seen[seen[:, 1].argmin()], xytext=(4, 4), color=style.quiet,
                          textcoords="offset points", fontsize=style.font_size)  # fmt: skip
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(high[1], low[1])
        size, colour = style.font_size, style.text
        axes.set_title(
            f"frame {name[-40:]}", fontsize=size, color=colour, loc="left", parse_math=False
        )
    return figure


def side_legend(figure: Figure, *, ghost: bool, style: Style = DEFAULT_STYLE) -> None:
    """Name the colours below a figure, and the size of a floor cell."""
    names = {f"{side.value} side": style.colour(side) for side in (Side.LEFT, Side.RIGHT)}
    names["centre"] = style.centre
    if ghost:
        names["truth behind the prediction"] = style.truth
    names[f"floor cell {GRID_MM / 1000:g} m"] = style.floor
    handles = [Line2D([], [], color=c, lw=style.line_width, label=n) for n, c in names.items()]
    columns = len(handles) if figure.get_figwidth() > _WIDE else 3
    legend_below(figure, handles, columns=columns, style=style)


def _mark_joints(
    axes: Axes,
    points: FloatArray,
    shown: npt.NDArray[np.bool_],
    colours: list[str],
    strength: FloatArray,
    style: Style,
) -> None:
    tint = to_rgba_array(colours, strength)
    axes.scatter(
        points[shown, 0],
        points[shown, 1],
        s=style.joint_size**2,
        c=tint[shown],
        linewidths=0,
        zorder=4,
    )


def _pixel_limits(
    axes: Axes, points: FloatArray, image_size: tuple[float, float] | None, style: Style
) -> None:
    """Zoom on the person, keep pixels square, y down, and show which part of the image it is."""
    middle, reach = np.zeros(2), 1.0
    if len(points):
        middle = (points.min(0) + points.max(0)) / 2
        reach = max(float(np.ptp(points, axis=0).max()) * 0.6, 1.0)
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] + reach, middle[1] - reach)
    axes.set_aspect("equal")
    axes.tick_params(colors=style.quiet, labelsize=style.font_size - 2, length=2)
    for spine in axes.spines.values():
        spine.set_color(style.floor)
    if image_size is not None:
        width, height = image_size
        border = np.array(((0, 0), (width, 0), (width, height), (0, height), (0, 0)))
        axes.add_collection(LineCollection([border], colors=style.quiet, linewidths=0.8))
        axes.set_xlabel(
            f"pixels of {width:.0f} x {height:.0f}",
            fontsize=style.font_size - 1,
            color=style.quiet,
        )
