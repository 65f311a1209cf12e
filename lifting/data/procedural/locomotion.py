"""Walking, running and jumping: primitives whose legs follow recorded curves.

Walking and running are Fourier series of the stride's phase. Phase 0 is where the right ankle is
farthest forward; the left side follows half a stride later. Series are medians over real gait
cycles of several people, in degrees: thigh and upper arm from the downward vertical in the
sagittal plane, ``*_out`` in the frontal plane, knee and elbow as flexion, chest yaw relative to
the hips (left positive), bob as hip height over leg length.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.data.procedural.arms import ArmStyle, arm_motion, torso_motion
from lifting.data.procedural.curves import BodyCurves, Cast, wander
from lifting.data.procedural.limbs import SIDES, bent, hanging, unit

GRAVITY = 9810.0  # mm/s^2
_BUSY_ARMS: dict[ArmStyle, float] = {"hang": 0.2, "gesture": 0.45, "reach": 0.2, "wide": 0.15}
# Standing forward jump, seconds from its highest point: knee, thigh, upper arm and trunk, degrees.
_JUMP_LEAD = 0.58  # share of a jump's period before its highest point
_JUMP_TIMES = (-1.2, -0.9, -0.5, -0.26, -0.1, 0.0, 0.12, 0.22, 0.34, 0.75, 1.0)
_JUMP = {
    "knee": (14, 36, 67, 92, 34, 37, 22, 66, 84, 22, 14),
    "thigh": (6, 14, 34, 42, -7, 10, 24, 46, 48, 10, 6),
    "arm": (0, -30, -50, -12, 52, 70, 45, 10, 0, 0, 0),
    "trunk": (0, 14, 35, 32, -2, 6, 12, 22, 26, 4, 0),
}


class Series(NamedTuple):
    """A Fourier series and how much people differ in it.

    Attributes:
        mean: Constant term.
        cosine: Coefficients of the first four harmonics.
        sine: Coefficients of the first four harmonics.
        offset_sd: Standard deviation of the constant term over cycles.
        range_sd: Standard deviation of the peak-to-peak range over cycles.
    """

    mean: float
    cosine: tuple[float, float, float, float]
    sine: tuple[float, float, float, float]
    offset_sd: float
    range_sd: float

    @property
    def range(self) -> float:
        """Peak-to-peak range over one stride."""
        phase = torch.arange(360) * (2 * math.pi / 360)
        right = self.sides(phase)[1]
        return float(right.max() - right.min())

    def sides(self, phase: Tensor) -> Tensor:
        """Values without the constant term, left then right.

        Args:
            phase: ``(n,)``, radians.

        Returns:
            ``(2, n)``.
        """
        odd, even = torch.zeros_like(phase), torch.zeros_like(phase)
        for h, (a, b) in enumerate(zip(self.cosine, self.sine, strict=True), start=1):
            if a == 0 and b == 0:
                continue
            size, lag = math.hypot(a, b), math.atan2(b, a)
            wave = size * (h * phase - lag).cos()
            # Half a stride later every odd harmonic has changed its sign.
            odd, even = (odd + wave, even) if h % 2 else (odd, even + wave)
        return torch.stack((even - odd, even + odd))


WALK: dict[str, Series] = {
    "thigh": Series(13.2, (22.1, -3.6, -0.6, -0.6), (2.3, -4.5, 1.9, -0.1), 2.0, 9.0),
    "knee": Series(35.8, (3.3, -16.3, -2.9, -2.3), (-16.8, -3.5, 4.4, 0.0), 3.0, 7.0),
    "arm": Series(-4.0, (-8.4, 0.9, -0.1, 0.0), (-1.9, -0.4, 0.2, 0.4), 4.0, 14.0),
    "elbow": Series(27.7, (-6.2, 2.0, 0.4, 0.1), (-3.1, -0.8, -0.1, -0.1), 5.0, 16.0),
    "thigh_out": Series(-3.7, (1.7, 0.0, -0.1, 0.1), (-3.1, 0.2, 0.3, 0.2), 2.0, 4.0),
    "arm_out": Series(-0.4, (-4.4, 0.5, 0.0, 0.1), (-1.3, -0.1, 0.0, 0.0), 3.0, 6.0),
    "chest_yaw": Series(0.0, (-6.4, 0.0, 0.2, 0.0), (-2.8, 0.0, -0.2, 0.0), 2.0, 3.0),
    "trunk": Series(-1.7, (-0.2, 0.7, 0.0, 0.2), (0.3, -0.1, 0.0, 0.0), 1.5, 0.0),
    "trunk_side": Series(0.0, (-1.3, 0.0, -0.2, 0.0), (0.0, 0.0, -0.3, 0.0), 1.3, 0.0),
    "bob": Series(1.070, (0.0, -0.0094, 0.0, 0.0020), (0.0, -0.0051, 0.0, -0.0025), 0.013, 0.011),
}
WALK_SPEED = 1.46  # leg lengths a second, of the tabled cycles
WALK_STRIDE = 1.15  # seconds
RUN: dict[str, Series] = {
    "thigh": Series(11.5, (25.4, -7.5, -1.4, -0.2), (-8.6, 0.8, 0.3, 0.5), 4.0, 8.0),
    "knee": Series(53.1, (-3.0, -22.0, -1.9, -1.7), (-29.5, 7.0, 0.3, -0.2), 5.0, 10.0),
    "arm": Series(-27.8, (-12.7, -2.4, -0.2, -0.2), (5.1, 0.9, -0.1, 0.0), 10.0, 14.0),
    "elbow": Series(98.0, (-4.4, 4.1, -1.0, 0.8), (8.2, -3.7, 0.4, 1.3), 12.0, 8.0),
    "thigh_out": Series(-4.6, (0.7, -1.6, 1.0, 0.5), (-4.7, 0.2, 1.7, -0.2), 2.0, 3.0),
    "arm_out": Series(2.0, (-4.4, 0.5, 0.0, 0.1), (-1.3, -0.1, 0.0, 0.0), 5.0, 6.0),
    "chest_yaw": Series(0.0, (-7.7, 0.0, 0.5, 0.0), (-0.5, 0.0, 0.1, 0.0), 2.0, 4.0),
    "trunk": Series(5.2, (0.0, -1.3, 0.0, 0.3), (0.0, 0.6, 0.0, 0.5), 4.0, 0.0),
    "trunk_side": Series(0.0, (-1.3, 0.0, -0.2, 0.0), (0.0, 0.0, -0.3, 0.0), 1.5, 0.0),
    "bob": Series(1.072, (0.0, 0.0446, 0.0, 0.0), (0.0, -0.0293, 0.0, 0.003), 0.01, 0.01),
}
RUN_SPEED = 3.56
RUN_STRIDE = 0.77


def walk(cast: Cast) -> BodyCurves:
    """Walking at 0.45 to 2.2 leg lengths a second, straight or round a curve.

    A third of the walks keep the arms busy instead of swinging them, some go with bent knees.

    Source: harmonics grow and strides shorten with speed, ``(s / 1.46)^0.5`` and ``^-0.45``.
    """
    speed, stride = walk_pace(cast)
    ratio = speed / WALK_SPEED
    rate = _curve_rate(cast, straight=0.35, slow=22, fast=70)
    curves = _gait(cast, WALK, stride, ratio.sqrt(), rate, speed)
    crouch = cast.chance("crouch", 0.15) * cast.degrees("crouch depth", 5, 24)
    curves.limbs[:2] = _flexed_legs(curves.limbs[:2], crouch)
    curves.torso[:9] += 0.45 * torso_motion(cast)
    return _busy_arms(cast, curves, 0.33)


def walk_pace(cast: Cast) -> tuple[Tensor, Tensor]:
    """Speed in leg lengths a second and stride time in seconds of walks, ``(n,)`` each."""
    speed = cast.normal("walk speed", 1.3, 0.34).clamp(0.45, 2.2)
    stride = WALK_STRIDE * (speed / WALK_SPEED) ** -0.45 * cast.normal("walk stride", 1, 0.07)
    return speed, stride


def stride_phase(cast: Cast, stride: Tensor) -> Tensor:
    """Phase of the stride, with a slightly wandering tempo, radians, ``(n,)``."""
    start = cast.uniform("gait phase", 0, 2 * math.pi)
    return start + 2 * math.pi * (cast.time / stride + 0.02 * wander(cast, "tempo", 1)[0])


def run(cast: Cast) -> BodyCurves:
    """Running at 2 to 4.4 leg lengths a second; the hips' height decides when feet are off."""
    speed = cast.normal("run speed", 3.1, 0.5).clamp(2.0, 4.4)
    ratio = speed / RUN_SPEED
    stride = RUN_STRIDE * ratio**-0.25 * cast.normal("run stride", 1, 0.05)
    rate = _curve_rate(cast, straight=0.3, slow=30, fast=110)
    curves = _gait(cast, RUN, stride, ratio.sqrt(), rate, speed)
    phase = stride_phase(cast, stride)
    bob = RUN["bob"]
    leg = cast.bodies.leg
    height = (bob.mean - 0.02 + ratio * bob.sides(phase)[1]) * leg
    # The table's hip height includes an ankle of 0.09 leg lengths above the floor; 0.02 less, as
    # there is no forefoot to stand on while the heel is up.
    curves.travel[1] = height - 0.09 * leg + cast.bodies.ankle_height
    curves.travel[2] = 0.88 * speed * leg
    curves.torso[:9] += 0.35 * torso_motion(cast)
    return _busy_arms(cast, curves, 0.1)


