"""Two-view triangulation joint by joint, as the released code computes it: a yardstick.

Kept on purpose: a loop over joints, a decomposition of a small matrix for each, the roots of the
published polynomial, and the equations of the iterative method divided in place, so that their
weights accumulate over the rounds, view by view. What the released code leaves to a compiled loop,
the direct linear transform, is left to numpy's here: exact, and slower than the released one by
half. No yardstick is made slow: polynomials are arrays of coefficients, and what a pose's joints
share is computed once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Method = Callable[[Array, Array, Array], Array]
"""Keypoints ``(2, joints, 2)``, projections ``(2, 3, 4)`` and equations ``(joints, 4, 4)`` to
points ``(joints, 3)``."""

ROUNDS, TOLERANCE_MM = 10, 3e-5


def each_joint(method: Method, first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    """A method on the joints of a pose.

    Args:
        method: One of this module's.
        first: Keypoints of the first view, ``(joints, 2)``, pixels.
        second: Keypoints of the second view, ``(joints, 2)``, pixels.
        p_a: Projection of the first camera, ``(3, 4)``, world in mm to pixels.
        p_b: Projection of the second camera.

    Returns:
        ``(joints, 3)``, mm.
    """
    keypoints, projections = np.array((first, second)), np.array((p_a, p_b))
    return method(keypoints, projections, _equations(keypoints, projections))


def dlt(keypoints: Array, projections: Array, rows: Array) -> Array:
    """Direct linear transform of each joint, equations as they are."""
    vector = np.linalg.svd(rows)[2][:, -1]
    return vector[:, :3] / vector[:, 3:]


def linear(keypoints: Array, projections: Array, rows: Array) -> Array:
    """Linear least squares of each joint."""
    return np.array([_solve(own) for own in rows])


def iterative(keypoints: Array, projections: Array, rows: Array) -> Array:
    """Linear least squares of each joint, equations divided by the depths of each round."""
    return np.array([_iterated(own.copy(), projections) for own in rows])


def polynomial(keypoints: Array, projections: Array, rows: Array) -> Array:
    """Least reprojection error of each joint, then linear least squares."""
    matrix = fundamental(*projections)
    pairs = [corrected(a, b, matrix) for a, b in zip(*keypoints, strict=True)]
    moved = np.array(pairs).transpose(1, 0, 2)
    return linear(moved, projections, _equations(moved, projections))


def _iterated(rows: Array, projections: Array) -> Array:
    matrix, aim = rows[:, :3], -rows[:, 3]
    depths, point = [1.0, 1.0], np.zeros(3)
    for _ in range(ROUNDS):
        point = np.asarray(np.linalg.lstsq(matrix, aim, rcond=None)[0], np.float64)
        found = [float(p[2, :3] @ point + p[2, 3]) for p in projections]
        if all(abs(a - b) <= TOLERANCE_MM for a, b in zip(found, depths, strict=True)):
            break
        for view, depth in enumerate(found):
            own = slice(2 * view, 2 * view + 2)
            matrix[own] /= depth
            aim[own] /= depth
        depths = found
    return point


def fundamental(p_a: Array, p_b: Array) -> Array:
    """Fundamental matrix of two projections, ``(3, 3)``."""
    wide = [np.vstack((p, (0, 0, 0, 1))) for p in (p_a, p_b)]
    between = wide[1] @ np.linalg.inv(wide[0])
    x, y, z = between[:3, 3]
    matrix = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ between[:3, :3]
    return matrix / np.linalg.norm(matrix)


def corrected(first: Array, second: Array, matrix: Array) -> tuple[Array, Array]:
    """Nearest pair that obeys the epipolar geometry, by the roots of Hartley and Sturm."""
    here, there = _to_origin(first), _to_origin(second)
    moved = np.linalg.inv(there).T @ matrix @ np.linalg.inv(here)
    epipoles = np.linalg.svd(moved)[2][-1], np.linalg.svd(moved.T)[2][-1]
    epipoles = tuple(e / np.hypot(e[0], e[1]) for e in epipoles)
    turns = [np.array([[e[0], e[1], 0], [-e[1], e[0], 0], [0, 0, 1]]) for e in epipoles]
    turned = turns[1] @ moved @ turns[0].T
    f, g = float(epipoles[0][2]), float(epipoles[1][2])
    (a, b), (c, d) = turned[1:, 1:].tolist()
    t = _best_parameter(a, b, c, d, f, g)
    lines = np.array([t * f, 1, -t]), np.array([-g * (c * t + d), a * t + b, c * t + d])
    answers = []
    for line, turn, shift in zip(lines, turns, (here, there), strict=True):
        x, y, w = line
        near = np.array([-x * w, -y * w, x * x + y * y])
        point = np.linalg.inv(shift) @ turn.T @ near
        answers.append(point[:2] / point[2])
    return answers[0], answers[1]


def _best_parameter(a: float, b: float, c: float, d: float, f: float, g: float) -> float:
    up, down = np.array((a, b)), np.array((c, d))
    square = np.convolve(up, up) + g * g * np.convolve(down, down)
    bend = np.array((f * f, 0.0, 1.0))
    both = np.convolve(np.convolve(bend, bend), np.convolve(up, down))
    coefficients = (b * c - a * d) * both
    coefficients[1:6] += np.convolve(square, square)
    roots = np.roots(coefficients).real
    cost = roots**2 / np.polyval(bend, roots)
    cost += np.polyval(down, roots) ** 2 / np.polyval(square, roots)
    far = np.inf if f == 0 else 1 / f**2 + c * c / (a * a + g * g * c * c)
    return float(roots[cost.argmin()]) if cost.min() <= far else 1e12


def _to_origin(point: Array) -> Array:
    return np.array([[1, 0, -point[0]], [0, 1, -point[1]], [0, 0, 1]])


def _equations(keypoints: Array, projections: Array) -> Array:
    """Rows ``u P_3 - P_1`` and ``v P_3 - P_2`` of both views, ``(joints, 4, 4)``."""
    rows = keypoints[..., None] * projections[:, None, 2:] - projections[:, None, :2]
    return rows.transpose(1, 0, 2, 3).reshape(-1, 4, 4)


def _solve(rows: Array) -> Array:
    return np.asarray(np.linalg.lstsq(rows[:, :3], -rows[:, 3], rcond=None)[0], np.float64)
