"""Joints of all frames from cameras that are known: agreement, repair, habits of the body.

And what is not believed of them, how sure the rest is, and how much a label weighs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.geometry.bundle import Freedom, adjust_bundle
from lifting.geometry.bundle_terms import BundleOptions
from lifting.geometry.camera import Camera
from lifting.geometry.triangulation import projection_matrix
from lifting.geometry.triangulation_consensus import (
    parallax,
    reprojection_distance,
    triangulate_consensus,
    triangulation_covariance,
)
from lifting.skeleton import Skeleton
from lifting.teacher.options import TeacherOptions
from lifting.teacher.swaps import repair_swaps
from lifting.teacher.views import Observed
from lifting.typing import PerJoint, Pose3D

_TOLERANCE = 1e-5  # relative fall of the cost, far below what noise leaves undecided
_CHUNK = 2048  # frames that are adjusted at a time: bounds the memory of their equations


class Triangulated(NamedTuple):
    """Joints that the views agree on.

    Attributes:
        joints: ``(frames, joints, 3)``, world frame; NaN where under two views see the joint.
        weights: ``(views, frames, joints)``, confidence where the view agrees; where no two do,
            the confidence of all.
        sigma: Deviation of keypoints, pixels.
        loss: About the share of keypoints that disagree, 0 to 1.
    """

    joints: Pose3D
    weights: PerJoint
    sigma: float
    loss: float


class Solved(NamedTuple):
    """Joints of a recording.

    Attributes:
        observed: Keypoints after the repair.
        swapped: ``(views, frames, joints)`` bool.
        joints: ``(frames, joints, 3)``, world frame, mm; NaN where under two views see the joint.
        sigma: Deviation of keypoints, pixels.
    """

    observed: Observed
    swapped: Tensor
    joints: Pose3D
    sigma: float


def triangulate(observed: Observed, camera: Camera, reach: float) -> Triangulated:
    """Joints that the views agree on, and the noise of the keypoints.

    Args:
        observed: Keypoints.
        camera: ``(views,)`` with extrinsics.
        reach: Error from which a view disagrees, pixels.
    """
    found = triangulate_consensus(
        observed.keypoints.transpose(0, 1),
        projection_matrix(camera),
        observed.confidence.transpose(0, 1),
        reach=reach,
    )
    agree = found.agree & (found.agree.sum(-2) >= 2)[..., None, :]
    kept = torch.where(agree.any(-2, keepdim=True), agree, observed.used.transpose(0, 1))
    weights = torch.where(kept, observed.confidence.transpose(0, 1), 0.0)
    sigma = estimate_sigma(found.distance.transpose(0, 1), agree.transpose(0, 1))
    loss = float(found.loss.sum() / observed.confidence.sum())
    return Triangulated(found.found.points, weights.transpose(0, 1), sigma, loss)


def solve_joints(
    observed: Observed,
    camera: Camera,
    skeleton: Skeleton,
    options: TeacherOptions,
    sigma_max: float,
) -> Solved:
    """Joints of all frames, cameras held fixed.

    Args:
        observed: Keypoints.
        camera: ``(views,)`` with extrinsics, mm.
        skeleton: The joints.
        options: Repair and habits.
        sigma_max: Largest deviation of keypoints that is believed, pixels.
    """
    reach = 4 * sigma_max
    sigma = triangulate(observed, camera, reach).sigma if options.sigma is None else options.sigma
    swapped = torch.zeros_like(observed.used)
    if options.repair_swaps:
        observed, swapped = repair_swaps(observed, camera, skeleton, sigma)
    found = triangulate(observed, camera, min(reach, 4 * sigma))
    sigma = found.sigma if options.sigma is None else options.sigma
    habits = BundleOptions(
        sigma=sigma,
        kernel="cauchy",
        bones=options.bones,
        symmetry=options.symmetry,
        acceleration=options.acceleration,
        tolerance=_TOLERANCE,
    )
    parts = []
    for start in range(0, found.joints.shape[0], _CHUNK):
        chunk = slice(start, start + _CHUNK)
        adjusted = adjust_bundle(
            camera,
            found.joints[chunk],
            observed.keypoints[:, chunk],
            found.weights[:, chunk],
            skeleton,
            habits,
            Freedom(extrinsics=False),
        )
        parts.append(adjusted.joints)
    return Solved(observed, swapped, torch.cat(parts), sigma)


LEAST_SIGMA = 0.05
"""Standard deviation of keypoints that is believed at least, pixels."""


class Judged(NamedTuple):
    """Joints after the rules.

    Attributes:
        residual: ``(views, frames, joints)``, pixels; NaN where a keypoint was not used.
        inlier: ``(views, frames, joints)`` bool, the keypoint was used, agrees, and the joint is
            in front of the camera.
        valid: ``(frames, joints)`` bool.
        weights: ``(frames, joints)``, 0 to 1.
        covariance: ``(frames, joints, 3, 3)``, mm^2; infinite where fewer than two views agree.
        angle: ``(frames, joints)``, radians, the widest under which agreeing rays meet.
    """

    residual: PerJoint
    inlier: Tensor
    valid: Tensor
    weights: PerJoint
    covariance: Tensor
    angle: PerJoint


def estimate_sigma(residual: PerJoint, used: Tensor) -> float:
    """Standard deviation of a keypoint's coordinate from residuals of triangulated joints, pixels.

    Args:
        residual: ``(views, frames, joints)``, pixels, finite where used.
        used: ``(views, frames, joints)`` bool, keypoints that took part in the triangulation.

    Returns:
        The median over joints of the sum of squares over the median of its chi-square
        distribution, of ``2 views - 3`` degrees of freedom; not below ``LEAST_SIGMA``.
    """
    square = torch.where(used, residual.square(), 0.0).sum(0)
    degrees = 2.0 * used.sum(0) - 3
    expected = degrees * (1 - 2 / (9 * degrees.clamp(min=1))) ** 3  # Wilson and Hilferty
    ratio = torch.where(degrees > 0, square / expected, torch.nan)
    found = float(ratio.nanmedian().sqrt())
    return max(found, LEAST_SIGMA) if math.isfinite(found) else LEAST_SIGMA


def judge(
    joints: Pose3D, camera: Camera, observed: Observed, sigma: float, options: TeacherOptions
) -> Judged:
    """Apply the rules of rejection.

    A keypoint counts when it is confident enough and no further than some sigmas from the joint's
    projection; a joint when two such views see it under a wide enough angle; a frame when enough
    of its joints count. The weight of a joint is the product of its two best confidences, times
    ``exp(-r^2 / (2 sigma^2))`` of the root mean square residual r of the views that count.

    Args:
        joints: ``(frames, joints, 3)``, world frame, mm; NaN where not known.
        camera: ``(views,)``.
        observed: Keypoints, lens distortion taken out.
        sigma: Deviation of keypoints, pixels.
        options: The limits.
    """
    matrices = projection_matrix(camera)
    distance = reprojection_distance(joints, observed.keypoints.transpose(0, 1), matrices)
    distance = distance.transpose(0, 1)  # (views, frames, joints)
    inlier = observed.used & (distance <= options.reject_sigmas * sigma)
    assert camera.position is not None
    known = joints.nan_to_num()
    angle = parallax(known, camera.position, inlier.transpose(0, 1))
    valid = (inlier.sum(0) >= 2) & (angle >= math.radians(options.min_angle))
    valid &= (valid.sum(-1) >= min(options.min_joints, joints.shape[1]))[:, None]
    confidence = torch.where(inlier, observed.confidence, 0.0)
    best = confidence.topk(2, dim=0).values.prod(0)
    square = torch.where(inlier, distance.square(), 0.0).sum(0) / inlier.sum(0).clamp(min=1)
    weights = best * (-square / (2 * sigma**2)).exp()
    return Judged(
        torch.where(observed.used & joints.isfinite().all(-1), distance, torch.nan),
        inlier,
        valid,
        torch.where(valid, weights, 0.0),
        triangulation_covariance(known, matrices, confidence.transpose(0, 1), sigma=sigma),
        angle,
    )
