"""The error in a view that took no part: what the residuals of a rig itself cannot show."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera
from lifting.geometry.resection import resect
from lifting.geometry.triangulation import projection_matrix
from lifting.geometry.triangulation_consensus import reprojection_distance
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solution import RigSolution
from lifting.teacher.solve import SIGMA_SHARE, solve_rig
from lifting.teacher.views import Observed, RigViews, observe
from lifting.typing import PerJoint


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a view says of joints that the others gave.

    Attributes:
        view: Index of the view.
        error: Distance of its keypoints from the joints' projections, ``(frames, joints)``,
            pixels; NaN where it saw nothing, the joint is not valid, or the frame served to place
            the camera.
        median: Of the error, pixels.
        inlier_share: Errors within the limit of the options.
        resected: The camera was placed by every second frame, and measured on the rest; False
            where it was given.
        solution: The rig without the view.
    """

    view: int
    error: PerJoint
    median: float
    inlier_share: float
    resected: bool
    solution: RigSolution


@torch.no_grad()
def held_out_error(
    views: RigViews, options: TeacherOptions | None = None, *, view: int
) -> HeldOut:
    """Solve the rig without a view, and measure the joints' error in it.

    A view of known place is projected into. Else its camera is placed by the joints of every
    second frame; the other frames are measured.

    Args:
        views: Three views or more; two that know their cameras' places do not do.
        options: How the rig is solved.
        view: Index of the view that is left out.

    Raises:
        ConfigError: No such view.
        DataError: Under three views, too few joints to place the camera, or what ``solve_rig``
            raises.
    """
    options = options or TeacherOptions()
    count = len(views.keypoints)
    if count < 3:
        raise DataError(
            f"expected three views or more to leave one out, got {count}; record with one more "
            "camera"
        )
    if not 0 <= view < count:
        raise ConfigError(f"expected a view from 0 to {count - 1}, got {view}")
    solution = solve_rig(views.take([v for v in range(count) if v != view]), options)
    observed = observe(views, options)
    seen = Observed(observed.keypoints[view], observed.confidence[view])
    usable = seen.used & solution.valid
    sigma = min(solution.sigma, options.sigma_max or SIGMA_SHARE * float(views.sizes.max()))
    given = (
        views.rotation is not None and views.centre is not None and views.intrinsics is not None
    )
    if given:
        camera = _given(views, view)
    else:
        camera = _placed(solution, seen, usable, views, view, sigma)
        usable = usable.clone()
        usable[::2] = False
    distance = reprojection_distance(
        solution.joints, seen.keypoints[:, None], projection_matrix(camera)
    )[:, 0]
    error = torch.where(usable, distance, torch.nan)
    limit = options.reject_sigmas * sigma
    share = (usable & (distance <= limit)).sum() / usable.sum().clamp(min=1)
    return HeldOut(
        view=view,
        error=error,
        median=float(error.nanmedian()),
        inlier_share=float(share),
        resected=not given,
        solution=solution,
    )


def _given(views: RigViews, view: int) -> Camera:
    assert views.intrinsics is not None
    assert views.rotation is not None
    assert views.centre is not None
    lens = views.intrinsics[view : view + 1].double().clone()
    lens[:, 4:] = 0
    return Camera(
        intrinsics=lens,
        size=views.sizes[view : view + 1].double(),
        rotation=views.rotation[view : view + 1].double(),
        position=views.centre[view : view + 1].double(),
    )


def _placed(
    solution: RigSolution, seen: Observed, usable: Tensor, views: RigViews, view: int, sigma: float
) -> Camera:
    """Camera of a view by the joints of every second frame."""
    chosen = usable.clone()
    chosen[1::2] = False
    if views.intrinsics is None:
        others = [v for v in range(len(views.sizes)) if v != view]
        ratio = solution.intrinsics[:, 0] / views.sizes[others].amax(-1)
        lens = torch.zeros_like(solution.intrinsics[0])
        lens[:2], lens[2:4] = ratio.mean() * views.sizes[view].max(), views.sizes[view] / 2
    else:
        lens = views.intrinsics[view].to(solution.intrinsics)
    return resect(
        solution.joints[chosen],
        seen.keypoints[chosen],
        lens,
        views.sizes[view],
        sigma=sigma,
        focal=views.intrinsics is None,
    )
