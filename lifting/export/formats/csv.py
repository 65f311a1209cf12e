"""Tables, long and wide, in millimetres of the frame that ``*.meta.json`` names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lifting.atomic import replacing
from lifting.export import Export

if TYPE_CHECKING:
    from lifting.export.motion import Motion, Person
    from lifting.files.npz import Array

_AXES = ("x", "y", "z")


def write_long(motion: Motion, stem: Path) -> list[Path]:
    """A row a joint."""
    header = (
        "frame,time_s,person,joint,x_mm,y_mm,z_mm,sigma_mm,u_px,v_px,confidence,expected_error_mm"
    )
    path = stem.with_name(f"{stem.name}.csv")
    return _table(path, header.split(","), _long_rows(motion))


def write_wide(motion: Motion, stem: Path) -> list[Path]:
    """A row a person and frame."""
    joints, sigma = motion.joint_names("h36m"), motion.poses.sigma is not None
    header = ["frame", "time_s", "person"]
    header += [f"{joint}_{axis}_mm" for joint in joints for axis in _AXES]
    header += [f"{joint}_sigma_mm" for joint in joints if sigma]
    path = stem.with_name(f"{stem.name}_wide.csv")
    return _table(path, header, _wide_rows(motion))


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Path]:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
    return [path]


def _long_rows(motion: Motion) -> Iterator[list[str]]:
    joints, poses = motion.joint_names("h36m"), motion.poses
    unknown = np.full(poses.joints_3d.shape[:2], np.nan)
    pixels = np.stack((unknown, unknown), -1) if poses.keypoints_2d is None else poses.keypoints_2d
    rest = [unknown if poses.sigma is None else poses.sigma, pixels[..., 0], pixels[..., 1],
            unknown if poses.confidence is None else poses.confidence,
            unknown if poses.expected_error is None else poses.expected_error]  # fmt: skip
    for person, row, start in _rows(motion):
        points = _written(person.original[row], 4)
        columns = [_written(values[person.rows[row]], 3) for values in rest]
        for i, joint in enumerate(joints):
            yield [*start, joint, *points[3 * i : 3 * i + 3], *(column[i] for column in columns)]


def _wide_rows(motion: Motion) -> Iterator[list[str]]:
    sigma = motion.poses.sigma
    for person, row, start in _rows(motion):
        known = [] if sigma is None else _written(sigma[person.rows[row]], 3)
        yield [*start, *_written(person.original[row], 4), *known]


def _rows(motion: Motion) -> Iterator[tuple[Person, int, list[str]]]:
    """Each person and frame with the first three columns."""
    for person in motion.people:
        rate = person.fps * person.step
        for row, place in enumerate(person.place.tolist()):
            frame = person.first + place * person.step
            yield person, row, [str(frame), f"{frame / rate:.7f}", person.name]


def _written(values: Array, digits: int) -> list[str]:
    """Numbers as text; what is not known is empty."""
    return ["" if v != v else f"{v:.{digits}f}" for v in values.ravel().tolist()]


EXPORTS = (
    Export("csv", "a table, a row a joint", write_long),
    Export("csv-wide", "a table, a row a person and frame", write_wide),
)
