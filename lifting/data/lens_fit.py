"""Linear intrinsics of a camera from labelled frames, for data sets that do not publish them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.errors import DataError, check_shape
from lifting.typing import Pose2D, Pose3D

_LEAST_PAIRS = 12
_ROUNDS = 5
_KEPT = 3.0  # in robust standard deviations
_TO_SIGMA = 1.4826  # of the median absolute deviation of a normal distribution


@dataclass(frozen=True)
class LensFit:
    """A pinhole camera without distortion.

    Attributes:
        intrinsics: ``(9,)``, fx, fy, cx, cy in pixels and five zeros.
        residual: Median distance of projected joints from the keypoints, pixels.
    """

    intrinsics: Tensor
    residual: float


def fit_lens(joints_3d: Pose3D, keypoints_2d: Pose2D, where: str) -> LensFit:
    """Focal lengths and principal point from joints and their keypoints, by least squares.

    With known extrinsics each image axis is a line, ``u = fx X / Z + cx``. Pairs off by more than
    three robust standard deviations are left out and the line is fitted again.

    Args:
        joints_3d: ``(frames, joints, 3)``, camera frame, any length unit.
        keypoints_2d: ``(frames, joints, 2)``, pixels, the same joints.
        where: Names the camera in messages.

    Raises:
        DataError: There are too few joints before the camera, or all in one direction.

    Source: direct linear transform with known extrinsics (Hartley and Zisserman, chapter 7).
    """
    check_shape("joints_3d", joints_3d, "frames joints 3")
    check_shape("keypoints_2d", keypoints_2d, "frames joints 2")
    points, pixels = joints_3d.double().flatten(0, 1), keypoints_2d.double().flatten(0, 1)
    before = points[:, 2] > 0
    rays, pixels = points[before, :2] / points[before, 2:], pixels[before]
    if len(rays) < _LEAST_PAIRS or float(rays.std(0).min()) < 1e-6:
        raise DataError(
            f"expected at least {_LEAST_PAIRS} joints before {where}, in different directions, "
            f"to estimate its intrinsics, got {len(rays)}; use more labelled recordings"
        )
    kept = torch.ones(len(rays), dtype=torch.bool)
    for _ in range(_ROUNDS):
        mean_ray, mean_pixel = rays[kept].mean(0), pixels[kept].mean(0)
        centred = rays[kept] - mean_ray
        focal = (centred * (pixels[kept] - mean_pixel)).sum(0) / centred.square().sum(0)
        centre = mean_pixel - focal * mean_ray
        distance = (rays * focal + centre - pixels).norm(dim=-1)
        kept = distance <= _KEPT * _TO_SIGMA * distance.median() + 1e-6
        if int(kept.sum()) < _LEAST_PAIRS:
            break
    if not bool((focal > 0).all() & focal.isfinite().all()):
        raise DataError(
            f"expected keypoints that move with the joints in {where}, got focal lengths "
            f"{focal.tolist()}; the 2D and 3D files do not belong together"
        )
    intrinsics = torch.cat((focal, centre, focal.new_zeros(5))).float()
    return LensFit(intrinsics, float(distance.median()))
