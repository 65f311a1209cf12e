"""Model files of the SMPL family, which a user downloads after accepting their terms.

Two forms are read: npz archives of plain arrays, and the official pickles of Python 2, whose
arrays are wrapped in objects of two libraries. The wrappers are replaced by inert ones; nothing
of a file is run. Lengths become millimetres.

Human3.6M's 17 joints of a mesh are those of the matrix that published numbers are made with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.body.smpl import APPROXIMATE, FAMILY_BY_JOINTS, BodyModel
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import UNREADABLE, check_file, sha256_of
from lifting.files.npz import Array, Kind, read_plain_npz
from lifting.files.pickles import Inert, read_pickle
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17
from lifting.typing import Points3D, Pose3D

VARIABLE = "LIFTING_SMPL"
HOMES: Mapping[str, str] = {
    "smpl": "smpl.is.tue.mpg.de",
    "smplh": "mano.is.tue.mpg.de",
    "smplx": "smpl-x.is.tue.mpg.de",
}
MM = 1000.0
MAX_BYTES = 1024**3
SHAPES = 16
_LARGEST = 1e6
_KEYS: dict[str, tuple[Kind, int]] = {
    "v_template": ("float", 2),
    "shapedirs": ("float", 3),
    "posedirs": ("float", 3),
    "J_regressor": ("float", 2),
    "weights": ("float", 2),
    "kintree_table": ("integer", 2),
    "f": ("integer", 2),
}
# The last two wrap any object in the oldest pickle protocols.
_WRAPPERS = (
    ("chumpy.ch", "Ch"),
    *(
        (f"scipy.sparse.{dot}{kind}", f"{kind}_matrix")
        for dot in ("", "_")
        for kind in ("csc", "csr")
    ),
    ("copy_reg", "_reconstructor"),
    ("__builtin__", "object"),
)
# Shape coefficients before those of facial expression, by their number together.
_SMPLX_SHAPES = {20: 10, 400: 300}
_SHORT = {"male": "m", "female": "f", "neutral": "neutral"}

BATCH = 64
_MAX_BYTES = 64 * 1024**2
_LEGS, _ARMS = ((1, 4), (2, 5), (3, 6)), ((14, 11), (15, 12), (16, 13))  # right, left


def find_body_model(option: str | None, families: tuple[str, ...], gender: str) -> Path:
    """The model file for a person.

    Args:
        option: A model file, which is then used for everybody, or a folder of them; None takes
            the variable LIFTING_SMPL.
        families: Acceptable families, best first.
        gender: ``male``, ``female`` or ``neutral``.

    Raises:
        MissingDataError: Nothing is given or found; the message says where models are to be had.
    """
    given = option or os.environ.get(VARIABLE)
    homes = " or ".join(f"https://{HOMES[family]} ({family})" for family in families)
    cure = (
        f"download a model from {homes} after accepting its terms, and give its file or folder "
        f"as option body_model or in the variable {VARIABLE}"
    )
    if not given:
        raise MissingDataError(
            f"expected a body model file ({', '.join(families)}), got neither an option nor the "
            f"variable {VARIABLE}; {cure}"
        )
    place = Path(given).expanduser()
    if place.is_file():
        return place
    names = [name for family in families for name in _file_names(family, gender)]
    for name in names:
        if (place / name).is_file():
            return place / name
    raise MissingDataError(
        f"expected a body model file for gender '{gender}' in {place}, found none of "
        f"{', '.join(names)}; {cure}"
    )


def _file_names(family: str, gender: str) -> list[str]:
    stem = f"{family.upper()}_{gender.upper()}"
    names = [f"{stem}.npz", f"{stem}.pkl"]
    if family == "smplh":
        names = [f"{gender}/model.npz", *names]
    if family == "smpl":
        short = _SHORT[gender]
        names += [
            f"basicModel_{short}_lbs_10_207_0_v1.0.0.pkl",
            f"basicmodel_{short}_lbs_10_207_0_v1.1.0.pkl",
        ]
    return [*(f"{family}/{name}" for name in names), *names]


def read_body_model(
    path: Path, shapes: int = SHAPES, dtype: torch.dtype = torch.float32
) -> BodyModel:
    """The body in a model file.

    Args:
        path: An npz of plain arrays, or an official pickle.
        shapes: Shape coefficients to keep, as far as the file has them.
        dtype: Precision of the result.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, unsafe, or no model of this family.
    """
    if not path.is_file():
        raise MissingDataError(f"expected a body model at {path}, found none; check the path")
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    arrays = read_plain_npz(path, _KEYS, MAX_BYTES) if zipped else _read_official(path)
    parents = _parents(path, arrays["kintree_table"])
    family = FAMILY_BY_JOINTS.get(len(parents), "other")
    _check(path, arrays, len(parents))
    directions = arrays["shapedirs"]
    if family == "smplx":
        directions = directions[..., : _SMPLX_SHAPES.get(directions.shape[-1])]

    def tensor(value: Array, scale: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(value.astype(np.float64) * scale).to(dtype)

    return BodyModel(
        family=family,
        template=tensor(arrays["v_template"], MM),
        shape_directions=tensor(directions[..., :shapes], MM),
        pose_directions=tensor(arrays["posedirs"], MM),
        joint_regressor=tensor(arrays["J_regressor"]),
        skinning_weights=tensor(arrays["weights"]),
        parents=parents,
        faces=torch.from_numpy(arrays["f"].astype(np.int64)),
    )


def _read_official(path: Path) -> dict[str, Array]:
    check_file(path, MAX_BYTES, "a body model")
    model = read_pickle(path.read_bytes(), str(path), inert=_WRAPPERS)
    if not isinstance(model, dict):
        raise _malformed(path, "a dictionary of arrays", type(model).__name__)
    return {name: _unwrap(path, name, model.get(name)) for name in _KEYS}


def _unwrap(path: Path, name: str, value: object) -> Array:
    """The array itself, out of its wrapper."""
    kind, axes = _KEYS[name]
    state = value.state if isinstance(value, Inert) else None
    if isinstance(state, dict):
        value = state.get("x")
        if value is None and {"data", "indices", "indptr"} <= set(state):
            value = _dense(path, name, state)
    wanted = "iu" if kind == "integer" else "f"
    if not isinstance(value, np.ndarray) or value.dtype.kind not in wanted or value.ndim != axes:
        got = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else value
        raise _malformed(path, f"'{name}' as {kind} with {axes} axes", f"{got!s:.60}")
    return value


def _dense(path: Path, name: str, state: dict[object, object]) -> Array:
    """A sparse matrix written out; every index is checked, for nothing else does."""
    shape = state.get("_shape", state.get("shape"))
    parts = [state["data"], state["indices"], state["indptr"]]
    arrays = [p for p in parts if isinstance(p, np.ndarray) and p.ndim == 1]
    if not isinstance(shape, tuple) or len(shape) != 2 or len(arrays) != 3:
        raise _malformed(path, f"a sparse matrix in '{name}'", f"shape {shape!s:.40}")
    data, indices, starts = arrays
    rows, columns = (int(n) if isinstance(n, int) else -1 for n in shape)
    by_column = len(starts) == columns + 1
    major, minor = (columns, rows) if by_column else (rows, columns)
    fits = (
        min(rows, columns) > 0
        and rows * columns <= MAX_BYTES // 8
        and starts.dtype.kind == indices.dtype.kind == "i"
        and len(starts) == major + 1
        and len(indices) == len(data)
        and starts[0] == 0
        and starts[-1] == len(data)
        and bool((np.diff(starts) >= 0).all())
        and bool(((indices >= 0) & (indices < minor)).all())
    )
    if not fits:
        raise _malformed(path, f"a consistent sparse matrix in '{name}'", f"shape {shape!s:.40}")
    dense = np.zeros((major, minor))
    np.add.at(dense, (np.repeat(np.arange(major), np.diff(starts)), indices), data)
    return dense.T if by_column else dense


def _parents(path: Path, table: Array) -> tuple[int, ...]:
    """Parent of each joint from pairs (parent, child), in which the root's parent is no joint."""
    rows = table.astype(np.int64)
    joints = rows.shape[1]
    if rows.shape[0] != 2 or not 1 < joints < 1000 or (rows[1] != np.arange(joints)).any():
        raise _malformed(path, "'kintree_table' of shape (2, joints)", f"shape {rows.shape}")
    parents = tuple(int(p) if 0 <= p < joints else -1 for p in rows[0])
    if parents[0] != -1 or any(not 0 <= p < child for child, p in enumerate(parents[1:], 1)):
        raise _malformed(path, "parents before their children", f"{parents[:8]} ...")
    return parents


