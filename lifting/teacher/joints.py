"""Joints of all frames from cameras that are known: agreement, repair, habits of the body."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.geometry.bundle import adjust_bundle
from lifting.geometry.bundle_task import Freedom
from lifting.geometry.bundle_terms import BundleOptions
from lifting.geometry.camera import Camera
from lifting.geometry.consensus import triangulate_consensus
from lifting.geometry.projective import projection_matrix
from lifting.skeleton import Skeleton
from lifting.teacher.options import TeacherOptions
from lifting.teacher.reject import estimate_sigma
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
