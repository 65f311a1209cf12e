"""D3DP as the released code computes it, one hypothesis after the other: a yardstick.

Weight names and shapes are the official ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lifting.batch import flip_pose
from lifting.nn.mixste import MixsteSize
from lifting.nn.units import flip_screen
from lifting.skeleton import Skeleton
from lifting.typing import Pose2D, Pose3D
from reference.mixste import ReferenceMixste


class _Waves(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.half = width // 2

    def forward(self, t: Tensor) -> Tensor:
        rates = [math.exp(-math.log(10000) * i / (self.half - 1)) for i in range(self.half)]
        angles = t[:, None] * t.new_tensor(rates)
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class ReferenceDenoiser(ReferenceMixste):
    """The denoiser with official names, in evaluation only.

    Args:
        joints: Joints of a pose.
        size: Length of the window, width, depth, heads.
    """

    def __init__(self, joints: int, size: MixsteSize) -> None:
        super().__init__(joints, size, 5)
        width = size.width
        self.time_mlp = nn.Sequential(
            _Waves(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, uv: Pose2D, pose: Pose3D, t: Tensor) -> Pose3D:
        """Clean poses of a window, ``(batch, frames, joints, 3)``, metres."""
        told = self.time_mlp(t.to(uv.dtype))
        return super().forward(torch.cat((uv, pose), dim=-1), told)


def reference_sampling(
    network: ReferenceDenoiser,
    uv: Pose2D,
    noise: Sequence[Tensor],
    levels: Sequence[int],
    shares: Tensor,
    skeleton: Skeleton,
    reach: float,
) -> Tensor:
    """Poses after every step, with the mirrored average in each, ``(steps, hypotheses, ...)``.

    Args:
        network: The denoiser.
        uv: ``(batch, frames, joints, 2)``, screen units.
        noise: Of the start, then of every level but the last, ``(hypotheses, batch, ...)``.
        levels: Falling, then -1.
        shares: Signal share of all levels.
        skeleton: Gives the symmetry.
        reach: Largest coordinate, metres.
    """
    mirrored_uv, every = flip_screen(uv, skeleton), []
    for hypothesis in range(len(noise[0])):
        state, answers = noise[0][hypothesis], []
        for i, level in enumerate(levels[:-1]):
            seen = state.clamp(-reach, reach)
            t = torch.full((len(uv),), level)
            plain = network(uv, seen, t)
            turned = network(mirrored_uv, flip_pose(seen, skeleton), t)
            clean = ((plain + flip_pose(turned, skeleton)) / 2).clamp(-reach, reach)
            answers.append(clean)
            if levels[i + 1] >= 0:
                a, b = shares[level], shares[levels[i + 1]]
                rest = (state / a.sqrt() - clean) / (1 / a - 1).sqrt()
                sigma = ((1 - a / b) * (1 - b) / (1 - a)).sqrt()
                state = b.sqrt() * clean + (1 - b - sigma**2).sqrt() * rest
                state = state + sigma * noise[i + 1][hypothesis]
        every.append(torch.stack(answers))
    return torch.stack(every, dim=1)
