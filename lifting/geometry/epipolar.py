"""Two views of one scene: fundamental and essential matrices, and the relative pose they hold.

One convention: image points a of the first view and b of the second obey ``b' F a = 0``, and
``X_b = R X_a + t``, so that ``E = [t]x R`` and ``E = K_b' F K_a``. F and E have no scale and no
sign; they come with unit Frobenius norm. Rays are X/Z and Y/Z, without distortion.

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
from lifting.geometry.rotation import cross_matrix
from lifting.typing import PerJoint, Points3D, Pose2D, RotationMatrix

_ROUNDING = 1e-14


class EightPoint(NamedTuple):
    """A fundamental matrix, or an essential one where rays were given.

    Attributes:
        matrix: ``(*batch, 3, 3)`` of rank two and unit Frobenius norm.
        ambiguity: Least singular value of the equations over the next, ``(*batch,)``; near one
            the points do not determine the matrix, as with points of one plane.
    """

    matrix: Tensor
    ambiguity: Tensor


class RelativePose(NamedTuple):
    """Motion from the first camera's frame to the second's, ``X_b = R X_a + t``.

    Attributes:
        rotation: ``(*batch, 3, 3)``.
        translation: ``(*batch, 3)``, of unit length where no length is known.
    """

    rotation: RotationMatrix
    translation: Points3D

    def essential(self) -> Tensor:
        """``[t]x R`` of unit Frobenius norm, ``(*batch, 3, 3)``."""
        return _unit(cross_matrix(self.translation) @ self.rotation)


class Cheirality(NamedTuple):
    """The pose, of four, that has most points in front of both cameras.

    Attributes:
        pose: ``(*batch,)`` of poses.
        votes: Weight of the points in front, of each candidate, ``(*batch, 4)``.
    """

    pose: RelativePose
    votes: Tensor


def eight_point(first: Pose2D, second: Pose2D, weights: PerJoint | None = None) -> EightPoint:
    """Fundamental matrix from eight or more points, by the normalised linear method.

    Args:
        first: ``(*batch, points, 2)``, pixels or rays.
        second: ``(*batch, points, 2)``.
        weights: ``(*batch, points)``, not negative; an equation is multiplied by its weight.
            Points without weight are not looked at.

    Raises:
        ShapeError: Shapes that do not go together.

    Source: Hartley, "In defense of the eight-point algorithm", 1997.
    """
    _check_pair(first, second, weights)
    if weights is None:
        weights = torch.ones_like(first[..., 0])
    used = (weights > 0)[..., None]
    a, to_a = _normalised(torch.where(used, first, 0.0).double(), weights.double())
    b, to_b = _normalised(torch.where(used, second, 0.0).double(), weights.double())
    rows = (b[..., :, None] * a[..., None, :]).flatten(-2) * weights[..., None].double()
    values, vectors = torch.linalg.eigh(rows.mT @ rows)
    matrix = vectors[..., 0].unflatten(-1, (3, 3))
    u, s, vt = torch.linalg.svd(matrix)
    matrix = (u[..., :2] * s[..., None, :2]) @ vt[..., :2, :]
    # Below what rounding leaves, two values are alike: exact points of a plane are ambiguous too.
    least = (_ROUNDING * values[..., -1]).clamp(min=torch.finfo(rows.dtype).tiny)
    ratio = torch.maximum(values[..., 0], least) / torch.maximum(values[..., 1], least)
    found = _unit(to_b.mT @ matrix @ to_a)
    return EightPoint(found.to(first.dtype), ratio.sqrt().to(first.dtype))


def essential_from_fundamental(fundamental: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``K_b' F K_a``, brought to the nearest essential matrix.

    Args:
        fundamental: ``(*batch, 3, 3)``.
        first: Calibration K_a of the first camera, ``(*batch, 3, 3)``, pixels.
        second: K_b of the second, which may differ.

    Returns:
        ``(*batch, 3, 3)`` of unit Frobenius norm.
    """
    return nearest_essential(second.mT @ fundamental @ first)


def nearest_essential(matrix: Tensor) -> Tensor:
    """Matrix with singular values s, s, 0 nearest to a matrix, of unit Frobenius norm.

    Args:
        matrix: ``(*batch, 3, 3)``.
    """
    check_shape("matrix", matrix, "*batch 3 3")
    u, _, vt = torch.linalg.svd(matrix)
    return u[..., :2] @ vt[..., :2, :] / 2**0.5


def sampson_error(first: Pose2D, second: Pose2D, matrix: Tensor) -> PerJoint:
    """Signed distance of pairs from the epipolar geometry, to first order.

    Args:
        first: ``(*batch, points, 2)``, pixels or rays.
        second: ``(*batch, points, 2)``.
        matrix: F for pixels, E for rays, ``(*batch, 3, 3)``.

    Returns:
        ``(*batch, points)``, unit of the points; its square is about the least sum of squared
        moves that makes the pair agree (see ``geometry.hartley_sturm``).

    Source: Sampson 1982; Hartley and Zisserman, equation 11.9.
    """
    lines_b = first @ matrix[..., :2].mT + matrix[..., None, :, 2]
    lines_a = second @ matrix[..., :2, :2] + matrix[..., None, 2, :2]
    # Two terms by name: `sum` over so short an axis takes five times as long.
    b0, b1, b2 = lines_b.unbind(-1)
    a0, a1 = lines_a.unbind(-1)
    error = second[..., 0] * b0 + second[..., 1] * b1 + b2
    square = a0.square() + a1.square() + (b0.square() + b1.square())
    return error * square.clamp(min=torch.finfo(square.dtype).tiny).rsqrt()


