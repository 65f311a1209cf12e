"""Legs of a body whose feet are planted, step along a path, or are lifted.

Feet and pelvis are given where they should be; inverse kinematics finds the legs, so planted feet
stay where they are whatever the pelvis does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.data.procedural.anthropometry import Bodies
from lifting.data.procedural.curves import Cast, minimum_jerk
from lifting.data.procedural.frames import heading_axes
from lifting.data.procedural.limbs import SIDES, swivelled_pole, two_bone

KNEE_MOST = math.radians(140)


@dataclass
class Stance:
    """Where feet and pelvis are, in the frame of the pelvis's ground path.

    Attributes:
        feet: ``(2, 3, n)``, ankles: forward, left, and above a flat foot's ankle, mm.
        pelvis: ``(3, n)``, root: forward, left, and above a flat foot's ankle, mm.
        knee_out: ``(2, n)``, radians, how far each knee points outward.
        rate: ``(n,)``, rate of heading, rad/s.
    """

    feet: Tensor
    pelvis: Tensor
    knee_out: Tensor
    rate: Tensor


def standing(cast: Cast, wide: tuple[float, float] = (0.9, 1.9), stagger: float = 60) -> Stance:
    """Feet side by side or a little one before the other, pelvis above them.

    Args:
        cast: Frames.
        wide: Range of half the distance between the ankles, in half hip widths.
        stagger: Standard deviation of one foot's lead over the other, mm.

    Returns:
        The stance, legs nearly straight.
    """
    bodies = cast.bodies
    half = (bodies.bone("hip").mean(0) * cast.uniform("stance width", *wide)).clamp(min=60)
    lead = cast.normal("stance stagger", sd=stagger) / 2
    feet = torch.stack((SIDES * lead, SIDES * half, torch.zeros(2, len(half))), dim=1)
    height = bodies.leg * cast.uniform("stance height", 0.965, 0.995)
    zero = torch.zeros_like(height)
    out = torch.stack([cast.degrees(f"knee out {i}", 0, 22) for i in range(2)])
    return Stance(feet, torch.stack((zero, zero, height)), out, zero)


def step_along(stance: Stance, cast: Cast, speed: Tensor, turn: Tensor, sway: Tensor) -> None:
    """Let the feet step so as to follow a moving and turning pelvis, in place.

    Each foot stays planted for six tenths of a step cycle, where the path will be at the middle
    of that time, then moves on with minimum jerk.

    Args:
        stance: Changed: feet and rate.
        cast: Frames.
        speed: ``(2, n)``, steady velocity forward and left, mm/s; constant within a segment.
        turn: ``(n,)``, steady rate of heading, rad/s; constant within a segment.
        sway: ``(2, n)``, amplitude of a to-and-fro forward and left, mm, with a period of 1.6 to
            3.5 s; constant within a segment.
    """
    cycle = cast.uniform("step cycle", 0.75, 1.25)
    pace = cast.uniform("sway pace", 1.8, 3.9)
    start = cast.uniform("sway phase", 0, 2 * math.pi)
    lift = cast.uniform("step lift", 50, 180)

    def path(time: Tensor) -> tuple[Tensor, Tensor]:
        return speed * time + sway * (pace * time + start).sin(), turn * time

    here, facing = path(cast.time)
    back = heading_axes(-facing)
    moving = (speed.abs().sum(0) + turn.abs() + sway.abs().sum(0) > 0).float()
    feet = []
    for side in range(2):
        late = 0.5 * side + cast.uniform("step phase")
        place = cast.time / cycle + late
        index = place.floor()
        swing = (place - index - 0.6) / 0.4
        ease = minimum_jerk(swing)
        flat = torch.zeros(2, len(ease))
        for count, share in ((0, 1 - ease), (1, ease)):
            spot, angle = path((index + count - late + 0.3) * cycle)
            home = heading_axes(angle)
            flat = flat + share * (spot + home.out(stance.feet[side])[:2])
        relative = torch.cat((flat - here, stance.feet[side, 2:]))
        planted = back.out(relative)
        swing = swing.clamp(0, 1)
        planted[2] += moving * lift * 16 * (swing * (1 - swing)) ** 2
        feet.append(planted)
    stance.feet = torch.stack(feet)
    stance.rate = stance.rate + turn


def solve_legs(stance: Stance, bodies: Bodies, torso: Tensor) -> tuple[Tensor, Tensor]:
    """Directions of thighs and shanks in the pelvis frame.

    The pelvis is lowered where a leg would be too short.

    Args:
        stance: Feet and pelvis.
        bodies: Of the frames.
        torso: ``(9, n)``, see BodyCurves; the pelvis's pitch, roll and yaw are read.

    Returns:
        Thighs and shanks, ``(2, 3, n)`` each.
    """
    pelvis = heading_axes(torso[2]).pitch(torso[0]).roll(torso[1])
    thigh, shank = bodies.bone("knee"), bodies.bone("ankle")
    sideways = (SIDES * bodies.bone("hip"))[:, None] * pelvis.y  # (2, 3, n)
    legs = stance.feet - stance.pelvis - sideways
    reach = 0.997 * (thigh + shank)
    flat = (legs[:, :2] ** 2).sum(1)
    longest = (reach * reach - flat).clamp(min=1e4).sqrt()
    excess = (-legs[:, 2] - longest).amax(0)
    legs[:, 2] += 6 * torch.nn.functional.softplus(excess / 6)
    target = pelvis.into(legs)
    pole = swivelled_pole(target, stance.knee_out, sign=-1)
    return two_bone(target, thigh, shank, pole, KNEE_MOST)
