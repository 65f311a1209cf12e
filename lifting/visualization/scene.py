"""Where people and cameras of poses are: z up, the ground at zero, whatever frame they came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lifting.files.npz import Array
from lifting.poses import Poses
from lifting.skeleton import Skeleton

_FIRST_CAMERA = "first camera"  # a world that is the frame of a camera, as ``meta`` says
_BESIDE_MM = 1200.0  # between people whose places are not known
_ANKLE_MM = 70.0  # above the ground, where no joint is lower
_NEAR_MM = 150.0  # by which the ground of a calibration may miss the feet
_STILL_MM = 20.0  # by which the place of a camera at rest may vary
_UPRIGHT = 0.6  # cosine of the angle between bodies and the camera's up, below which they lie


@dataclass(frozen=True)
class Scene:
    """Where a clip's people and cameras are. ``axes (3, 3)`` turns its frame to z up.

    Attributes:
        points: ``(T, J, 3)``, mm, z up.
        root: ``(T, 3)``, likewise, known wherever a joint is.
        axes: Rows are right, ahead and up in the frame of the clip.
        shift: Added behind the turn, mm.
        frame: ``world``, ``camera`` or ``body``.
        notes: What a viewer must know.
    """

    points: Array
    root: Array
    axes: Array
    shift: Array
    frame: str
    notes: tuple[str, ...]


class Rig(NamedTuple):
    """Cameras: world to camera ``(C, 3, 3)``, centres ``(C, 3)`` mm, names."""

    rotation: Array
    position: Array
    names: tuple[str, ...]


def rate_of(poses: Poses) -> float | None:
    """Frames a second that count for all tracks: the first that is known, or None."""
    known = poses.fps[np.isfinite(poses.fps)]
    return float(known.flat[0]) if known.size else None


def scene_of(poses: Poses, like: Scene | None = None) -> Scene:
    """People with z up and feet on the ground: in the world, before the camera, or at a spot.

    Up is the world's, else the file's, else the mean way from ankles to shoulders where that is
    near the camera's up. The ground is the file's, else lies just under the feet.

    Args:
        poses: The people.
        like: A scene whose axes and ground count, where it is of the same frame.
    """
    points, frame = _points(poses)
    if like is not None and like.frame == frame:
        axes, shift = like.axes, like.shift
    else:
        axes = _axes(poses, points, frame)
        shift = np.zeros(3)
    turned = points @ axes.T
    if like is None or like.frame != frame:
        shift = np.array((0.0, 0.0, -_ground(poses, turned, frame)))
    turned = turned + shift
    notes = []
    if frame == "body":
        alone = len(set(persons_of(poses))) == 1
        where = "the person stays at a spot" if alone else "people stand side by side"
        notes.append(f"Places are not known: {where}.")
        turned = turned + _beside(poses)
    if rate_of(poses) is None:
        notes.append("Frames a second are not known: played at 30.")
    root = turned[:, poses.skeleton.root]
    with np.errstate(invalid="ignore"):
        mean = np.nansum(turned, 1) / np.maximum(1, np.isfinite(turned).sum(1))
    root = np.where(np.isfinite(root), root, mean)  # a point is known or not
    return Scene(turned, root, axes, shift, frame, tuple(notes))


def _points(poses: Poses) -> tuple[Array, str]:
    """Joints ``(T, J, 3)`` in the best frame that there is, mm, and which it is."""
    if poses.world is not None and np.isfinite(poses.world).any():
        return poses.world.astype(np.float64), "world"
    joints = poses.joints_3d.astype(np.float64)
    if poses.trajectory is not None and np.isfinite(poses.trajectory).any():
        return joints + poses.trajectory[:, None], "camera"
    return joints, "body"


def _axes(poses: Poses, points: Array, frame: str) -> Array:
    """Right, ahead and up: ahead is where the first camera looks, up against gravity."""
    rig = cameras_in(poses, frame)
    default = (0.0, 1.0, 0.0) if frame == "world" else (0.0, 0.0, 1.0)
    ahead = np.array(default) if rig is None else rig.rotation[0, 2]
    if frame == "world" and not _in_first_camera(poses):
        up = np.array((0.0, 0.0, 1.0))
    elif poses.up is not None:
        up = poses.up if poses.up.ndim == 1 else poses.up[np.argmax(poses.frame)]
    else:
        up = np.array((0.0, -1.0, 0.0))
        body = _bodies_up(poses.skeleton, points)
        up = body if body @ up > _UPRIGHT else up
    level = ahead - (ahead @ up) * up
    if np.linalg.norm(level) < 0.1:  # the camera looks straight up or down
        level = np.eye(3)[np.abs(up).argmin()]
        level = level - (level @ up) * up
    level = level / np.linalg.norm(level)
    return np.stack((np.cross(level, up), level, up))


def cameras_in(poses: Poses, frame: str) -> Rig | None:
    """The cameras in a frame, where that is known.

    A world without cameras is compared with what the one camera saw.

    Args:
        poses: The people.
        frame: ``world``, ``camera`` or ``body``, as of a :class:`Scene`.
    """
    if frame == "body":
        return None
    if frame == "camera":
        return Rig(np.eye(3)[None], np.zeros((1, 3)), ("camera",))
    if poses.rotation is not None and poses.position is not None:
        return Rig(poses.rotation, poses.position, poses.camera_names)
    if poses.trajectory is None or poses.world is None:
        return None
    seen = poses.trajectory.astype(np.float64)
    there = poses.world[:, poses.skeleton.root].astype(np.float64)
    return _camera_between(poses, seen, there)


def _camera_between(poses: Poses, seen: Array, there: Array) -> Rig | None:
    """The one camera that sees the world as it is seen; None where it moves.

    Source: Kabsch 1976, on the roots and the joints around them.
    """
    own, world = poses.joints_3d.astype(np.float64), poses.world
    assert world is not None
    known = np.isfinite(own).all((1, 2)) & np.isfinite(seen).all(1) & np.isfinite(there).all(1)
    known &= np.isfinite(world).all((1, 2))
    if not known.any():
        return None
    around = world[known] - there[known, None]
    u, _, vt = np.linalg.svd(np.einsum("nji,njk->ik", own[known], around))
    turn = u @ np.diag((1.0, 1.0, np.linalg.det(u @ vt))) @ vt
    centres = there[known] - seen[known] @ turn
    centre = np.median(centres, 0)
    if np.abs(centres - centre).max() > _STILL_MM:
        return None
    return Rig(turn[None], centre[None], ("camera",))


def _in_first_camera(poses: Poses) -> bool:
    return str(poses.meta.get("world", "")).startswith(_FIRST_CAMERA)


def _bodies_up(skeleton: Skeleton, points: Array) -> Array:
    """Mean way from ankles to shoulders, of unit length; zeros where a skeleton lacks them."""
    low = [i for i, name in enumerate(skeleton.joints) if "ankle" in name]
    high = [i for i, name in enumerate(skeleton.joints) if "shoulder" in name]
    way = points[:, high].mean(1) - points[:, low].mean(1) if low and high else np.zeros((0, 3))
    way = way[np.isfinite(way).all(-1)]
    length = np.linalg.norm(way.mean(0)) if len(way) else 0.0
    return way.mean(0) / length if length else np.zeros(3)


def _ground(poses: Poses, turned: Array, frame: str) -> float:
    """Height of the ground along up, mm: as it is known, else just under the feet."""
    if poses.ground is not None and frame == "camera":
        known = np.atleast_1d(poses.ground)
        known = known[np.isfinite(known)]
        if len(known):
            return float(known[-1])
    heights = turned[np.isfinite(turned).all((1, 2))][..., 2]
    if not len(heights):
        return 0.0
    lowest = float(np.percentile(heights.min(1), 5))
    joint = poses.skeleton.joints[int(heights.mean(0).argmin())]
    feet = lowest - (_ANKLE_MM if "ankle" in joint else 0.0)
    given = frame == "world" and not _in_first_camera(poses)
    return 0.0 if given and abs(feet) < _NEAR_MM else feet


def _beside(poses: Poses) -> Array:
    """Where each row's person stands, ``(T, 1, 3)`` mm, where nobody knows."""
    persons = persons_of(poses)
    order = {name: number for number, name in enumerate(dict.fromkeys(persons))}
    places = np.array([order[name] for name in persons], dtype=np.float64)
    places = (places - (len(order) - 1) / 2) * _BESIDE_MM
    shift = np.zeros((len(poses), 1, 3))
    shift[:, 0, 0] = places[poses.track] if len(poses) else ()
    return shift


