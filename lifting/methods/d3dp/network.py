"""The denoiser: MixSTE that sees keypoints and noisy poses and is told of the noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.nn.mixste import Mixste, MixsteSize
from lifting.typing import Pose2D, Pose3D

INPUTS = 5
RATE_RANGE = 10_000.0


class Denoiser(nn.Module):
    """Clean poses of a window, from its keypoints and noisy poses.

    Args:
        joints: Joints of a pose.
        size: Length of the window, width, depth, heads, stochastic depth.
    """

    def __init__(self, joints: int, size: MixsteSize) -> None:
        super().__init__()
        self.trunk = Mixste(joints, size, INPUTS)
        self.first = nn.Linear(size.width, 2 * size.width)
        self.second = nn.Linear(2 * size.width, size.width)

    def forward(self, uv: Pose2D, pose: Pose3D, level: Tensor, place: int | None = None) -> Pose3D:
        """Clean poses, metres, ``(batch, frames, joints, 3)``; the root is not forced to zero.

        Args:
            uv: ``(batch, frames, joints, 2)``, screen units.
            pose: Noisy poses, metres, ``(batch, frames, joints, 3)``.
            level: Of the noise, the same for all frames, ``(batch,)``.
            place: That of single frames in a window; None is for whole windows.

        Raises:
            ShapeError: The window has another length, or the pose other joints.
        """
        seen = torch.cat((uv, pose), dim=-1)
        clean: Pose3D = self.trunk(seen, self.told(level), place)
        return clean

    def told(self, level: Tensor) -> Tensor:
        """Feature of noise levels, ``(batch, width)``, of ``(batch,)``."""
        weight = self.first.weight
        waves = level_waves(level.to(weight.dtype), weight.shape[1])
        told: Tensor = self.second(functional.gelu(self.first(waves)))
        return told


def level_waves(level: Tensor, size: int) -> Tensor:
    """Sines, then cosines of a noise level, ``(batch, size)``.

    Args:
        level: ``(batch,)``, not rescaled, of the type of the waves.
        size: Channels, even, at least 4.
    """
    half = size // 2
    order = torch.arange(half, dtype=level.dtype, device=level.device)
    angles = level[:, None] * torch.exp(order * (-math.log(RATE_RANGE) / (half - 1)))
    return torch.cat((angles.sin(), angles.cos()), dim=-1)
