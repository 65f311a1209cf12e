"""Draws a rig: cameras as frusta around the skeletons of some frames, from the side and above."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from lifting.errors import check_shape
from lifting.skeleton import Skeleton
from lifting.visualization.skeleton_plot import draw_skeleton, frame_scene, side_legend
from lifting.visualization.style import (
    DEFAULT_STYLE,
    LINE_COLOURS,
    ArrayLike,
    FloatArray,
    Style,
    View,
    as_array,
    headline,
    new_figure,
    view_matrix,
)

VIEWS = (View(-20.0, 16.0, "from the side"), View(-20.0, 89.0, "from above"))
SKELETONS = 4
_FRUSTUM = 0.12  # depth of a frustum, in parts of the scene
_FLOOR_PERCENTILE = 5


@dataclass(frozen=True, kw_only=True)
class RigPicture:
    """What is drawn.

    Attributes:
        joints: ``(frames, joints, 3)``, world frame, mm; NaN where not known.
        centre: Camera centres, ``(views, 3)``, mm.
        rotation: World to camera, ``(views, 3, 3)``.
        intrinsics: ``(views, 9)``, pixels.
        sizes: Width and height of the images, ``(views, 2)``, pixels.
        names: Of the cameras.
        up: Direction that is up, ``(3,)``.
        title: Shown above the picture.
    """

    joints: ArrayLike
    centre: ArrayLike
    rotation: ArrayLike
    intrinsics: ArrayLike
    sizes: ArrayLike
    names: tuple[str, ...]
    up: ArrayLike
    title: str = ""


def rig_figure(picture: RigPicture, skeleton: Skeleton, *, style: Style = DEFAULT_STYLE) -> Figure:
    """Cameras, the path of the root, and a few skeletons evenly spread, from two viewpoints.

    Args:
        picture: The rig.
        skeleton: Bones and sides.
        style: Colours and sizes.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    views = len(picture.names)
    check_shape("joints", picture.joints, "frames joints 3", joints=len(skeleton))
    check_shape("centre", picture.centre, "views 3", views=views)
    check_shape("rotation", picture.rotation, "views 3 3", views=views)
    check_shape("up", picture.up, "3")
    turn = upright(as_array(picture.up))
    joints = as_array(picture.joints) @ turn.T
    centre = as_array(picture.centre) @ turn.T
    poses = _shown(joints)
    everything = np.concatenate((joints.reshape(-1, 3), centre))
    everything = everything[np.isfinite(everything).all(-1)]
    size = float(np.linalg.norm(np.ptp(everything, axis=0)))
    frusta = frustum_lines(picture, max(_FRUSTUM * size, 1.0)) @ turn.T
    known = joints[np.isfinite(joints).all(-1)]
    floor = float(np.percentile(known[:, 2], _FLOOR_PERCENTILE)) if len(known) else 0.0
    figure = new_figure(10.4, 5.4)
    for axes, view in zip(figure.subplots(1, len(VIEWS)), VIEWS, strict=True):
        _draw_path(axes, joints[:, skeleton.root], view, style)
        for pose in poses:
            draw_skeleton(axes, pose, skeleton, view=view, style=style)
        _draw_cameras(axes, frusta, picture.names, view, style)
        frame_scene(axes, (*poses, frusta.reshape(-1, 3)), view=view, floor=floor, style=style)
        axes.set_title(view.name, fontsize=style.font_size, color=style.text, loc="left")
    if picture.title:
        headline(figure, picture.title, style)
    side_legend(figure, ghost=False, style=style)
    return figure


def frustum_lines(picture: RigPicture, depth: float) -> FloatArray:
    """Edges of what cameras see up to a depth, ``(views, 8, 2, 3)``, world frame.

    Args:
        picture: The rig.
        depth: mm.
    """
    lens, size = as_array(picture.intrinsics), as_array(picture.sizes)
    unit = np.array(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    rays = (unit * size[:, None] - lens[:, None, 2:4]) / lens[:, None, :2]
    corners = depth * np.concatenate((rays, np.ones_like(rays[..., :1])), axis=-1)
    centre = as_array(picture.centre)[:, None]
    corners = corners @ as_array(picture.rotation) + centre  # (views, 4, 3)
    apex = np.broadcast_to(centre, corners.shape)
    edges = np.stack((apex, corners), axis=2)
    frame = np.stack((corners, np.roll(corners, -1, axis=1)), axis=2)
    return np.concatenate((edges, frame), axis=1)


def upright(up: FloatArray) -> FloatArray:
    """Least rotation ``(3, 3)`` that turns a direction to z."""
    up = up / np.linalg.norm(up)
    axis = np.cross(up, (0.0, 0.0, 1.0))
    if up[2] < -0.999999:
        return np.diag((1.0, -1.0, -1.0))
    cross = np.array(
        ((0.0, -axis[2], axis[1]), (axis[2], 0.0, -axis[0]), (-axis[1], axis[0], 0.0))
    )
    return np.eye(3) + cross + cross @ cross / (1 + up[2])


def _shown(joints: FloatArray) -> list[FloatArray]:
    """A few poses, evenly spread over the frames that know the most joints."""
    known = np.isfinite(joints).all(-1).sum(-1)
    rich = np.flatnonzero(known == known.max()) if known.max() > 0 else np.zeros(0, np.int64)
    pick = np.unique(np.linspace(0, len(rich) - 1, SKELETONS).round().astype(int))
    return [joints[frame] for frame in rich[pick]] if len(rich) else []


def _draw_path(axes: Axes, root: FloatArray, view: View, style: Style) -> None:
    seen = root @ view_matrix(view).T
    axes.plot(seen[:, 0], seen[:, 1], color=style.quiet, linewidth=0.8, zorder=1)


def _draw_cameras(
    axes: Axes, frusta: FloatArray, names: tuple[str, ...], view: View, style: Style
) -> None:
    seen = (frusta @ view_matrix(view).T)[..., :2]
    for lines, name, colour in zip(seen, names, cycle(LINE_COLOURS), strict=False):
        axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=1.1, zorder=5))
        middle = lines[4:, 0].mean(0)
        apex = lines[0, 0]
        away = (apex - middle) / max(float(np.linalg.norm(apex - middle)), 1e-9)
        axes.annotate(
            name, apex, xytext=8 * away, textcoords="offset points", ha="center", va="center",
            fontsize=style.font_size - 1, color=colour, zorder=6,
        )  # fmt: skip