def persons_of(poses: Poses) -> tuple[str, ...]:
    """Whose track it is, one name a track."""
    return poses.people or poses.track_names


def laid_on(scene: Scene, first: Scene, poses: tuple[Poses, Poses]) -> Scene:
    """A clip of another frame than the first's: turned about the vertical, roots on its roots.

    Args:
        scene: The clip; as it is where the frames agree.
        first: What it is laid on.
        poses: Of the first, and of the clip.
    """
    if scene.frame == first.frame:
        return scene
    one, other = poses
    rows = _shared_rows(one, other)
    names = [name for name in one.joint_names if name in other.joint_names]
    here = first.points[rows[:, 0]][:, [one.skeleton.index(name) for name in names]]
    there = scene.points[rows[:, 1]][:, [other.skeleton.index(name) for name in names]]
    here = (here - first.root[rows[:, 0], None])[..., :2]
    there = (there - scene.root[rows[:, 1], None])[..., :2]
    dot = np.nansum(here * there)
    cross = np.nansum(there[..., 0] * here[..., 1] - there[..., 1] * here[..., 0])
    angle = np.arctan2(cross, dot)
    turn = np.array(
        ((np.cos(angle), -np.sin(angle), 0), (np.sin(angle), np.cos(angle), 0), (0, 0, 1))
    )
    centred = (scene.points - scene.root[:, None]) @ turn.T
    root = np.full(scene.root.shape, np.nan)
    root[rows[:, 1]] = first.root[rows[:, 0]]  # rows without a partner have no place
    note = "The files have no common frame: the second is turned to the first and laid on it."
    return Scene(
        centred + root[:, None], root, scene.axes, scene.shift, scene.frame, (*scene.notes, note)
    )


def _shared_rows(one: Poses, other: Poses) -> Array:
    """Rows ``(n, 2)`` of both that are of one frame, and of one person or the n-th one."""
    names = persons_of(one)
    place = {name: number for number, name in reversed([*enumerate(names)])}
    here = {(int(place[names[t]]), int(f)): r for r, (t, f) in _numbered(one)}
    found = []
    for row, (track, frame) in _numbered(other):
        name = persons_of(other)[track]
        match = here.get((place.get(name, int(track)), int(frame)))
        if match is not None:
            found.append((match, row))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _numbered(poses: Poses) -> list[tuple[int, tuple[int, int]]]:
    return [*enumerate(zip(poses.track.tolist(), poses.frame.tolist(), strict=True))]