def decompose_essential(essential: Tensor) -> RelativePose:
    """The four motions that have an essential matrix.

    Args:
        essential: ``(*batch, 3, 3)``.

    Returns:
        Poses ``(*batch, 4)``; translations of unit length.

    Source: Hartley and Zisserman, result 9.19.
    """
    check_shape("essential", essential, "*batch 3 3")
    u, _, vt = torch.linalg.svd(essential)
    u = u * torch.linalg.det(u)[..., None, None].sign()
    vt = vt * torch.linalg.det(vt)[..., None, None].sign()
    turn = torch.zeros(3, 3, dtype=u.dtype, device=u.device)
    turn[0, 1], turn[1, 0], turn[2, 2] = -1.0, 1.0, 1.0
    one, other = u @ turn @ vt, u @ turn.mT @ vt
    along = u[..., 2]
    return RelativePose(
        torch.stack((one, one, other, other), dim=-3),
        torch.stack((along, -along, along, -along), dim=-2),
    )


def ray_depths(first: Pose2D, second: Pose2D, pose: RelativePose) -> tuple[PerJoint, PerJoint]:
    """Depths in both cameras at which the rays of pairs come nearest to one another.

    Args:
        first: Rays, ``(*batch, points, 2)``.
        second: Rays, ``(*batch, points, 2)``.
        pose: Poses ``(*batch,)``.

    Returns:
        Depths in the first and in the second camera, each ``(*batch, points)``, in units of the
        translation; large and of any sign for parallel rays.
    """
    a = first @ pose.rotation[..., :2].mT + pose.rotation[..., None, :, 2]
    b, t = _homogeneous(second), pose.translation[..., None, :]
    # Least squares of x a + t = y b.
    aa, bb, ab = (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)
    at, bt = (a * t).sum(-1), (b * t).sum(-1)
    scale = (aa * bb - ab * ab).clamp(min=torch.finfo(a.dtype).eps)
    return (ab * bt - bb * at) / scale, (aa * bt - ab * at) / scale


def recover_pose(
    essential: Tensor, first: Pose2D, second: Pose2D, weights: PerJoint | None = None
) -> Cheirality:
    """Relative pose of an essential matrix with most points in front of both cameras.

    Args:
        essential: ``(*batch, 3, 3)``.
        first: Rays, ``(*batch, points, 2)``.
        second: Rays, ``(*batch, points, 2)``.
        weights: ``(*batch, points)``, of each point's vote; ones if None.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    _check_pair(first, second, weights)
    poses = decompose_essential(essential)
    depths = ray_depths(first[..., None, :, :], second[..., None, :, :], poses)
    vote = ((depths[0] > 0) & (depths[1] > 0)).to(first.dtype)
    votes = (vote if weights is None else vote * weights[..., None, :]).sum(-1)
    best = votes.argmax(-1, keepdim=True)
    rotation = poses.rotation.take_along_dim(best[..., None, None], dim=-3)[..., 0, :, :]
    translation = poses.translation.take_along_dim(best[..., None], dim=-2)[..., 0, :]
    return Cheirality(RelativePose(rotation, translation), votes)


def _check_pair(first: Pose2D, second: Pose2D, weights: PerJoint | None) -> None:
    check_shape("first", first, "*batch points 2")
    check_shape("second", second, "*batch points 2", points=first.shape[-2])
    if weights is not None:
        check_shape("weights", weights, "*batch points", points=first.shape[-2])


def _homogeneous(points: Pose2D) -> Tensor:
    return torch.cat((points, torch.ones_like(points[..., :1])), dim=-1)


def _unit(matrix: Tensor) -> Tensor:
    return matrix / torch.linalg.matrix_norm(matrix)[..., None, None]


def _normalised(points: Pose2D, weights: PerJoint) -> tuple[Tensor, Tensor]:
    """Homogeneous points about zero at mean distance sqrt(2), and the matrix that made them so."""
    share = (weights / weights.sum(-1, keepdim=True))[..., None]
    middle = (share * points).sum(-2)
    distance = (points - middle[..., None, :]).norm(dim=-1, keepdim=True)
    spread = (share * distance).sum((-2, -1)).clamp(min=torch.finfo(points.dtype).tiny)
    scale = (2**0.5 / spread)[..., None]
    diagonal = torch.diag_embed(torch.cat((scale, scale, torch.ones_like(scale)), dim=-1))
    last = torch.cat((-scale * middle, torch.ones_like(scale)), dim=-1)
    move = torch.cat((diagonal[..., :2], last[..., None]), dim=-1)
    return _homogeneous(points) @ move.mT, move


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
