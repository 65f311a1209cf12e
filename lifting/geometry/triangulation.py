"""Joints in space from their images in two or more views, each on its own and all at once.

Cameras are matrices here: calibration, projection, and what two of them say about each other. Two
equations a view, ``u P_3 X = P_1 X`` and ``v P_3 X = P_2 X``, make a linear system with three
unknowns. Its normal equations are solved in closed form, in float64, with the samples along the
last axis: no loop over joints, no decomposition of small matrices, no wait for the device. Every
result is differentiable in the keypoints, the projections and the weights.

Views are the axis before the joints. A view without weight is not looked at, NaN included. Under
two views with weight there is no point: it is NaN and not ``valid``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape
from lifting.geometry.camera import Camera
from lifting.geometry.rotation import cross_matrix
from lifting.typing import Intrinsics, PerJoint, Pose2D, Pose3D

RELEASED_ROUNDS, RELEASED_TOLERANCE_MM = 10, 3e-5
"""Rounds, and the change of depth at which a joint rests, of EpipolarPose's released code."""
_CHUNK = 16_384
_ROOT_STEPS = 2


class Triangulation(NamedTuple):
    """Points and what may be believed of them.

    Attributes:
        points: ``(*batch, joints, 3)``, world frame, mm; NaN where there are too few views.
        depths: ``(*batch, views, joints)``, of the points in the views, mm.
        valid: ``(*batch, joints)`` bool, at least two views have weight.
    """

    points: Pose3D
    depths: Tensor
    valid: PerJoint

    def in_front(self) -> Tensor:
        """``(*batch, views, joints)`` bool, the point lies in front of the camera."""
        return self.depths > 0


class _Views(NamedTuple):
    """Equations of a chunk of samples; ``enough`` is None where nothing has a weight."""

    rows: Tensor  # (4, 2 views, joints, samples)
    depth_rows: Tensor  # (4, views, 1, 1 or samples)
    enough: Tensor | None  # (joints, samples)


def triangulate_dlt(
    keypoints: Pose2D,
    projections: Projection,
    weights: PerJoint | None = None,
    *,
    normalise: bool = True,
) -> Triangulation:
    """Direct linear transform: the unit homogeneous point with the least algebraic error.

    The answer depends on the origin and the unit of the world, and is worthless for points that
    are no further from the origin than they are uncertain. Least squares has no such weakness.

    Args:
        keypoints: ``(*batch, views, joints, 2)``, without distortion, pixels.
        projections: World in mm to pixels, ``(*batch, views, 3, 4)`` or without the batch.
        weights: ``(*batch, views, joints)``, not negative; an equation is multiplied by its
            weight.
        normalise: Divide each equation by the norm of its coefficients. The released code does
            not, which moves its results by up to some 20 mm.

    Raises:
        ShapeError: Shapes that do not go together.

    Source: Hartley and Zisserman, section 12.2. The eigenvector is written as the least-squares
    point plus a correction by the least eigenvalue, the root of a secular equation.
    """

    def solve(views: _Views) -> Tensor:
        rows = views.rows
        if normalise:
            length = rows.square().sum(0)
            rows = rows * torch.where(length > 0, length, 1.0).rsqrt()
        return _least_eigenvector(rows)

    return _triangulate(solve, keypoints, projections, weights)


def triangulate_least_squares(
    keypoints: Pose2D,
    projections: Projection,
    weights: PerJoint | None = None,
    *,
    rounds: int = 3,
    tolerance: float = 0.0,
    accumulate: bool = False,
) -> Triangulation:
    """Linear least squares, then again with each equation divided by the depth it was found at.

    After some rounds the residual is that in the image, in pixels, so this is what to use with
    weights. One round is the plain linear method.

    Args:
        keypoints: ``(*batch, views, joints, 2)``, without distortion, pixels.
        projections: World in mm to pixels, ``(*batch, views, 3, 4)`` or without the batch.
        weights: ``(*batch, views, joints)``, not negative; a residual is multiplied by its weight.
        rounds: Solutions of the linear system, at least one.
        tolerance: Change of all depths, mm, at which a joint stays where it is.
        accumulate: Divide the equations of the round before in place of the original ones, as
            the released code does (with ``RELEASED_ROUNDS`` and ``RELEASED_TOLERANCE_MM``).

    Raises:
        ConfigError: No round.
        ShapeError: Shapes that do not go together.

    Source: Hartley and Sturm, "Triangulation", 1997, sections 5.1 and 5.2.
    """
    if rounds < 1:
        raise ConfigError(f"expected rounds from 1, got {rounds}; one round is the linear method")

    def solve(views: _Views) -> Tensor:
        rows, point = views.rows, _least_squares(views.rows)
        before: Tensor | float = 1.0
        done: Tensor | None = None
        for _ in range(rounds - 1):
            depth = _depths(views, point)
            if tolerance > 0:
                settled = ((depth - before).abs() <= tolerance).all(0)
                done = settled if done is None else done | settled
            base = rows if accumulate else views.rows
            rows = base / torch.where(depth == 0, 1.0, depth).repeat(2, 1, 1)
            found = _least_squares(rows)
            point = found if done is None else torch.where(done, point, found)
            before = depth
        return point

    return _triangulate(solve, keypoints, projections, weights)


