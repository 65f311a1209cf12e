"""Relative pose of two cameras from pooled keypoints: ours, minimal samples, and OpenCV's.

The minimal-sample fits are yardsticks: the best sample is the answer, nothing is refitted, and
they stop, as usual, once a better sample is improbable.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lifting.geometry.epipolar import (
    RelativePose,
    eight_point,
    essential_from_fundamental,
    five_point,
    nearest_essential,
    recover_pose,
    sampson_error,
)
from lifting.geometry.robust import robust_relative_pose
from lifting.geometry.triangulation import calibration_matrix
from two_view_scene import Recording

Fit = Callable[[Recording, float, int], RelativePose]
"""A recording, the noise in pixels and a seed to the pose."""

F_EIGHT, F_RANSAC, F_LMEDS = "F, 8 points", "F, RANSAC", "F, least median"
E_RANSAC, E_MAGSAC = "E, 5 points, RANSAC", "E, 5 points, MAGSAC"
_F_THRESHOLD_PX, _E_THRESHOLD_SIGMAS = 3.0, 3.0
_F_CONFIDENCE, _E_CONFIDENCE = 0.99, 0.999
_DRAWS, _BLOCK = 1000, 50
_MEDIAN_OUTLIERS = 0.45
_REAL = 1e-6


class _Matrices(NamedTuple):
    """``(sets, solutions, 3, 3)``, and ``(sets, solutions)`` bool, the solution is real."""

    matrices: Tensor
    valid: Tensor


Solver = Callable[[Tensor, Tensor], _Matrices]


def own_fits() -> dict[str, Fit]:
    """The columns of the table with this project's geometry."""
    return {
        F_EIGHT: _eight_points,
        F_RANSAC: lambda scene, noise, seed: _ransac(
            scene, seven_point, 7, _line_distance, _F_THRESHOLD_PX, _F_CONFIDENCE, seed
        ),
        F_LMEDS: _least_median,
        E_RANSAC: lambda scene, noise, seed: _ransac(
            scene, _five_points, 5, sampson_error, _E_THRESHOLD_SIGMAS * noise, _E_CONFIDENCE, seed
        ),
        E_MAGSAC: _robust,
    }


def seven_point(first: Tensor, second: Tensor) -> _Matrices:
    """Matrices of rank two that seven pairs of rays obey, up to three a set.

    Args:
        first: ``(sets, 7, 2)``.
        second: ``(sets, 7, 2)``.

    Source: Hartley and Zisserman, section 11.1.2.
    """
    one = torch.ones_like(first[..., :1])
    a, b = torch.cat((first, one), dim=-1), torch.cat((second, one), dim=-1)
    rows = (b[..., :, None] * a[..., None, :]).flatten(-2)
    space = torch.linalg.qr(rows.mT, mode="complete").Q[..., 7:].mT.unflatten(-1, (3, 3))
    up, down = space[:, 0], space[:, 1]
    cubic, constant = torch.linalg.det(up), torch.linalg.det(down)
    plus, minus = torch.linalg.det(down + up), torch.linalg.det(down - up)
    square, line = (plus + minus) / 2 - constant, (plus - minus) / 2 - cubic
    companion = torch.zeros(len(first), 3, 3, dtype=first.dtype)
    companion[:, 0] = -torch.stack((square, line, constant), dim=-1) / cubic[:, None]
    companion[:, 1, 0] = companion[:, 2, 1] = 1
    sound = companion.isfinite().all(-1).all(-1)
    roots = torch.linalg.eigvals(torch.where(sound[:, None, None], companion, 0.0))
    found = roots.real[..., None, None] * up[:, None] + down[:, None]
    valid = (roots.imag.abs() <= _REAL * (1 + roots.abs())) & sound[:, None]
    return _Matrices(found / torch.linalg.matrix_norm(found)[..., None, None], valid)


def _five_points(first: Tensor, second: Tensor) -> _Matrices:
    return _Matrices(*five_point(first, second))


def _eight_points(recording: Recording, noise: float, seed: int) -> RelativePose:
    rays, calibration = recording.rays(), calibration_matrix(recording.intrinsics)
    fundamental = eight_point(*recording.keypoints.flatten(1, 2)).matrix
    essential = essential_from_fundamental(fundamental, *calibration)
    return recover_pose(essential, *rays).pose


def _robust(recording: Recording, noise: float, seed: int) -> RelativePose:
    return robust_relative_pose(*recording.keypoints.flatten(1, 2), *recording.intrinsics).pose


