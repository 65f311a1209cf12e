"""Essential matrices of five pairs of rays, for many sets of five at once.

Five pairs leave a space of four matrices ``x N_0 + y N_1 + z N_2 + N_3``. An essential matrix in
it has no determinant and equal singular values: ten cubic equations in x, y, z. Elimination turns
them into an eigenvalue problem of ten rows, solved here by one batched decomposition.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.typing import Pose2D

# Exponents of x, y, z: ten to eliminate, then the basis of the eigenvalue problem.
_MONOMIALS = (
    (3, 0, 0), (2, 1, 0), (1, 2, 0), (0, 3, 0), (2, 0, 1),
    (1, 1, 1), (0, 2, 1), (1, 0, 2), (0, 1, 2), (0, 0, 3),
    (2, 0, 0), (1, 1, 0), (0, 2, 0), (1, 0, 1), (0, 1, 1),
    (0, 0, 2), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0),
)  # fmt: skip
_BASIS = _MONOMIALS[10:]
_REAL = 1e-6
"""Largest imaginary part, relative to the size, of an eigenvalue that counts as real."""


class Essentials(NamedTuple):
    """Candidates of every set.

    Attributes:
        matrices: ``(*batch, 10, 3, 3)`` of unit Frobenius norm; zeros where not valid.
        valid: ``(*batch, 10)`` bool, the solution is real.
    """

    matrices: Tensor
    valid: Tensor


@torch.no_grad()
def five_point(first: Pose2D, second: Pose2D) -> Essentials:
    """All essential matrices that five pairs of rays obey.

    Works in float64; no gradient.

    Args:
        first: Rays X/Z and Y/Z without distortion, ``(*batch, 5, 2)``.
        second: ``(*batch, 5, 2)``.

    Raises:
        ShapeError: Not five pairs.

    Source: Nister, "An efficient solution to the five-point relative pose problem", 2004; the
    eigenvalue form as in Stewenius, Engels and Nister 2006.
    """
    check_shape("first", first, "*batch 5 2")
    check_shape("second", second, "*batch 5 2")
    batch = first.shape[:-2]
    one = torch.ones_like(first[..., :1])
    a = torch.cat((first, one), dim=-1).reshape(-1, 5, 3).double()
    b = torch.cat((second, one), dim=-1).reshape(-1, 5, 3).double()
    rows = (b[..., :, None] * a[..., None, :]).flatten(-2)
    space = torch.linalg.qr(rows.mT, mode="complete").Q[..., 5:].mT.unflatten(-1, (3, 3))
    cubic = _constraints(space)
    # A set without a solution gives zeros, and not an error for all.
    solved, failed = torch.linalg.solve_ex(cubic[..., :10], cubic[..., 10:])
    sound = (failed == 0) & solved.isfinite().all(-1).all(-1)
    solved = torch.where(sound[:, None, None], solved, 0.0)
    values, vectors = torch.linalg.eig(_action(solved))
    last = vectors[:, 9:]
    point = vectors[:, 6:9] / torch.where(last.abs() > 0, last, 1.0)  # (sets, 3, 10)
    valid = (values.imag.abs() <= _REAL * (1 + values.abs())) & (last[:, 0].abs() > 0)
    valid &= sound[:, None] & point.isfinite().all(1)
    weights = torch.cat((point.real, torch.ones_like(point.real[:, :1])), dim=1)
    matrices = torch.einsum("skn,skij->snij", weights, space)
    matrices = matrices / torch.linalg.matrix_norm(matrices)[..., None, None]
    matrices = torch.where(valid[..., None, None], matrices, 0.0)
    shape = (*batch, 10)
    return Essentials(matrices.to(first.dtype).reshape(*shape, 3, 3), valid.reshape(shape))


def _constraints(space: Tensor) -> Tensor:
    """Coefficients of ``det E = 0`` and ``2 E E' E = tr(E E') E``, ``(sets, 10, 20)``."""
    outer = torch.einsum("saij,sbkj->sabik", space, space)
    trace = outer.diagonal(dim1=-2, dim2=-1).sum(-1)
    cubes = 2 * torch.einsum("sabik,sckj->sabcij", outer, space)
    cubes = cubes - torch.einsum("sab,scij->sabcij", trace, space)
    crossed = torch.linalg.cross(space[:, :, None, 1], space[:, None, :, 2], dim=-1)
    determinant = torch.einsum("sai,sbci->sabc", space[:, :, 0], crossed)
    full = torch.cat((determinant[..., None], cubes.flatten(-2)), dim=-1).flatten(1, 3)
    return full.mT @ _collecting(space)


def _collecting(like: Tensor) -> Tensor:
    """0/1 matrix that adds up the products of the four unknowns by monomial, ``(64, 20)``."""
    matrix = torch.zeros(64, len(_MONOMIALS))
    for row, factors in enumerate(product(range(4), repeat=3)):
        exponents = (factors.count(0), factors.count(1), factors.count(2))
        matrix[row, _MONOMIALS.index(exponents)] = 1
    return matrix.to(like)


def _action(solved: Tensor) -> Tensor:
    """Matrix of the multiplication by x in the basis of monomials, ``(sets, 10, 10)``."""
    matrix = torch.zeros_like(solved)
    for row, (x, y, z) in enumerate(_BASIS):
        target = _MONOMIALS.index((x + 1, y, z))
        if target < 10:
            matrix[:, row] = -solved[:, target]
        else:
            matrix[:, row, target - 10] = 1
    return matrix
