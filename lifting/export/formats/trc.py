"""TRC: markers of one person as OpenSim reads them, metres, y up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lifting.atomic import replacing
from lifting.export import Export
from lifting.export.motion import y_up

if TYPE_CHECKING:
    from lifting.export.motion import Motion, Person


_HEAD = (
    "DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate",
    "OrigDataStartFrame", "OrigNumFrames",
)  # fmt: skip


def write(motion: Motion, stem: Path) -> list[Path]:
    """A file a person."""
    return [_write(person, motion, person.file(stem, ".trc")) for person in motion.people]


def _write(person: Person, motion: Motion, path: Path) -> Path:
    # x forward and z to the right in a world; a camera's picture stays as it is seen.
    joints = person.joints
    points = joints[..., [1, 2, 0]] if motion.frame == "world" else y_up(joints)
    names = motion.joint_names("opensim")
    rate, start = f"{person.fps:.10g}", person.offset + 1
    counts = [rate, rate, len(points), len(names), "m", rate, start, len(points)]
    axes = [f"{axis}{i + 1}" for i in range(len(names)) for axis in "XYZ"]
    head = [
        ["PathFileType", "4", "(X/Y/Z)", path.name],
        [*_HEAD],
        [str(count) for count in counts],
        ["Frame#", "Time", *(cell for name in names for cell in (name, "", ""))],
        ["", "", *axes],
        [],
    ]
    rows = (points / 1000).reshape(len(points), -1)
    numbers = "\t%.6f" * rows.shape[1]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        file.writelines("\t".join(line) + "\n" for line in head)
        for i, (row, time) in enumerate(zip(rows, person.seconds, strict=True)):
            written = numbers % tuple(row.tolist())
            if np.isnan(row).any():
                written = written.replace("nan", "NaN")  # an empty cell at the end is refused
            file.write(f"{start + i}\t{time:.7f}{written}\n")
    return path


EXPORTS = (
    Export("trc", "markers for OpenSim, a file a person", write, profile="opensim",
           forbidden="\t\r\n"),
)  # fmt: skip