def jump(cast: Cast) -> BodyCurves:
    """Jumps on the spot, forward or sideways, once or repeatedly, on a ballistic path."""
    cycle, period = cast.cycles("jump period", 1.5, 2.3)
    time = (cycle - cycle.floor() - _JUMP_LEAD) * period
    effort = cast.uniform("jump effort", 0.55, 1.12)
    warped = _fit_keyframes(time, period)
    keys = {name: _keyframes(warped, values) for name, values in _JUMP.items()}
    thigh, knee = effort * keys["thigh"], 6 + effort * keys["knee"]
    out = torch.stack([cast.degrees(f"jump width {i}", 1, 12) for i in range(2)])
    curves = BodyCurves.zeros(len(time))
    tuck = (-((time / 0.14) ** 2)).exp()
    bounce = [tuck * cast.uniform(f"tuck {i}", -18, 26) for i in range(2)]
    thighs = (thigh + torch.stack(bounce)).deg2rad()
    knees = (knee + 1.3 * torch.stack(bounce)).clamp(min=3).deg2rad()
    curves.limbs[0] = hanging(thighs, out)
    curves.limbs[1] = bent(thighs, out, torch.zeros_like(out), -knees)
    trunk = (effort * keys["trunk"]).deg2rad()
    curves.torso[3] = trunk
    curves.torso += 0.6 * torso_motion(cast)
    swing = cast.uniform("jump swing", 0.2, 1.4) * keys["arm"].deg2rad()
    flexion = (swing + trunk).expand(2, -1)
    spread = [(0.1 + 0.9 * tuck) * cast.degrees(f"jump arms {i}", 4, 70) for i in range(2)]
    abduction = torch.stack(spread)
    elbow = torch.stack([cast.degrees(f"jump elbow {i}", 12, 80) for i in range(2)])
    curves.limbs[2] = hanging(flexion, abduction)
    curves.limbs[3] = bent(flexion, abduction, 0.3 * torch.ones_like(elbow), elbow)
    leg = cast.bodies.leg
    apex = cast.bodies.ankle_height + leg * (
        1.0 + cast.uniform("jump height", 0.06, 0.32) * effort
    )
    curves.travel[1] = (apex - GRAVITY / 2 * time * time).clamp(min=0)
    curves.travel[2] = cast.uniform("jump forward", -400, 1900)
    curves.travel[3] = cast.uniform("jump sideways", -500, 500)
    curves.travel[0] = cast.normal("jump turn", sd=0.35) * tuck
    return _busy_arms(cast, curves, 0.25)


