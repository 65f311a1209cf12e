"""2D Gaussian mixtures, one a joint: ``(batch, joints, components, 5)``.

The last axis is weight, mean u, mean v, deviation u, deviation v, in screen units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.typing import PerJoint, Pose2D


class Component(NamedTuple):
    """One selected component of every joint.

    Attributes:
        mean: ``(*batch, joints, 2)``, screen units.
        spread: Standard deviations, ``(*batch, joints, 2)``, screen units.
    """

    mean: Pose2D
    spread: Pose2D


def degenerate_mixture(uv: Pose2D, spread: float) -> Tensor:
    """Mixture of a single component at each detection, ``(batch, joints, 1, 5)``.

    Args:
        uv: ``(batch, joints, 2)``, screen units.
        spread: Standard deviation, screen units.

    Source: what users found in the released mixture files, whose weights are (1, 0, 0).
    """
    weight = torch.ones_like(uv[..., :1])
    return torch.cat((weight, uv, torch.full_like(uv, spread)), dim=-1)[..., None, :]


def draw_components(mixture: Tensor, uniform: PerJoint) -> Tensor:
    """Index of one component a joint, by its weight, ``(*batch, joints)`` int64.

    Args:
        mixture: ``(*batch, joints, components, 5)``; weights need not sum to one exactly.
        uniform: ``(*batch, joints)``, uniform in [0, 1): the only randomness.
    """
    check_shape("mixture", mixture, "*batch joints components 5")
    return draw_index(mixture[..., 0], uniform)


def draw_index(weights: Tensor, uniform: Tensor) -> Tensor:
    """Index drawn by weight, of the shape of ``uniform``, int64.

    Args:
        weights: ``(*batch, components)``, not negative.
        uniform: ``(*batch,)``, uniform in [0, 1).
    """
    edges = weights.cumsum(dim=-1)
    level = uniform[..., None] * edges[..., -1:]
    return (level >= edges).sum(dim=-1).clamp(max=weights.shape[-1] - 1)


def pick_components(mixture: Tensor, index: Tensor) -> Component:
    """The named components.

    Args:
        mixture: ``(*batch, joints, components, 5)``.
        index: ``(*batch, joints)`` int64.
    """
    check_shape("mixture", mixture, "*batch joints components 5")
    index = index[..., None, None].expand(*index.shape, 1, 5)
    chosen = mixture.gather(-2, index).squeeze(-2)  # (batch, joints, 5)
    return Component(chosen[..., 1:3], chosen[..., 3:5])
