"""Tensors of one skeleton as those of another, by the recipes of :mod:`lifting.skeleton.recipes`.

Each target joint is a linear combination of source joints. Where a joint may be missing, a second
combination can stand in.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.skeleton.recipes import conversion
from lifting.skeleton.sets import Skeleton
from lifting.typing import PerJoint


def remap_joints(
    values: Tensor,
    source: Skeleton,
    target: Skeleton,
    confidence: PerJoint | None = None,
) -> tuple[Tensor, PerJoint]:
    """Joints of the target skeleton from those of the source.

    Args:
        values: Positions, ``(*batch, source joints, channels)``, any unit and frame.
        source: Skeleton of ``values``.
        target: Skeleton asked for.
        confidence: ``(*batch, source joints)``, zero where a joint is missing; None means that
            all are there.

    Returns:
        Positions ``(*batch, target joints, channels)`` and confidences ``(*batch, target
        joints)``, the least of those a joint was made from.

    Raises:
        ConfigError: No conversion between the two skeletons is known.
        ShapeError: ``values`` has not the joints of the source.
    """
    check_shape("values", values, "*batch joints channels", joints=len(source))
    if confidence is None:
        confidence = torch.ones(values.shape[:-1], dtype=values.dtype, device=values.device)
    check_shape("confidence", confidence, "*batch joints", joints=len(source))
    first, second = (m.to(values) for m in _matrices(source, target))
    floor_first, floor_second = _least(confidence, first), _least(confidence, second)
    stand_in = (floor_first <= 0) & (floor_second > 0)
    mapped = torch.where(stand_in[..., None], second @ values, first @ values)
    return mapped, torch.where(stand_in, floor_second, floor_first)


def _least(confidence: PerJoint, matrix: Tensor) -> PerJoint:
    """Least confidence among the joints that a row of the matrix reads."""
    read = matrix != 0
    return torch.where(read, confidence[..., None, :], torch.inf).amin(-1)


@cache
def _matrices(source: Skeleton, target: Skeleton) -> tuple[Tensor, Tensor]:
    """First and stand-in combination of every target joint, ``(target, source)`` each."""
    recipes = conversion(source, target).recipes
    pair = torch.zeros(2, len(target), len(source))
    for row, joint in enumerate(target.joints):
        options = recipes[joint]
        for matrix, recipe in zip(pair, (options[0], options[-1]), strict=True):
            for name, share in recipe.items():
                matrix[row, source.index(name)] = share
    return pair[0], pair[1]