def _curve_rate(cast: Cast, straight: float, slow: float, fast: float) -> Tensor:
    """Rate of heading: a constant curve, or straight, and a wandering part, rad/s, ``(n,)``."""
    curve = (1 - cast.chance("straight", straight)) * cast.degrees("curve", slow, fast)
    return cast.sign("curve side") * curve + math.radians(16) * wander(cast, "course", 1)[0]


def _gait(
    cast: Cast, table: dict[str, Series], stride: Tensor, size: Tensor, rate: Tensor, speed: Tensor
) -> BodyCurves:
    phase = stride_phase(cast, stride)

    def angle(name: str, follow: bool = True) -> Tensor:
        """Tabled series of both sides with this segment's own offset and range."""
        series = table[name]
        vary = series.range_sd / series.range if series.range_sd else 0.0
        gain = cast.normal(f"{name} gain", 1, vary, 2).clamp(0.25, 1.9)
        offset = cast.normal(f"{name} offset", series.mean, series.offset_sd)
        wave = series.sides(phase) * gain * (size if follow else 1)
        return (offset + wave).deg2rad()

    noise = wander(cast, "stride", 4, 0.8, 2.0).deg2rad()
    thigh = angle("thigh") + noise[:2]
    # Recordings put the joint centres such that a straight knee reads some 10 degrees.
    straighter = cast.degrees("straight knee", -1, 11)
    knee = (angle("knee") - straighter + 1.5 * noise[2:]).clamp(min=0.05)
    out = angle("thigh_out", follow=False)
    curves = BodyCurves.zeros(len(phase))
    curves.limbs[0] = hanging(thigh, out)
    toe = cast.degrees("toe out", -2, 14).expand(2, -1)
    curves.limbs[1] = bent(thigh, out, -toe * 0.3, -knee)
    curves.torso[1] = math.radians(2.5) * (phase + 1.2).sin() * size
    curves.torso[2] = math.radians(4) * phase.cos() * size
    curves.torso[3] = angle("trunk", follow=False)[1] + cast.normal("gait stoop", sd=0.06)
    lean = (speed * cast.bodies.leg * rate / GRAVITY).atan()
    curves.torso[4] = angle("trunk_side", follow=False)[1] + lean - 0.6 * curves.torso[1]
    curves.torso[5] = angle("chest_yaw")[1]
    curves.torso[8] = -0.7 * curves.torso[5] + 0.25 * rate
    flexion = angle("arm") + curves.torso[3]
    hang = cast.degrees("arm clearance", 3, 14)
    abduction = angle("arm_out", follow=False) + hang
    elbow = angle("elbow").clamp(min=0.08)
    twist = torch.stack([cast.degrees(f"arm twist {i}", -5, 40) for i in range(2)])
    curves.limbs[2] = hanging(flexion, abduction)
    curves.limbs[3] = bent(flexion, abduction, twist, elbow)
    curves.travel[0] = rate
    return curves


