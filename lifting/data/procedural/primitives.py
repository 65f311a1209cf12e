"""Motion primitives whose feet are planted, and the table of all primitives.

Each primitive is a function from frames (``Cast``) to a body's configuration (``BodyCurves``);
it draws its own parameters, one set a segment, by name.

Feet and pelvis are given where they should be; inverse kinematics finds the legs, so planted
feet stay where they are whatever the pelvis does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.data.procedural.anthropometry import Bodies
from lifting.data.procedural.arms import ArmStyle, arm_motion, torso_motion
from lifting.data.procedural.curves import BodyCurves, Cast, minimum_jerk, plateau, wander
from lifting.data.procedural.limbs import SIDES, heading_axes, swivelled_pole, two_bone
from lifting.data.procedural.locomotion import jump, run, walk

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


def gesture(cast: Cast) -> BodyCurves:
    """Standing with sway and shifts of weight, while the arms talk and the head turns."""
    torso = torso_motion(cast, 1.2)
    stance = standing(cast)
    _shift_weight(stance, cast, 1.0)
    return _compose(
        cast, stance, torso, {"hang": 0.25, "gesture": 0.45, "reach": 0.15, "wide": 0.15}
    )


def reach(cast: Cast) -> BodyCurves:
    """Reaching for targets in front, above and to the side, the trunk helping."""
    torso = torso_motion(cast, 1.6)
    lean = wander(cast, "lean", 3, 0.5, 1.0)
    torso[3] += (12 * lean[0] + 8).deg2rad()
    torso[5] += (12 * lean[1]).deg2rad()
    torso[2] += (9 * lean[2]).deg2rad()
    stance = standing(cast, stagger=140)
    _shift_weight(stance, cast, 1.6)
    stance.pelvis[2] *= 1 - cast.chance("low reach", 0.3) * cast.uniform(
        "low reach depth", 0, 0.15
    )
    return _compose(
        cast, stance, torso, {"hang": 0.15, "gesture": 0.1, "reach": 0.45, "wide": 0.3}
    )


def turn(cast: Cast) -> BodyCurves:
    """Turning on the spot and side, back and to-and-fro steps."""
    torso = torso_motion(cast, 1.3)
    stance = standing(cast, stagger=100)
    stance.pelvis[2] *= cast.uniform("turn height", 0.88, 0.99)
    spin = cast.chance("spin", 0.6) * cast.sign("spin side") * cast.degrees("spin rate", 35, 110)
    shuffle = cast.chance("shuffle", 0.5)
    speed = shuffle * torch.stack((cast.normal("back", -100, 320), cast.normal("side", 0, 330)))
    sway = torch.stack([(1 - shuffle) * cast.normal(f"sway {i}", sd=90) for i in range(2)])
    step_along(stance, cast, speed, spin, sway)
    torso[8] += 0.3 * spin
    return _compose(cast, stance, torso, {"hang": 0.4, "gesture": 0.3, "reach": 0.1, "wide": 0.2})


def squat(cast: Cast) -> BodyCurves:
    """Squats and, in a third of the segments, lunges: down, a hold, up, feet fixed."""
    cycle, _ = cast.cycles("squat period", 2.2, 3.8)
    depth = plateau(
        cycle - cycle.floor(), cast.uniform("down", 0.3, 0.45), cast.uniform("up", 0.3, 0.4)
    )
    lunge = cast.chance("lunge", 0.35)
    torso = torso_motion(cast)
    stance = standing(cast, (1.0, 2.6), 60)
    leg = cast.bodies.leg
    gap = lunge * cast.sign("lunge side") * cast.uniform("lunge", 0.2, 0.42) * leg
    stance.feet[:, 0] += SIDES * gap
    # The heel of a rear foot rises.
    stance.feet[:, 2] += (SIDES * gap < 0) * depth * cast.uniform("heel", 40, 130)
    knee = cast.degrees("squat knee", 55, 125) * (1 - 0.15 * lunge)
    low = _folded(cast, knee)
    stance.pelvis[2] = torch.lerp(stance.pelvis[2], low, depth)
    stance.pelvis[0] -= depth * (1 - lunge) * (0.02 + 0.13 * (1 - low / leg)) * leg
    stance.knee_out = stance.knee_out + math.radians(10) * depth
    torso[0] += depth * knee * (0.2 - 0.12 * lunge)
    torso[3] += depth * knee * cast.uniform("squat stoop", 0.02, 0.3) * (1 - 0.6 * lunge)
    _shift_weight(stance, cast, 0.4)
    return _compose(cast, stance, torso, {"hang": 0.2, "gesture": 0.4, "reach": 0.3, "wide": 0.1})


def sit(cast: Cast) -> BodyCurves:
    """Sitting down on a seat or on the floor, a rest with gestures, and sometimes rising again."""
    duration = cast.spread(cast.duration)
    fall = cast.uniform("sit time", 0.9, 1.4).minimum(0.4 * duration)
    seated = cast.chance("seated before", 0.35)
    rises = cast.chance("rises", 0.4)
    down = torch.maximum(minimum_jerk(cast.time / fall), seated)
    down = down * (1 - rises * minimum_jerk((cast.time - duration + fall) / fall))
    floor = cast.chance("on the floor", 0.2)
    leg, shank = cast.bodies.leg, cast.bodies.bone("ankle").mean(0)
    thigh = cast.bodies.bone("knee").mean(0)
    seat = torch.lerp(
        shank * cast.uniform("seat", 0.85, 1.15), cast.uniform("ground", 15, 70), floor
    )
    back = torch.lerp(
        thigh * cast.uniform("seat depth", 0.8, 1.2),
        leg * cast.uniform("floor depth", 0.45, 0.93),
        floor,
    )
    torso = torso_motion(cast, 1.1)
    swing = 4 * down * (1 - down) * cast.degrees("rise swing", 18, 40)
    torso[0] += 0.5 * swing + down * cast.degrees("pelvis slump", -14, 8)
    torso[3] += 0.5 * swing + down * cast.degrees("trunk slump", -6, 26)
    stance = standing(cast, (0.7, 2.2), 60)
    stance.pelvis[0] = torch.lerp(stance.pelvis[0], -back, down)
    stance.pelvis[2] = torch.lerp(stance.pelvis[2], seat, down)
    cross = cast.chance("cross", 0.3) * (1 - floor)
    _raise_foot(stance, cast, down * cross, ahead=(-0.05, 0.25), up=(0.02, 0.2))
    stance.knee_out = stance.knee_out + floor * down * cast.degrees("floor knees", 0, 35)
    return _compose(cast, stance, torso, {"lap": 0.4, "gesture": 0.35, "reach": 0.15, "hang": 0.1})


def bend(cast: Cast) -> BodyCurves:
    """Bending forward, with straight or flexed knees, often to pick something up."""
    cycle, _ = cast.cycles("bend period", 2.0, 3.8)
    depth = plateau(
        cycle - cycle.floor(), cast.uniform("down", 0.3, 0.45), cast.uniform("up", 0.3, 0.45)
    )
    torso = torso_motion(cast)
    lean = cast.degrees("bend angle", 25, 105)
    share = cast.uniform("bend share", 0.4, 0.65)
    torso[0] += depth * share * lean
    torso[3] += depth * (1 - share) * lean
    torso[4] += depth * cast.degrees("bend side", -18, 18)
    torso[5] += depth * cast.degrees("bend turn", -28, 28)
    torso[6] += depth * cast.degrees("bend neck", -30, 25)
    stance = standing(cast, (0.8, 2.4), 130)
    low = _folded(cast, cast.degrees("bend knee", 6, 75))
    stance.pelvis[2] = torch.lerp(stance.pelvis[2], low.minimum(stance.pelvis[2]), depth)
    _shift_weight(stance, cast, 0.5)
    return _compose(
        cast, stance, torso, {"hang": 0.5, "gesture": 0.15, "reach": 0.25, "wide": 0.1}
    )


def free(cast: Cast) -> BodyCurves:
    """Random smooth movement of the whole body within its limits, wider than any named action.

    Arms, trunk, head, weight and feet ease between random targets, mostly in the central part of
    their ranges, with tails: dance steps, kicks, one-legged stances, low and wide stances,
    twisted and bent trunks, raised arms.
    """
    torso = torso_motion(cast, 2.4)
    stance = standing(cast, (0.9, 3.2), 170)
    leg = cast.bodies.leg
    drop = wander(cast, "drop", 1, 0.5, 1.3)[0].abs() * cast.uniform("drop size", 0.01, 0.15)
    stance.pelvis[2] *= (1 - drop).clamp(min=0.55)
    _shift_weight(stance, cast, 2.2)
    stepping = cast.chance("stepping", 0.45)
    spin = stepping * cast.normal("spin", sd=0.8)
    speed = stepping * torch.stack([cast.normal(f"speed {i}", sd=260) for i in range(2)])
    sway = torch.stack([stepping * cast.normal(f"sway {i}", sd=110) for i in range(2)])
    step_along(stance, cast, speed, spin, sway)
    active = (1 - stepping) * cast.chance("leg up", 0.65)
    pulse = wander(cast, "leg pulse", 1, 0.7, 1.6)[0].clamp(0, 1)
    _raise_foot(stance, cast, active * pulse, ahead=(-0.45, 0.75), up=(0.05, 0.7))
    side = cast.sign("raised") * cast.bodies.bone("hip").mean(0)
    stance.pelvis[1] -= 0.8 * active * pulse * side
    stance.pelvis[2] = stance.pelvis[2].minimum(0.995 * leg)
    return _compose(
        cast, stance, torso, {"hang": 0.12, "gesture": 0.18, "reach": 0.2, "wide": 0.5}
    )


def _compose(cast: Cast, stance: Stance, torso: Tensor, arms: dict[ArmStyle, float]) -> BodyCurves:
    """Legs from the stance, arms from their odds, shoulders that follow raised arms."""
    # Weight stays over the feet: the pelvis moves against the trunk's lean.
    tilt = torch.stack((torso[0] + 0.6 * torso[3], torso[1] + 0.6 * torso[4]))
    stance.pelvis = torch.cat(
        (stance.pelvis[:2] - 0.14 * cast.bodies.leg * tilt.sin(), stance.pelvis[2:])
    )
    legs = solve_legs(stance, cast.bodies, torso)
    curves = BodyCurves.zeros(len(cast.time))
    curves.torso = torso
    curves.limbs = torch.stack((*legs, *arm_motion(cast, torso, arms)))
    curves.travel[0] = stance.rate
    return curves


def _shift_weight(stance: Stance, cast: Cast, strength: float) -> None:
    """Let the pelvis drift over planted feet, mm."""
    move = wander(cast, "weight", 3, 0.25, 0.7) * torch.tensor((18.0, 26.0, 8.0))[:, None]
    room = cast.bodies.leg / 850 * strength
    stance.pelvis = stance.pelvis + move * room


def _raise_foot(
    stance: Stance, cast: Cast, share: Tensor, ahead: tuple[float, float], up: tuple[float, float]
) -> None:
    """Lift one foot towards a random place, in leg lengths ahead and up; ``share`` in [0, 1]."""
    leg = cast.bodies.leg
    chosen = (SIDES * cast.sign("raised") > 0).float()
    move = torch.stack(
        (
            leg * cast.uniform("foot ahead", *ahead),
            leg * cast.normal("foot out", 0.06, 0.14),
            leg * cast.uniform("foot up", *up),
        )
    )
    outward = torch.stack((torch.ones(2, 1), SIDES, torch.ones(2, 1)), dim=1)
    stance.feet = stance.feet + share * chosen[:, None] * move * outward


def _folded(cast: Cast, knee: Tensor) -> Tensor:
    """Height of the hip above the ankle when the knee is flexed, mm, ``(n,)``."""
    a, b = cast.bodies.bone("knee").mean(0), cast.bodies.bone("ankle").mean(0)
    return (a * a + b * b + 2 * a * b * knee.cos()).sqrt() * 0.995


PRIMITIVES: Mapping[str, Callable[[Cast], BodyCurves]] = {
    "walk": walk, "run": run, "turn": turn, "squat": squat, "sit": sit, "reach": reach,
    "bend": bend, "jump": jump, "gesture": gesture, "free": free,
}  # fmt: skip
