"""Coordinate frames that turn about their own axes, for n frames at once.

A turn about an axis mixes two of the three axis vectors, which costs far less than a product of
matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Axes(NamedTuple):
    """Forward, left and up vectors of a frame, ``(3, n)`` each."""

    x: Tensor
    y: Tensor
    z: Tensor

    def pitch(self, angle: Tensor) -> Axes:
        """Turn so that the up vector tilts forward; radians, ``(n,)``."""
        c, s = angle.cos(), angle.sin()
        return Axes(c * self.x - s * self.z, self.y, s * self.x + c * self.z)

    def roll(self, angle: Tensor) -> Axes:
        """Turn so that the up vector tilts to the left; radians, ``(n,)``."""
        c, s = angle.cos(), angle.sin()
        return Axes(self.x, c * self.y - s * self.z, s * self.y + c * self.z)

    def yaw(self, angle: Tensor) -> Axes:
        """Turn so that the forward vector moves to the left; radians, ``(n,)``."""
        c, s = angle.cos(), angle.sin()
        return Axes(c * self.x + s * self.y, c * self.y - s * self.x, self.z)

    def out(self, vector: Tensor) -> Tensor:
        """A vector of this frame in the outer one, ``(3, n)`` to ``(3, n)``."""
        return vector[0] * self.x + vector[1] * self.y + vector[2] * self.z

    def into(self, vector: Tensor) -> Tensor:
        """A vector of the outer frame in this one, ``(..., 3, n)`` to ``(..., 3, n)``."""
        return torch.stack([(vector * axis).sum(-2) for axis in self], dim=-2)

    def tilted_up(self, angle: Tensor) -> Tensor:
        """Direction tilted forward from the up vector, in the outer frame, ``(3, n)``."""
        return angle.sin() * self.x + angle.cos() * self.z


def heading_axes(heading: Tensor) -> Axes:
    """Upright frame that faces a heading: 0 along x, rising to the left; radians, ``(n,)``."""
    c, s, zero = heading.cos(), heading.sin(), torch.zeros_like(heading)
    one = torch.ones_like(heading)
    return Axes(
        torch.stack((c, s, zero)), torch.stack((-s, c, zero)), torch.stack((zero, zero, one))
    )