def _flexed_legs(legs: Tensor, crouch: Tensor) -> Tensor:
    """Flex hips and knees of ``(2, 2, 3, n)`` directions such that the body sinks."""
    cosine, sine = crouch.cos(), crouch.sin()
    turned = []
    for segment, way in ((0, 1), (1, -1)):
        x, y, z = legs[segment].unbind(1)
        turned.append(
            torch.stack((x * cosine - way * z * sine, y, way * x * sine + z * cosine), 1)
        )
    return torch.stack(turned)


def _busy_arms(cast: Cast, curves: BodyCurves, odds: float) -> BodyCurves:
    """Replace, in some segments, what one or both arms do by gestures and reaches."""
    arms = torch.stack(arm_motion(cast, curves.torso, _BUSY_ARMS))
    busy = cast.chance("busy", odds)
    one = cast.chance("one arm busy", 0.4)
    side = cast.sign("busy arm")
    share = busy * (1 - one * (SIDES * side < 0))
    curves.limbs[2:] = unit(torch.lerp(curves.limbs[2:], arms, share[:, None]))
    return curves


def _fit_keyframes(time: Tensor, period: Tensor) -> Tensor:
    """Stretch time around the flight, such that the keyframes fill the period exactly."""
    before, after = -0.28, 0.36
    head = (_JUMP_TIMES[0] - before) / (-_JUMP_LEAD * period - before).clamp(max=-0.05)
    tail = (_JUMP_TIMES[-1] - after) / ((1 - _JUMP_LEAD) * period - after).clamp(min=0.05)
    early, late = (time - before).clamp(max=0), (time - after).clamp(min=0)
    return time.clamp(before, after) + head * early + tail * late


def _keyframes(time: Tensor, values: tuple[int, ...]) -> Tensor:
    """Smooth curve through the jump's keyframes, constant before and after, ``(n,)``."""
    knots = torch.tensor(_JUMP_TIMES)
    heights = torch.tensor(values, dtype=torch.float32)
    secant = heights.diff() / knots.diff()
    slope = torch.zeros_like(heights)
    # A slope of zero at every extremum keeps the curve inside its keyframes.
    same = (secant[1:] * secant[:-1]) > 0
    harmonic = 2 * secant[1:] * secant[:-1] / (secant[1:] + secant[:-1])
    slope[1:-1] = torch.where(same, harmonic, torch.zeros_like(harmonic))
    clipped = time.clamp(_JUMP_TIMES[0], _JUMP_TIMES[-1] - 1e-4)
    i = torch.searchsorted(knots, clipped, right=True) - 1
    width = knots.diff()[i]
    u = (clipped - knots[i]) / width
    rise = heights[i + 1] - heights[i]
    start, end = slope[i] * width, slope[i + 1] * width
    return heights[i] + u * (
        start + u * (3 * rise - 2 * start - end + u * (start + end - 2 * rise))
    )
