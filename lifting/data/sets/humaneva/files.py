"""The npz files of HumanEva-I, and where its cameras stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lifting.data.doctor.body import check_unit
from lifting.data.two_d_npz import TwoD, read_two_d
from lifting.errors import DataError, suggest
from lifting.files.containers import Array, entries, numbers, read_object_npz
from lifting.geometry.rotation import quaternion_to_matrix
from lifting.skeleton import COCO_17, HUMANEVA_15, Skeleton

ACTIONS = ("Walking", "Jog", "ThrowCatch", "Gestures", "Box")
CAMERAS = ("C1", "C2", "C3")
SIZE = (640.0, 480.0)
PARTS: tuple[Literal["Train", "Validate"], ...] = ("Train", "Validate")

# By camera: quaternion w, x, y, z (camera to world); centre, mm. World z up.
_FIRST_RIG = (
    (0.424207, -0.4983646, -0.5802981, 0.4847012, 4062.227, 663.2477, 1528.397),
    (0.6503354, -0.7481602, -0.0919284, 0.0941766, 844.8131, -3805.2092, 1504.9929),
    (0.0664734, -0.0690535, 0.7416416, -0.6639132, -797.67377, 3916.3174, 1433.6602),
)
_SECOND_RIG = (
    (0.4214752, -0.4961493, -0.5838273, 0.4851187, 4112.9121, 626.4929, 1545.2988),
    (0.6501393, -0.7476588, -0.0954617, 0.0959808, 923.574, -3877.9243, 1504.5518),
    (0.0699353, -0.0712403, 0.7421637, -0.662742, -781.4915, 3838.8853, 1444.9929),
)
EXTRINSICS: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "S1": _FIRST_RIG,
    "S2": _SECOND_RIG,
    "S3": _FIRST_RIG,
}
_NAME = re.compile(r"([A-Za-z]{1,40})(?: (\d{1,4}))?(?: chunk(\d{1,4}))?")


@dataclass(frozen=True)
class Recording:
    """One piece of one recording.

    Attributes:
        part: ``Train`` or ``Validate``.
        subject: For example ``S1``.
        action: One of ``ACTIONS``.
        name: As in the file, for example ``Walking 1 chunk0``.
        joints: ``(frames, 15, 3)`` float32, world frame, z up, metres.
    """

    part: str
    subject: str
    action: str
    name: str
    joints: Array

    @property
    def group(self) -> str:
        """Part and subject, as in the file."""
        return f"{self.part}/{self.subject}"


@dataclass(frozen=True)
class HumanEvaFiles:
    """Both files, as far as they are known.

    Attributes:
        recordings: Labelled pieces, by part, subject, action and number.
        two_d: Their keypoints, by ``part/subject`` and name.
    """

    recordings: tuple[Recording, ...]
    two_d: TwoD

    @property
    def layout(self) -> Skeleton:
        """Joint order of the keypoints."""
        return self.two_d.layout

    def view(self, recording: Recording, camera: int) -> Array:
        """What one camera saw, cut to the labelled frames: ``(frames, joints, 2 or 3)``."""
        return self.two_d.view(recording.group, recording.name, camera, len(recording.joints))


@cache
def humaneva_extrinsics(subject: str, camera: int) -> tuple[Tensor, Tensor]:
    """Rotation (world to camera) and centre (mm) of a camera.

    Args:
        subject: For whom it stood there.
        camera: Index into ``CAMERAS``.

    Source: calibration published with HumanEva-I.
    """
    figures = torch.tensor(EXTRINSICS[subject][camera])
    quaternion = figures[:4] / figures[:4].norm()
    return quaternion_to_matrix(quaternion).transpose(-1, -2), figures[4:]


def read_files(three_d: Path, two_d: Path, subjects: Sequence[str]) -> HumanEvaFiles:
    """Read the labelled recordings of some subjects, and their keypoints.

    Args:
        three_d: The 3D file.
        two_d: The 2D file.
        subjects: Subjects; one that the 3D file does not have is passed over.

    Raises:
        MissingDataError: There is no such file.
        DataError: A file is unsafe or damaged, or the 2D file lacks a recording or a camera.
    """
    content = read_object_npz(three_d, ("positions_3d",))
    labels = entries(content["positions_3d"], f"positions_3d of {three_d}")
    recordings: list[Recording] = []
    for part in PARTS:
        for subject in subjects:
            if f"{part}/{subject}" in labels:
                recordings += _labelled(part, subject, labels[f"{part}/{subject}"], three_d)
    if not recordings:
        known = [f"{part}/{subject}" for part in PARTS for subject in subjects]
        raise DataError(
            f"expected subjects such as {', '.join(known)} in positions_3d of {three_d}, got "
            f"{', '.join(list(labels)[:10]):.200}; check that the file is of the described form"
        )
    check_unit((r.joints for r in recordings), HUMANEVA_15, "m", str(three_d))
    wanted = [(recording.group, recording.name) for recording in recordings]
    seen = read_two_d(two_d, wanted, cameras=CAMERAS, orders=(HUMANEVA_15, COCO_17))
    return HumanEvaFiles(tuple(recordings), seen)


def parse_name(name: str) -> tuple[str, int, int] | None:
    """Action, take and piece of a recording's name; -1 where it gives none.

    Args:
        name: For example ``Walking 1 chunk0``.

    Returns:
        None for what is no such name.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in ACTIONS:
        return None
    return match[1], int(match[2] or -1), int(match[3] or -1)


def _labelled(part: str, subject: str, values: object, path: Path) -> list[Recording]:
    where = f"positions_3d/{part}/{subject} of {path}"
    found: dict[tuple[int, int, int], Recording] = {}
    for name, value in entries(values, where).items():
        parsed = parse_name(name)
        if parsed is None:
            raise DataError(
                f"expected a name such as 'Walking 1 chunk0' in {where}, got '{name:.60}'; "
                f"{suggest(name[:40].partition(' ')[0], ACTIONS)}"
            )
        action, take, piece = parsed
        joints = numbers(value, f"{name} in {where}", (None, len(HUMANEVA_15), 3))
        key = (ACTIONS.index(action), take, piece)
        found[key] = Recording(part, subject, action, name, np.array(joints))
    return [found[key] for key in sorted(found)]
