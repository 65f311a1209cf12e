"""One JSON document of everyone, in the project's axes: millimetres, ``null`` where not known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lifting.atomic import replacing
from lifting.export import Export

if TYPE_CHECKING:
    from lifting.export.motion import Motion, Person
    from lifting.files.npz import Array

_ROWS = 2000


def write(motion: Motion, stem: Path) -> list[Path]:
    """The document."""
    path, poses = stem.with_name(f"{stem.name}.json"), motion.poses
    names = motion.joint_names("h36m")
    skeleton = poses.skeleton
    fps = sorted({person.fps * person.step for person in motion.people})
    head: dict[str, Any] = {
        "format": "lifting-poses",
        "version": 1,
        "unit": poses.unit,
        "frame": motion.frame,
        "up": "z" if motion.frame == "world" else "-y",
        "fps": fps[0] if len(fps) == 1 else fps,
        "image_size": None if poses.image_size is None else _plain(poses.image_size),
        "intrinsics": None if poses.intrinsics is None else _plain(poses.intrinsics, 6),
        "skeleton": {
            "name": skeleton.name,
            "joints": names,
            "parents": skeleton.parents,
            "mirror": [
                [names[a], names[b]] for a, b in zip(skeleton.left, skeleton.right, strict=True)
            ],
        },
        "provenance": {**motion.facts, "skeleton_joints": skeleton.joints},
    }
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, allow_nan=False)[:-1] + ', "people": [')
        for number, person in enumerate(motion.people):
            file.write("," * (number > 0))
            file.writelines(_person(number, person, motion))
        file.write("]}\n")
    return [path]


def _person(number: int, person: Person, motion: Motion) -> Iterator[str]:
    """One person's text, a few rows at a time: as lists they take many times their room."""
    poses, points = motion.poses, person.original
    root = points[:, poses.skeleton.root]
    names = ("sigma", "expected_error", "keypoints_2d", "confidence")
    rows: dict[str, Array | None] = {"joints_3d": points - root[:, None]}
    rows["root"] = None if motion.frame == "root" else root
    rows |= {name: getattr(poses, name) for name in names}
    head = {
        "id": number,
        "name": person.name,
        "frames": (person.first + person.place * person.step).tolist(),
    }
    yield json.dumps(head)[:-1]
    for name, values in rows.items():
        if values is None:
            yield f', "{name}": null'
            continue
        own = values[person.rows] if name in names else values
        yield f', "{name}": ['
        for start in range(0, len(own), _ROWS):
            text = json.dumps(_plain(own[start : start + _ROWS]))
            yield ", " * (start > 0) + text[1:-1]
        yield "]"
    yield "}"


def _plain(values: Array, digits: int = 3) -> Any:
    """Numbers as lists. Thousandths, so that root and joint together err by less than 0.01."""
    rounded = np.round(values.astype(np.float64), digits)
    plain = rounded.astype(object)
    plain[~np.isfinite(rounded)] = None
    return plain.tolist()


EXPORTS = (Export("json", "one document of everyone", write),)
