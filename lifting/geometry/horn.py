"""The rotation nearest to a 3x3 moment matrix, as a unit quaternion, for many matrices at once.

Horn's symmetric 4x4 matrix has that quaternion as its dominant eigenvector. On a processor it is
taken from the characteristic polynomial, which costs little but loses precision where the two
largest eigenvalues meet (collinear poses, some mirror images); those matrices, and all of them on
other devices, where choosing would wait for the device, go through Jacobi rotations instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.typing import Quaternion

_CHUNK = 4096
_NEWTON_STEPS = 10
_SWEEPS = 5
# Least slope of the characteristic polynomial at its largest root: the eigenvector's error is the
# rounding error divided by this.
_LEAST_SLOPE = 1e-3


def dominant_quaternion(moment: Tensor) -> Quaternion:
    """Unit quaternion of the rotation R with the largest ``trace(R @ moment)``.

    Args:
        moment: ``(batch, 3, 3)``, sum of outer products pose by target, both scaled to unit
            Frobenius norm.

    Returns:
        ``(batch, 4)``, (w, x, y, z); any of the best where several are equally good.

    Source: Horn 1987, equations for the matrix; the polynomial as in Theobald 2005.
    """
    if moment.device.type != "cpu":
        return _jacobi(_shifted_horn(moment)).mT
    if not len(moment):
        return moment.new_zeros(0, 4)
    parts = [_by_polynomial(m) for m in torch.split(moment, _CHUNK)]
    vector = torch.cat([part[0] for part in parts], dim=1).mT.contiguous()
    doubtful = (~torch.cat([part[1] for part in parts])).nonzero()[:, 0]
    if len(doubtful):
        vector[doubtful] = _jacobi(_shifted_horn(moment[doubtful])).mT
    return vector


def _shifted_horn(moment: Tensor) -> Tensor:
    """Horn's matrix plus the identity, ``(4, 4, batch)``; positive semidefinite by the scaling."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = moment.reshape(-1, 9).mT.contiguous().unbind(0)
    a, b, c = yz - zy, zx - xz, xy - yx
    d, e, f = xy + yx, zx + xz, yz + zy
    entries = (
        1 + xx + yy + zz, a, b, c,
        a, 1 + xx - yy - zz, d, e,
        b, d, 1 - xx + yy - zz, f,
        c, e, f, 1 - xx - yy + zz,
    )  # fmt: skip
    return torch.stack(entries).reshape(4, 4, -1)


