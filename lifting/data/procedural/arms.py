"""Arms that hang, gesture, reach or move freely, and the wandering of trunk and head.

Arms follow targets of the wrists; a segment draws how its arms behave, and a table of targets
between which they ease.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from lifting.data.procedural.curves import Cast, knots, wander
from lifting.data.procedural.limbs import SIDES, dot, swivelled_pole, two_bone, unit

ArmStyle = Literal["hang", "lap", "gesture", "reach", "wide"]
ELBOW_MOST = math.radians(148)
_KNOTS = 12
# Ranges of flexion and abduction in degrees and of distance in arm lengths.
_RANGES: dict[ArmStyle, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "hang": ((-8, 12), (2, 16), (0.93, 0.992)),
    "lap": ((18, 48), (-10, 12), (0.70, 0.92)),
    "gesture": ((5, 85), (-28, 35), (0.42, 0.88)),
    "reach": ((15, 165), (-28, 75), (0.50, 0.97)),
}
_REST_ODDS: dict[ArmStyle, float] = {
    "hang": 0.0, "lap": 0.0, "gesture": 0.2, "reach": 0.35, "wide": 0.12,
}  # fmt: skip


def arm_motion(cast: Cast, torso: Tensor, odds: dict[ArmStyle, float]) -> tuple[Tensor, Tensor]:
    """Directions of upper arms and forearms in the chest frame.

    Args:
        cast: Frames.
        torso: ``(9, n)``, see BodyCurves; hanging arms stay vertical when the trunk bends.
        odds: How often an arm of a segment behaves in each way; sums to 1.

    Returns:
        Upper arms and forearms, ``(2, 3, n)`` each.
    """
    table, upright = _targets(cast, odds)
    period = cast.draws.uniform("arm period", low=0.6, high=1.8)
    moving = cast.draws.uniform("arm moving", low=0.6, high=1.0)
    channels = knots(cast, table, period, moving).view(2, 5, -1)
    bend = (torso[0] + torso[3]) * cast.spread(upright.T.contiguous())  # (2, n)
    towards = channels[:, :3]
    # Easing between opposite directions would cross the shoulder: lead it round the front.
    short = (0.75 - dot(towards, towards).sqrt()).clamp(min=0)
    x, y, z = unit(torch.cat((towards[:, :1] + short, towards[:, 1:]), dim=1)).unbind(1)
    cosine, sine = bend.cos(), bend.sin()
    target = torch.stack((x * cosine - z * sine, y, x * sine + z * cosine), dim=1)
    upper, fore = cast.bodies.bone("elbow"), cast.bodies.bone("wrist")
    wrist = _clear_trunk(target * (channels[:, 3] * (upper + fore))[:, None], cast)
    pole = swivelled_pole(wrist, channels[:, 4], sign=1, sag=(0.3, 0.6))
    return two_bone(wrist, upper, fore, pole, ELBOW_MOST)


def _targets(cast: Cast, odds: dict[ArmStyle, float]) -> tuple[Tensor, Tensor]:
    """Table of targets, and how upright each arm hangs.

    Returns:
        ``(P, K, 10)``: of each arm direction, distance in arm lengths, swivel; and ``(P, 2)``.
    """
    draws, styles = cast.draws, list(odds)
    steps = torch.tensor(list(odds.values())).cumsum(0)[:-1]
    style = (draws.uniform("arm style", 2, 1) > steps).sum(-1)  # (P, 2)
    share = draws.uniform("arm rest", _KNOTS, 2)
    target = _style_targets(cast, "hang")
    upright = torch.ones_like(style, dtype=torch.float32)
    for i, name in enumerate(styles):
        chosen = (style == i)[:, None] & (share >= _REST_ODDS[name])
        target = torch.where(chosen[..., None], _style_targets(cast, name), target)
        follow = 1.0 if name == "hang" else 0.3
        upright = torch.where(style == i, torch.full_like(upright, follow), upright)
    swivel = draws.normal("swivel", 1, 2, mean=20, sd=18) + draws.normal(
        "swivels", _KNOTS, 2, sd=15
    )
    both = (draws.uniform("both arms") < 0.35)[:, None, None]
    mirrored = target[..., :1, :].expand_as(target)
    target = torch.where(both[..., None], mirrored, target)
    upright = torch.where(both[..., 0], upright[:, :1].expand_as(upright), upright)
    target = target * torch.stack(
        (torch.ones(2), SIDES[:, 0], torch.ones(2), torch.ones(2)), dim=-1
    )
    swivel = swivel.clamp(-35, 75).deg2rad()[..., None]
    return torch.cat((target, swivel), dim=-1).flatten(2), upright


def _style_targets(cast: Cast, style: ArmStyle) -> Tensor:
    """Direction of the wrist, y outward, and distance in arm lengths, ``(P, K, 2, 4)``."""
    draws = cast.draws
    u, v, w = draws.uniform(f"arm {style}", _KNOTS, 2, 3).unbind(-1)
    if style == "hang":  # one way of hanging a segment, not a new one every second
        u, v, w = (x.mean(1, keepdim=True).expand_as(x) * 0.8 + 0.2 * x for x in (u, v, w))
    if style == "wide":
        up, azimuth = 2 * u - 1, (v * 175 - 45).deg2rad()
        flat = (1 - up * up).sqrt()
        distance = 0.4 + 0.585 * w.sqrt()
        # Behind the back an arm reaches only low, and not far inward.
        ahead = (flat * azimuth.cos()).maximum((-0.5 - 0.5 * up).clamp(-0.55, -0.25))
        parts = (ahead, flat * azimuth.sin(), up)
    else:
        (f0, f1), (a0, a1), (d0, d1) = _RANGES[style]
        flexion, abduction = (f0 + (f1 - f0) * u).deg2rad(), (a0 + (a1 - a0) * v).deg2rad()
        distance, cosine = d0 + (d1 - d0) * w, abduction.cos()
        parts = (flexion.sin() * cosine, abduction.sin(), -flexion.cos() * cosine)
    return torch.stack((*parts, distance), dim=-1)


def _clear_trunk(wrist: Tensor, cast: Cast) -> Tensor:
    """Push wrists out of an ellipse around the trunk's axis, scaled by shoulder width.

    Args:
        wrist: ``(2, 3, n)``, relative to the shoulder, chest frame, mm.
        cast: Frames.

    Returns:
        ``(2, 3, n)``.
    """
    shoulder = cast.bodies.bone("shoulder")
    x, y, z = wrist.unbind(1)
    y = y + SIDES * shoulder
    size = ((x / (0.75 * shoulder)) ** 2 + (y / shoulder) ** 2 + 1e-4).sqrt()
    # Above the shoulders nothing is in the way; fade in over 12 cm, so that paths stay smooth.
    low = ((60 - z) / 120).clamp(0, 1)
    scale = 1 + low * (1 / size.clamp(0.3, 1) - 1)
    ahead = low * (0.3 - size).clamp(min=0) * shoulder
    return torch.stack((x * scale + ahead, y * scale - SIDES * shoulder, z), dim=1)


def torso_motion(cast: Cast, strength: float = 1.0) -> Tensor:
    """Wandering of pelvis, trunk and head within their usual ranges.

    Args:
        cast: Frames.
        strength: 1 for someone who stands and talks, 3 for free movement.

    Returns:
        ``(9, n)``, radians, see BodyCurves.
    """
    usual = torch.tensor((3.5, 3.2, 4.0, 5.0, 3.0, 5.0, 7.0, 4.0, 14.0)).deg2rad()
    most = torch.tensor((25, 18, 30, 50, 26, 36, 35, 26, 60)).deg2rad()[:, None]
    least = torch.tensor((12, 18, 30, 18, 26, 36, 35, 26, 60)).deg2rad()[:, None]
    gain = usual * torch.tensor([strength] * 6 + [strength**0.35] * 3)
    value = wander(cast, "torso", 9, 0.35, 1.2) * gain[:, None]
    return torch.where(value > 0, most * (value / most).tanh(), least * (value / least).tanh())
