"""Pictures of poses over time: a contact sheet, the angles of joints, the paths from above."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lifting.errors import ConfigError, DataError, suggest
from lifting.files.npz import Array
from lifting.poses import Poses
from lifting.skeleton import Skeleton
from lifting.visualization.scene import cameras_in, persons_of, rate_of, scene_of
from lifting.visualization.sheets import contact_sheet
from lifting.visualization.style import (
    DEFAULT_STYLE,
    LINE_COLOURS,
    Style,
    legend_below,
    new_figure,
    quiet_frame,
)

SHEET = 20  # poses of a contact sheet
_CAMERA_M = 0.35  # length of a camera's sides
# Joint, its two neighbours, and whether the angle is counted from straight.
_ANGLES = {
    "knee": ("hip", "ankle", True),
    "hip": ("shoulder", "knee", True),
    "elbow": ("shoulder", "wrist", True),
    "shoulder": ("hip", "elbow", False),
}


def sheet_figure(
    poses: Poses, person: str | None = None, *, style: Style = DEFAULT_STYLE
) -> Figure:
    """Poses of one person at even steps, each turned to face the viewer.

    Args:
        poses: The people.
        person: Whose; None for who is there longest.
        style: Colours and sizes.

    Raises:
        ConfigError: There is no such person.
        DataError: Nobody has a whole pose.
    """
    name, rows = _rows_of(poses, person)
    points = scene_of(poses).points
    whole = rows[np.isfinite(points[rows]).all((1, 2))]
    if not len(whole):
        raise DataError(f"expected a pose of {name} with every joint, got none; choose another")
    chosen = whole[np.linspace(0, len(whole) - 1, min(SHEET, len(whole))).round().astype(int)]
    labels = [f"{frame}" for frame in poses.frame[chosen].tolist()]
    title = f"{name}, by number of frame"
    return contact_sheet(points[chosen], poses.skeleton, labels=labels, title=title, style=style)


def angles_figure(
    poses: Poses, person: str | None = None, *, style: Style = DEFAULT_STYLE
) -> Figure:
    """Angles of knee, hip, elbow and shoulder over time; 0 is straight, or along the trunk.

    Args:
        poses: The people.
        person: Whose; None for who is there longest.
        style: Colours and sizes.

    Raises:
        ConfigError: There is no such person.
        DataError: The skeleton has no such joints.
    """
    name, rows = _rows_of(poses, person)
    angles = joint_angles(poses.joints_3d[rows], poses.skeleton)
    if not angles:
        raise DataError(
            f"expected hips, knees, ankles, shoulders, elbows and wrists for angles, got the "
            f"joints of {poses.skeleton.name}; lift to a body"
        )
    rate = rate_of(poses)
    time = poses.frame[rows] / (rate or 1.0)
    gaps = np.flatnonzero(np.diff(poses.frame[rows]) > 1) + 1
    figure = new_figure(6.8, 1.25 * len(angles) + 0.6)
    panels = figure.subplots(len(angles), sharex=True, squeeze=False)[:, 0]
    lines = []
    for axes, (joint, sides) in zip(panels, angles.items(), strict=True):
        lines = [
            axes.plot(
                np.insert(time, gaps, np.nan), np.insert(values, gaps, np.nan),
                color=colour, linewidth=1.5, label=side,
            )[0]
            for (side, values), colour in zip(
                sides.items(), (style.left, style.right), strict=True
            )
        ]  # fmt: skip
        axes.set_ylabel(f"{joint}, °", fontsize=style.font_size, color=style.text)
        axes.grid(axis="y", color=style.floor, linewidth=0.6)
        quiet_frame(axes, style)
    panels[-1].set_xlabel(
        "frame" if rate is None else "seconds", fontsize=style.font_size, color=style.text
    )
    panels[0].set_title(name, fontsize=style.font_size + 1, color=style.text, loc="left")
    legend_below(figure, lines, columns=2, style=style)
    return figure


def joint_angles(joints: Array, skeleton: Skeleton) -> dict[str, dict[str, Array]]:
    """Angles by joint and side, degrees, ``(frames,)`` each; NaN where a joint is not known.

    Args:
        joints: ``(frames, joints, 3)``.
        skeleton: Their names.
    """
    found: dict[str, dict[str, Array]] = {}
    for joint, (one, other, straight) in _ANGLES.items():
        for side in ("left", "right"):
            names = [f"{side}_{name}" for name in (joint, one, other)]
            if not set(names) <= set(skeleton.joints):
                continue
            at, near, far = (joints[:, skeleton.index(name)].astype(np.float64) for name in names)
            u, v = near - at, far - at
            with np.errstate(invalid="ignore", divide="ignore"):
                lengths = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
                angle = np.degrees(np.arccos(np.clip((u * v).sum(-1) / lengths, -1, 1)))
            found.setdefault(joint, {})[side] = 180 - angle if straight else angle
    return {joint: sides for joint, sides in found.items() if len(sides) == 2}


def above_figure(poses: Poses, *, style: Style = DEFAULT_STYLE) -> Figure:
    """Paths of everyone on the ground, seen from above, with the cameras.

    Args:
        poses: The people.
        style: Colours and sizes.

    Raises:
        DataError: Places are not known.
    """
    scene = scene_of(poses)
    if scene.frame == "body":
        raise DataError(
            "expected places of people (trajectory or world), got poses relative to a root; lift "
            "with a method that answers where people are"
        )
    figure = new_figure(5.6, 5.6)
    axes = figure.add_subplot()
    people = [*dict.fromkeys(persons_of(poses))]
    for number, name in enumerate(people):
        _, rows = _rows_of(poses, name)
        path = scene.root[rows, :2] / 1000
        gaps = np.flatnonzero(np.diff(poses.frame[rows]) > 1) + 1
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        x, y = np.insert(path, gaps, np.nan, axis=0).T
        axes.plot(x, y, color=colour, linewidth=1.6, label=name)
        axes.plot(*path[0], "o", color=colour, markersize=6)
    _draw_cameras(axes, poses, scene.frame, scene.axes, scene.shift, style)
    axes.margins(0.1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(color=style.floor, linewidth=0.6)
    axes.set_xlabel("m", fontsize=style.font_size, color=style.text)
    axes.set_ylabel("m, away from the first camera", fontsize=style.font_size, color=style.text)
    quiet_frame(axes, style)
    if 1 < len(people) <= 12:
        legend_below(figure, axes.get_legend_handles_labels()[0], columns=4, style=style)
    axes.set_title(
        "from above; a dot is where a path begins", fontsize=style.font_size + 1,
        color=style.text, loc="left",
    )  # fmt: skip
    return figure


def _draw_cameras(
    axes: Axes, poses: Poses, frame: str, turn: Array, shift: Array, style: Style
) -> None:
    rig = cameras_in(poses, frame)
    if rig is None:
        return
    for rotation, position, name in zip(*rig, strict=True):
        at = ((turn @ position + shift) / 1000)[:2]
        ahead = (turn @ rotation[2])[:2]
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-9) * _CAMERA_M
        side = np.array((-ahead[1], ahead[0])) / 2
        corners = np.stack((at, at + ahead + side, at + ahead - side, at))
        axes.plot(*corners.T, color=style.quiet, linewidth=1.2)
        axes.annotate(
            name, at, xytext=(7, 0), textcoords="offset points", va="center",
            fontsize=style.font_size - 1, color=style.quiet,
        )  # fmt: skip


def _rows_of(poses: Poses, person: str | None) -> tuple[str, Array]:
    """A person and its rows by frame; without a name who is there longest."""
    names = np.array(persons_of(poses))
    persons = names[poses.track] if len(poses) else names[:0]
    rows = {name: np.flatnonzero(persons == name) for name in dict.fromkeys(persons.tolist())}
    if not rows:
        raise DataError("expected somebody to draw, got poses of nobody; lift another file")
    name = max(rows, key=lambda one: len(rows[one])) if person is None else person
    if name not in rows:
        raise ConfigError(f"expected a person of the file, got '{name}'; {suggest(name, rows)}")
    found = rows[name]
    return name, found[np.argsort(poses.frame[found], kind="stable")]
