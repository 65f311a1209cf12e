"""What a motion primitive is given, what it answers, and the smooth functions it is made of.

Arrays keep frames on the last axis, so that every operation runs over contiguous memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.data.procedural.anthropometry import Bodies
from lifting.data.procedural.draws import Draws


@dataclass
class BodyCurves:
    """A body's configuration over n frames, free of its position.

    Body frame: x forward, y left, z up. Sides are ordered left, right. Arms are directions in
    the chest frame, legs in the pelvis frame.

    Attributes:
        torso: ``(9, n)``, radians: pelvis pitch, roll and yaw; trunk flexion, lateral bend and
            rotation; neck likewise. Pitch and flexion are forward, lateral is to the left,
            rotation to the left.
        shoulders: ``(2, 2, n)``, radians: side, then elevation and protraction beyond posture.
        limbs: ``(4, 2, 3, n)``: thigh, shank, upper arm, forearm; side; direction.
        travel: ``(4, n)``: rate of heading, rad/s; height of the root that a flight asks for,
            mm, 0 when none; velocity in the air, forward and left, mm/s.
    """

    torso: Tensor
    shoulders: Tensor
    limbs: Tensor
    travel: Tensor

    @classmethod
    def zeros(cls, frames: int) -> BodyCurves:
        """All angles, directions and velocities zero, for accumulating blends."""
        shapes = ((9,), (2, 2), (4, 2, 3), (4,))
        return cls(*(torch.zeros(*shape, frames) for shape in shapes))

    def add(self, other: BodyCurves, rows: Tensor, weight: Tensor) -> None:
        """Add weighted angles and travel of some frames in place; directions do not add.

        Args:
            other: Curves of m frames.
            rows: ``(m,)`` int64, frames of this object.
            weight: ``(m,)``, share of each.
        """
        for name in ("torso", "shoulders", "travel"):
            getattr(self, name).index_add_(-1, rows, getattr(other, name) * weight)


@dataclass(frozen=True)
class Cast:
    """Frames of all segments of one primitive, ragged and flat. P segments, n frames.

    Attributes:
        draws: One stream a segment.
        segment: ``(n,)`` int64, segment of each frame.
        time: ``(n,)``, seconds since the segment's beginning; negative or beyond the end where
            neighbours blend.
        duration: ``(P,)``, seconds.
        bodies: Of the frames.
    """

    draws: Draws
    segment: Tensor
    time: Tensor
    duration: Tensor
    bodies: Bodies

    def spread(self, table: Tensor) -> Tensor:
        """Give every frame the value of its segment: ``(..., P)`` to ``(..., n)``."""
        return table[..., self.segment]

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """One uniform number a segment, ``(n,)``."""
        return self.spread(self.draws.uniform(name, low=low, high=high))

    def normal(self, name: str, mean: float = 0.0, sd: float = 1.0, clip: float = 2.5) -> Tensor:
        """One normal number a segment, cut at ``clip`` deviations, ``(n,)``."""
        return self.spread(mean + sd * self.draws.normal(name).clamp(-clip, clip))

    def degrees(self, name: str, low: float, high: float) -> Tensor:
        """One uniform angle a segment, from degrees to radians, ``(n,)``."""
        return self.uniform(name, math.radians(low), math.radians(high))

    def sign(self, name: str) -> Tensor:
        """-1 or 1 a segment, ``(n,)``."""
        return self.spread((self.draws.uniform(name) < 0.5).float() * 2 - 1)

    def chance(self, name: str, odds: float) -> Tensor:
        """1 with the given odds, else 0, a segment, ``(n,)``."""
        return self.spread((self.draws.uniform(name) < odds).float())

    def cycles(self, name: str, low: float, high: float) -> tuple[Tensor, Tensor]:
        """Time as repetitions of an action, a whole number of which fills the segment.

        Args:
            name: Which quantity.
            low: Shortest wished period, seconds.
            high: Longest wished period, seconds.

        Returns:
            Repetitions so far, ``(n,)``, 0 at the segment's beginning, and the period in
            seconds, ``(n,)``.
        """
        period = self.draws.uniform(name, low=low, high=high)
        count = (self.duration / period).round().clamp(min=1)
        fitted = self.spread(self.duration / count)
        return self.time / fitted, fitted


def minimum_jerk(progress: Tensor) -> Tensor:
    """Ease from 0 to 1 with zero velocity and acceleration at both ends.

    Source: Flash and Hogan 1985, ``10 u^3 - 15 u^4 + 6 u^5``.
    """
    u = progress.clamp(0, 1)
    return u * u * u * (10 + u * (6 * u - 15))


def plateau(progress: Tensor, rise: Tensor, fall: Tensor) -> Tensor:
    """Ease up during the first ``rise`` of [0, 1], hold, ease down during the last ``fall``."""
    return minimum_jerk(progress / rise) * minimum_jerk((1 - progress) / fall)


def knots(cast: Cast, table: Tensor, period: Tensor, moving: Tensor) -> Tensor:
    """Values that ease from one random target to the next.

    Args:
        cast: Frames.
        table: ``(P, K, channels)``, targets of each segment, used in a cycle.
        period: ``(P,)``, seconds from one target to the next.
        moving: ``(P,)``, share of the period spent moving, the rest is a hold.

    Returns:
        ``(channels, n)``.
    """
    count = table.shape[1]
    place = cast.time / cast.spread(period) + 1
    index = place.floor()
    ease = minimum_jerk((place - index) / cast.spread(moving))
    flat = table.flatten(0, 1).T.contiguous()
    base = cast.segment * count
    start = flat[:, base + index.long() % count]
    end = flat[:, base + (index.long() + 1) % count]
    return torch.lerp(start, end, ease)


def wander(
    cast: Cast, name: str, channels: int, low: float = 0.3, high: float = 1.0, gain: float = 1.0
) -> Tensor:
    """Smooth random curves: easing between independent normal targets.

    Args:
        cast: Frames.
        name: Which quantity.
        channels: Curves.
        low: Lowest rate of new targets, 1/s.
        high: Highest rate of new targets, 1/s.
        gain: Standard deviation of the targets, cut at 2.5 of them.

    Returns:
        ``(channels, n)``.
    """
    table = cast.draws.normal(f"{name} targets", 13, channels).clamp(-2.5, 2.5) * gain
    period = 1 / cast.draws.uniform(f"{name} rate", low=low, high=high)
    moving = cast.draws.uniform(f"{name} moving", low=0.5, high=1.0)
    return knots(cast, table, period, moving)


def band_noise(draws: Draws, channels: int, frames: int, fps: float) -> Tensor:
    """Noise of unit variance between 0.5 and 3 Hz, a sum of four waves.

    Args:
        draws: One stream a clip.
        channels: Independent curves.
        frames: Frames of every clip.
        fps: Frames a second.

    Returns:
        ``(channels, clips * frames)``.
    """
    time = torch.arange(frames) * (2 * math.pi / fps)
    result = torch.zeros(channels, len(draws.ids), frames)
    for i in range(4):
        hertz = 0.5 + 0.625 * (i + draws.uniform(f"noise hertz {i}", channels))
        phase = draws.uniform(f"noise phase {i}", channels, high=2 * math.pi)
        result += (hertz.T[..., None] * time + phase.T[..., None]).sin_()
    return result.flatten(1) * math.sqrt(0.5)
