"""OpenPose's folders, by every program that writes them: names, versions, hands and faces."""

from __future__ import annotations

import json

import numpy as np
from detected import SIZE, detected

from keypoint_files.coco import numbers

# Names of the files of one video, by who writes them.
PATTERNS = {
    "openpose": "video_{:012d}_keypoints.json",
    "openpose-images": "IMG_{:04d}_keypoints.json",
    "pose2sim-old": "Static_cam_01.{:05d}.json",
    "pose2sim": "video_{:06d}.json",
    "easymocap": "{:06d}_keypoints.json",
}


def details(people, seed=0):
    """A face of 70 joints and two hands of 21 for each person, ``(frames, persons, 112, 3)``."""
    rng = np.random.default_rng(seed)
    found = np.repeat(people[:, :, :1], 112, 2)
    found[..., :2] += rng.uniform(-20, 20, (112, 2))
    found[..., 2] = rng.uniform(0.3, 1, found.shape[:-1])
    return found.round(3)


def person(body, more=None, version=1.3):
    """One person; without ``more`` the lists of face and hands are empty."""
    face, left, right = ([], [], []) if more is None else (more[:70], more[70:91], more[91:])
    rows = {"pose": body, "face": face, "hand_left": left, "hand_right": right}
    ending = "_2d" if version >= 1.2 else ""
    entry = {"person_id": [-1]} if version >= 1.3 else {}
    entry |= {
        f"{part}_keypoints{ending}": numbers(row) if len(row) else [] for part, row in rows.items()
    }
    if version >= 1.2:
        entry |= {f"{part}_keypoints_3d": [] for part in rows}
    return entry


def frame(persons, version=1.3):
    """Content of one file; found parts that belong to nobody follow, as OpenPose may add them."""
    return {
        "version": version,
        "people": persons,
        "part_candidates": [{"0": [1.5, 2.5, 0.9, 3.5, 4.5, 0.8], "1": []}],
    }


def write(folder, frames, pattern=PATTERNS["openpose"], first=0):
    """A file for every frame, whose content is given."""
    folder.mkdir(exist_ok=True)
    for i, content in enumerate(frames):
        (folder / pattern.format(first + i)).write_text(json.dumps(content))
    return folder


def people_in(folder, people, pattern=PATTERNS["openpose"], first=0, version=1.3):
    """People without face and hands."""
    frames = [frame([person(p, version=version) for p in row], version) for row in people]
    return write(folder, frames, pattern, first)


def with_details(folder, people, version=1.3):
    """People with face and hands."""
    more = details(people)
    return write(
        folder,
        [
            frame([person(p, m, version) for p, m in zip(row, rest, strict=True)], version)
            for row, rest in zip(people, more, strict=True)
        ],
    )


def with_placeholders(folder, people):
    """As Pose2Sim associates people: who is not seen leaves an empty object in its place."""
    frames = [
        frame([{} if (i + k) % 5 == 0 else person(p) for k, p in enumerate(row)])
        for i, row in enumerate(people)
    ]
    return write(folder, frames, PATTERNS["pose2sim"])


WRITERS = {
    **{
        name: lambda folder, name=name, pattern=pattern: people_in(
            folder / name, detected("body25", persons=2), pattern, first=7
        )
        for name, pattern in PATTERNS.items()
    },
    "openpose-1.0": lambda folder: with_details(
        folder / "old", detected("coco18", persons=2), version=1.0
    ),
    "openpose-1.2": lambda folder: people_in(folder / "v12", detected("body25"), version=1.2),
    "openpose-details": lambda folder: with_details(
        folder / "details", detected("body25", persons=2)
    ),
    "openpose-placeholders": lambda folder: with_placeholders(
        folder / "placeholders", detected("body25b", persons=2)
    ),
    "openpose-unit": lambda folder: people_in(
        folder / "unit", detected("body25") / [*SIZE, 1], PATTERNS["openpose"]
    ),
    **{
        f"openpose-{name}": lambda folder, name=name: people_in(folder / name, detected(name))
        for name in ("coco18", "mpi15", "body19", "body23", "coco17", "halpe26", "body135",
                     "wholebody133", "halpe136", "mediapipe33")
    },
}  # fmt: skip
