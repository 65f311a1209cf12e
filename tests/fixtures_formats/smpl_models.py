"""Writes tiny body models of the SMPL family, in the forms in which real ones are distributed."""

from __future__ import annotations

import numpy as np
from python2_pickle import named_class, python2_dumps

# Rest joints of somebody with arms spread, metres, y up; the order is that of SMPL.
REST = np.array(
    [
        (0, 0, 0), (0.06, -0.09, 0), (-0.06, -0.09, 0), (0, 0.11, -0.02), (0.1, -0.47, 0),
        (-0.1, -0.47, 0), (0, 0.25, 0), (0.09, -0.87, -0.03), (-0.09, -0.87, -0.03),
        (0, 0.3, 0.02), (0.12, -0.93, 0.09), (-0.12, -0.93, 0.09), (0, 0.52, -0.02),
        (0.08, 0.42, -0.01), (-0.08, 0.42, -0.01), (0, 0.61, 0.03), (0.2, 0.45, -0.03),
        (-0.2, 0.45, -0.03), (0.46, 0.44, -0.05), (-0.46, 0.44, -0.05), (0.72, 0.44, -0.05),
        (-0.72, 0.44, -0.05), (0.8, 0.44, -0.06), (-0.8, 0.44, -0.06),
    ]
)  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)


def model_arrays(joints=24, vertices=80, shapes=10, seed=0):
    """A model whose first vertices are its joints, so that the rest joints are known."""
    rng = np.random.default_rng(seed)
    rest = np.zeros((joints, 3))
    rest[: min(joints, 24)] = REST[:joints]
    rest[24:] = REST[22] + 0.01 * rng.normal(size=(joints - min(joints, 24), 3))
    template = np.concatenate((rest, rng.normal(size=(vertices - joints, 3)) * 0.4))
    regressor = np.zeros((joints, vertices))
    regressor[np.arange(joints), np.arange(joints)] = 1
    weights = rng.random((vertices, joints)) ** 8
    parents = [*PARENTS[:joints], *([20] * (joints - 24))]
    table = np.array([[2**32 - 1, *parents[1:]], range(joints)], dtype=np.uint32)
    return {
        "v_template": template,
        "shapedirs": rng.normal(size=(vertices, 3, shapes)) * 0.005,
        "posedirs": rng.normal(size=(vertices, 3, 9 * (joints - 1))) * 0.001,
        "J_regressor": regressor,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": table,
        "f": rng.integers(0, vertices, size=(30, 3)).astype(np.uint32),
    }


# SMPL's joint for each of Human3.6M's 17, right leg before left leg.
STAND_INS = (0, 2, 5, 8, 1, 4, 7, 3, 12, 12, 15, 16, 18, 20, 17, 19, 21)


def write_joint_models(folder, genders):
    """Models ``SMPL_<GENDER>.npz`` whose first vertices move with one joint each.

    Returns their arrays, and a regressor that takes those vertices.
    """
    arrays = model_arrays()
    arrays["weights"] = np.eye(80, 24)
    arrays["weights"][24:, 0] = 1
    arrays["posedirs"] *= 0
    for gender in genders:
        np.savez(folder / f"SMPL_{gender}.npz", **arrays)
    return arrays, np.eye(24, 80)[list(STAND_INS)]


def turned(vector):
    """Rotation matrix of a rotation vector, by Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def posed_joints(arrays, pose, betas):
    """Joints ``(24, 3)`` of such a model, metres; pose ``(24, 3)``, betas ``(10,)``."""
    rest = arrays["v_template"][:24] + arrays["shapedirs"][:24] @ betas
    chain = []
    for joint, vector in enumerate(pose):
        above, place = chain[PARENTS[joint]] if joint else (np.eye(3), 0 * rest[0])
        bone = rest[joint] - (rest[PARENTS[joint]] if joint else 0)
        chain.append((above @ turned(vector), place + above @ bone))
    return np.array([place for _, place in chain])


def official_pickle(arrays, protocol=2, sparse="scipy.sparse.csc", by_column=True):
    """The model as the official files hold it: wrapped arrays and a sparse regressor."""
    kind = "csc_matrix" if by_column else "csr_matrix"
    with named_class("chumpy.ch", "Ch") as ch, named_class(sparse, kind) as matrix:
        wrapped = {name: np.asarray(value) for name, value in arrays.items()}
        for name in ("shapedirs", "v_template"):
            wrapped[name] = ch()
            wrapped[name].__dict__ |= {"x": arrays[name], "_dirty_vars": set(), "_itr": None}
        dense = np.asarray(arrays["J_regressor"])
        lines = dense.T if by_column else dense
        major, minor = np.nonzero(lines)
        wrapped["J_regressor"] = matrix()
        wrapped["J_regressor"].__dict__ |= {
            "_shape": dense.shape,
            "data": lines[major, minor],
            "indices": minor.astype(np.int32),
            "indptr": np.searchsorted(major, np.arange(len(lines) + 1)).astype(np.int32),
            "maxprint": 50,
        }
        wrapped |= {"bs_style": "lbs", "bs_type": "lrotmin"}
        return python2_dumps(wrapped, protocol)
