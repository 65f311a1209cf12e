"""CMU motion capture as 17-joint motion clips, read from ``cmu_h36m17.npz``.

The motion has no cameras of its own; virtual ones film it elsewhere.

Source: Carnegie Mellon University Graphics Lab Motion Capture Database, mocap.cs.cmu.edu.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lifting.data.check import check_names
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.check import check_takes
from lifting.data.doctor.presence import attempt
from lifting.data.doctor.takes import Bodies, CheckRow, Take, failed, judged
from lifting.data.folders import find_file
from lifting.data.sequence import MotionClips, rate_of_each
from lifting.data.sets.cmu.config import CREDIT, FILE_NAME
from lifting.data.sets.cmu.files import PARTS, CmuFile, read_cmu_file, verify_values
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import sha256_of
from lifting.files.npz import Array
from lifting.skeleton import H36M_17


def motion(config: DataConfig, split: Split) -> MotionClips:
    """The motion of one part of the split that the file records.

    Args:
        config: The data section; ``root`` says where the file is.
        split: The part.

    Returns:
        Clips in the world frame, z up, mm. Subject and action numbers are the same in all parts.

    Raises:
        MissingDataError: The file is not found.
        DataError: The file is damaged, holds impossible values, or has nothing in this part.
    """
    path = find_file("cmu", FILE_NAME, config.root)
    file = read_cmu_file(path)
    verify_values(file)
    parts = _parts(file, config.cmu.val_actions)
    chosen = np.flatnonzero(parts == split)
    if len(chosen) == 0:
        raise DataError(
            f"expected sequences in part '{split}' of {path}, got none (parts: "
            f"{', '.join(sorted(set(parts)))}); convert recordings of further subjects"
        )
    subject_names, action_names = sorted(set(file.subjects)), sorted(set(file.actions))
    lengths = np.diff(file.offsets)
    in_part = np.repeat(parts == split, lengths)
    return MotionClips(
        skeleton=H36M_17,
        joints_3d=torch.from_numpy(file.positions[in_part].astype(np.float32)),
        offsets=torch.from_numpy(np.concatenate(([0], lengths[chosen].cumsum()))),
        subject=torch.tensor([subject_names.index(file.subjects[i]) for i in chosen]),
        action=torch.tensor([action_names.index(file.actions[i]) for i in chosen]),
        names=tuple(file.names[i] for i in chosen),
        subject_names=tuple(subject_names),
        action_names=tuple(action_names),
        fps=rate_of_each(file.fps, len(chosen)),
        source=_source(file, split, config.cmu.val_actions),
    )


def _parts(file: CmuFile, val_actions: Sequence[str]) -> Array:
    """Part of each sequence, ``(S,)`` text, where chosen actions validate."""
    parts = np.array(file.split)
    if not val_actions:
        return parts
    actions, trains = np.array(file.actions), parts != "test"
    check_names("cmu.val_actions", val_actions, sorted(set(actions[parts == "train"])))
    parts[trains] = np.where(np.isin(actions[trains], val_actions), "val", "train")
    return parts


def _source(file: CmuFile, split: Split, val_actions: Sequence[str]) -> dict[str, str]:
    held_out = f"; validation on actions {', '.join(val_actions)}, held out of the training"
    return {
        "dataset": "cmu",
        "split": split,
        "split_rule": file.split_name + (held_out if val_actions else ""),
        "file_sha256": sha256_of(file.path),
        "credit": CREDIT,
    }


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`motion`, for naming derived data.

    Args:
        config: The data section.
        split: The part.

    Returns:
        Plain values: the data set, the hash of the file's content, and the part.

    Raises:
        MissingDataError: The file is not found.
    """
    path = find_file("cmu", FILE_NAME, config.root)
    key: dict[str, object] = {"dataset": "cmu", "sha256": sha256_of(path), "split": split}
    if config.cmu.val_actions:
        key["val_actions"] = list(config.cmu.val_actions)
    return key


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
        *check_takes(bodies, []),
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
