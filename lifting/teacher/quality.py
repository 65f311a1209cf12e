"""Whether a solved rig is fit to learn from: figures, and a verdict with its reasons.

One of them is whether the views show the same time: would another shift of a view agree better
with the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.geometry.camera import Camera, pixels_to_rays
from lifting.geometry.epipolar import RelativePose, eight_point, sampson_error
from lifting.geometry.robust import LEAST_POINTS, marginal_loss
from lifting.teacher.joints import Judged
from lifting.teacher.options import TeacherOptions
from lifting.teacher.views import Observed, RigViews
from lifting.typing import Pose3D

Verdict = Literal["good", "low", "unusable"]

PLANAR, DOUBTFUL = 0.5, 0.25
"""Ambiguity from which a rig is unusable, and from which its quality is low."""
_DISAGREE, _DISTURBED = 0.5, 0.8  # share of a view's keypoints that agree
_SHIFTED = 0.9  # gain of a shift below which views count as not synchronised
_NOISE_LIMIT, _NOISY = 1.3, 2.0  # times the largest sigma that is believed
_FEW_FRAMES, _STILL_MM = 16, 100.0
_FOCAL = (0.4, 4.0)  # over the larger side of the image
_VALID, _MOSTLY_VALID = 0.25, 0.5
_FRONT, _MOSTLY_FRONT = 0.75, 0.95


@dataclass(frozen=True, kw_only=True)
class RigQuality:
    """What a solved rig is worth. All figures are plain numbers.

    Attributes:
        verdict: ``good``; ``low``: look at the reasons before use; ``unusable``: do not learn from
            it.
        reasons: Why it is not good, in words; empty where it is.
        median_residual: Of each view, pixels; infinite where most joints are behind it.
        inlier_share: Of each view, keypoints that agree of those that were used.
        pair_share: Of each pair of views in the order of ``pairs``, keypoints within three sigmas
            of the epipolar line.
        pairs: Indices of the views of each pair.
        frames: Frames that the cameras were estimated from, or that there are.
        ambiguity: Least singular value of the eight-point equations over the next, of the pair
            where that is smallest; near one where all points lie in a plane.
        baseline_angle: Median over joints, which two views agree on, of the widest angle under
            which rays meet, degrees; zero where there is none.
        front_share: Triangulated joints in front of all the cameras that see them.
        valid_share: Joints that no rule rejected, of those that two views see.
        movement: Root mean square way of these joints about their mean places, mm.
        shift: Frames that each view is late by; zeros where no shift is clearly better.
        shift_gain: Loss at the best shift over the loss as it is, of each view.
        sigma: Standard deviation of a keypoint's coordinate, pixels.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    median_residual: tuple[float, ...]
    inlier_share: tuple[float, ...]
    pair_share: tuple[float, ...]
    pairs: tuple[tuple[int, int], ...]
    frames: int
    ambiguity: float
    baseline_angle: float
    front_share: float
    valid_share: float
    movement: float
    shift: tuple[int, ...]
    shift_gain: tuple[float, ...]
    sigma: float


def assess(
    views: RigViews,
    camera: Camera,
    observed: Observed,
    joints: Pose3D,
    judged: Judged,
    options: TeacherOptions,
    *,
    sigma: float,
    sigma_max: float,
    frames: int,
) -> RigQuality:
    """Figures and verdict of a solved rig.

    Args:
        views: What was given.
        camera: ``(views,)``, the solution.
        observed: Keypoints after the repair.
        joints: ``(frames, joints, 3)``, world frame, mm.
        judged: Joints after the rules.
        options: Limits.
        sigma: Deviation of keypoints, pixels.
        sigma_max: Largest that is believed.
        frames: Frames that the cameras were estimated from, or that there are.
    """
    compared = observed.used & (observed.used.sum(0) >= 2)
    agree = (judged.inlier & compared).flatten(1).sum(1) / compared.flatten(1).sum(1).clamp(min=1)
    pairs = tuple(combinations(range(len(observed.used)), 2))
    seen = compared & joints.isfinite().all(-1)
    residual = torch.where(seen, judged.residual, torch.nan).flatten(1).nanmedian(1).values
    synchrony = best_shifts(observed, camera, options.shifts, sigma_max)
    better = zip(synchrony.shift, synchrony.gain, strict=True)
    quality = RigQuality(
        verdict="good",
        reasons=(),
        median_residual=tuple(residual.tolist()),
        inlier_share=tuple(agree.tolist()),
        pair_share=tuple(_pair_share(observed, camera, a, b, sigma_max) for a, b in pairs),
        pairs=pairs,
        frames=frames,
        ambiguity=min(_ambiguity(judged.inlier, observed, camera, a, b) for a, b in pairs),
        baseline_angle=math.degrees(_median(judged.angle[judged.inlier.sum(0) >= 2])),
        front_share=_front_share(joints, camera, compared),
        valid_share=float(judged.valid.sum() / compared.any(0).sum().clamp(min=1)),
        movement=_movement(joints, judged.valid),
        shift=tuple(by if gain < _SHIFTED else 0 for by, gain in better),
        shift_gain=synchrony.gain,
        sigma=sigma,
    )
    focal = camera.intrinsics[:, 0] / camera.size.amax(-1)
    return _with_verdict(quality, views, options, sigma_max, focal.tolist())


