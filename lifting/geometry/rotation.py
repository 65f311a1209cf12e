"""Rotations: quaternion, axis-angle, Euler angles, matrices; the nearest, and the mean of many.

Matrices act on column vectors from the left. Quaternions are (w, x, y, z).

The rotation nearest to a moment matrix is a unit quaternion, the dominant eigenvector of Horn's
symmetric 4x4 matrix. On a processor it is taken from the characteristic polynomial, which costs
little but loses precision where the two largest eigenvalues meet (collinear poses, some mirror
images); those matrices, and all of them on other devices, where choosing would wait for the
device, go through Jacobi rotations instead. Means are taken in the chordal metric.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import ConfigError, DataError, check_shape
from lifting.typing import Points3D, Quaternion, RotationMatrix


def quaternion_to_matrix(quaternion: Quaternion) -> RotationMatrix:
    """Rotation matrix of a quaternion, which is normalised first.

    Args:
        quaternion: ``(*batch, 4)``, (w, x, y, z), not zero.

    Returns:
        ``(*batch, 3, 3)``.

    Raises:
        ShapeError: The last axis is not 4.
    """
    check_shape("quaternion", quaternion, "*batch 4")
    w, x, y, z = functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*quaternion.shape[:-1], 3, 3)


def axis_angle_to_matrix(axis_angle: Points3D) -> RotationMatrix:
    """Rotation matrix of a rotation vector (Rodrigues), differentiable at zero.

    Args:
        axis_angle: ``(*batch, 3)``, axis times angle, radians.

    Returns:
        ``(*batch, 3, 3)``.

    Raises:
        ShapeError: The last axis is not 3.
    """
    check_shape("axis_angle", axis_angle, "*batch 3")
    square = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = square < 1e-8
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - square / 6, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    cross = cross_matrix(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sine * cross + cosine * (cross @ cross)


def axis_angle_to_quaternion(axis_angle: Points3D) -> Quaternion:
    """Unit quaternion of a rotation vector, differentiable at zero.

    Args:
        axis_angle: ``(*batch, 3)``, axis times angle, radians.

    Returns:
        ``(*batch, 4)``, (w, x, y, z).

    Raises:
        ShapeError: The last axis is not 3.
    """
    check_shape("axis_angle", axis_angle, "*batch 3")
    square = (axis_angle * axis_angle).sum(-1, keepdim=True)
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    scale = torch.where(small, 0.5 - square / 48, (angle / 2).sin() / angle)
    cosine = torch.where(small, 1 - square / 8, (angle / 2).cos())
    return torch.cat((cosine, axis_angle * scale), dim=-1)


def cross_matrix(vector: Points3D) -> Tensor:
    """Matrix of the cross product with a vector: ``cross_matrix(a) @ b == a x b``.

    Args:
        vector: ``(*batch, 3)``.

    Returns:
        ``(*batch, 3, 3)``, antisymmetric.
    """
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
    return rows.reshape(*vector.shape[:-1], 3, 3)


def euler_to_matrix(angles: Tensor, order: str) -> RotationMatrix:
    """Product of rotations about coordinate axes, applied to a column vector left to right.

    Args:
        angles: ``(*batch, n)``, radians, one an axis in ``order``.
        order: Axis letters; ``"XYZ"`` gives ``Rx @ Ry @ Rz``.

    Returns:
        ``(*batch, 3, 3)``.

    Raises:
        ConfigError: A letter is not x, y or z.
        ShapeError: The number of angles is not the number of letters.
    """
    check_shape("angles", angles, "*batch angles", angles=len(order))
    result = torch.eye(3, dtype=angles.dtype, device=angles.device)
    for i, letter in enumerate(order.lower()):
        axis = "xyz".find(letter)
        if axis < 0:
            raise ConfigError(f"expected axes among x, y, z, got '{letter}' in '{order}'")
        vector = torch.zeros(3, dtype=angles.dtype, device=angles.device)
        vector[axis] = 1
        result = result @ axis_angle_to_matrix(angles[..., i, None] * vector)
    return result.expand(*angles.shape[:-1], 3, 3)


def look_at(position: Points3D, target: Points3D, roll: Tensor | None = None) -> RotationMatrix:
    """World-to-camera rotation of a camera that looks at a point, world z up.

    Args:
        position: Camera centre, ``(*batch, 3)``, world frame.
        target: Point on the optical axis, ``(*batch, 3)``, world frame, not above the camera.
        roll: Rotation about the optical axis, ``(*batch,)``, radians.

    Returns:
        ``(*batch, 3, 3)`` with rows right, down, forward.
    """
    forward = functional.normalize(target - position, dim=-1)
    up = torch.zeros_like(forward)
    up[..., 2] = 1
    right = functional.normalize(torch.linalg.cross(forward, up, dim=-1), dim=-1)
    down = torch.linalg.cross(forward, right, dim=-1)
    rotation = torch.stack((right, down, forward), dim=-2)
    if roll is None:
        return rotation
    axis = torch.zeros_like(forward)
    axis[..., 2] = roll
    return axis_angle_to_matrix(axis) @ rotation


_CHUNK = 4096
_NEWTON_STEPS = 10
_SWEEPS = 5
# Least slope of the characteristic polynomial at its largest root: the eigenvector's error is the
# rounding error divided by this.
_LEAST_SLOPE = 1e-3

_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
# Entries ``4 row + column`` of a 4x4 matrix that make up its 2x2 minors in two rows: a, b, c, d of
# ``a d - b c``, each for the first two rows and then for the last two.
_OF_MINORS = torch.tensor(
    [8 * half + 4 * row + pair[column]
     for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)) for half in (0, 1) for pair in _PAIRS]
)  # fmt: skip
# The ten different entries of the adjugate, 00 01 02 03 11 12 13 22 23 33: three entries each, the
# minors they are multiplied with, and the sign.
_FACTORS = torch.tensor((
    5, 1, 13, 9, 0, 12, 8, 12, 8, 8,
    6, 2, 14, 10, 2, 14, 10, 13, 9, 9,
    7, 3, 15, 11, 3, 15, 11, 15, 11, 10,
))  # fmt: skip
_COFACTORS = torch.tensor((
    11, 11, 5, 5, 11, 5, 5, 4, 4, 3,
    10, 10, 4, 4, 8, 2, 2, 2, 2, 1,
    9, 9, 3, 3, 7, 1, 1, 0, 0, 0,
))  # fmt: skip
_SIGNS = torch.tensor((1.0, -1, 1, -1, 1, -1, 1, 1, -1, 1))[:, None]
_SYMMETRIC = torch.tensor((0, 1, 2, 3, 1, 4, 5, 6, 2, 5, 7, 8, 3, 6, 8, 9))


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
    constant = _determinant(_minors(plain))
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


def _minors(m: Tensor) -> Tensor:
    """2x2 minors of the first and of the last two rows, columns 01 02 03 12 13 23.

    Args:
        m: ``(4, 4, batch)``.

    Returns:
        ``(12, batch)``.
    """
    entries = m.reshape(16, -1).index_select(0, _OF_MINORS)
    one, other, third, last = torch.split(entries, 12)
    return one * last - other * third


def _determinant(minors: Tensor) -> Tensor:
    s, c = minors[:6], minors[6:]
    return s[0] * c[5] - s[1] * c[4] + s[2] * c[3] + s[3] * c[2] - s[4] * c[1] + s[5] * c[0]


def _determinant_3(m: Tensor) -> Tensor:
    a, b, c, d, e, f, g, h, i = m.reshape(-1, 9).mT.contiguous().unbind(0)
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _adjugate(m: Tensor) -> Tensor:
    """Adjugate of symmetric matrices, ``(4, 4, batch)``, by Laplace expansion in 2x2 minors."""
    terms = m.reshape(16, -1).index_select(0, _FACTORS) * _minors(m).index_select(0, _COFACTORS)
    one, other, third = torch.split(terms, 10)
    found = (one - other + third) * _SIGNS.to(m.dtype)
    return found.index_select(0, _SYMMETRIC).reshape(4, 4, -1)


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


@torch.no_grad()
def average_rotations(rotations: RotationMatrix, weights: Tensor | None = None) -> RotationMatrix:
    """Rotation with the least weighted sum of squared Frobenius distances to some.

    Args:
        rotations: ``(*batch, rotations, 3, 3)``.
        weights: ``(*batch, rotations)``, not negative; ones if None.

    Returns:
        ``(*batch, 3, 3)``; any of the best where several are equally good.

    Raises:
        ShapeError: Shapes that do not go together.

    Source: Hartley, Trumpf, Dai and Li, "Rotation averaging", 2013, section 5.3.
    """
    check_shape("rotations", rotations, "*batch rotations 3 3")
    if weights is not None:
        check_shape("weights", weights, "*batch rotations", rotations=rotations.shape[-3])
        rotations = rotations * weights[..., None, None]
    return _nearest_rotation(rotations.sum(-3))


@torch.no_grad()
def synchronise_rotations(
    relative: RotationMatrix, pairs: Tensor, cameras: int, weights: Tensor | None = None
) -> RotationMatrix:
    """World-to-camera rotations of a rig from rotations between pairs of its cameras.

    Minimises the weighted sum of ``|R_b - R_ab R_a|^2`` with the constraint that the matrices are
    rotations relaxed to orthogonality of the whole stack, then brings each to a rotation.

    Args:
        relative: R_ab of each pair, from the frame of camera a to that of b, ``(pairs, 3, 3)``.
        pairs: Indices a and b of the cameras, ``(pairs, 2)`` int.
        cameras: How many there are.
        weights: ``(pairs,)``, not negative, for example numbers of inliers; ones if None.

    Returns:
        ``(cameras, 3, 3)``; the first is the identity.

    Raises:
        DataError: The pairs do not connect all cameras.
        ShapeError: Shapes that do not go together.

    Source: Arie-Nachimson et al., "Global motion estimation from point matches", 2012.
    """
    check_shape("relative", relative, "pairs 3 3")
    check_shape("pairs", pairs, "pairs 2", pairs=len(relative))
    weights = torch.ones_like(relative[:, 0, 0]) if weights is None else weights
    check_shape("weights", weights, "pairs", pairs=len(relative))
    strength = weights.double()
    scaled = relative.double() * strength[:, None, None]
    first, second = pairs.unbind(1)
    blocks = torch.zeros(cameras, cameras, 3, 3, dtype=torch.float64, device=relative.device)
    blocks.index_put_((second, first), scaled, accumulate=True)
    blocks.index_put_((first, second), scaled.mT, accumulate=True)
    degree = torch.zeros(cameras, dtype=torch.float64, device=relative.device)
    degree = degree.index_add(0, pairs.flatten(), strength.repeat_interleave(2))
    _check_connected(first, second, strength, cameras)
    root = degree.rsqrt()  # a camera in many pairs must not draw the solution to itself
    blocks = blocks * (root[:, None] * root)[..., None, None]
    stack = blocks.transpose(1, 2).reshape(3 * cameras, 3 * cameras)
    vectors = torch.linalg.eigh(stack).eigenvectors[:, -3:]
    found = vectors.reshape(cameras, 3, 3)
    found = found * torch.linalg.det(found).sum().sign()  # the three vectors may be mirrored
    rotation = _nearest_rotation(found)
    return (rotation @ rotation[0].mT).to(relative.dtype)


def _nearest_rotation(matrix: Tensor) -> RotationMatrix:
    """Rotation R with the largest ``trace(R' matrix)``."""
    flat = matrix.reshape(-1, 3, 3).mT
    size = torch.linalg.matrix_norm(flat)[:, None, None]
    flat = flat / torch.where(size > 0, size, 1.0)
    return quaternion_to_matrix(dominant_quaternion(flat)).reshape(matrix.shape)


def _check_connected(first: Tensor, second: Tensor, weights: Tensor, cameras: int) -> None:
    linked = torch.eye(cameras, dtype=torch.float64, device=weights.device)
    linked[first, second] = linked[second, first] = (weights > 0).double()
    reach = torch.linalg.matrix_power(linked + torch.eye(cameras).to(linked), cameras)
    if not bool((reach > 0).all()):
        raise DataError(
            f"expected pairs that connect all {cameras} cameras, got {len(first)} that do not; "
            "leave out the cameras that share too few keypoints"
        )
