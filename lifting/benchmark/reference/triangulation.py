"""Two-view triangulation joint by joint, as the released code computes it: a yardstick.

Kept on purpose: a loop over joints, a decomposition of a small matrix for each, the roots of the
published polynomial, and the equations of the iterative method divided in place, so that their
weights accumulate over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Method = Callable[[Array, Array, Array, Array], Array]

ROUNDS, TOLERANCE_MM = 10, 3e-5


def each_joint(method: Method, first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    """A method on one joint after the other.

    Args:
        method: One of this module's.
        first: Keypoints of the first view, ``(joints, 2)``, pixels.
        second: Keypoints of the second view, ``(joints, 2)``, pixels.
        p_a: Projection of the first camera, ``(3, 4)``, world in mm to pixels.
        p_b: Projection of the second camera.

    Returns:
        ``(joints, 3)``, mm.
    """
    pairs = zip(first, second, strict=True)
    return np.stack([method(a, b, p_a, p_b) for a, b in pairs])


def dlt(first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    """Direct linear transform of one joint, equations as they are."""
    vector = np.linalg.svd(_equations(first, second, p_a, p_b))[2][-1]
    return vector[:3] / vector[3]


def linear(first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    """Linear least squares of one joint."""
    return _solve(_equations(first, second, p_a, p_b))


def iterative(first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    """Linear least squares of one joint, equations divided by the depths of each round."""
    rows = _equations(first, second, p_a, p_b)
    depths, point = np.ones(2), np.zeros(3)
    for _ in range(ROUNDS):
        point = _solve(rows)
        found = np.array([p[2, :3] @ point + p[2, 3] for p in (p_a, p_b)])
        if (np.abs(found - depths) <= TOLERANCE_MM).all():
            break
        rows /= np.repeat(found, 2)[:, None]
        depths = found
    return point


def polynomial(first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    """Least reprojection error of one joint, then linear least squares."""
    return linear(*corrected(first, second, fundamental(p_a, p_b)), p_a, p_b)


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
    up, down, t = np.poly1d([a, b]), np.poly1d([c, d]), np.poly1d([1, 0])
    square = up * up + g * g * (down * down)
    bend = 1 + f * f * (t * t)
    roots = (t * square * square - (bend * bend * up * down) * (a * d - b * c)).roots.real
    cost = roots**2 / bend(roots) + down(roots) ** 2 / square(roots)
    far = np.inf if f == 0 else 1 / f**2 + c * c / (a * a + g * g * c * c)
    return float(roots[cost.argmin()]) if cost.min() <= far else 1e12


def _to_origin(point: Array) -> Array:
    return np.array([[1, 0, -point[0]], [0, 1, -point[1]], [0, 0, 1]])


def _equations(first: Array, second: Array, p_a: Array, p_b: Array) -> Array:
    views = ((first, p_a), (second, p_b))
    return np.stack([u * p[2] - p[axis] for x, p in views for axis, u in enumerate(x)])


def _solve(rows: Array) -> Array:
    return np.asarray(np.linalg.lstsq(rows[:, :3], -rows[:, 3], rcond=None)[0], np.float64)
