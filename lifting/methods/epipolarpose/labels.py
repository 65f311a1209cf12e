"""What the network is trained for, in its own coordinates, and the distance from it.

Labels come from the data, or from the 2D joints of several views while training: triangulated and
checked.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

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
from lifting.methods.epipolarpose.crop import PATCH, Crop, camera_to_image, image_to_normalised
from lifting.typing import Intrinsics, PerJoint, Pose2D, Pose3D

LossKind = Literal["smooth_l1", "l1", "squared"]
RELEASED_ROOT = 0
"""Joint that the released on-line labels take for the root: in MPII's order the right foot."""


class Labels(NamedTuple):
    """Labels of a batch of crops.

    Attributes:
        joints: ``(batch, joints, 3)``, normalised.
        weights: Of every coordinate, ``(batch, joints, 3)``.
    """

    joints: Pose3D
    weights: Tensor


def crop_labels(
    joints: Pose3D,
    intrinsics: Intrinsics,
    crop: Crop,
    root: int,
    weights: PerJoint | None = None,
    *,
    z_weight: float = 1.0,
    patch: int = PATCH,
    rounded: bool = False,
) -> Labels:
    """Labels of people whose joints are known in the camera frame.

    Args:
        joints: ``(batch, joints, 3)``, camera frame, absolute, mm.
        intrinsics: ``(batch, 9)``, pixels.
        crop: What the network sees of the image.
        root: Index of the joint that depths are relative to; ``RELEASED_ROOT`` for parity with the
            released on-line labels, whose root is wrong.
        weights: ``(batch, joints)``; ones if None. A joint without weight may be NaN; if the root
            has none, no depth counts.
        z_weight: Further factor for the depth.
        patch: Side of the patch, pixels.
        rounded: Round the crop's points to single precision, as the released code does.

    Raises:
        ShapeError: Shapes that do not go together.

    Source: EpipolarPose, released code.
    """
    batch, count = joints.shape[:2]
    check_shape("joints", joints, "batch joints 3")
    check_shape("intrinsics", intrinsics, "batch 9", batch=batch)
    if weights is None:
        weights = torch.ones_like(joints[..., 0])
    check_shape("weights", weights, "batch joints", batch=batch, joints=count)
    used = (weights > 0)[..., None]
    # What has no weight may be NaN or behind the camera: something to project in its place.
    known = torch.where(used, joints, joints.new_tensor((0.0, 0.0, 1.0)))
    seen = camera_to_image(known, intrinsics, root)
    place = torch.where(used, image_to_normalised(seen, crop, patch, rounded=rounded), 0.0)
    flat = weights[..., None].expand(-1, -1, 2)
    depth = z_weight * weights[..., None] * used[:, root : root + 1]
    return Labels(place, torch.cat((flat, depth), dim=-1))


def joint_loss(
    predicted: Pose3D,
    labels: Labels,
    kind: LossKind = "smooth_l1",
    *,
    norm: bool = False,
    average: bool = True,
) -> Tensor:
    """Weighted distance of all coordinates, summed over joints and divided by the batch size.

    Normalised coordinates differ by less than one, so that the smooth L1 distance is half the
    squared error throughout.

    Args:
        predicted: ``(batch, joints, 3)``, normalised.
        labels: Of the same joints.
        kind: ``smooth_l1`` is quadratic below a difference of one, ``l1`` the absolute difference,
            ``squared`` its square.
        norm: Divide prediction and label each by its own L1 norm over the whole batch.
        average: Divide by the batch size.

    Returns:
        A scalar.

    Source: EpipolarPose, released code.
    """
    target = labels.joints
    if norm:
        predicted, target = predicted / predicted.abs().sum(), target / target.abs().sum()
    distance = {
        "smooth_l1": functional.smooth_l1_loss,
        "l1": functional.l1_loss,
        "squared": functional.mse_loss,
    }[kind]
    total = (labels.weights * distance(predicted, target, reduction="none")).sum()
    return total / len(predicted) if average else total


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
