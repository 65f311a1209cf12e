"""What ``lifting data check cmu`` looks at: whether a file says what it should, in words.

Unlike the reader, which refuses the first thing wrong, this goes on and tells everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lifting.data.config import DataConfig
from lifting.data.doctor.rows import CheckRow, Verdict, judged
from lifting.data.files import find_file, sha256_of
from lifting.data.sets.cmu.files import (
    BONE_TOLERANCE_MM,
    FILE_NAME,
    PARTS,
    CmuFile,
    bone_deviation,
    read_cmu_file,
    verify_values,
)
from lifting.errors import DataError, MissingDataError
from lifting.skeleton import H36M_17

DISTRIBUTED_SHA256 = "95623775d1cd59fd57c274fba6c6139901a00308f51f5112a529e7d471dd5c05"
DISTRIBUTED_SEQUENCES = {"train": 121, "val": 12, "test": 34}
DISTRIBUTED_FRAMES = {"train": 52126, "val": 1786, "test": 11705}
STATURE_MM = (1200.0, 2200.0)
ANKLE_ABOVE_FLOOR_MM = 80.0
FACING_OK, FACING_DOUBTFUL = 0.7, 0.0
WALKING_MM_S = 500.0
UPRIGHT = 0.7
IMPOSSIBLE = 1e9  # in any unit

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
_CONVERT = "make the file again with `lifting data prepare cmu --source DIR`"


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
    try:
        file = read_cmu_file(path)
    except DataError as error:
        return [*rows, CheckRow("form", "arrays as described", "unreadable", "fail", str(error))]
    frames = f"{len(file.positions)} frames, {len(file.names)} sequences, {file.fps:g} Hz"
    rows.append(CheckRow("form", "arrays as described", frames, "ok"))
    positions = file.positions.astype(np.float64)
    bad = np.logical_not((np.abs(positions) < IMPOSSIBLE).all(axis=(1, 2)))
    if bad.any():
        where = file.place(int(np.flatnonzero(bad)[0]))
        return [
            *rows,
            CheckRow(
                "values",
                "finite numbers of a believable size",
                f"{int(bad.sum())} frames not, first: {where}",
                "fail",
                _CONVERT,
            ),
        ]
    return [*rows, *_check_body(file, positions), *_check_parts(file)]


def _check_content(path: Path) -> CheckRow:
    digest = sha256_of(path)
    return judged(
        "content",
        f"sha256 {DISTRIBUTED_SHA256[:12]}... (distributed file)",
        f"{digest[:12]}...",
        "ok" if digest == DISTRIBUTED_SHA256 else "warn",
        "fine for a file of your own; otherwise the download is damaged",
    )


def _check_body(file: CmuFile, positions: FloatArray) -> Iterator[CheckRow]:
    scale, row = _check_unit(positions)
    yield row
    yield _check_up(positions)
    yield _check_floor(file, positions * scale)
    yield _check_facing(file, positions * scale)
    yield _check_sides(positions)
    yield _check_bones(file)
    try:
        verify_values(file)
    except DataError as error:
        yield CheckRow("motion", "possible poses and speeds", "refused", "fail", str(error))
    else:
        yield CheckRow("motion", "possible poses and speeds", "as expected", "ok")


def _check_unit(positions: FloatArray) -> tuple[float, CheckRow]:
    """Factor to millimetres, told by the stature that the bones add up to."""
    chain = ("right_ankle", "right_knee", "spine", "thorax", "neck", "head")
    joints = [H36M_17.index(name) for name in chain]
    parents = [H36M_17.parents[joint] for joint in joints]
    bones = np.linalg.norm(positions[:, joints] - positions[:, parents], axis=-1)
    stature = float(np.median(bones, axis=0).sum())
    for unit, factor in (("millimetres", 1.0), ("centimetres", 10.0), ("metres", 1000.0)):
        if STATURE_MM[0] <= stature * factor + ANKLE_ABOVE_FLOOR_MM <= STATURE_MM[1]:
            metres = (stature * factor + ANKLE_ABOVE_FLOOR_MM) / 1000
            return factor, judged(
                "unit",
                "millimetres",
                f"{unit} (stature {metres:.2f} m)",
                "ok" if factor == 1 else "fail",
                f"multiply positions_mm and bone_lengths_mm by {factor:g}",
            )
    return 1.0, CheckRow(
        "unit",
        "millimetres",
        f"bones of {stature:.4g} from ankle to head",
        "fail",
        f"the unit cannot be told; {_CONVERT}",
    )


def _check_up(positions: FloatArray) -> CheckRow:
    ankles = positions[:, [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]]
    body = positions[:, H36M_17.index("thorax")] - ankles.mean(axis=1)
    body /= np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-9)
    mean = body.mean(axis=0)
    axis = int(np.abs(mean).argmax())
    found = f"{'-' if mean[axis] < 0 else '+'}{'xyz'[axis]} (z part {mean[2]:.2f})"
    return judged(
        "vertical axis",
        "+z",
        found,
        "ok" if mean[2] >= UPRIGHT else "fail",
        "turn the positions so that z points up: (x, y, z) -> (x, -z, y) from y up",
    )


def _check_floor(file: CmuFile, positions_mm: FloatArray) -> CheckRow:
    ankles = [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]
    lowest = positions_mm[:, ankles, 2].min(axis=1)
    heights = [
        float(np.percentile(lowest[start:end], 1))
        for start, end in zip(file.offsets[:-1], file.offsets[1:], strict=True)
    ]
    low, high = min(heights), max(heights)
    good = abs(low - ANKLE_ABOVE_FLOOR_MM) < 10 and abs(high - ANKLE_ABOVE_FLOOR_MM) < 10
    return judged(
        "floor",
        f"lower ankle at {ANKLE_ABOVE_FLOOR_MM:g} mm in every sequence",
        f"{low:.0f} to {high:.0f} mm",
        "ok" if good else "warn",
        "shift each sequence so that its floor is at z = 0",
    )


def _check_facing(file: CmuFile, positions_mm: FloatArray) -> CheckRow:
    """People walk forwards: with left and right exchanged they would walk backwards."""
    across = (
        positions_mm[:, H36M_17.index("left_hip")] - positions_mm[:, H36M_17.index("right_hip")]
    )
    facing = np.cross(across, [0.0, 0.0, 1.0])
    velocity = np.zeros_like(facing)
    velocity[1:] = np.diff(positions_mm[:, H36M_17.root], axis=0) * file.fps
    velocity[file.offsets[:-1]] = 0
    velocity[:, 2] = 0
    speed = np.linalg.norm(velocity, axis=-1)
    moving = speed > WALKING_MM_S
    walks = np.repeat([a.startswith("walk") for a in file.actions], np.diff(file.offsets))
    chosen = moving & walks if (moving & walks).any() else moving
    expected = f"cosine above {FACING_OK:g} (facing and walking)"
    if not chosen.any():
        return CheckRow(
            "left and right",
            expected,
            "nobody walks",
            "warn",
            "look at a sequence: left and right cannot be told from the motion",
        )
    lengths = np.maximum(np.linalg.norm(facing, axis=-1) * speed, 1e-9)
    cosine = float(np.median(((facing * velocity).sum(axis=-1) / lengths)[chosen]))
    verdict: Verdict = (
        "ok" if cosine > FACING_OK else "warn" if cosine > FACING_DOUBTFUL else "fail"
    )
    return judged(
        "left and right",
        expected,
        f"{cosine:.2f}",
        verdict,
        "left and right are exchanged, or the axes are mirrored: check the joint names",
    )


def _check_sides(positions: FloatArray) -> CheckRow:
    shoulders, hips = (
        positions[:, H36M_17.index(f"left_{name}")] - positions[:, H36M_17.index(f"right_{name}")]
        for name in ("shoulder", "hip")
    )
    same = float(((shoulders * hips).sum(axis=-1) > 0).mean())
    return judged(
        "sides",
        "left shoulder on the side of the left hip (over 95 %)",
        f"{100 * same:.1f} %",
        "ok" if same > 0.95 else "fail",
        "the arms are exchanged: check the joint names",
    )


def _check_bones(file: CmuFile) -> CheckRow:
    largest = float(np.abs(bone_deviation(file)).max())
    return judged(
        "bone lengths",
        f"within {BONE_TOLERANCE_MM:g} mm of their skeleton's",
        f"at most {largest:.1f} mm away",
        "ok" if largest <= BONE_TOLERANCE_MM else "fail",
        f"bones stretch, or bone_lengths_mm is of another file; {_CONVERT}",
    )


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
