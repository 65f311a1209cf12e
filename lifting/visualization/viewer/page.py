"""Poses as the data of the viewer's page: arrays of few bytes, in metres, z up, ground at zero."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lifting.atomic import write_text
from lifting.errors import ConfigError
from lifting.files.npz import Array
from lifting.poses import Poses
from lifting.skeleton import Skeleton

PAGE, PLACE = "viewer.html", "@DATA@"
_FIRST_CAMERA = "first camera"  # a world that is the frame of a camera, as ``meta`` says
_BESIDE_MM = 1200.0  # between people whose places are not known
_ANKLE_MM = 70.0  # above the ground, where no joint is lower
_NEAR_MM = 150.0  # by which the ground of a calibration may miss the feet
_STILL_MM = 20.0  # by which the place of a camera at rest may vary
_UPRIGHT = 0.6  # cosine of the angle between bodies and the camera's up, below which they lie
_LENGTHS = 200  # characters of a fact


class Clip(NamedTuple):
    """Poses under a name.

    Attributes:
        name: Shown beside them.
        poses: The people.
    """

    name: str
    poses: Poses


@dataclass(frozen=True)
class _Scene:
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


class _Rig(NamedTuple):
    """Cameras: world to camera ``(C, 3, 3)``, centres ``(C, 3)`` mm, names."""

    rotation: Array
    position: Array
    names: tuple[str, ...]


def write_viewer(path: Path, clips: Sequence[Clip], *, title: str | None = None) -> None:
    """Write the page that shows one or two clips, whole or not at all.

    Joints are in it to 0.1 mm, keypoints to a tenth of a pixel; 5,000 frames of three people take
    3 MB.

    Args:
        path: The HTML file.
        clips: One, or two to compare, of one video; the second is drawn where the first is.
        title: At the top; by default the names.

    Raises:
        ConfigError: There are not one or two clips.
        OutputError: The file cannot be written.
    """
    if not 1 <= len(clips) <= 2:
        raise ConfigError(
            f"expected one file of poses to look at, or two to compare, got {len(clips)}; name "
            "them"
        )
    first = _scene(clips[0].poses)
    scenes = [first, *(_laid_on(_scene(clip.poses, first), first, clips) for clip in clips[1:])]
    data = {
        "title": title or " and ".join(clip.name for clip in clips),
        "clips": [
            _clip(clip, scene, _rate(clips[0].poses))
            for clip, scene in zip(clips, scenes, strict=True)
        ],
    }
    # Within a script element only "<" can end it; JSON means the same by its number.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    page = resources.files(__package__).joinpath(PAGE).read_text(encoding="utf-8")
    write_text(path, page.replace(PLACE, text))


def _rate(poses: Poses) -> float | None:
    """Frames a second that count for the page: the first that is known."""
    known = poses.fps[np.isfinite(poses.fps)]
    return float(known.flat[0]) if known.size else None


def _scene(poses: Poses, like: _Scene | None = None) -> _Scene:
    """The people with z up and feet on the ground; in the axes of another of the same frame."""
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
        notes.append("Places are not known: people stand side by side.")
        turned = turned + _beside(poses)
    if _rate(poses) is None:
        notes.append("Frames a second are not known: played at 25.")
    root = turned[:, poses.skeleton.root]
    with np.errstate(invalid="ignore"):
        mean = np.nansum(turned, 1) / np.maximum(1, np.isfinite(turned).sum(1))
    root = np.where(np.isfinite(root), root, mean)  # a point is known or not
    return _Scene(turned, root, axes, shift, frame, tuple(notes))


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
    rig = _rig(poses, frame)
    default = (0.0, 1.0, 0.0) if frame == "world" else (0.0, 0.0, 1.0)
    ahead = np.array(default) if rig is None else rig.rotation[0, 2]
    if frame == "world" and not _in_first_camera(poses):
        up = np.array((0.0, 0.0, 1.0))
    elif poses.up is not None:
        up = poses.up
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


def _rig(poses: Poses, frame: str) -> _Rig | None:
    """The cameras in a frame, where that is known."""
    if frame == "body":
        return None
    if frame == "camera":
        return _Rig(np.eye(3)[None], np.zeros((1, 3)), ("camera",))
    if poses.rotation is not None and poses.position is not None:
        return _Rig(poses.rotation, poses.position, poses.camera_names)
    if poses.trajectory is None or poses.world is None:
        return None
    seen = poses.trajectory.astype(np.float64)
    there = poses.world[:, poses.skeleton.root].astype(np.float64)
    return _camera_between(poses, seen, there)


def _camera_between(poses: Poses, seen: Array, there: Array) -> _Rig | None:
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
    return _Rig(turn[None], centre[None], ("camera",))


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
        return float(poses.ground)
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
    persons = _persons(poses)
    order = {name: number for number, name in enumerate(dict.fromkeys(persons))}
    places = np.array([order[name] for name in persons], dtype=np.float64)
    places = (places - (len(order) - 1) / 2) * _BESIDE_MM
    shift = np.zeros((len(poses), 1, 3))
    shift[:, 0, 0] = places[poses.track] if len(poses) else ()
    return shift


def _persons(poses: Poses) -> tuple[str, ...]:
    """Whose track it is, one name a track."""
    return poses.people or poses.track_names


def _laid_on(scene: _Scene, first: _Scene, clips: Sequence[Clip]) -> _Scene:
    """A clip of another frame than the first's: turned about the vertical, roots on its roots."""
    if scene.frame == first.frame:
        return scene
    one, other = clips[0].poses, clips[1].poses
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
    return _Scene(
        centred + root[:, None], root, scene.axes, scene.shift, scene.frame, (*scene.notes, note)
    )


