"""The npz files of Human3.6M: world coordinates, keypoints and mixtures by recording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lifting.actions import ACTION_ALIASES, H36M_ACTIONS
from lifting.data.doctor.body import check_unit
from lifting.data.sets.h36m.cameras import INTRINSICS
from lifting.data.two_d_npz import TwoD, check_new, read_two_d
from lifting.errors import DataError, suggest
from lifting.files.containers import Array, entries, entry, numbers, read_object_npz
from lifting.skeleton import COCO_17, H36M_17, MPII_16
from lifting.typing import Pose2D

# The published 3D file does not have it; some 2D files and conversions of one's own do.
CORRUPT = ("S11", "Directions")
# Labels drift away from the image: subject, action, which of the recordings of that action.
DRIFTING = (("S9", "Greeting", 1), ("S9", "SittingDown", 1), ("S9", "Waiting", 0))
# Of the 32 recorded joints, 15 are copies or have no counterpart in the 17.
KEPT_JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
RECORDED_JOINTS = 32

_NAME = re.compile(r"([A-Za-z]{1,40})(?: (\d{1,4}))?")


@dataclass(frozen=True)
class Recording:
    """One recording of one subject.

    Attributes:
        subject: For example ``S9``.
        action: One of ``H36M_ACTIONS``.
        number: What follows the action in the recording's name; -1 for nothing.
        joints: ``(frames, 17, 3)`` float32, world frame, z up, metres.
    """

    subject: str
    action: str
    number: int
    joints: Array

    @property
    def name(self) -> str:
        """Normalised name, such as ``Photo 1``."""
        return recording_name(self.action, self.number)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.joints.shape[0])


def parse_name(name: str) -> tuple[str, int] | None:
    """Action and number of a recording's name; older names of actions become today's.

    Args:
        name: For example ``TakingPhoto 1``.

    Returns:
        None for what is no action, or is not followed by a space and a number.
    """
    match = _NAME.fullmatch(name)
    action = ACTION_ALIASES.get(match[1], match[1]) if match else ""
    if match is None or action not in H36M_ACTIONS:
        return None
    return action, int(match[2]) if match[2] else -1


def recording_name(action: str, number: int) -> str:
    """Normalised name of a recording."""
    return action if number < 0 else f"{action} {number}"


def read_three_d(path: Path, subjects: Sequence[str], max_bytes: int) -> list[Recording]:
    """Recordings of some subjects with the 17 joints, by subject, action and number.

    Args:
        path: The 3D file.
        subjects: Which, in the order wanted.
        max_bytes: Limit of the expanded size of the file.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe, damaged, lacks a subject, or is not in metres.
    """
    content = read_object_npz(path, ("positions_3d",), max_bytes)
    by_subject = entries(content["positions_3d"], f"positions_3d of {path}")
    recordings = []
    for subject in subjects:
        found = entry(by_subject, subject, "subject", f"positions_3d of {path}")
        recordings += _recordings_of(subject, found, path)
    check_unit((r.joints for r in recordings), H36M_17, "m", str(path))
    return recordings


def _recordings_of(subject: str, values: object, path: Path) -> list[Recording]:
    where = f"positions_3d/{subject} of {path}"
    recordings: dict[tuple[int, int], Recording] = {}
    for name, value in entries(values, where).items():
        parsed = parse_name(name)
        if parsed is None:
            raise DataError(
                f"expected an action and a number, such as 'Walking 1', in {where}, got "
                f"'{name:.60}'; {suggest(name[:40].partition(' ')[0], H36M_ACTIONS)}"
            )
        action, number = parsed
        key = (H36M_ACTIONS.index(action), number)
        if (subject, recording_name(action, number)) == CORRUPT:
            continue
        check_new(key in recordings, name, where)
        positions = numbers(
            value, f"positions_3d/{subject}/{name} of {path}", (None, RECORDED_JOINTS, 3)
        )
        recordings[key] = Recording(subject, action, number, positions[:, KEPT_JOINTS])
    return [recordings[key] for key in sorted(recordings)]


def drifting(recordings: Sequence[Recording]) -> set[tuple[str, str]]:
    """Subject and name of the recordings whose labels are known to drift.

    Args:
        recordings: All recordings of their subjects; which one of an action counts.
    """
    found = set()
    for subject, action, place in DRIFTING:
        takes = [r for r in recordings if (r.subject, r.action) == (subject, action)]
        if place < len(takes):
            found.add((subject, takes[place].name))
    return found


def keypoints_file(path: Path, recordings: Sequence[Recording], max_bytes: int) -> TwoD:
    """Keypoints or mixtures of recordings, see :func:`lifting.data.two_d_npz.read_two_d`."""
    return read_two_d(
        path,
        [(recording.subject, recording.name) for recording in recordings],
        cameras=tuple(INTRINSICS),
        orders=(H36M_17, COCO_17, MPII_16),
        name_of=_normal,
        mixtures=True,
        max_bytes=max_bytes,
    )


def _normal(name: str) -> str:
    parsed = parse_name(name)
    return name if parsed is None else recording_name(*parsed)


def read_mixtures(array: Array, where: str) -> tuple[Pose2D, Tensor]:
    """Mixtures of a 2D file, their weights summing to one, and their most probable means.

    Args:
        array: ``(frames, joints, kernels, 5)``: weight, mean u, mean v (pixels), spread u, spread
            v (half image widths).
        where: Names the array in messages.

    Returns:
        ``(frames, joints, 2)`` pixels and ``(frames, joints, kernels, 5)``, float32.

    Raises:
        DataError: A weight or spread is negative, or all weights of a joint are zero.

    Source: DiffPose (Gong et al., 2023), released code.
    """
    values = torch.tensor(array)
    weights = values[..., 0].double()
    total = weights.sum(-1, keepdim=True)
    if bool((weights < 0).any() | (total <= 0).any() | (values[..., 3:] < 0).any()):
        raise DataError(
            f"expected weights and spreads from 0 and a positive sum of weights in {where}, got "
            f"weights from {float(weights.min())} and spreads from "
            f"{float(values[..., 3:].min())}; get the file again from its source"
        )
    values[..., 0] = weights / total
    best = values[..., 0].argmax(-1)
    chosen = best[..., None, None].expand(*best.shape, 1, 2)
    return values[..., 1:3].gather(2, chosen).squeeze(2), values
