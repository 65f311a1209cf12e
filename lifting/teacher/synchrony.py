"""Whether views show the same time: would another shift of a view agree better with the others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.geometry.camera import Camera, pixels_to_rays
from lifting.geometry.epipolar import RelativePose, sampson_error
from lifting.geometry.marginal import marginal_loss
from lifting.teacher.views import Observed

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