def _ransac(
    recording: Recording,
    solver: Solver,
    size: int,
    distance: Callable[[Tensor, Tensor, Tensor], Tensor],
    threshold_px: float,
    confidence: float,
    seed: int,
) -> RelativePose:
    rays, focal = recording.rays(), recording.intrinsics[:, :2].mean()
    best, most, seen = torch.eye(3, dtype=rays.dtype), torch.zeros(()).double(), 0
    for first, second in _samples(rays, size, seed):
        found = solver(first, second)
        off = distance(rays[0], rays[1], found.matrices).abs() * focal
        share = torch.where(found.valid, (off <= threshold_px).double().mean(-1), -1.0)
        score, index = share.max(1)
        running = torch.maximum(score.cummax(0).values, most)
        needed = math.log(1 - confidence) / torch.log1p(-(running.clamp(0, 1 - 1e-9) ** size))
        reached = torch.arange(len(score)) + seen + 1 >= needed
        end = int(reached.int().argmax()) + 1 if reached.any() else len(score)
        top = score[:end].argmax()
        if score[top] > most:
            best, most = found.matrices[top, index[top]], score[top]
        seen += end
        if reached.any():
            break
    return recover_pose(nearest_essential(best), *rays).pose


def _least_median(recording: Recording, noise: float, seed: int) -> RelativePose:
    rays = recording.rays()
    draws = math.log(1 - _F_CONFIDENCE) / math.log(1 - (1 - _MEDIAN_OUTLIERS) ** 7)
    best, least = torch.eye(3, dtype=rays.dtype), torch.tensor(torch.inf).double()
    for first, second in _samples(rays, 7, seed)[: math.ceil(draws / _BLOCK)]:
        found = seven_point(first, second)
        middle = _line_distance(rays[0], rays[1], found.matrices).median(-1).values
        median = torch.where(found.valid, middle, torch.inf).flatten()
        top = median.argmin()
        if median[top] < least:
            best, least = found.matrices.flatten(0, 1)[top], median[top]
    return recover_pose(nearest_essential(best), *rays).pose


def _samples(rays: Tensor, size: int, seed: int) -> list[Tensor]:
    """Blocks of random sets of pairs, each ``(2, sets, size, 2)``."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(_DRAWS, rays.shape[1], generator=generator)
    return list(torch.split(rays[:, order.topk(size).indices], _BLOCK, dim=1))


def _line_distance(first: Tensor, second: Tensor, matrix: Tensor) -> Tensor:
    """The larger distance of a pair from its epipolar lines."""
    there = first @ matrix[..., :2].mT + matrix[..., None, :, 2]
    here = second @ matrix[..., :2, :] + matrix[..., None, 2, :]
    error = ((second * there[..., :2]).sum(-1) + there[..., 2]).abs()
    slope = torch.minimum(here[..., :2].norm(dim=-1), there[..., :2].norm(dim=-1))
    return error / slope.clamp(min=torch.finfo(error.dtype).tiny)


def opencv_fits() -> dict[str, Fit]:
    """The same columns by OpenCV; empty where it is not installed."""
    if importlib.util.find_spec("cv2") is None:
        return {}
    cv2: Any = importlib.import_module("cv2")

    def fundamental(method: int) -> Fit:
        def fit(recording: Recording, noise: float, seed: int) -> RelativePose:
            cv2.setRNGSeed(seed)
            a, b = recording.keypoints.flatten(1, 2).numpy()
            found, _ = cv2.findFundamentalMat(a, b, method, _F_THRESHOLD_PX, _F_CONFIDENCE)
            calibration = calibration_matrix(recording.intrinsics)
            matrix = calibration[1].mT @ torch.from_numpy(found[:3]) @ calibration[0]
            return _recovered(cv2, matrix, recording)

        return fit

    def essential(method: int) -> Fit:
        def fit(recording: Recording, noise: float, seed: int) -> RelativePose:
            cv2.setRNGSeed(seed)
            a, b = recording.rays().numpy()
            reach = _E_THRESHOLD_SIGMAS * noise / float(recording.intrinsics[:, :2].mean())
            unit = torch.eye(3).double().numpy()
            found, _ = cv2.findEssentialMat(a, b, unit, method, _E_CONFIDENCE, reach)
            return _recovered(cv2, torch.from_numpy(found[:3]), recording)

        return fit

    return {
        F_EIGHT: fundamental(cv2.FM_8POINT),
        F_RANSAC: fundamental(cv2.FM_RANSAC),
        F_LMEDS: fundamental(cv2.FM_LMEDS),
        E_RANSAC: essential(cv2.RANSAC),
        E_MAGSAC: essential(cv2.USAC_MAGSAC),
    }


def _recovered(cv2: Any, matrix: Tensor, recording: Recording) -> RelativePose:
    a, b = recording.rays().numpy()
    unit = torch.eye(3).double().numpy()
    _, rotation, translation, _ = cv2.recoverPose(matrix.numpy(), a, b, unit)
    return RelativePose(torch.from_numpy(rotation), torch.from_numpy(translation[:, 0]))
