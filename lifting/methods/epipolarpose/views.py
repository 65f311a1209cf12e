"""Labels from the 2D joints of several views, while training: triangulated and checked."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lifting.errors import check_shape
from lifting.geometry.camera import (
    Camera,
    pixels_to_rays,
    project,
    undistort_rays,
    world_to_camera,
)
from lifting.geometry.triangulation import (
    RELEASED_ROUNDS,
    RELEASED_TOLERANCE_MM,
    projection_matrix,
    triangulate_least_squares,
)
from lifting.methods.epipolarpose.config import Config
from lifting.typing import PerJoint, Pose2D, Pose3D

DEVIATIONS = 3.0


class ViewLabels(NamedTuple):
    """Triangulated joints in the frames of the cameras that saw them.

    Attributes:
        joints: ``(batch, views, joints, 3)``, camera frame, absolute, mm; NaN where fewer than two
            views were trusted.
        weights: ``(batch, joints)``, 1 where the joint is a label, else 0.
    """

    joints: Pose3D
    weights: PerJoint


@torch.no_grad()
def label_views(
    keypoints: Pose2D, confidence: PerJoint, camera: Camera, root: int, config: Config
) -> ViewLabels:
    """Triangulate the 2D joints of synchronised views and keep those that all views agree on.

    A joint counts if it lies in front of all cameras and projects to within three deviations of
    each keypoint it was made of. People without a label for the root, or with too few joints, do
    not count at all.

    Args:
        keypoints: ``(batch, views, joints, 2)``, pixels, with the lens distortion.
        confidence: ``(batch, views, joints)``, 0 to 1.
        camera: Of every view, ``(batch, views)``, with extrinsics.
        root: Index of the root joint.
        config: Which method, and what is trusted.

    Raises:
        ConfigError: The cameras have no extrinsics.
        ShapeError: Shapes that do not go together.

    Source: EpipolarPose, section 3.2; the released on-line labels have neither weights nor checks.
    """
    check_shape("keypoints", keypoints, "batch views joints 2")
    projections = projection_matrix(camera)
    assert camera.rotation is not None
    assert camera.position is not None
    intrinsics = camera.intrinsics
    rays = undistort_rays(pixels_to_rays(keypoints, intrinsics), intrinsics)
    straight = rays * intrinsics[..., None, 0:2] + intrinsics[..., None, 2:4]
    trusted = confidence >= config.min_confidence
    weights = torch.where(trusted, confidence, 0.0)
    if config.triangulation == "released":
        found = triangulate_least_squares(
            straight,
            projections,
            rounds=RELEASED_ROUNDS,
            tolerance=RELEASED_TOLERANCE_MM,
            accumulate=True,
        )
    else:
        found = triangulate_least_squares(straight, projections, weights)
    joints = world_to_camera(found.points[:, None], camera.rotation, camera.position)
    error = (project(joints, intrinsics, clamp=False) - keypoints).norm(dim=-1)
    agree = ((error <= DEVIATIONS * config.sigma_px) | ~trusted).all(1)
    kept = agree & found.in_front().all(1) & (trusted.sum(1) >= 2)
    enough = (kept.sum(-1, keepdim=True) >= config.min_joints) & kept[:, root : root + 1]
    return ViewLabels(joints, (kept & enough).to(keypoints.dtype))
