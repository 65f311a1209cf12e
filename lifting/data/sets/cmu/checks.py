"""What ``lifting data check cmu`` looks at: whether a file says what it should, in words.

Unlike the reader, which refuses the first thing wrong, this goes on and tells everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig
from lifting.data.doctor.presence import attempt
from lifting.data.doctor.reading import check_specimen
from lifting.data.doctor.rows import CheckRow, failed, judged
from lifting.data.doctor.specimen import Bodies, Take
from lifting.data.folders import find_file
from lifting.data.sets.cmu.files import FILE_NAME, PARTS, CmuFile, read_cmu_file, verify_values
from lifting.errors import DataError, MissingDataError
from lifting.files.hashes import sha256_of
from lifting.skeleton import H36M_17

DISTRIBUTED_SHA256 = "95623775d1cd59fd57c274fba6c6139901a00308f51f5112a529e7d471dd5c05"
DISTRIBUTED_SEQUENCES = {"train": 121, "val": 12, "test": 34}
DISTRIBUTED_FRAMES = {"train": 52126, "val": 1786, "test": 11705}
ANKLE_ABOVE_FLOOR_MM = 80.0
# Millimetres are rounded, which costs short bones most.
_BONE_SHARE = 0.05


def check(config: DataConfig) -> list[CheckRow]:
    """Look at the file of the CMU data set.

    Args:
        config: The data section.

    Returns:
        One row a question; the later questions are left out when the file cannot be read.
    """
    try:
        path = find_file("cmu", FILE_NAME, config.root)
    except MissingDataError as error:
        return [CheckRow("file", FILE_NAME, "not found", "fail", str(error))]
    rows = [CheckRow("file", FILE_NAME, str(path), "ok"), _check_content(path)]
    file = attempt(rows, "form", "arrays as described", partial(read_cmu_file, path))
    if file is None:
        return rows
    frames = f"{len(file.positions)} frames, {len(file.names)} sequences, {file.fps:g} Hz"
    rows.append(CheckRow("form", "arrays as described", frames, "ok"))
    bodies = Bodies(
        label="3D", skeleton=H36M_17, unit="mm", up="+z", fps=file.fps, bone_share=_BONE_SHARE,
        bone_reason="rigid, in whole millimetres", takes=_takes(file),
    )  # fmt: skip
    return [
        *rows,
        *check_specimen(bodies, []),
        _check_floor(bodies),
        _check_motion(file),
        *_check_parts(file),
    ]


def _takes(file: CmuFile) -> tuple[Take, ...]:
    """The sequences, those of one skeleton together."""
    ends = zip(file.offsets[:-1], file.offsets[1:], strict=True)
    return tuple(
        Take(subject=f"{subject} ({file.skeleton_names[int(skeleton)]})", name=name,
             action=action, joints=file.positions[start:end].astype(np.float64))
        for name, subject, action, skeleton, (start, end) in zip(
            file.names, file.subjects, file.actions, file.skeleton, ends, strict=True
        )
    )  # fmt: skip


def _check_content(path: Path) -> CheckRow:
    digest = sha256_of(path)
    return judged(
        "content",
        f"sha256 {DISTRIBUTED_SHA256[:12]}... (distributed file)",
        f"{digest[:12]}...",
        "ok" if digest == DISTRIBUTED_SHA256 else "warn",
        "fine for a file of your own; otherwise the download is damaged",
    )


def _check_floor(bodies: Bodies) -> CheckRow:
    """Virtual cameras stand on the floor, so the people have to as well."""
    ankles = [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]
    heights = [
        float(np.percentile(take.joints[:, ankles, 2].min(axis=1), 1)) for take in bodies.takes
    ]
    good = all(abs(height - ANKLE_ABOVE_FLOOR_MM) < 10 for height in heights)
    return judged(
        "floor",
        f"lower ankle at {ANKLE_ABOVE_FLOOR_MM:g} mm in every sequence",
        f"{min(heights):.0f} to {max(heights):.0f} mm",
        "ok" if good else "warn",
        "shift each sequence so that its floor is at z = 0",
    )


def _check_motion(file: CmuFile) -> CheckRow:
    """What the reader refuses, among it bones of another length than the file says."""
    what, expected = "motion", "bones of the file's lengths, possible speeds"
    try:
        verify_values(file)
    except DataError as error:
        return failed(what, expected, error)
    return CheckRow(what, expected, "as expected", "ok")


def _check_parts(file: CmuFile) -> Iterator[CheckRow]:
    lengths = np.diff(file.offsets)
    parts = np.array(file.split)
    for part in PARTS:
        sequences, frames = int((parts == part).sum()), int(lengths[parts == part].sum())
        same = (sequences, frames) == (DISTRIBUTED_SEQUENCES[part], DISTRIBUTED_FRAMES[part])
        yield judged(
            f"part {part}",
            f"{DISTRIBUTED_SEQUENCES[part]} sequences, {DISTRIBUTED_FRAMES[part]} frames",
            f"{sequences} sequences, {frames} frames ({file.split_name})",
            "ok" if same else "warn",
            "figures will not compare with those of the distributed file"
            if sequences
            else "the part is empty: convert recordings of further subjects",
        )
