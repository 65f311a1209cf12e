"""Textured squares over training images: what stands before a person, new in every step.

The textures are of another kind than AdvOcc's, which no training may see.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

_SIDES = (0.15, 0.5)
_GRIDS = (2, 5, 12)
_WHITE = 255.0


def draw_squares(count: int, side: int, chance: float, generator: Generator) -> Tensor:
    """Where squares stand in images; most of them reach into the middle, where people are.

    Args:
        count: Images.
        side: Of an image, pixels.
        chance: Of a square in an image.
        generator: Draws.

    Returns:
        ``(count, side, side)`` bool.
    """
    drawn = torch.rand(4, count, generator=generator)
    half = (_SIDES[0] + (_SIDES[1] - _SIDES[0]) * drawn[0]) / 2
    half = torch.where(drawn[1] < chance, half, 0.0)
    middle = 0.1 + 0.8 * drawn[2:]
    places = (torch.arange(side) + 0.5) / side
    rows, columns = ((places - m[:, None]).abs() < half[:, None] for m in middle)
    return rows[:, :, None] & columns[:, None, :]


def draw_textures(count: int, side: int, generator: Generator) -> Tensor:
    """Smooth random colours at several scales, ``(count, 3, side, side)`` uint8."""
    found = torch.rand(count, 3, 1, 1, generator=generator)
    for cells in _GRIDS:
        grid = torch.rand(count, 3, cells, cells, generator=generator) - 0.5
        strength = torch.rand(count, 1, 1, 1, generator=generator)
        grid = functional.interpolate(grid, size=(side, side), mode="bilinear")
        found = found + strength * grid
    return (_WHITE * found.clamp(0, 1)).to(torch.uint8)
