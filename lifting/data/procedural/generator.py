"""Procedural motion: clips of people who do not exist, as world-frame joint positions.

A plan says which primitive happens when in a clip, and how neighbours are blended.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.data.procedural.anthropometry import Bodies, sample_bodies
from lifting.data.procedural.arms import ELBOW_MOST
from lifting.data.procedural.curves import BodyCurves, Cast, band_noise, minimum_jerk
from lifting.data.procedural.draws import Draws
from lifting.data.procedural.limbs import (
    SIDES,
    dot,
    headings,
    joint_offsets,
    place_in_room,
    root_path,
    two_bone,
    unit,
)
from lifting.data.procedural.primitives import PRIMITIVES
from lifting.data.sequence import MotionClips, rate_of_each
from lifting.errors import ConfigError
from lifting.skeleton import H36M_17
from lifting.typing import Pose3D

SLOTS = 8
_SHORTEST = 1.1  # seconds a primitive
_REPEAT = 0.45  # odds that a slot continues with the clip's first primitive
# Real motion is broader than the named actions, hence the share of free movement.
MIX: dict[str, float] = {
    "walk": 0.24, "run": 0.06, "turn": 0.08, "squat": 0.06, "sit": 0.08, "reach": 0.10,
    "bend": 0.07, "jump": 0.05, "gesture": 0.10, "free": 0.16,
}  # fmt: skip
ACTIONS = tuple(MIX)

GENERATOR_VERSION = 1
CLIPS_PER_PERSON = 8
_CHUNK_FRAMES = 16384  # frames worked on at once: their curves stay in the processor's cache
_NOISE = math.radians(1.5)
_ROOM_MM = 2400.0
_WRIST_FLOOR_MM = 25.0
_SHOULDERS, _ELBOWS, _WRISTS = (
    [H36M_17.index(f"{side}_{joint}") for side in ("left", "right")]
    for joint in ("shoulder", "elbow", "wrist")
)


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


def generate_motion(
    count: int,
    frames: int,
    *,
    seed: int,
    skeleton: Literal["human", "h36m"] = "human",
    fps: float = 50.0,
) -> MotionClips:
    """Make clips of blended motion primitives by people of sampled proportions.

    A clip is three to eight primitives (walk, run, turn, squat, sit, reach, bend, jump, gesture,
    and free movement, which has a sixth of the time because real motion is broader than any list
    of actions), blended with minimum jerk. Eight consecutive clips share a person. A clip is a
    function of the seed and its index, not of how many are made.

    Args:
        count: Clips.
        frames: Frames of every clip.
        seed: Non-negative; the same seed gives the same bits on one platform.
        skeleton: ``human`` samples proportions, ``h36m`` scales one skeleton.
        fps: Frames a second.

    Returns:
        Clips in the world frame, z up, floor at z = 0, mm; the action of a clip is the primitive
        that fills most of it.

    Raises:
        ConfigError: A number is out of range, or the skeleton's kind is not known.

    Source: the project's motion tables, measured on freely licensed motion capture.
    """
    _check(count, frames, seed, fps)
    people = math.ceil(count / CLIPS_PER_PERSON)
    bodies = sample_bodies(Draws(seed, torch.arange(people)), skeleton)
    joints = torch.empty(count, frames, len(H36M_17), 3)
    action = torch.empty(count, dtype=torch.int64)
    size = max(1, _CHUNK_FRAMES // frames)
    for first in range(0, count, size):
        clips = torch.arange(first, min(first + size, count))
        plan = plan_clips(Draws(seed, clips), frames / fps)
        action[clips] = plan.dominant
        joints[clips] = _film(
            plan, clips, bodies.take(clips // CLIPS_PER_PERSON), seed, frames, fps
        )
    return MotionClips(
        skeleton=H36M_17,
        joints_3d=joints.flatten(0, 1),
        offsets=torch.arange(count + 1) * frames,
        subject=torch.arange(count) // CLIPS_PER_PERSON,
        action=action,
        names=tuple(f"{ACTIONS[a]} {i:05d}" for i, a in enumerate(action.tolist())),
        subject_names=tuple(f"s{seed}p{i:04d}" for i in range(people)),
        action_names=ACTIONS,
        fps=rate_of_each(fps, count),
        source={
            "dataset": "procedural motion",
            "generator": f"version {GENERATOR_VERSION}",
            "bodies": skeleton,
            "seed": str(seed),
        },
    )


def _check(count: int, frames: int, seed: int, fps: float) -> None:
    for name, value in (("count", count), ("frames", frames)):
        if value < 1:
            raise ConfigError(f"expected {name} of at least 1, got {value}; ask for more motion")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"expected a seed from 0 to 2^63 - 1, got {seed}; choose another")
    if not 5 <= fps <= 1000:
        raise ConfigError(f"expected fps from 5 to 1000, got {fps}; give frames a second")


def _film(plan: Plan, clips: Tensor, bodies: Bodies, seed: int, frames: int, fps: float) -> Pose3D:
    """World-frame positions of a chunk of clips, ``(clips, frames, joints, 3)``."""
    slots = (clips[:, None] * SLOTS + torch.arange(SLOTS)).flatten()
    curves = perform(plan, Draws(seed, slots), bodies, frames, fps)
    draws = Draws(seed, clips)
    _tremble(curves, draws, frames, fps)
    shape = (len(clips), frames)
    start = draws.uniform("heading", high=2 * math.pi)
    heading = headings(curves.travel[0].view(shape), start, fps)
    rows = torch.arange(len(clips)).repeat_interleave(frames)
    stretched = bodies.take(rows)
    offsets = joint_offsets(curves, stretched, heading.flatten()).view(-1, 3, *shape)
    travel, ankle = curves.travel.view(-1, *shape), stretched.ankle_height.view(shape)
    root = root_path(offsets, travel, heading, ankle, fps)
    joints = _above_floor(offsets + root, stretched).permute(2, 3, 0, 1).contiguous()
    radius, angle = (
        draws.uniform("room radius").sqrt(),
        draws.uniform("room angle", high=2 * math.pi),
    )
    spot = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=-1)
    return place_in_room(joints, spot, _ROOM_MM)


def _above_floor(joints: Tensor, bodies: Bodies) -> Tensor:
    """Raise wrists that reach below the floor, by bending the arm.

    Args:
        joints: ``(joints, 3, clips, frames)``, changed in place.
        bodies: Of the frames.

    Returns:
        The same tensor.
    """
    flat = joints.flatten(2)
    low = (flat[_WRISTS, 2] < _WRIST_FLOOR_MM).any(0).nonzero()[:, 0]
    shoulder, elbow, wrist = (flat[j][..., low] for j in (_SHOULDERS, _ELBOWS, _WRISTS))
    wrist[:, 2] = wrist[:, 2].clamp(min=_WRIST_FLOOR_MM)
    some = bodies.take(low)
    upper, fore = some.bone("elbow"), some.bone("wrist")
    first, second = two_bone(wrist - shoulder, upper, fore, elbow - shoulder, ELBOW_MOST)
    elbow = shoulder + first * upper[:, None]
    for side in range(2):
        flat[_ELBOWS[side]][:, low] = elbow[side]
        flat[_WRISTS[side]][:, low] = elbow[side] + second[side] * fore[side]
    return flat.view_as(joints)


def _tremble(curves: BodyCurves, draws: Draws, frames: int, fps: float) -> None:
    """Add band-limited noise above the legs, whose feet must not slide, and lift shoulders.

    Shoulders rise with the upper arm, by 15 degrees for an arm straight up.
    """
    noise = band_noise(draws, 19, frames, fps) * _NOISE
    curves.torso[3:] += noise[:6]
    curves.limbs[2:] = unit(curves.limbs[2:] + noise[6:18].view(2, 2, 3, -1))
    raised = (curves.limbs[2, :, 2] + 0.3).clamp(min=0) * math.radians(13)
    curves.shoulders[:, 0] += raised + noise[18]
    curves.shoulders[:, 1] += 0.15 * curves.limbs[2, :, 0].clamp(min=0)