def _by_polynomial(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors from the largest root of the characteristic polynomial.

    Args:
        moment: ``(batch, 3, 3)``.

    Returns:
        The vectors, ``(4, batch)``, and whether each can be relied on, ``(batch,)``.
    """
    identity = torch.eye(4, dtype=moment.dtype, device=moment.device)[..., None]
    plain = _shifted_horn(moment) - identity
    low, high = _minors(plain)
    constant = _determinant(low, high)
    quadratic = -2 * moment.square().sum((1, 2))
    linear = -8 * _determinant_3(moment)
    # Both bounds hold for the largest root, so Newton's method comes down on it from above.
    root = (-1.5 * quadratic).sqrt().clamp(max=1)
    step = root
    slope = root
    for _ in range(_NEWTON_STEPS):
        lower = root * root + quadratic
        value = (lower * root + linear) * root + constant
        slope = (4 * root * root + 2 * quadratic) * root + linear
        step = value / slope
        root = root - step
    adjugate = _adjugate(plain - root * identity)
    best = adjugate.diagonal(dim1=0, dim2=1).abs().argmax(-1)
    vector = adjugate.gather(0, best[None, None].expand(1, 4, -1))[0]
    length = vector.norm(dim=0)
    settled = step.abs() < torch.finfo(moment.dtype).eps ** 0.5  # the next one is its square
    sound = settled & (slope > _LEAST_SLOPE) & (length > 0)
    return vector / length.clamp(min=torch.finfo(moment.dtype).tiny), sound


def _minors(m: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """2x2 minors of the first and of the last two rows, columns 01 02 03 12 13 23."""
    pairs = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    low = [m[0, i] * m[1, j] - m[0, j] * m[1, i] for i, j in pairs]
    high = [m[2, i] * m[3, j] - m[2, j] * m[3, i] for i, j in pairs]
    return low, high


def _determinant(low: list[Tensor], high: list[Tensor]) -> Tensor:
    s, c = low, high
    return s[0] * c[5] - s[1] * c[4] + s[2] * c[3] + s[3] * c[2] - s[4] * c[1] + s[5] * c[0]


def _determinant_3(m: Tensor) -> Tensor:
    a, b, c, d, e, f, g, h, i = m.reshape(-1, 9).mT.contiguous().unbind(0)
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _adjugate(m: Tensor) -> Tensor:
    """Adjugate of symmetric matrices, ``(4, 4, batch)``, by Laplace expansion in 2x2 minors."""
    s, c = _minors(m)
    a00 = m[1, 1] * c[5] - m[1, 2] * c[4] + m[1, 3] * c[3]
    a01 = -m[0, 1] * c[5] + m[0, 2] * c[4] - m[0, 3] * c[3]
    a02 = m[3, 1] * s[5] - m[3, 2] * s[4] + m[3, 3] * s[3]
    a03 = -m[2, 1] * s[5] + m[2, 2] * s[4] - m[2, 3] * s[3]
    a11 = m[0, 0] * c[5] - m[0, 2] * c[2] + m[0, 3] * c[1]
    a12 = -m[3, 0] * s[5] + m[3, 2] * s[2] - m[3, 3] * s[1]
    a13 = m[2, 0] * s[5] - m[2, 2] * s[2] + m[2, 3] * s[1]
    a22 = m[3, 0] * s[4] - m[3, 1] * s[2] + m[3, 3] * s[0]
    a23 = -m[2, 0] * s[4] + m[2, 1] * s[2] - m[2, 3] * s[0]
    a33 = m[2, 0] * s[3] - m[2, 1] * s[1] + m[2, 2] * s[0]
    entries = (a00, a01, a02, a03, a01, a11, a12, a13, a02, a12, a22, a23, a03, a13, a23, a33)
    return torch.stack(entries).reshape(4, 4, -1)


def _jacobi(matrix: Tensor) -> Tensor:
    """Dominant eigenvectors of positive semidefinite matrices by one-sided Jacobi rotations.

    Columns are rotated in pairs, two disjoint pairs at a time, until all are orthogonal; they are
    then the eigenvectors times their eigenvalues, also where eigenvalues are repeated.

    Args:
        matrix: ``(4, 4, batch)``.

    Returns:
        ``(4, batch)``.
    """
    first, second = matrix[0::2], matrix[1::2]  # (2 pairs, 4 rows, batch)
    for _ in range(3 * _SWEEPS):
        first, second = _orthogonalise(first, second)
        # Round robin: one column stays and three trade places, so that all six pairs meet.
        first, second = (
            torch.stack((first[0], second[0])),
            torch.stack((second[1], first[1])),
        )
    columns = torch.cat((first, second))
    best = (columns * columns).sum(1).argmax(0)
    vector = columns.gather(0, best[None, None].expand(1, 4, -1))[0]
    return vector / vector.norm(dim=0)


def _orthogonalise(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate each pair of columns within its plane until the two are orthogonal."""
    difference = (second * second).sum(1) - (first * first).sum(1)
    double = 2 * (first * second).sum(1)
    # The smaller angle with tan(2 angle) = double / difference.
    denominator = difference.abs() + torch.hypot(difference, double)
    tangent = double / torch.where(denominator > 0, denominator, 1.0)
    tangent = torch.where(difference < 0, -tangent, tangent)
    cosine = torch.rsqrt(1 + tangent * tangent)[:, None]
    sine = cosine * tangent[:, None]
    return first * cosine - second * sine, first * sine + second * cosine
