"""Solve a rig: cameras, joints of every frame, and what they are worth."""

from __future__ import annotations

import torch

from lifting.teacher.cameras import GIVEN, Cameras, find_cameras
from lifting.teacher.joints import judge, solve_joints
from lifting.teacher.options import TeacherOptions
from lifting.teacher.quality import assess
from lifting.teacher.solution import RigSolution
from lifting.teacher.views import Observed, RigViews, observe
from lifting.typing import Intrinsics

REVISION = 3
"""Raised when the same input gets another solution, so that no kept one is read instead."""
SIGMA_SHARE = 0.005
"""Largest deviation of keypoints that is believed by default, over the larger side of images."""


@torch.no_grad()
def solve_rig(views: RigViews, options: TeacherOptions | None = None) -> RigSolution:
    """Cameras and 3D joints from synchronised keypoints of two or more static views.

    Known cameras are taken as they are. Without extrinsics, or with nothing but the sizes of the
    images, they are estimated from all frames pooled: robust relative poses, a spanning tree,
    rotation averaging, bundle adjustment. Then joints are triangulated from the views that agree,
    exchanged limbs are put right, and the body's habits hold back what noise is left.

    Args:
        views: Keypoints and what is known of the cameras.
        options: How it is done.

    Returns:
        The solution. It is given whatever its quality: the verdict says whether to use it.

    Raises:
        ConfigError: Cameras that are half known, or bones without a known length.
        DataError: One view only, views of different length or joints, or too few keypoints that
            views share.
        ShapeError: Shapes that do not go together.

    Source: EpipolarPose, sections 3.2 and 3.3; the joint solution of all views and the bundle
    adjustment are this project's.
    """
    options = options or TeacherOptions()
    observed = observe(views, options)
    sigma_max = options.sigma_max or SIGMA_SHARE * float(views.sizes.max())
    return _with_cameras(
        views, observed, find_cameras(views, observed, options, sigma_max), options, sigma_max
    )


def _with_cameras(
    views: RigViews,
    observed: Observed,
    cameras: Cameras,
    options: TeacherOptions,
    sigma_max: float,
) -> RigSolution:
    camera = cameras.camera
    solved = solve_joints(observed, camera, views.skeleton, options, sigma_max)
    # Residuals that are larger than is believed are no measure of what to accept.
    accepted = min(solved.sigma, sigma_max) if options.sigma is None else solved.sigma
    judged = judge(solved.joints, camera, solved.observed, accepted, options)
    quality = assess(
        views,
        camera,
        solved.observed,
        solved.joints,
        judged,
        options,
        sigma=solved.sigma,
        sigma_max=sigma_max,
        frames=len(cameras.frames),
    )
    assert camera.rotation is not None
    assert camera.position is not None
    return RigSolution(
        intrinsics=_lenses(views, camera.intrinsics),
        sizes=camera.size,
        names=tuple(views.name(view) for view in range(len(camera.size))),
        rotation=camera.rotation,
        centre=camera.position,
        joints=solved.joints,
        valid=judged.valid,
        weights=judged.weights,
        residual=judged.residual,
        inlier=judged.inlier,
        covariance=judged.covariance,
        swapped=solved.swapped,
        sigma=solved.sigma,
        scale_rule=cameras.scale_rule,
        metric=cameras.scale_rule == GIVEN,
        quality=quality,
        skeleton=views.skeleton,
    )


def _lenses(views: RigViews, estimated: Intrinsics) -> Intrinsics:
    """Intrinsics as they were given, else the estimated ones."""
    return estimated if views.intrinsics is None else views.intrinsics.to(estimated)
