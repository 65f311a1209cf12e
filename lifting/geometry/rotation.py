"""Rotations: quaternion, axis-angle, Euler angles, matrices; the nearest, and the mean of many.

Matrices act on column vectors from the left. Quaternions are (w, x, y, z).

The rotation nearest to a moment matrix is a polynomial in that matrix and the largest eigenvalue
of Horn's symmetric 4x4 matrix, a root of its characteristic polynomial. That costs little but
loses precision where the two largest eigenvalues meet (collinear poses, some mirror images); those
matrices, and all of them on other devices than a processor, where choosing would wait for the
device, take Horn's dominant eigenvector, a quaternion, from Jacobi rotations instead. Means are
taken in the chordal metric.
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


def left_jacobian(axis_angle: Points3D) -> Tensor:
    """How a rotation turns as its rotation vector changes: ``dR = [J dv]_x R``.

    Args:
        axis_angle: ``(*batch, 3)``, radians.

    Returns:
        J, ``(*batch, 3, 3)``.

    Source: the left Jacobian of the rotation group, for example Solà et al. 2018, equation 145.
    """
    square = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = square < 1e-8
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    first = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    second = torch.where(small, 1 / 6 - square / 120, (angle - angle.sin()) / (safe * angle))
    cross = cross_matrix(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + first * cross + second * (cross @ cross)


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


_NEWTON_STEPS = 10
_SWEEPS = 5
# Least product of the sums of two singular values, the last one with the sign of the determinant,
# in units of the largest there can be: the rotation's error is the rounding error divided by this.
_LEAST_SPREAD = 1e-2


def best_rotation(moment: Tensor) -> RotationMatrix:
    """Rotation R with the largest ``trace(R @ moment)``.

    Args:
        moment: ``(batch, 3, 3)``, sum of outer products pose by target.

    Returns:
        ``(batch, 3, 3)``; any of the best where several are equally good.

    Source: Markley, "Attitude determination using vector observations: a fast optimal matrix
    algorithm", 1993; Horn 1987 for the quaternion.
    """
    if moment.device.type != "cpu":
        return _by_quaternion(moment)
    found, sound = _by_polynomial(moment.permute(1, 2, 0).contiguous())
    rotation = found.permute(2, 1, 0)
    doubtful = (~sound).nonzero()[:, 0]
    if len(doubtful):
        rotation[doubtful] = _by_quaternion(moment[doubtful])
    return rotation


def _by_polynomial(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Transposed rotations from the largest root of Horn's characteristic polynomial.

    That root is the sum of the singular values, the last one with the sign of the determinant.

    Args:
        moment: ``(3, 3, batch)``.

    Returns:
        The matrices, ``(3, 3, batch)``, and whether each can be relied on, ``(batch,)``.
    """
    wide = torch.cat((moment, moment[:2]))
    wide = torch.cat((wide, wide[:, :2]), dim=1)
    cofactors = wide[1:4, 1:4] * wide[2:, 2:] - wide[1:4, 2:] * wide[2:, 1:4]
    determinant = (moment[0] * cofactors[0]).sum(0)
    square = moment.square().sum((0, 1))
    minors = cofactors.square().sum((0, 1))
    less, constant = square / -2, -minors
    # No root is larger than this, so Newton's method comes down on the largest from above.
    root = (square + (12 * minors).sqrt()).sqrt()
    step = root
    for _ in range(_NEWTON_STEPS):
        half = torch.addcmul(less, root, root, value=0.5)
        value = torch.addcmul(constant, half, half).addcmul_(root, determinant, value=-2)
        step = value / torch.addcmul(-determinant, half, root)
        root = root.sub(step, alpha=0.5)
    half = torch.addcmul(less, root, root, value=0.5)
    spread = half * root - determinant
    gram = (moment[:, :, None] * moment[:, None]).sum(0)
    cube = (moment[:, :, None] * gram).sum(1)
    rotation = ((half + square) * moment + root * cofactors - cube) / spread
    # The next step would be about the square of the last.
    settled = step.abs() < torch.finfo(moment.dtype).eps ** 0.5 * root
    return rotation, settled & (spread > _LEAST_SPREAD * square * root)


def _by_quaternion(moment: Tensor) -> RotationMatrix:
    """Rotations from the dominant eigenvectors of Horn's matrices, ``(batch, 3, 3)`` both."""
    size = moment.square().sum((1, 2), keepdim=True).sqrt()
    unit = moment / torch.where(size > 0, size, 1.0)
    return quaternion_to_matrix(_jacobi(_shifted_horn(unit)).mT)


def _shifted_horn(moment: Tensor) -> Tensor:
    """Horn's matrix plus the identity, ``(4, 4, batch)``, for a Frobenius norm of one.

    No eigenvalue is then larger in size than the sought one, which becomes at least one.
    """
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


def _jacobi(matrix: Tensor) -> Tensor:
    """Dominant eigenvectors of symmetric matrices by one-sided Jacobi rotations.

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
    return best_rotation(matrix.reshape(-1, 3, 3).mT).reshape(matrix.shape)


def _check_connected(first: Tensor, second: Tensor, weights: Tensor, cameras: int) -> None:
    linked = torch.eye(cameras, dtype=torch.float64, device=weights.device)
    linked[first, second] = linked[second, first] = (weights > 0).double()
    reach = torch.linalg.matrix_power(linked + torch.eye(cameras).to(linked), cameras)
    if not bool((reach > 0).all()):
        raise DataError(
            f"expected pairs that connect all {cameras} cameras, got {len(first)} that do not; "
            "leave out the cameras that share too few keypoints"
        )
