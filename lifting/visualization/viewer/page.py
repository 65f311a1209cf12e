"""Poses as the data of the viewer's page: arrays of few bytes, in metres, z up, ground at zero."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lifting.atomic import write_text
from lifting.errors import ConfigError
from lifting.files.npz import Array
from lifting.poses import Poses
from lifting.skeleton import Skeleton
from lifting.visualization.scene import (
    Scene,
    cameras_in,
    laid_on,
    persons_of,
    rate_of,
    scene_of,
)

PAGE, PLACE = "viewer.html", "@DATA@"
_LENGTHS = 200  # characters of a fact


class Clip(NamedTuple):
    """Poses under a name.

    Attributes:
        name: Shown beside them.
        poses: The people.
    """

    name: str
    poses: Poses


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
    first = scene_of(clips[0].poses)
    scenes = [first]
    for clip in clips[1:]:
        pair = clips[0].poses, clip.poses
        scenes.append(laid_on(scene_of(clip.poses, first), first, pair))
    data = {
        "title": title or " and ".join(clip.name for clip in clips),
        "clips": [
            _clip(clip, scene, rate_of(clips[0].poses))
            for clip, scene in zip(clips, scenes, strict=True)
        ],
    }
    # Within a script element only "<" can end it; JSON means the same by its number.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    page = resources.files(__package__).joinpath(PAGE).read_text(encoding="utf-8")
    write_text(path, page.replace(PLACE, text))


def _clip(clip: Clip, scene: Scene, rate: float | None) -> dict[str, Any]:
    """A clip as plain values; rows sorted by person and frame."""
    poses = clip.poses
    persons = persons_of(poses)
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
        "fps": rate_of(poses),
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


def _cameras(poses: Poses, scene: Scene) -> list[dict[str, Any]]:
    """Cameras whose place in the scene is known: axes as rows, centre in metres, pixels."""
    rig = cameras_in(poses, scene.frame)
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


def _facts(poses: Poses, scene: Scene, order: dict[str, int]) -> list[tuple[str, str]]:
    """What the page says of a file, in words."""
    rate = rate_of(poses)
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
