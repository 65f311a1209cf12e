"""Human3.6M's 17 joints of an SMPL mesh, by the matrix that published numbers are made with.

The matrix in circulation has the legs left side first, Human3.6M itself right side first; so the
sides are looked up on the model's own mesh, never assumed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.body.joints17 import APPROXIMATE
from lifting.body.smpl import BodyModel
from lifting.data.smpl_file import find_body_model, read_body_model
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import UNREADABLE, sha256_of
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17
from lifting.typing import Points3D, Pose3D

BATCH = 64
_MAX_BYTES = 64 * 1024**2
_LEGS, _ARMS = ((1, 4), (2, 5), (3, 6)), ((14, 11), (15, 12), (16, 13))  # right, left


@dataclass(frozen=True)
class RegressedBody:
    """What Human3.6M's joints are regressed with.

    Attributes:
        model: SMPL.
        regressor: ``(17, vertices)``.
    """

    model: BodyModel
    regressor: Tensor


def read_regressed_body(
    joint_regressor: str, body_model: str | None, gender: str
) -> RegressedBody:
    """Model and regressor of a user.

    Args:
        joint_regressor: See :func:`read_joint_regressor`.
        body_model: Model file or folder; None takes the variable LIFTING_SMPL.
        gender: ``male``, ``female`` or ``neutral``.

    Raises:
        MissingDataError: One of the files is not found.
        DataError: One is damaged, or not of SMPL.
    """
    path = find_body_model(body_model, ("smpl",), gender)
    model = read_body_model(path)
    if model.family != "smpl":
        raise DataError(
            f"expected an SMPL model (24 joints) in {path}, got family {model.family}; the poses "
            "of the data set are SMPL's"
        )
    place = Path(joint_regressor).expanduser()
    return RegressedBody(model, read_joint_regressor(place, model))


def body_files(
    joint_regressor: str | None, body_model: str | None, genders: Iterable[str]
) -> list[Path]:
    """Files that regressed joints depend on; none without a regressor.

    Args:
        joint_regressor: The option of a data set.
        body_model: The option of a data set.
        genders: Of the people in it.

    Raises:
        MissingDataError: A model is not found.
    """
    if joint_regressor is None:
        return []
    models = [find_body_model(body_model, ("smpl",), gender) for gender in genders]
    return [Path(joint_regressor).expanduser(), *models]


def joint_facts(joint_regressor: str | None) -> dict[str, str]:
    """Where the 17 joints come from, for a result record.

    Args:
        joint_regressor: The option of a data set.
    """
    if joint_regressor is None:
        return {"approximate_joints": APPROXIMATE}
    digest = sha256_of(Path(joint_regressor).expanduser())
    return {"joints": f"regressed from the SMPL mesh, regressor sha256 {digest}"}


def read_joint_regressor(path: Path, model: BodyModel) -> Tensor:
    """The matrix in a file, in the joint order of ``h36m17``.

    Args:
        path: A ``.npy`` file of numbers ``(17, vertices)``.
        model: The body whose vertices it reads.

    Returns:
        ``(17, vertices)`` in the model's precision.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, unsafe, of another shape, or its joints are not where those of
            Human3.6M are.
    """
    if not path.is_file():
        raise MissingDataError(
            f"expected a joint regressor at {path}, found none; check the option joint_regressor"
        )
    wanted = (len(H36M_17), len(model.template))
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise _unfit(path, wanted, f"{error!s:.100}") from error
    if not isinstance(matrix, np.ndarray) or matrix.shape != wanted or matrix.dtype.kind != "f":
        raise _unfit(path, wanted, f"shape {getattr(matrix, 'shape', 'of an archive')}")
    values = torch.from_numpy(matrix.astype(np.float64))
    if not bool(torch.isfinite(values).all()) or float((values.sum(1) - 1).abs().max()) > 0.01:
        raise _unfit(path, wanted, "rows that do not sum to one")
    return _right_first(path, values, model).to(model.template.dtype)


def _right_first(path: Path, matrix: Tensor, model: BodyModel) -> Tensor:
    """Rows reordered where left stands before right; SMPL's left is towards positive x."""
    joints = matrix @ model.template.double()
    order = list(range(len(H36M_17)))
    for limbs in (_LEGS, _ARMS):
        right, left = limbs[1]
        if bool(joints[right, 0] > joints[left, 0]):
            for a, b in limbs:
                order[a], order[b] = b, a
    ordered = joints[order]
    heights = [ordered[H36M_17.index(n), 1] for n in ("head", "thorax", "hip", "left_ankle")]
    if not all(bool(a > b) for a, b in pairwise(heights)):
        raise DataError(
            f"expected head over thorax over hip over ankle in the joints of {path}, got heights "
            f"{[round(float(h)) for h in heights]} mm; use a regressor in Human3.6M's joint order"
        )
    return matrix[order]


def regressed_joints(
    body: RegressedBody, poses: Tensor, betas: Tensor, translation: Points3D
) -> Pose3D:
    """Joints of the posed mesh, a batch of frames at a time.

    Args:
        body: Model and regressor.
        poses: Rotation vectors, ``(frames, joints, 3)``, radians.
        betas: Shape coefficients, ``(n,)``, or ``(frames, n)`` of somebody else in each frame.
        translation: ``(frames, 3)``, mm.

    Returns:
        ``(frames, 17, 3)``, mm, frame of the poses.
    """
    kind = body.model.template.dtype
    shapes = betas.to(kind).expand(len(poses), -1)
    pieces = []
    for start in range(0, len(poses), BATCH):
        rows = slice(start, start + BATCH)
        rotations = axis_angle_to_matrix(poses[rows]).to(kind)
        posed = body.model.forward(rotations, shapes[rows], translation[rows].to(kind))
        pieces.append(body.regressor @ posed.vertices)
    return torch.cat(pieces)


def _unfit(path: Path, wanted: tuple[int, int], got: str) -> DataError:
    return DataError(
        f"expected a plain .npy matrix of shape {wanted} in {path}, got {got}; use the Human3.6M "
        "joint regressor of SMPL's mesh"
    )
