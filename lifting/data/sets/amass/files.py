"""One motion file of AMASS, in the SMPL-H or the SMPL-X edition: plain arrays, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.files.checks import misfit
from lifting.files.npz import Array, Kind, read_plain_npz
from lifting.skeleton import SMPL_22

MM = 1000.0
_LARGEST = 1e4
_RATES = ("mocap_framerate", "mocap_frame_rate")  # of the SMPL-H and of the SMPL-X edition
_BODY = 3 * len(SMPL_22)
_GENDERS = ("female", "male", "neutral")
_malformed = misfit("use a motion file of AMASS (SMPL+H G or SMPL-X) as it is downloaded")
_KEYS: Mapping[str, tuple[Kind, int]] = {
    "poses": ("float", 2),
    "root_orient": ("float", 2),
    "pose_body": ("float", 2),
    "trans": ("float", 2),
    "betas": ("float", 1),
    "gender": ("characters", 0),
    **dict.fromkeys(_RATES, ("number", 0)),
}


@dataclass(frozen=True)
class AmassMotion:
    """A recorded motion. F frames.

    Attributes:
        family: ``smplh`` or ``smplx``: which body model the numbers belong to.
        gender: ``male``, ``female`` or ``neutral``.
        rotations: Rotation vectors of the root and the 21 joints of the body, ``(F, 22, 3)``
            float64, radians.
        translation: Of the whole body, ``(F, 3)`` float64, mm.
        betas: Shape coefficients, ``(n,)`` float64.
        fps: Frames a second.
    """

    family: str
    gender: str
    rotations: Tensor
    translation: Tensor
    betas: Tensor
    fps: float


def read_amass(path: Path) -> AmassMotion | None:
    """One motion file.

    Args:
        path: An npz of plain arrays.

    Returns:
        The motion; None for an archive without motion (such as a subject's shape alone).

    Raises:
        DataError: It is damaged, unsafe or of another form.
    """
    arrays = read_plain_npz(path, _KEYS, optional=frozenset(_KEYS))
    if not {"trans", "poses", "pose_body"} & set(arrays):
        return None
    family = "smplx" if "pose_body" in arrays else "smplh"
    rates = [float(arrays[name]) for name in _RATES if name in arrays]
    needed = {"trans", "betas", "gender"} | (
        {"root_orient", "pose_body"} if family == "smplx" else {"poses"}
    )
    absent = sorted(needed - set(arrays)) + ([] if rates else [" or ".join(_RATES)])
    if absent:
        raise _malformed(path, f"the array {absent[0]}", f"only {', '.join(sorted(arrays))}")
    if family == "smplh":
        rotations = arrays["poses"]
    else:
        rotations = np.concatenate((arrays["root_orient"], arrays["pose_body"]), axis=1)
    _check(path, rotations, arrays, rates[0])
    return AmassMotion(
        family=family,
        gender=_gender(path, arrays["gender"].item()),
        rotations=_tensor(rotations[:, :_BODY]).reshape(-1, len(SMPL_22), 3),
        translation=_tensor(arrays["trans"]) * MM,
        betas=_tensor(arrays["betas"]),
        fps=rates[0],
    )


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float64))


def _check(path: Path, rotations: Array, arrays: Mapping[str, Array], rate: float) -> None:
    trans, frames = arrays["trans"], len(rotations)
    if frames == 0 or rotations.shape[1] < _BODY or trans.shape != (frames, 3):
        raise _malformed(
            path,
            f"poses of at least {_BODY} numbers and as many places",
            f"shapes {rotations.shape} and {trans.shape}",
        )
    for name, values in {"poses": rotations, "trans": trans, "betas": arrays["betas"]}.items():
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > _LARGEST:
            raise _malformed(path, f"finite '{name}' below {_LARGEST:g}", "others")
    if not 1 <= rate <= 1000:
        raise _malformed(path, "a frame rate from 1 to 1000", f"{rate}")


def _gender(path: Path, value: object) -> str:
    """The gender, which some files hold as bytes, or as the text of bytes."""
    text = value.decode("latin1") if isinstance(value, bytes) else str(value)
    word = text.strip().removeprefix("b'").removesuffix("'").lower()
    if word not in _GENDERS:
        raise _malformed(path, f"a gender among {', '.join(_GENDERS)}", f"'{word:.20}'")
    return word