def _shared_rows(one: Poses, other: Poses) -> Array:
    """Rows ``(n, 2)`` of both that are of one frame, and of one person or the n-th one."""
    names = _persons(one)
    place = {name: number for number, name in reversed([*enumerate(names)])}
    here = {(int(place[names[t]]), int(f)): r for r, (t, f) in _numbered(one)}
    found = []
    for row, (track, frame) in _numbered(other):
        name = _persons(other)[track]
        match = here.get((place.get(name, int(track)), int(frame)))
        if match is not None:
            found.append((match, row))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _numbered(poses: Poses) -> list[tuple[int, tuple[int, int]]]:
    return [*enumerate(zip(poses.track.tolist(), poses.frame.tolist(), strict=True))]


def _clip(clip: Clip, scene: _Scene, rate: float | None) -> dict[str, Any]:
    """A clip as plain values; rows sorted by person and frame."""
    poses = clip.poses
    persons = _persons(poses)
    order = {name: number for number, name in enumerate(dict.fromkeys(persons))}
    person = np.array([order[name] for name in persons], dtype=np.int64)[poses.track]
    frame = _common_frames(poses, rate)
    known = np.asarray(np.isfinite(scene.points).any((1, 2)))
    rows = np.lexsort((frame, person))
    rows = rows[known[rows]]
    later = np.diff(person[rows], prepend=-1) + abs(np.diff(frame[rows], prepend=-1)) > 0
    rows = rows[later]  # one row a person and frame
    person, frame = person[rows], frame[rows]
    offsets, contacts = scene.points - scene.root[:, None], poses.contacts
    return {
        "name": clip.name,
        "fps": _rate(poses),
        "joints": poses.skeleton.joints,
        "parents": poses.skeleton.parents,
        "sides": _sides(poses.skeleton),
        "people": _people(order, person, frame),
        "placed": scene.frame != "body",
        "frame": _plain(frame.astype("<i4"), "i4"),
        "root": _plain((scene.root[rows] / 1000).astype("<f4"), "f4"),
        "offsets": _rounded(offsets[rows] / 1000, "i2"),
        "sigma": None if poses.sigma is None else _rounded(poses.sigma[rows] / 1000, "u2"),
        "contacts": None
        if contacts is None
        else _plain((contacts[rows] > 0.5).astype("u1"), "u1"),
        **_input(poses, rows),
        "cameras": _cameras(poses, scene),
        "notes": scene.notes,
        "facts": _facts(poses, scene, order),
    }


