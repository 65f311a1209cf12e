"""What the teacher hands out: cameras, joints, what they are worth, and labels of each camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.geometry.camera import world_to_camera
from lifting.skeleton import Skeleton
from lifting.teacher.quality import RigQuality
from lifting.typing import ImageSize, Intrinsics, PerJoint, Points3D, Pose3D, RotationMatrix


@dataclass(frozen=True, kw_only=True)
class RigSolution:
    """A solved rig. Look at ``quality.verdict`` before anything is learned from it.

    The world is that of the given cameras; where they were estimated, it is the frame of the first
    camera.

    Attributes:
        intrinsics: ``(views, 9)``, pixels, as given or with the estimated focal lengths.
        sizes: Width and height of the images, ``(views, 2)``, pixels.
        names: Of the views.
        rotation: World to camera, ``(views, 3, 3)``.
        centre: Camera centres, ``(views, 3)``, mm.
        joints: ``(frames, joints, 3)``, world frame, mm; NaN where under two views see a joint.
        valid: ``(frames, joints)`` bool, joints that no rule rejected.
        weights: ``(frames, joints)``, 0 to 1, zero where not valid.
        residual: Distance of each keypoint from its joint's projection, ``(views, frames,
            joints)``, pixels without lens distortion; NaN where a keypoint was not used.
        inlier: ``(views, frames, joints)`` bool, keypoints that agree.
        covariance: ``(frames, joints, 3, 3)``, world frame, mm^2.
        swapped: ``(views, frames, joints)`` bool, keypoints exchanged with their mirror.
        sigma: Standard deviation of a keypoint's coordinate, pixels.
        scale_rule: What decided the scale, in words.
        metric: The scale is that of given cameras, so that lengths are true.
        quality: Verdict and figures.
        skeleton: The joints.
    """

    intrinsics: Intrinsics
    sizes: ImageSize
    names: tuple[str, ...]
    rotation: RotationMatrix
    centre: Points3D
    joints: Pose3D
    valid: Tensor
    weights: PerJoint
    residual: PerJoint
    inlier: Tensor
    covariance: Tensor
    swapped: Tensor
    sigma: float
    scale_rule: str
    metric: bool
    quality: RigQuality
    skeleton: Skeleton


class CameraLabels(NamedTuple):
    """Pseudo labels of every camera.

    Attributes:
        joints: ``(views, frames, joints, 3)``, camera frame, absolute, mm; NaN where not known.
        weights: ``(frames, joints)``, 0 to 1, zero where there is no label.
    """

    joints: Pose3D
    weights: PerJoint


def labels_in_camera(solution: RigSolution) -> CameraLabels:
    """The joints in the frame of each camera, and how much each weighs.

    Args:
        solution: A solved rig.

    Source: EpipolarPose, section "self-supervision"; ``X_cam = R_v (X - C_v)``.
    """
    frames, joints, _ = solution.joints.shape
    flat = solution.joints.reshape(1, frames * joints, 3)
    seen = world_to_camera(flat, solution.rotation, solution.centre)
    labels = seen.reshape(-1, frames, joints, 3)
    return CameraLabels(labels, torch.where(solution.valid, solution.weights, 0.0))
