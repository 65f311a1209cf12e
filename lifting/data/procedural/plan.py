"""Which primitive happens when in a clip, and how neighbours are blended."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.data.procedural.anthropometry import Bodies
from lifting.data.procedural.curves import BodyCurves, Cast, minimum_jerk
from lifting.data.procedural.draws import Draws
from lifting.data.procedural.limbs import SIDES, dot, unit
from lifting.data.procedural.primitives import PRIMITIVES

SLOTS = 8
_SHORTEST = 1.1  # seconds a primitive
_REPEAT = 0.45  # odds that a slot continues with the clip's first primitive
# Real motion is broader than the named actions, hence the share of free movement.
MIX: dict[str, float] = {
    "walk": 0.24, "run": 0.06, "turn": 0.08, "squat": 0.06, "sit": 0.08, "reach": 0.10,
    "bend": 0.07, "jump": 0.05, "gesture": 0.10, "free": 0.16,
}  # fmt: skip
ACTIONS = tuple(MIX)


class Plan(NamedTuple):
    """Timetable of S clips.

    Attributes:
        kind: ``(S, SLOTS)`` int64 into ``ACTIONS``; slots beyond ``count`` are not used.
        start: ``(S, SLOTS)``, seconds; infinite for slots that are not used.
        duration: ``(S, SLOTS)``, seconds.
        blend: ``(S, SLOTS)``, seconds over which a slot takes over from the one before.
        foot: ``(S, SLOTS)`` int64, 0 left or 1 right: which foot steps into a slot's stance.
        dominant: ``(S,)`` int64, the action that fills most of the clip.
    """

    kind: Tensor
    start: Tensor
    duration: Tensor
    blend: Tensor
    foot: Tensor
    dominant: Tensor


def plan_clips(draws: Draws, seconds: float) -> Plan:
    """Draw three to eight primitives a clip, fewer where the clip is too short for them.

    Args:
        draws: One stream a clip.
        seconds: Length of every clip.

    Returns:
        The timetable.
    """
    most = max(1, int(seconds / _SHORTEST))
    count = (3 + 6 * draws.uniform("primitives")).long().clamp(max=most)[:, None]
    edges = torch.tensor(list(MIX.values())).cumsum(0)[:-1]
    kind = torch.bucketize(draws.uniform("kind", SLOTS), edges)
    repeat = draws.uniform("repeat", SLOTS) < _REPEAT
    kind = torch.where(repeat, kind[:, :1].expand_as(kind), kind)
    used = torch.arange(SLOTS) < count
    share = draws.uniform("share", SLOTS) * used
    spare = (seconds - count * _SHORTEST).clamp(min=0)
    duration = used * (spare * share / share.sum(1, keepdim=True) + min(_SHORTEST, seconds))
    duration = duration * (seconds / duration.sum(1, keepdim=True))
    start = (duration.cumsum(1) - duration).masked_fill(~used, float("inf"))
    total = torch.zeros(len(kind), len(ACTIONS)).scatter_add_(1, kind, duration)
    # Half a metre down to a seat, or up from it, takes longer than a change of gait.
    seated = kind == ACTIONS.index("sit")
    seated[:, 1:] |= seated[:, :-1].clone()
    quick = draws.uniform("blend", SLOTS, low=0.4, high=0.7)
    blend = torch.where(seated, quick / 0.7 * _SHORTEST, quick)
    foot = (draws.uniform("foot", SLOTS) < 0.5).long()
    return Plan(kind, start, duration, blend, foot, total.argmax(1))


def perform(plan: Plan, draws: Draws, bodies: Bodies, frames: int, fps: float) -> BodyCurves:
    """Evaluate every primitive where it is on stage, and blend neighbours.

    Args:
        plan: Timetable of S clips.
        draws: One stream a slot, ``S * SLOTS``.
        bodies: Of the S clips.
        frames: Frames a clip.
        fps: Frames a second.

    Returns:
        Curves over ``S * frames`` frames, clip after clip.
    """
    time = torch.arange(frames) / fps
    # Share of each slot: its own entrance minus the entrance of the next one.
    begun = minimum_jerk((time - plan.start[..., None]) / plan.blend[..., None] + 0.5)
    begun[:, 0] = 1  # the first has no predecessor to blend with
    weight = begun.clone()
    weight[:, :-1] -= begun[:, 1:]
    curves = BodyCurves.zeros(len(plan.kind) * frames)
    # Neighbours are an even and an odd slot; where one of them is off stage it stays zero.
    pair = torch.zeros(*curves.limbs.shape[:-1], 2 * curves.limbs.shape[-1])
    on_stage = weight > 0
    for index, name in enumerate(ACTIONS):
        chosen = on_stage & (plan.kind == index)[..., None]
        clip, slot, frame = chosen.nonzero(as_tuple=True)
        if len(clip) == 0:
            continue
        segments, segment = torch.unique(clip * SLOTS + slot, return_inverse=True)
        cast = Cast(
            draws=Draws(draws.seed, draws.ids[segments]),
            segment=segment,
            time=time[frame] - plan.start[clip, slot],
            duration=plan.duration.flatten()[segments],
            bodies=bodies.take(clip),
        )
        part, rows = PRIMITIVES[name](cast), clip * frames + frame
        curves.add(part, rows, weight[chosen])
        pair.index_copy_(-1, rows + slot % 2 * (len(plan.kind) * frames), part.limbs)
    between = 4 * begun[:, 1:] * (1 - begun[:, 1:])
    left = (between * (plan.foot[:, 1:, None] == 0)).sum(1)
    step = torch.stack((left, between.sum(1) - left)).flatten(1)
    even, odd = pair.chunk(2, dim=-1)
    curves.limbs = _swing(even, odd, weight[:, 1::2].sum(1).flatten(), step)
    return curves


def _swing(start: Tensor, end: Tensor, share: Tensor, step: Tensor) -> Tensor:
    """Directions between two; a change of stance takes a step.

    Where the two are nearly opposite, their weighted mean would pass through zero and the limb
    would flip within a frame: it is led round the front and the outside instead. One foot is
    lifted while the stance changes, so that the other carries and does not slide.

    Args:
        start: ``(4, 2, 3, n)``, unit, or zero where the share is 1.
        end: ``(4, 2, 3, n)``, unit, or zero where the share is 0.
        share: ``(n,)``, of the end.
        step: ``(2, n)``, of left and right, 1 in the middle of a blend that this foot steps in.

    Returns:
        ``(4, 2, 3, n)``, unit.
    """
    mixed = torch.lerp(start, end, share)
    rows = ((share > 0) & (share < 1)).nonzero()[:, 0]
    a, b, s = start[..., rows], end[..., rows], share[rows]
    across = unit(b - a)
    front = torch.tensor((0.8, 0.6, 0.0)) * torch.stack((torch.ones(2, 1), SIDES, SIDES), dim=-1)
    front = front.transpose(1, 2).expand_as(a)
    lead = unit(front - across * dot(front, across))
    opposed = 1 - dot(a + b, a + b).sqrt() / 2
    some = mixed[..., rows] + 4 * s * (1 - s) * opposed * lead
    some[0, :, 0] += 0.3 * step[:, rows]
    some[1, :, 0] -= 0.25 * step[:, rows]
    mixed[..., rows] = unit(some)
    return mixed