def _check(path: Path, arrays: Mapping[str, Array], joints: int) -> None:
    vertices = len(arrays["v_template"])
    shapes = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, arrays["shapedirs"].shape[-1]),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "f": (len(arrays["f"]), 3),
    }
    for name, shape in shapes.items():
        value = arrays[name]
        if value.shape != shape:
            raise _malformed(path, f"'{name}' of shape {shape}", f"{value.shape}")
        if not (np.abs(value) < _LARGEST).all():
            raise _malformed(path, f"finite numbers in '{name}'", "NaN, infinity or huge ones")
    for name in ("J_regressor", "weights"):
        sums = arrays[name].sum(1)
        if (np.abs(sums - 1) > 0.01).any():
            worst = float(sums[np.abs(sums - 1).argmax()])
            raise _malformed(path, f"rows of '{name}' that sum to one", f"a sum of {worst:.3g}")
    if arrays["f"].size and not 0 <= arrays["f"].min() <= arrays["f"].max() < vertices:
        raise _malformed(path, f"faces among {vertices} vertices", f"{arrays['f'].max()}")


def _malformed(path: Path, expected: str, got: str) -> DataError:
    return DataError(
        f"expected {expected} in body model {path}, got {got}; use an SMPL, SMPL-H or SMPL-X "
        "model file as it is downloaded"
    )


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
