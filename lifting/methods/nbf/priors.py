"""What is known of poses and places before the features are looked at.

Rotation vectors of joints relative to their parents are taken as Gaussian, and must stay inside
hard limits; shape coefficients are standard normal. The first guess counts as a measurement of its
own, with the errors such guesses have (ours).

Source: the project's specification of 3DNBF, sections 11 and 14.4; the released code uses a
learned prior whose weights may not be passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.methods.nbf.rotations import BodyPose
from lifting.skeleton import H36M_17
from lifting.typing import PerSample, Points3D

_NO_LIMIT = 180.0
_Triple = tuple[float, float, float]


@dataclass(frozen=True)
class _Joint:
    """Degrees about x, y and z of the left side's joint in its rest frame."""

    mean: _Triple
    spread: _Triple
    low: _Triple = (-_NO_LIMIT, -_NO_LIMIT, -_NO_LIMIT)
    high: _Triple = (_NO_LIMIT, _NO_LIMIT, _NO_LIMIT)


_STIFF = _Joint((0, 0, 0), (3, 3, 3))
_BACK = _Joint((0, 0, 0), (9, 8, 6), (-45, -45, -45), (45, 45, 45))
# A turn by a negative angle about x flexes a hip, by a positive one a knee; by a negative one
# about z it lowers the left arm, and about y it bends the left elbow.
_TABLE = {
    "hip": _Joint((-12, 0, 0), (28, 12, 12), (-120, -90, -90), (30, 90, 90)),
    "knee": _Joint((22, 0, 0), (28, 3, 3), (0, -30, -30), (150, 30, 30)),
    "ankle": _STIFF,
    "spine": _BACK,
    "thorax": _BACK,
    "neck": _Joint((0, 0, 0), (14, 20, 8), (-60, -60, -60), (60, 60, 60)),
    "head": _STIFF,
    "shoulder": _Joint((-15, 0, -55), (30, 30, 30)),
    "elbow": _Joint((0, -35, 0), (25, 32, 5), (-90, -150, -45), (90, 0, 45)),
    "wrist": _STIFF,
}


class PosePrior:
    """Gaussian prior and limits of rotation vectors.

    Args:
        mean: ``(joints, 3)``, radians, without the root.
        spread: Standard deviations, ``(joints, 3)``, radians.
        low: Least angles, ``(joints, 3)``, radians.
        high: Largest angles, ``(joints, 3)``, radians.
    """

    def __init__(self, mean: Tensor, spread: Tensor, low: Tensor, high: Tensor) -> None:
        self.mean, self.spread, self.low, self.high = mean, spread, low, high

    @classmethod
    def of_h36m(cls) -> PosePrior:
        """Of the ellipsoid body, whose joints are Human3.6M's."""
        rows = [_row(name) for name in H36M_17.joints[1:]]
        parts = zip(*rows, strict=True)
        return cls(*(torch.tensor(part).deg2rad() for part in parts))

    @classmethod
    def loose(cls, joints: int, degrees: float = 40.0) -> PosePrior:
        """Around the rest pose without limits, for bodies whose joints are not tabled.

        Args:
            joints: Joints without the root.
            degrees: Standard deviation of each angle.
        """
        spread = torch.full((joints, 3), degrees).deg2rad()
        free = torch.full((joints, 3), torch.inf)
        return cls(torch.zeros_like(spread), spread, -free, free)

    def of_joints(self, joints: Sequence[int]) -> PosePrior:
        """Of some joints, numbered with the root as zero."""
        rows = [joint - 1 for joint in joints]
        return PosePrior(self.mean[rows], self.spread[rows], self.low[rows], self.high[rows])

    def to(self, like: Tensor) -> PosePrior:
        """The same on another device and of another precision."""
        return PosePrior(*(v.to(like) for v in (self.mean, self.spread, self.low, self.high)))

    def distance(self, turns: Points3D) -> PerSample:
        """Squared distance from the mean in standard deviations, summed.

        Args:
            turns: Rotation vectors, ``(batch, joints, 3)``, radians.
        """
        return (((turns - self.mean) / self.spread) ** 2).sum((1, 2))

    def excess(self, turns: Points3D) -> PerSample:
        """Squares of the angles beyond the limits, summed, radians squared.

        Args:
            turns: Rotation vectors, ``(batch, joints, 3)``, radians.
        """
        beyond = (self.low - turns).clamp(min=0) + (turns - self.high).clamp(min=0)
        return beyond.square().sum((1, 2))


@dataclass(frozen=True)
class GuessErrors:
    """Standard errors of a first guess, about each axis.

    Attributes:
        turn: Of the root's rotation, radians.
        bend: Of the other joints' rotations, radians.
        across: Of the root's place across the line of sight, mm.
        depth: Of its depth, as a share of it.
    """

    turn: float = 0.25
    bend: float = 0.6
    across: float = 40.0
    depth: float = 0.03

    def distance(self, body: BodyPose, guess: BodyPose) -> PerSample:
        """Squared distance of bodies from their guesses in standard errors, summed.

        An angle counts as twice the sine of its half, so that the gradient is smooth up to a half
        turn.

        Args:
            body: The bodies.
            guess: The guesses.
        """
        chord = (body.rotations - guess.rotations).square().sum((-1, -2)) / 2
        far = body.translation[:, 2].clamp(min=1.0) / guess.translation[:, 2].clamp(min=1.0)
        across = body.translation[:, :2] / far[:, None] - guess.translation[:, :2]
        return (
            chord[:, 0] / self.turn**2
            + chord[:, 1:].sum(-1) / self.bend**2
            + across.square().sum(-1) / self.across**2
            + (far.log() / self.depth) ** 2
        )


def _row(name: str) -> tuple[_Triple, _Triple, _Triple, _Triple]:
    """A joint's entry; the right side mirrors the left: y and z change their sign."""
    entry = _TABLE[name.removeprefix("left_").removeprefix("right_")]
    if not name.startswith("right_"):
        return entry.mean, entry.spread, entry.low, entry.high

    def mirrored(v: _Triple) -> _Triple:
        return v[0], -v[1], -v[2]

    low, high = mirrored(entry.high), mirrored(entry.low)
    return (
        mirrored(entry.mean),
        entry.spread,
        (entry.low[0], low[1], low[2]),
        (entry.high[0], high[1], high[2]),
    )
