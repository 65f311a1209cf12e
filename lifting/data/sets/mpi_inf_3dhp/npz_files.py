"""The npz files of MPI-INF-3DHP: camera views of sequences, with their joints and pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifting.data.object_npz import Array, cut_to, entries, entry, items, numbers, read_object_npz
from lifting.data.units import check_unit
from lifting.errors import DataError
from lifting.skeleton import MPI_INF_3DHP_17

JOINTS = len(MPI_INF_3DHP_17)
PELVIS = MPI_INF_3DHP_17.root
_NAME = re.compile(r"(S\d) (Seq\d)")
_CAMERA = re.compile(r"[0-9]|1[0-3]")
_PERSON_MM = 2000.0  # no joint is farther from the pelvis


@dataclass(frozen=True)
class View:
    """One sequence in one camera.

    Attributes:
        subject: For example ``S1``; of the test, the sequence.
        sequence: ``Seq1``, or ``TS1`` of the test.
        camera: The camera's number; of the test, the sequence.
        joints: ``(frames, 17, 3)`` float32, camera frame, absolute, mm.
        keypoints: ``(frames, 17, 2 or 3)`` float32, pixels and perhaps confidence.
        valid: ``(frames,)`` bool; None when all labels are.
    """

    subject: str
    sequence: str
    camera: str
    joints: Array
    keypoints: Array
    valid: Array | None = None

    @property
    def name(self) -> str:
        """For tables and messages."""
        if self.subject == self.sequence:
            return self.sequence
        return f"{self.subject}/{self.sequence}/{self.camera}"

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.joints.shape[0])

    @property
    def valid_count(self) -> int:
        """Number of frames whose labels count."""
        return self.frames if self.valid is None else int(self.valid.sum())


def read_train(
    path: Path, subjects: Sequence[str], sequences: Sequence[str], cameras: Sequence[str]
) -> list[View]:
    """Training sequences of some subjects, by subject, sequence and camera.

    Args:
        path: The file.
        subjects: Which subjects.
        sequences: Names of sequences; a subject has at least one of them.
        cameras: Which cameras; empty for all.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe or damaged, or lacks a subject or a camera.
    """
    data = _data(path)
    for name in data:
        if not _NAME.fullmatch(name):
            raise DataError(
                f"expected names such as 'S1 Seq1' in {path}, got '{name:.60}'; check that it is "
                "the training file"
            )
    views: list[View] = []
    for subject in subjects:
        found = [s for s in sequences if f"{subject} {s}" in data]
        if not found:
            entry(data, f"{subject} {sequences[0]}", "subject", f"data of {path}")
        for sequence in found:
            views += _sequence(path, data, subject, sequence, cameras)
    check_unit((v.joints for v in views), MPI_INF_3DHP_17, "mm", str(path))
    return views


def _sequence(
    path: Path, data: dict[str, object], subject: str, sequence: str, cameras: Sequence[str]
) -> list[View]:
    where = f"data/{subject} {sequence} of {path}"
    value = data[f"{subject} {sequence}"]
    by_camera = entries(_only(value, where), where)
    for name in by_camera:
        if not _CAMERA.fullmatch(name):
            raise DataError(
                f"expected cameras by number in {where}, got '{name:.40}'; check that the file is "
                "of the described form"
            )
    return [
        View(
            subject,
            sequence,
            camera,
            *_arrays(entry(by_camera, camera, "camera", where), f"camera {camera} in {where}"),
        )
        for camera in cameras or sorted(by_camera, key=int)
    ]


def _only(value: object, where: str) -> object:
    """The cameras of a sequence, which stand first in a list of their own."""
    if isinstance(value, dict):
        return value
    listed = items(value, where)
    return listed[0] if listed else None


def read_test(path: Path, sequences: Sequence[str]) -> list[View]:
    """Test sequences with the frames that count.

    Args:
        path: The file.
        sequences: Which.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe or damaged, or lacks a sequence.
    """
    data = _data(path)
    views = []
    for sequence in sequences:
        where = f"data/{sequence} of {path}"
        content = entry(data, sequence, "sequence", f"data of {path}")
        joints, keypoints = _arrays(content, where)
        valid = entry(entries(content, where), "valid", "array", where)
        flags = numbers(valid, f"valid in {where}", (len(joints),)) != 0
        views.append(View(sequence, sequence, sequence, joints, keypoints, flags))
    check_unit((v.joints for v in views), MPI_INF_3DHP_17, "mm", str(path))
    return views


def _data(path: Path) -> dict[str, object]:
    return entries(read_object_npz(path, ("data",))["data"], f"data of {path}")


def _arrays(value: object, where: str) -> tuple[Array, Array]:
    """Joints and keypoints of one view, the latter cut to the former."""
    content = entries(value, where)
    joints = numbers(
        entry(content, "data_3d", "array", where), f"data_3d, {where}", (None, JOINTS, 3)
    )
    pixels = numbers(
        entry(content, "data_2d", "array", where), f"data_2d, {where}", (None, JOINTS, (2, 3))
    )
    return absolute_joints(joints, where), cut_to(pixels, len(joints), where)


def absolute_joints(joints: Array, where: str) -> Array:
    """Camera coordinates of all joints.

    Loaders keep the pelvis as the person's trajectory and the other joints relative to it; a file
    saved in that state is recognised by joints that are nowhere near their pelvis.

    Args:
        joints: ``(frames, 17, 3)`` as read, mm.
        where: Names the array in the message.

    Raises:
        DataError: The poses are relative and there is no trajectory.
    """
    exact = joints.astype(np.float64)
    others, pelvis = np.delete(exact, PELVIS, axis=1), exact[:, PELVIS : PELVIS + 1]
    reach = float(np.median(np.linalg.norm(others - pelvis, axis=-1)))
    size = float(np.median(np.linalg.norm(others, axis=-1)))
    if reach > _PERSON_MM and size <= _PERSON_MM:
        exact = exact + pelvis
        exact[:, PELVIS : PELVIS + 1] = joints[:, PELVIS : PELVIS + 1]
        return exact.astype(np.float32)
    if size <= _PERSON_MM and float(np.median(pelvis[..., 2])) <= 0:
        raise DataError(
            f"expected the pelvis of data_3d to be its place before the camera in {where}, got "
            "poses relative to it without a trajectory; use the published form"
        )
    return joints