def _triangulate(
    solve: Callable[[_Views], Tensor],
    keypoints: Pose2D,
    projections: Projection,
    weights: PerJoint | None,
) -> Triangulation:
    """Bring the samples to the last axis, solve chunk by chunk, and bring them back."""
    check_shape("keypoints", keypoints, "*batch views joints 2")
    *batch, views, joints, _ = keypoints.shape
    check_shape("projections", projections, "*batch views 3 4", views=views)
    if weights is not None:
        check_shape("weights", weights, "*batch views joints", views=views, joints=joints)
        weights = weights.expand(*batch, views, joints).reshape(-1, views, joints)
        weights = weights.permute(1, 2, 0).double()
    image = keypoints.reshape(-1, views, joints, 2).permute(3, 1, 2, 0).double()
    if projections.ndim > 3:
        projections = projections.expand(*batch, views, 3, 4).reshape(-1, views, 3, 4)
    matrix = projections.reshape(-1, views, 3, 4).permute(2, 3, 1, 0)[:, :, :, None].double()
    samples = image.shape[-1]
    size = max(1, _CHUNK // (views * joints)) if image.device.type == "cpu" else max(1, samples)
    parts = []
    for start in range(0, max(1, samples), size):
        chunk = slice(start, start + size)
        own = matrix if matrix.shape[-1] == 1 else matrix[..., chunk]
        equations = _equations(
            image[..., chunk].contiguous(), own, None if weights is None else weights[..., chunk]
        )
        point = solve(equations)
        if equations.enough is not None:
            point = torch.where(equations.enough, point, torch.nan)
        parts.append(torch.cat((point, _depths(equations, point))))
    found = torch.cat(parts, dim=-1).permute(2, 1, 0)  # (samples, joints, 3 + views)
    found = found.reshape(*batch, joints, 3 + views).to(keypoints.dtype)
    valid = torch.ones(found.shape[:-1], dtype=torch.bool, device=found.device)
    if weights is not None:
        enough = (weights > 0).sum(0) >= 2
        valid = enough.permute(1, 0).reshape(*batch, joints)
    elif views < 2:
        valid, found = ~valid, torch.full_like(found, torch.nan)
    return Triangulation(found[..., :3], found[..., 3:].mT, valid)


def _equations(image: Tensor, matrix: Tensor, weights: Tensor | None) -> _Views:
    """Rows ``u P_3 - P_1`` of all views, then ``v P_3 - P_2``, times their weights."""
    if weights is None:
        rows = [image[axis] * matrix[2] - matrix[axis] for axis in range(2)]
        return _Views(torch.cat(rows, dim=1), matrix[2], None)
    used = weights > 0
    image, scale = torch.where(used, image, 0.0), torch.where(used, weights, 0.0)
    rows = [(image[axis] * matrix[2] - matrix[axis]) * scale for axis in range(2)]
    enough = used.sum(0) >= 2
    # Equations that anything solves, so that no NaN enters the gradient of the others.
    stand_in = torch.eye(4, 2 * len(used), dtype=image.dtype, device=image.device)[..., None, None]
    return _Views(torch.where(enough, torch.cat(rows, dim=1), stand_in), matrix[2], enough)


def _depths(views: _Views, point: Tensor) -> Tensor:
    """Depth of points ``(3, joints, samples)`` in the views, ``(views, joints, samples)``."""
    p = views.depth_rows
    return p[0] * point[0] + p[1] * point[1] + p[2] * point[2] + p[3]


def _least_squares(rows: Tensor) -> Tensor:
    return _solve_symmetric(_normal(rows), _aim(rows))


def _normal(rows: Tensor) -> tuple[Tensor, ...]:
    """Lower triangle of ``B' B`` of the first three columns, row by row."""
    a, b, c = rows[0], rows[1], rows[2]
    pairs = ((a, a), (b, a), (b, b), (c, a), (c, b), (c, c))
    return tuple((x * y).sum(0) for x, y in pairs)


def _aim(rows: Tensor) -> Tensor:
    return -torch.stack([(rows[i] * rows[3]).sum(0) for i in range(3)])


def _solve_symmetric(
    triangle: tuple[Tensor, ...], aim: Tensor, shift: Tensor | float = 0.0
) -> Tensor:
    """Solve with ``matrix - shift``, matrices of three rows, by their factors ``L D L'``."""
    m00, m10, m11, m20, m21, m22 = triangle
    d0 = m00 - shift
    l10, l20 = m10 / d0, m20 / d0
    d1 = m11 - shift - l10 * m10
    rest = m21 - l20 * m10
    l21 = rest / d1
    d2 = m22 - shift - l20 * m20 - l21 * rest
    y1 = aim[1] - l10 * aim[0]
    z = (aim[2] - l20 * aim[0] - l21 * y1) / d2
    y = y1 / d1 - l21 * z
    return torch.stack((aim[0] / d0 - l10 * y - l20 * z, y, z))


def _least_eigenvector(rows: Tensor) -> Tensor:
    """Point of the eigenvector of ``A' A`` with the least eigenvalue.

    With x the least-squares point, r its residual and N the normal matrix, the least eigenvalue is
    the root of ``e (1 + x' x + e x' m) - r' r``, where ``(N - e) m = x``. Newton's method comes
    down on it from above; the slope is one plus the square of the point ``x + e m``.
    """
    normal = _normal(rows)
    start = _solve_symmetric(normal, _aim(rows))
    residual = rows[0] * start[0] + rows[1] * start[1] + rows[2] * start[2] + rows[3]
    error, square = residual.square().sum(0), start.square().sum(0)
    value = error / (1 + square)
    move = _solve_symmetric(normal, start, value)
    for _ in range(_ROOT_STEPS):
        excess = value * (1 + square + value * (start * move).sum(0)) - error
        value = value - excess / (1 + (start + value * move).square().sum(0))
        move = _solve_symmetric(normal, start, value)
    return start + value * move


Projection = Annotated[Tensor, "*batch 3 4"]


def calibration_matrix(intrinsics: Intrinsics) -> Tensor:
    """Matrix K of a camera without its lens distortion, ``(*batch, 3, 3)``, pixels.

    Raises:
        ShapeError: The last axis is not 9.
    """
    check_shape("intrinsics", intrinsics, "*batch 9")
    fx, fy, cx, cy = intrinsics[..., :4].unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = torch.stack((fx, zero, cx, zero, fy, cy, zero, zero, one), dim=-1)
    return rows.reshape(*fx.shape, 3, 3)


def calibration_intrinsics(matrix: Tensor) -> Intrinsics:
    """Intrinsics of a calibration matrix, inverse of calibration_matrix; no distortion, no skew.

    Args:
        matrix: ``(*batch, 3, 3)``, pixels.

    Returns:
        ``(*batch, 9)``, pixels.
    """
    check_shape("matrix", matrix, "*batch 3 3")
    focal = matrix.diagonal(dim1=-2, dim2=-1)[..., :2]
    lens = torch.cat((focal, matrix[..., :2, 2]), dim=-1)
    return torch.cat((lens, lens.new_zeros(*lens.shape[:-1], 5)), dim=-1)


def projection_matrix(camera: Camera) -> Projection:
    """``P = K [R | -R C]`` of cameras, which maps world points in mm to pixels without distortion.

    Returns:
        ``(*batch, 3, 4)``.

    Raises:
        ConfigError: The cameras have no extrinsics.
    """
    if camera.rotation is None or camera.position is None:
        raise ConfigError(
            "expected cameras with rotation and position, got none; load a data set that has "
            "them, or estimate the rig from keypoints with lifting.geometry.robust"
        )
    shift = -(camera.rotation @ camera.position[..., None])
    return calibration_matrix(camera.intrinsics) @ torch.cat((camera.rotation, shift), dim=-1)


def fundamental_from_projections(first: Projection, second: Projection) -> Tensor:
    """Fundamental matrix F of two cameras, ``b' F a = 0`` for images a and b of one point.

    Args:
        first: ``(*batch, 3, 4)``; its left 3x3 part is invertible (the camera is not at infinity).
        second: ``(*batch, 3, 4)``.

    Returns:
        ``(*batch, 3, 3)`` of unit Frobenius norm.

    Raises:
        ShapeError: Not ``(3, 4)``.

    Source: Hartley and Zisserman, equation 9.1.
    """
    check_shape("first", first, "*batch 3 4")
    check_shape("second", second, "*batch 3 4")
    between = torch.linalg.solve(first[..., :3], second[..., :3], left=False)
    epipole = second[..., 3] - (between @ first[..., 3:])[..., 0]
    matrix = cross_matrix(epipole) @ between
    return matrix / torch.linalg.matrix_norm(matrix)[..., None, None]