def _with_verdict(
    quality: RigQuality,
    views: RigViews,
    options: TeacherOptions,
    sigma_max: float,
    focal: list[float],
) -> RigQuality:
    """The same with the verdict that its figures come to."""
    bad = _agreement(quality, views, "do not show the same person or the same time", 0, _DISAGREE)
    poor = _agreement(quality, views, "agree poorly with the others", _DISAGREE, _DISTURBED)
    if quality.sigma > _NOISY * sigma_max:
        bad.append(
            f"views disagree by {quality.sigma:.1f} px where {sigma_max:.1f} px are believed: "
            "another person, another time, or cameras that moved"
        )
    elif quality.sigma > _NOISE_LIMIT * sigma_max:
        poor.append(f"keypoints are off by {quality.sigma:.1f} px, more than is believed")
    for share, name, least, low in (
        (quality.front_share, "of the joints lie in front of the cameras", _FRONT, _MOSTLY_FRONT),
        (quality.valid_share, "of the joints pass the rules", _VALID, _MOSTLY_VALID),
    ):
        if share < low:
            (bad if share < least else poor).append(f"only {100 * share:.0f} % {name}")
    for view, shift in enumerate(quality.shift):
        if shift:
            way = "later" if shift > 0 else "earlier"
            frames = "1 frame" if abs(shift) == 1 else f"{abs(shift)} frames"
            better = f"{views.name(view)} agrees better when it is read {frames} {way}"
            poor.append(f"{better}: not synchronised")
    if quality.baseline_angle < options.min_angle and max(quality.inlier_share) > 0:
        bad.append(
            f"rays meet under {quality.baseline_angle:.1f} degrees: there is no baseline, or one "
            "too short for depth"
        )
    if views.rotation is None:
        _estimated(quality, focal, bad, poor)
    verdict: Verdict = "unusable" if bad else "low" if poor else "good"
    return replace(quality, verdict=verdict, reasons=(*bad, *poor))


def _agreement(
    quality: RigQuality, views: RigViews, what: str, least: float, most: float
) -> list[str]:
    """A reason that names the views whose share of agreeing keypoints lies between two bounds."""
    shares = enumerate(quality.inlier_share)
    lonely = [f"{views.name(v)} ({100 * s:.0f} %)" for v, s in shares if least <= s < most]
    return [f"keypoints of {', '.join(lonely)} {what}"] if lonely else []


def _estimated(quality: RigQuality, focal: list[float], bad: list[str], poor: list[str]) -> None:
    """Reasons that matter only where cameras were estimated."""
    if quality.ambiguity > DOUBTFUL:
        found = f"(ratio of the two least singular values {quality.ambiguity:.2f})"
        if quality.ambiguity > PLANAR:
            bad.append(f"joints of one plane, or no baseline, do not determine cameras {found}")
        else:
            poor.append(f"joints hardly determine the cameras {found}")
    if quality.frames < _FEW_FRAMES:
        poor.append(f"cameras were estimated from {quality.frames} frame(s) only; pool more")
    if quality.valid_share > 0 and quality.movement < _STILL_MM:
        poor.append(f"the person moves by {quality.movement:.0f} mm only; record more movement")
    if min(focal) < _FOCAL[0] or max(focal) > _FOCAL[1]:
        poor.append("a focal length ended where lenses are rare; give the intrinsics")


def _pair_share(observed: Observed, camera: Camera, a: int, b: int, sigma_max: float) -> float:
    error, both = pair_error(observed, camera, a, b)
    return float((both & (error.abs() <= 3 * sigma_max)).sum() / both.sum().clamp(min=1))


