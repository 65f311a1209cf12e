"""C3D: points of everyone for biomechanics, mm, z up. Needs ezc3d."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lifting.atomic import replacing
from lifting.errors import DataError, OutputError
from lifting.export import Export

if TYPE_CHECKING:
    from lifting.export.motion import Motion, Person
    from lifting.files.npz import Array

MOST_FRAMES, MOST_LABELS = 65_534, 255
"""Readers see nothing, or a part without a word, of files with more."""


def write(motion: Motion, stem: Path) -> list[Path]:
    """One file, or parts of it that readers can hold, named with labels and first frame.

    Raises:
        DataError: People have different rates.
    """
    people = motion.people
    rates = sorted({person.fps for person in people})
    if len(rates) > 1:
        raise DataError(
            f"expected one rate of all people for c3d, got {', '.join(f'{r:g}' for r in rates)} "
            "frames a second; export trc, a file a person"
        )
    frames = max(person.offset + len(person) for person in people)
    groups = _groups(people, motion.joint_names("h36m"))
    written = []
    for group in groups:
        for start in range(0, frames, MOST_FRAMES):
            parts = [] if len(groups) == 1 else [group[0][0].replace(":", "_")]
            parts += [f"frame{start + 1}"] if frames > MOST_FRAMES else []
            path = stem.with_name("_".join([stem.name, *parts]) + ".c3d")
            _write(path, group, start, min(frames - start, MOST_FRAMES), motion)
            written.append(path)
    return written


def _groups(
    people: tuple[Person, ...], names: tuple[str, ...]
) -> list[list[tuple[str, Person, int]]]:
    """Label, person and joint of each point, in groups that a file can hold; people stay whole."""
    groups: list[list[tuple[str, Person, int]]] = [[]]
    for person in people:
        labels = [(f"{person.slug}:{name}" if person.slug else name, person, joint)
                  for joint, name in enumerate(names)]  # fmt: skip
        for start in range(0, len(labels), MOST_LABELS):
            part = labels[start : start + MOST_LABELS]
            if len(groups[-1]) + len(part) > MOST_LABELS:
                groups.append([])
            groups[-1] += part
    return groups


def _write(
    path: Path, group: list[tuple[str, Person, int]], start: int, count: int, motion: Motion
) -> None:
    import ezc3d  # an extra, looked for before any work

    file: Any = ezc3d.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"] = [group[0][1].fps]
    point["LABELS"]["value"] = [label for label, _, _ in group]
    point["UNITS"]["value"] = ["mm"]
    facts = {
        "SKELETON": motion.poses.skeleton.name,
        "FRAME": motion.frame_in_words,
        "SCALE": motion.scale_in_words,
    }
    for name, value in facts.items():
        file.add_parameter("LIFTING", name, value.encode("ascii", "replace").decode()[:120])
    points = np.stack([_piece(person, joint, start, count) for _, person, joint in group], 1)
    lost = np.isnan(points).any(-1)
    file["data"]["points"] = np.concatenate(
        (points.transpose(2, 1, 0), np.ones((1, *points.shape[1::-1])))
    )
    file["data"]["meta_points"]["residuals"] = np.where(lost.T, -1.0, 0.0)[None]
    file["header"]["points"]["first_frame"] = start
    with replacing(path) as temporary:
        file.write(str(temporary))
        with temporary.open("rb") as written:
            start_block = int.from_bytes(written.read(18)[16:], "little")
        whole = 512 * (start_block - 1) + 16 * points.shape[0] * points.shape[1]
        if start_block < 2 or temporary.stat().st_size < whole:  # the writer says nothing of it
            raise OutputError(
                f"expected to write {path}, got a file that was cut short; free some space or "
                "choose another folder"
            )


def _piece(person: Person, joint: int, start: int, count: int) -> Array:
    """Frames of one joint from the start of a file, ``(count, 3)``; NaN where not known."""
    piece = np.full((count, 3), np.nan)
    begin, end = max(person.offset, start), min(person.offset + len(person), start + count)
    if begin < end:
        piece[begin - start : end - start] = person.joints[
            begin - person.offset : end - person.offset, joint
        ]
    return piece


EXPORTS = (
    Export("c3d", "points of everyone for biomechanics", write, needs="ezc3d", extra="c3d"),
)
