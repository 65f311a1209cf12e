"""Bundle adjustment: static cameras and a moving body, all frames of a recording at once.

Levenberg-Marquardt in float64 over the cameras and every joint in every frame, by reweighted least
squares for the robust kernel. ``bundle_terms`` and ``bundle_task`` tell what the equations are
made of, ``bundle_system`` how they are solved; the damping follows the per-sample solver's rule.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.geometry.bundle_task import Freedom, State, Task
from lifting.geometry.bundle_terms import BundleOptions, image_factors
from lifting.geometry.camera import Camera
from lifting.geometry.solver import DAMPING, adapted
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

_LOOK = 4  # steps between two looks at the cost, which wait for the device
_STUCK = 1e3  # damping at which no step that would be taken matters


class Bundle(NamedTuple):
    """Where a bundle adjustment ended.

    Attributes:
        camera: ``(views,)``.
        joints: ``(frames, joints, 3)``, world frame, mm; those that under two views see are as
            they were given.
        factors: ``(views, frames, joints)``, the kernel's factor, one for a keypoint that agrees;
            zero where a keypoint has no weight.
        cost: Without axes.
        start_cost: Without axes.
        accepted: Steps that lowered the cost, int without axes.
    """

    camera: Camera
    joints: Pose3D
    factors: PerJoint
    cost: Tensor
    start_cost: Tensor
    accepted: Tensor


@torch.no_grad()
def adjust_bundle(
    camera: Camera,
    joints: Pose3D,
    keypoints: Pose2D,
    weights: PerJoint,
    skeleton: Skeleton | None = None,
    options: BundleOptions | None = None,
    freedom: Freedom | None = None,
) -> Bundle:
    """Cameras and joints that explain the keypoints best, and the body's habits as weighed.

    Args:
        camera: ``(views,)`` with rotation and position, the start; distortion is not looked at.
        joints: ``(frames, joints, 3)``, world frame, mm, the start; NaN where not known.
        keypoints: ``(views, frames, joints, 2)``, without distortion, pixels.
        weights: ``(views, frames, joints)``, not negative, for example confidences: an error is
            multiplied by its weight and divided by sigma. Keypoints without are not looked at.
        skeleton: The tree of the joints; needed where one of the body's habits has a weight.
        options: Weights, kernel and number of steps.
        freedom: What of the cameras moves.

    Returns:
        The result; never worse than the start by its cost.

    Raises:
        ConfigError: A habit has a weight and there is no skeleton, or the cameras have no
            extrinsics.
        ShapeError: Shapes that do not go together.

    Source: Triggs et al., "Bundle adjustment: a modern synthesis", 2000.
    """
    options, freedom = options or BundleOptions(), freedom or Freedom()
    task = Task.create(camera, joints, keypoints, weights, skeleton, options, freedom)
    start = torch.where(task.placed[..., None], joints.double(), 0.0)
    state = State(camera.map(lambda values: values.double()), start)
    cost = start_cost = last = task.cost(state)
    damping = torch.full_like(cost, DAMPING)
    accepted = before = torch.zeros_like(cost, dtype=torch.int64)
    for step in range(options.iterations):
        trial = task.moved(state, task.step(state, damping))
        tried = task.cost(trial)
        better = tried < cost  # never so for one that is not finite
        state = state.where(better, trial)
        cost = torch.where(better, tried, cost)
        damping = adapted(damping, better)
        accepted = accepted + better
        if step % _LOOK == _LOOK - 1:
            # A rejected step is no sign of the end until the damping is large.
            moving = (accepted == before) & (damping < _STUCK)
            if not bool((cost < (1 - options.tolerance) * last) | moving):
                break
            last, before = cost, accepted
    errors = task.errors(state)
    kept = joints.dtype
    return Bundle(
        state.camera.map(lambda values: values.to(camera.intrinsics.dtype)),
        torch.where(task.placed[..., None], state.joints.to(kept), joints),
        torch.where(task.weights > 0, image_factors(errors, options), 0.0).to(kept),
        cost,
        start_cost,
        accepted,
    )
