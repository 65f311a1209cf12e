"""Cameras of a rig from keypoints: what is not known of them is estimated, in millimetres.

Where the cameras do not give the scale, lengths of people's bones do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, DataError, suggest
from lifting.geometry.bundle import Bundle, Freedom, adjust_bundle
from lifting.geometry.bundle_terms import BundleOptions
from lifting.geometry.camera import Camera
from lifting.geometry.kinematics import scale_from_bones
from lifting.geometry.robust import LEAST_POINTS, RobustOptions
from lifting.skeleton import Skeleton
from lifting.skeleton.proportions import MEAN_STATURE_MM, population_lengths
from lifting.teacher.joints import triangulate
from lifting.teacher.options import TeacherOptions
from lifting.teacher.pairs import assemble, pair_poses
from lifting.teacher.swaps import repair_swaps
from lifting.teacher.views import Observed, RigViews
from lifting.typing import Intrinsics, Pose3D

GIVEN = "given cameras"
"""Scale rule where the extrinsics are known."""
_TRIAL_FRAMES = 100  # for the choice of the first guess of focal lengths
_TRIAL_HYPOTHESES = 64
_ATTEMPTS = 3
_AGREED = 0.15  # loss from which other draws are tried
_FIRST_STEPS = 12
_ROUNDS = 2
_WIDTH = 3.0  # sigmas
_POOL = 600  # keypoints that hypotheses are scored on


class Cameras(NamedTuple):
    """Cameras and where they come from.

    Attributes:
        camera: ``(views,)`` without distortion; the first at the origin if it was estimated.
        frames: Frames that were pooled, ``(pooled,)`` int.
        scale_rule: What decided the scale, in words.
    """

    camera: Camera
    frames: Tensor
    scale_rule: str


def find_cameras(
    views: RigViews, observed: Observed, options: TeacherOptions, sigma_max: float
) -> Cameras:
    """The cameras as they are given, or estimated from the keypoints of many frames.

    Args:
        views: What is known of the cameras.
        observed: Keypoints of all frames.
        options: How they are sought.
        sigma_max: Largest deviation of keypoints that is believed, pixels.

    Raises:
        DataError: The views share too few keypoints.
    """
    frames = pooled_frames(observed, options)
    if views.intrinsics is not None:
        lens = views.intrinsics.double().clone()
        lens[:, 4:] = 0
        if views.rotation is not None and views.centre is not None:
            camera = Camera(
                intrinsics=lens,
                size=views.sizes.double(),
                rotation=views.rotation.double(),
                position=views.centre.double(),
            )
            return Cameras(camera, frames, GIVEN)
        freedom = Freedom()
    else:
        lens = _best_guess(views, observed, options, sigma_max, frames)
        freedom = Freedom(focal=options.focal_model)
    pool = observed.frames(frames)
    camera = _first_cameras(pool, lens, views, options, freedom, sigma_max)
    for _ in range(_ROUNDS):
        found = triangulate(pool, camera, 4 * sigma_max)
        if options.repair_swaps:
            pool = repair_swaps(pool, camera, views.skeleton, found.sigma).observed
        sigma = options.sigma or found.sigma
        camera = _adjusted(camera, pool, views, options, freedom, sigma).camera
    found = triangulate(pool, camera, 4 * sigma_max)
    scale = metric_scale(found.joints, views.skeleton, options)
    return Cameras(_scaled(camera, scale.factor), frames, scale.rule)


def _first_cameras(
    pool: Observed,
    lens: Intrinsics,
    views: RigViews,
    options: TeacherOptions,
    freedom: Freedom,
    sigma_max: float,
) -> Camera:
    """Cameras before the last adjustments: of several draws of hypotheses, the best.

    Two views of a person who hardly moves are explained by more than one pose, and nothing but
    the other views tells which is wrong. A first draw that all keypoints agree with is taken.
    """
    best, least = None, float("inf")
    for attempt in range(_ATTEMPTS):
        robust = _robust(options, sigma_max)
        robust = replace(robust, seed=options.seed + attempt)
        camera = assemble(pool, lens, pair_poses(pool, lens, robust), views, sigma_max)
        camera = _adjusted(
            camera, pool, views, options, freedom, sigma_max, steps=_FIRST_STEPS
        ).camera
        loss = triangulate(pool, camera, 4 * sigma_max).loss
        if best is None or loss < least:
            best, least = camera, loss
        if least < _AGREED:
            break
    assert best is not None
    return best


def pooled_frames(observed: Observed, options: TeacherOptions) -> Tensor:
    """Frames with enough joints that two views see, evenly spread, ``(pooled,)`` int.

    Raises:
        DataError: There is none.
    """
    shared = (observed.used.sum(0) >= 2).sum(-1)
    rich = (shared >= min(LEAST_POINTS, observed.used.shape[-1])).nonzero()[:, 0]
    if len(rich) == 0:
        rich = (shared > 0).nonzero()[:, 0]
    if len(rich) == 0:
        raise DataError(
            "expected frames in which two views see the same joints, got none; give recordings "
            "of the same time"
        )
    pick = torch.linspace(0, len(rich) - 1, min(len(rich), options.pool_frames))
    return rich[pick.round().long().to(rich.device)]


def _robust(options: TeacherOptions, sigma_max: float) -> RobustOptions:
    return RobustOptions(
        hypotheses=options.hypotheses,
        sigma_max=sigma_max,
        refined=4,
        pool=_POOL,
        seed=options.seed,
    )


def _best_guess(
    views: RigViews,
    observed: Observed,
    options: TeacherOptions,
    sigma_max: float,
    frames: Tensor,
) -> Intrinsics:
    """Intrinsics, ``(views, 9)``, of the first guess whose rig ends with the least cost.

    Epipolar geometry alone hardly tells focal lengths of cameras that look at one person; that
    bones keep their length does. So every guess is carried through to a bundle adjustment.
    """
    few = observed.frames(frames[:: max(1, -(-len(frames) // _TRIAL_FRAMES))])
    robust = replace(_robust(options, sigma_max), hypotheses=_TRIAL_HYPOTHESES, refined=2)
    best, least = None, float("inf")
    for guess in options.focal_guesses:
        lens = _guessed(views, guess)
        camera = assemble(few, lens, pair_poses(few, lens, robust), views, sigma_max)
        found = _adjusted(camera, few, views, options, Freedom(focal="shared"), sigma_max / 2)
        cost = float(found.cost)
        if best is None or cost < least:
            best, least = found.camera.intrinsics, cost
    assert best is not None
    return best


def _guessed(views: RigViews, guess: float) -> Intrinsics:
    size = views.sizes.double()
    focal = guess * size.amax(-1, keepdim=True).expand(-1, 2)
    return torch.cat((focal, size / 2, torch.zeros_like(size[:, :1]).expand(-1, 5)), dim=-1)


def _adjusted(
    camera: Camera,
    pool: Observed,
    views: RigViews,
    options: TeacherOptions,
    freedom: Freedom,
    sigma: float,
    *,
    steps: int = BundleOptions.iterations,
) -> Bundle:
    """Bundle adjustment of pooled frames, after the rig is scaled by its bones."""
    found = triangulate(pool, camera, 8 * sigma)
    factor = metric_scale(found.joints, views.skeleton, options).factor
    # Frames are far apart, so there is no evenness of motion to ask for. The kernel is convex: a
    # stricter one would let go of just those keypoints that show how wrong the cameras are.
    settings = BundleOptions(
        sigma=sigma,
        kernel="huber",
        width=_WIDTH,
        bones=options.bones,
        symmetry=options.symmetry,
        iterations=steps,
    )
    return adjust_bundle(
        _scaled(camera, factor),
        factor * found.joints,
        pool.keypoints,
        found.weights,
        views.skeleton,
        settings,
        freedom,
    )


def _scaled(camera: Camera, factor: float) -> Camera:
    assert camera.position is not None
    return replace(camera, position=factor * camera.position)


class Scale(NamedTuple):
    """A factor to millimetres and where it comes from.

    Attributes:
        factor: mm a unit.
        rule: What decided it, in words.
    """

    factor: float
    rule: str


def reference_lengths(skeleton: Skeleton, options: TeacherOptions) -> Tensor:
    """Lengths that bones are taken to have, ``(joints,)``, mm; zero where nothing is known.

    Args:
        skeleton: The joints.
        options: Known lengths or the stature; without, the population's mean.

    Raises:
        ConfigError: A joint that the skeleton has not, or nothing known of any of its bones.
    """
    found = torch.zeros(len(skeleton), dtype=torch.float64)
    if options.bone_lengths is not None:
        for joint, length in options.bone_lengths.items():
            index = skeleton.index(joint)
            if index == skeleton.root or length <= 0:
                raise ConfigError(
                    f"expected lengths above 0 of bones by their lower joint, got {length} for "
                    f"'{joint}'; {suggest(joint, set(skeleton.joints))}"
                )
            found[index] = length
    else:
        stature = options.stature or MEAN_STATURE_MM
        found = found.new_tensor(population_lengths(skeleton, stature))
    if not bool((found > 0).any()):
        raise ConfigError(
            f"expected bones of known length, got none for skeleton {skeleton.name}; give "
            "bone_lengths by the names of their lower joints"
        )
    return found


def metric_scale(joints: Pose3D, skeleton: Skeleton, options: TeacherOptions) -> Scale:
    """Factor that brings the bones of a reconstruction nearest to their lengths.

    Args:
        joints: ``(frames, joints, 3)``, any unit, NaN where not known.
        skeleton: The joints.
        options: Lengths and rule.
    """
    reference = reference_lengths(skeleton, options).to(joints)
    factor = scale_from_bones(joints, reference, skeleton, robust=options.scale_rule == "median")
    if options.bone_lengths is not None:
        source = f"{len(options.bone_lengths)} given bone lengths"
    else:
        source = f"bone lengths of people {options.stature or MEAN_STATURE_MM:g} mm tall"
    rule = options.scale_rule.replace("_", " ")
    return Scale(float(factor), f"{source}, by {rule}")
