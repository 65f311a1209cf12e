"""Procedural motion: clips of people who do not exist, as world-frame joint positions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from lifting.data.procedural.anthropometry import Bodies, sample_bodies
from lifting.data.procedural.arms import ELBOW_MOST
from lifting.data.procedural.curves import BodyCurves, band_noise
from lifting.data.procedural.draws import Draws
from lifting.data.procedural.limbs import two_bone, unit
from lifting.data.procedural.plan import ACTIONS, SLOTS, Plan, perform, plan_clips
from lifting.data.procedural.posing import headings, joint_offsets, place_in_room, root_path
from lifting.data.sequence import MotionClips, rate_of_each
from lifting.errors import ConfigError
from lifting.skeleton import H36M_17
from lifting.typing import Pose3D

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