def _ambiguity(inlier: Tensor, observed: Observed, camera: Camera, a: int, b: int) -> float:
    both = (inlier[a] & inlier[b]).flatten()
    if int(both.sum()) < LEAST_POINTS:
        return 1.0
    rays = pixels_to_rays(observed.keypoints.flatten(1, 2), camera.intrinsics)
    return float(eight_point(rays[a], rays[b], both.to(rays)).ambiguity)


def _front_share(joints: Pose3D, camera: Camera, compared: Tensor) -> float:
    assert camera.rotation is not None
    assert camera.position is not None
    arm = joints - camera.position[:, None, None]
    front = (arm * camera.rotation[:, None, None, 2]).sum(-1) > 0
    known = joints.isfinite().all(-1) & compared.any(0)
    return float((front | ~compared).all(0)[known].double().mean().nan_to_num())


def _movement(joints: Pose3D, valid: Tensor) -> float:
    known = torch.where(valid[..., None], joints, torch.nan)
    way = (known - known.nanmean(0)).square().sum(-1)
    return float(way.nanmean().sqrt().nan_to_num())


def _median(values: Tensor) -> float:
    return float(values.nanmedian().nan_to_num())


_FRAMES = 1000  # consecutive frames that are looked at, at most


class Synchrony(NamedTuple):
    """The best shift of every view.

    Attributes:
        shift: Frames that a view is late: its frame ``t + shift`` fits the others' frame t best.
        gain: Loss at that shift over the loss as it is; one where no shift is better.
    """

    shift: tuple[int, ...]
    gain: tuple[float, ...]


@torch.no_grad()
def best_shifts(observed: Observed, camera: Camera, most: int, sigma_max: float) -> Synchrony:
    """Shift of each view at which it agrees best with all others, by epipolar error.

    Cameras that were estimated from shifted views have taken some of the shift in, so the shift
    that is found may be too small; that there is one shows all the same. Of two views, only the
    second is shifted.

    Args:
        observed: Keypoints of consecutive frames.
        camera: ``(views,)`` with extrinsics.
        most: Largest shift that is tried, frames.
        sigma_max: Largest deviation of keypoints that is believed, pixels.
    """
    frames = observed.used.shape[1]
    start = max(0, (frames - _FRAMES) // 2)
    observed = Observed(
        observed.keypoints[:, start : start + _FRAMES],
        observed.confidence[:, start : start + _FRAMES],
    )
    most = min(most, observed.used.shape[1] // 4)
    views = len(observed.used)
    shifts = range(-most, most + 1)
    shift, gain = [0] * views, [1.0] * views
    for view in range(1 if views == 2 else 0, views):
        losses = [float(_loss(observed, camera, view, by, sigma_max)) for by in shifts]
        best = min(range(len(losses)), key=losses.__getitem__)
        if losses[best] < losses[most]:
            shift[view], gain[view] = best - most, losses[best] / losses[most]
    return Synchrony(tuple(shift), tuple(gain))


def pair_error(
    observed: Observed, camera: Camera, first: int, second: int, shift: int = 0
) -> tuple[Tensor, Tensor]:
    """Sampson distance of the keypoints of two views, and where both see a joint.

    Args:
        observed: Keypoints.
        camera: ``(views,)`` with extrinsics.
        first: A view.
        second: The other; its frame ``t + shift`` is compared with frame t of the first.
        shift: Frames.

    Returns:
        Pixels, ``(frames, joints)``, and bool.
    """
    assert camera.rotation is not None
    assert camera.position is not None
    frames = observed.used.shape[1]
    here = slice(max(0, -shift), frames - max(0, shift))
    there = slice(max(0, shift), frames - max(0, -shift))
    a = pixels_to_rays(observed.keypoints[first, here], camera.intrinsics[first])
    b = pixels_to_rays(observed.keypoints[second, there], camera.intrinsics[second])
    turn = camera.rotation[second] @ camera.rotation[first].mT
    arm = camera.rotation[second] @ (camera.position[first] - camera.position[second])
    error = sampson_error(a, b, RelativePose(turn, arm).essential())
    focal = camera.intrinsics[[first, second], :2].mean()
    return error * focal, observed.used[first, here] & observed.used[second, there]


def _loss(observed: Observed, camera: Camera, view: int, shift: int, sigma_max: float) -> Tensor:
    """Mean loss of a shifted view against the others."""
    total, count = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for other in range(len(observed.used)):
        if other != view:
            error, both = pair_error(observed, camera, other, view, shift)
            loss = marginal_loss(error, sigma_max)
            total = total.to(loss) + torch.where(both, loss, 0.0).sum()
            count = count.to(loss) + both.sum()
    return total / count.clamp(min=1)
