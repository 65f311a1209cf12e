"""The sequence files of 3DPW: pickles of Python 2, read without running anything in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.files.checks import check_file, misfit
from lifting.files.npz import Array
from lifting.files.pickles import read_pickle
from lifting.skeleton import COCO_18, SMPL_24

MM = 1000.0
MAX_BYTES = 1024**3
MOST_PEOPLE = 10  # in one sequence; published are one or two
_GENDERS = {"m": "male", "f": "female"}
_PER_PERSON = (
    "jointPositions", "poses2d", "campose_valid", "poses", "betas", "trans", "genders"
)  # fmt: skip
_SHAPES = 10
_LARGEST = 1e6
_malformed = misfit("use the sequence files of 3DPW as they are downloaded")


@dataclass(frozen=True)
class Pw3dPerson:
    """One person of a sequence file. F frames.

    Attributes:
        joints: SMPL's 24 joints, world frame, ``(F, 24, 3)``, mm.
        detections: OpenPose's 18 joints, x, y and confidence, ``(F, 18, 3)``, pixels.
        valid: Whether the camera of a frame is known, ``(F,)``.
        gender: ``male`` or ``female``.
        poses: Rotation vectors of SMPL's 24 joints, ``(F, 24, 3)``, radians.
        betas: SMPL's first shape coefficients, ``(10,)``.
        translation: Of the body, world frame, ``(F, 3)``, mm.
    """

    joints: Tensor
    detections: Tensor
    valid: Tensor
    gender: str
    poses: Tensor
    betas: Tensor
    translation: Tensor


@dataclass(frozen=True)
class Pw3dSequence:
    """One sequence file. F frames.

    Attributes:
        name: Name of the sequence.
        people: The persons in it.
        intrinsics: Camera matrix, ``(3, 3)``, pixels.
        rotation: World to camera in each frame, ``(F, 3, 3)``.
        position: Camera centre in each frame, ``(F, 3)``, mm.
    """

    name: str
    people: tuple[Pw3dPerson, ...]
    intrinsics: Tensor
    rotation: Tensor
    position: Tensor


def read_sequence(path: Path) -> Pw3dSequence:
    """One sequence file.

    Args:
        path: A pickle of Python 2.

    Raises:
        DataError: It is damaged, unsafe, or of another form.
    """
    check_file(path, MAX_BYTES, "a sequence")
    data = read_pickle(path.read_bytes(), str(path))
    if not isinstance(data, dict):
        raise _malformed(path, "a dictionary", type(data).__name__)
    camera = _array(path, "cam_poses", data.get("cam_poses"), (4, 4))
    frames = len(camera)
    people = _people(path, data, frames)
    rotation = torch.from_numpy(camera[:, :3, :3])
    shift = torch.from_numpy(camera[:, :3, 3]) * MM
    intrinsics = _array(path, "cam_intrinsics", data.get("cam_intrinsics"), (3,))
    if intrinsics.shape != (3, 3) or not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0):
        raise _malformed(path, "a finite 'cam_intrinsics' of shape (3, 3)", f"{intrinsics.shape}")
    return Pw3dSequence(
        name=path.stem,
        people=people,
        intrinsics=torch.from_numpy(intrinsics),
        rotation=rotation,
        position=-(rotation.transpose(1, 2) @ shift[..., None])[..., 0],
    )


def _people(path: Path, data: Mapping[object, object], frames: int) -> tuple[Pw3dPerson, ...]:
    lists: dict[str, Sequence[object]] = {}
    for name in _PER_PERSON:
        value = data.get(name)
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_PEOPLE:
            got = len(value) if isinstance(value, list | tuple) else type(value).__name__
            raise _malformed(path, f"1 to {MOST_PEOPLE} persons in the list '{name}'", f"{got}")
        lists[name] = value
    counts = {name: len(value) for name, value in lists.items()}
    if len(set(counts.values())) > 1:
        raise _malformed(path, "as many persons in every list", f"{counts}")
    return tuple(
        _person(path, {name: value[i] for name, value in lists.items()}, frames)
        for i in range(counts["poses2d"])
    )


def _person(path: Path, data: Mapping[str, object], frames: int) -> Pw3dPerson:
    joints = _array(path, "jointPositions", data["jointPositions"], (72,), frames)
    detections = _array(path, "poses2d", data["poses2d"], (3, len(COCO_18)), frames)
    valid = _array(path, "campose_valid", data["campose_valid"], (), frames) != 0
    poses = _array(path, "poses", data["poses"], (72,), frames)
    trans = _array(path, "trans", data["trans"], (3,), frames)
    betas = _array(path, "betas", data["betas"], ())[:_SHAPES]
    for name, values in {
        "jointPositions": joints[valid], "poses2d": detections, "poses": poses[valid],
        "trans": trans[valid], "betas": betas,
    }.items():  # fmt: skip
        if not (np.abs(values) < _LARGEST).all():
            raise _malformed(path, f"finite '{name}'", "NaN, infinity or huge numbers")
    if data["genders"] not in _GENDERS:
        raise _malformed(path, "genders 'm' and 'f'", f"{data['genders']!s:.20}")
    return Pw3dPerson(
        joints=torch.from_numpy(joints.reshape(frames, len(SMPL_24), 3)) * MM,
        detections=torch.from_numpy(detections.transpose(0, 2, 1)),
        valid=torch.from_numpy(valid),
        gender=_GENDERS[str(data["genders"])],
        poses=torch.from_numpy(poses.reshape(frames, len(SMPL_24), 3)),
        betas=torch.from_numpy(betas),
        translation=torch.from_numpy(trans) * MM,
    )


def _array(
    path: Path, name: str, value: object, shape: tuple[int, ...], frames: int | None = None
) -> Array:
    """Numbers of shape (frames, *shape), in double precision."""
    fits = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    if not isinstance(value, np.ndarray) or not fits or value.shape[1:] != shape or not value.ndim:
        got = value.shape if isinstance(value, np.ndarray) else type(value).__name__
        raise _malformed(path, f"numbers '{name}' of shape (frames, *{shape})", f"{got}")
    if len(value) == 0 or (frames is not None and len(value) != frames):
        raise _malformed(path, f"'{name}' of {frames or 'some'} frames", f"{len(value)}")
    return value.astype(np.float64)
