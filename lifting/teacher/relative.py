"""Relative poses of all pairs of cameras, each from all the keypoints the two share."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import DataError
from lifting.geometry.camera import pixels_to_rays
from lifting.geometry.epipolar import RelativePose
from lifting.geometry.robust import LEAST_POINTS, RobustOptions, robust_relative_pose
from lifting.teacher.views import Observed
from lifting.typing import Intrinsics, Pose2D

_WIDE = 0.35  # radians; a pair whose rays meet under this angle or more counts in full


class PairPoses(NamedTuple):
    """Pairs of cameras that share enough keypoints, and how they stand to each other.

    Attributes:
        ends: Cameras a and b, ``(pairs, 2)`` int.
        pose: From a to b, ``(pairs,)`` of poses, translation of unit length.
        inliers: Keypoints that agree, ``(pairs,)``.
        angle: Median angle under which the rays of those that agree meet, ``(pairs,)``, radians.
    """

    ends: Tensor
    pose: RelativePose
    inliers: Tensor
    angle: Tensor

    @property
    def strength(self) -> Tensor:
        """Keypoints that agree, fewer where the rays are nearly parallel, ``(pairs,)``."""
        return self.inliers * (self.angle / _WIDE).clamp(1e-3, 1)


def pair_poses(observed: Observed, intrinsics: Intrinsics, options: RobustOptions) -> PairPoses:
    """Robust relative pose of every pair of cameras that shares eight keypoints or more.

    Args:
        observed: Keypoints of the frames that are pooled.
        intrinsics: ``(views, 9)`` without distortion.
        options: How a pose is sought.

    Raises:
        DataError: No pair shares enough keypoints.
    """
    views = len(observed.keypoints)
    points = observed.keypoints.flatten(1, 2)
    weights = observed.confidence.flatten(1, 2)
    every = torch.tensor(list(combinations(range(views), 2)), device=points.device)
    both = (weights > 0)[every].all(1).sum(-1) >= LEAST_POINTS
    index = every[both]
    if len(index) == 0:
        raise DataError(
            f"expected two views that share {LEAST_POINTS} keypoints, got none; the cameras must "
            "see the person at the same time"
        )
    a, b = index.unbind(1)
    weight = weights[a] * weights[b]
    found = robust_relative_pose(
        points[a], points[b], intrinsics[a], intrinsics[b], weight, options
    )
    rays = pixels_to_rays(points, intrinsics)
    angle = _meeting_angle(rays[a], rays[b], found.pose, found.inlier)
    return PairPoses(index, found.pose, found.inlier.sum(-1), angle)


def _meeting_angle(first: Pose2D, second: Pose2D, pose: RelativePose, inlier: Tensor) -> Tensor:
    """Median angle between rays of both cameras, ``(pairs,)``, radians."""
    one = torch.ones_like(first[..., :1])
    a = torch.cat((first, one), dim=-1) @ pose.rotation.mT
    b = torch.cat((second, one), dim=-1)
    across = torch.linalg.cross(a, b, dim=-1).norm(dim=-1)
    angle = torch.atan2(across, (a * b).sum(-1))
    median = torch.where(inlier, angle, torch.nan).nanmedian(-1).values
    return median.nan_to_num(nan=0.0)