def _common_frames(poses: Poses, rate: float | None) -> Array:
    """Frame of each row, counted in the page's rate."""
    own = np.broadcast_to(poses.fps, len(poses.track_names))[poses.track] if len(poses) else 1.0
    if rate is None:
        return poses.frame
    factor = np.where(np.isfinite(own), rate / own, 1.0)
    return np.round(poses.frame * factor).astype(np.int64)


def _people(order: dict[str, int], person: Array, frame: Array) -> list[dict[str, Any]]:
    found = []
    for name, number in order.items():
        first, end = np.searchsorted(person, (number, number + 1)).tolist()
        if end > first:
            span = {"from": int(frame[first]), "to": int(frame[end - 1])}
            found.append({"name": name, "first": first, "end": end, **span})
    return found


def _sides(skeleton: Skeleton) -> list[int]:
    """0 for the centre, 1 for the left, 2 for the right."""
    sides = [0] * len(skeleton)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        sides[left], sides[right] = 1, 2
    return sides


def _plain(values: Array, kind: str) -> dict[str, Any]:
    return {"type": kind, "data": base64.b64encode(values.tobytes()).decode()}


def _rounded(values: Array, kind: str) -> dict[str, Any]:
    """Whole numbers and what one of them is; what is not known is the last one that there is."""
    info = np.iinfo(kind)
    unknown = info.min if info.min else info.max
    most = info.max if info.min else info.max - 1
    known = np.isfinite(values)
    scale = float(np.abs(values[known]).max(initial=0.0)) / most or 1.0
    whole = np.where(known, np.rint(np.where(known, values, 0) / scale), unknown)
    return {**_plain(whole.astype(f"<{kind}"), kind), "scale": scale}


def _input(poses: Poses, rows: Array) -> dict[str, Any]:
    """The keypoints, and the size of their image."""
    keypoints, size = poses.keypoints_2d, poses.image_size
    if keypoints is None or not np.isfinite(keypoints).any():
        return {"keypoints": None, "confidence": None, "image": None}
    image = np.nanmax(keypoints, (0, 1)) * 1.05 if size is None else size.reshape(-1, 2)[0]
    confidence = poses.confidence
    return {
        "keypoints": _rounded(keypoints[rows], "i2"),
        "confidence": None if confidence is None else _rounded(confidence[rows], "u1"),
        "image": np.maximum(image, 1).tolist(),
    }


def _cameras(poses: Poses, scene: _Scene) -> list[dict[str, Any]]:
    """Cameras whose place in the scene is known: axes as rows, centre in metres, pixels."""
    rig = _rig(poses, scene.frame)
    if poses.intrinsics is None or poses.image_size is None or rig is None:
        return []
    lenses, sizes = np.atleast_2d(poses.intrinsics), np.atleast_2d(poses.image_size)
    found = []
    for i, name in enumerate(rig.names):
        lens, size = lenses[min(i, len(lenses) - 1)], sizes[min(i, len(sizes) - 1)]
        found.append(
            {
                "name": name,
                "rotation": (rig.rotation[i] @ scene.axes.T).tolist(),
                "position": ((scene.axes @ rig.position[i] + scene.shift) / 1000).tolist(),
                "focal": float(lens[0] + lens[1]) / 2,
                "size": size.tolist(),
            }
        )
    return found


def _facts(poses: Poses, scene: _Scene, order: dict[str, int]) -> list[tuple[str, str]]:
    """What the page says of a file, in words."""
    rate = _rate(poses)
    frames = {
        "world": f"world: {poses.meta.get('world', 'of the file')}",
        "camera": "of the camera, levelled",
        "body": "relative to the root",
    }
    facts = [
        ("people", f"{len(order)}"),
        ("rows", f"{len(poses)}, one a person and frame"),
        ("rate", "not known" if rate is None else f"{rate:g} frames a second"),
        ("joints", f"{poses.skeleton.name}, {len(poses.skeleton)}"),
        ("frame", frames[scene.frame]),
    ]
    told = ((name, value) for name, value in poses.meta.items() if name not in ("frame", "world"))
    for name, value in told:
        if isinstance(value, str | int | float) and str(value):
            facts.append((name.replace("_", " "), str(value)[:_LENGTHS]))
    return facts
