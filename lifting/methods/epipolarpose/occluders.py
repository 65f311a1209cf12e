"""Cut-outs that are pasted over training images: procedural shapes, or a folder of png files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imread
from torch import Generator, Tensor, nn
from torch.nn import functional

from lifting.errors import DataError, MissingDataError

PIXELS = 64
SHAPES = 128
LEVELS = 4
SIDES = (60.0, 300.0)
"""Smallest and largest side of a procedural cut-out on a patch of 256, before it is scaled; the
shape fills about two thirds of it."""
_GRIDS = (2, 4, 8, 16)
_WAVES = 4
_WHITE = 255


class OccluderBank(nn.Module):
    """Cut-outs with transparency, each also in coarser versions against aliasing.

    Args:
        pictures: Red, green and blue times the opacity, and the opacity itself, ``(shapes, 4,
            pixels, pixels)``, 0 to 1.
        side: Side of each on a patch of 256 pixels, before it is scaled, ``(shapes,)``.
    """

    levels: Tensor
    side: Tensor

    def __init__(self, pictures: Tensor, side: Tensor) -> None:
        super().__init__()
        self.pixels = pictures.shape[-1]
        levels = [pictures]
        for level in range(1, LEVELS):
            coarse = functional.avg_pool2d(pictures, 2**level)
            levels.append(functional.interpolate(coarse, size=self.pixels, mode="bilinear"))
        stored = (torch.stack(levels) * _WHITE).round().to(torch.uint8)
        self.register_buffer("levels", stored, persistent=False)
        self.register_buffer("side", side.float(), persistent=False)

    def __len__(self) -> int:
        return int(self.levels.shape[1])

    def cutouts(self, shape: Tensor, shown: Tensor) -> Tensor:
        """Some cut-outs, as coarse as their size asks for.

        Args:
            shape: Which, ``(batch,)`` int64.
            shown: Side at which each is shown, ``(batch,)``, pixels.

        Returns:
            ``(batch, 4, pixels, pixels)``, 0 to 1, colours times opacity.
        """
        level = torch.log2(self.pixels / shown).floor().clamp(0, LEVELS - 1).long()
        return self.levels[level, shape].float() / _WHITE


def procedural_bank(generator: Generator, shapes: int = SHAPES) -> OccluderBank:
    """Textured ellipses, boxes and blobs with soft borders.

    Args:
        generator: Source of the random numbers, on the CPU.
        shapes: How many.
    """
    colours = _textures(shapes, generator)
    opacity = _masks(shapes, generator)[:, None]
    low, high = SIDES
    side = low + (high - low) * torch.rand(shapes, generator=generator)
    return OccluderBank(torch.cat((colours * opacity, opacity), dim=1), side)


def folder_bank(folder: Path) -> OccluderBank:
    """The cut-outs of a folder.

    Args:
        folder: Holds png files with an opacity; one pixel of a file is one pixel of a patch of
            256 before it is scaled.

    Raises:
        MissingDataError: No folder, or no png file in it.
        DataError: A file cannot be read, or has no opacity.
    """
    files = sorted(folder.glob("*.png"))
    if not files:
        raise MissingDataError(
            f"expected png files in the folder {folder}, found none; correct method.occluders or "
            "set it to procedural"
        )
    pictures = [_read(file) for file in files]
    squares = torch.stack([_square(picture) for picture in pictures])
    return OccluderBank(squares, torch.tensor([max(p.shape[1:]) for p in pictures]))


def _textures(shapes: int, generator: Generator) -> Tensor:
    """Two random colours of each shape, vivid or grey, mixed by noise of several sizes, shaded."""
    noise = torch.zeros(shapes, 1, PIXELS, PIXELS)
    weights = torch.rand(len(_GRIDS), shapes, 1, 1, 1, generator=generator)
    for weight, cells in zip(weights, _GRIDS, strict=True):
        grid = torch.rand(shapes, 1, cells, cells, generator=generator) - 0.5
        size = (PIXELS, PIXELS)
        noise = noise + weight * functional.interpolate(grid, size, mode="bilinear")
    mix = torch.sigmoid(10 * noise)
    colours = torch.rand(2, shapes, 3, 1, 1, generator=generator)
    pale = torch.rand(1, shapes, 1, 1, 1, generator=generator)
    first, second = torch.lerp(colours, colours.mean(2, keepdim=True), pale)
    towards = torch.rand(shapes, 2, generator=generator) - 0.5
    x, y = _axes()
    shade = 1 + 0.8 * (towards[:, :1, None] * x + towards[:, 1:, None] * y)
    return ((first * mix + second * (1 - mix)) * shade[:, None]).clamp(0, 1)


def _masks(shapes: int, generator: Generator) -> Tensor:
    """Opacity: superellipses, from ellipse to box, some with a wavy outline; turned."""
    draws = torch.rand(4, shapes, 1, 1, generator=generator)
    angle = 2 * math.pi * draws[0]
    power = 2 ** (1 + 2.5 * draws[1])
    flat = 0.3 + 0.7 * draws[2]
    x, y = _axes()
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = (y * torch.cos(angle) - x * torch.sin(angle)) / flat
    radius = (along.abs() ** power + across.abs() ** power) ** (1 / power)
    polar = torch.atan2(across, along)
    waves = torch.rand(2, _WAVES, shapes, 1, 1, generator=generator)
    outline = sum(
        waves[0, i] * torch.cos((i + 2) * polar + 2 * math.pi * waves[1, i]) / (i + 2)
        for i in range(_WAVES)
    )
    wavy = 0.5 * (draws[3] < 0.5)
    edge = 0.65 * (1 + 0.6 * wavy * outline)
    softness = 3 / PIXELS  # a border of three pixels
    return ((edge - radius) / softness + 0.5).clamp(0, 1)


def _axes() -> tuple[Tensor, Tensor]:
    """Coordinates of the pixels, -1 to 1."""
    line = (torch.arange(PIXELS) + 0.5) * (2 / PIXELS) - 1
    return line.expand(PIXELS, PIXELS), line[:, None].expand(PIXELS, PIXELS)


def _read(file: Path) -> Tensor:
    """Colours times opacity, and the opacity, of a file, ``(4, height, width)``, 0 to 1."""
    try:
        values = np.asarray(imread(file))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"expected a png picture in {file}, got one that cannot be read ({error}); remove it"
        ) from error
    if values.ndim != 3 or values.shape[2] != 4:
        raise DataError(
            f"expected a picture with an opacity in {file}, got an array {values.shape}; save it "
            "as a png with transparency (RGBA)"
        )
    picture = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)
    return torch.cat((picture[:3] * picture[3:], picture[3:]))


def _square(picture: Tensor) -> Tensor:
    """The picture in the middle of a transparent square of the bank's size."""
    height, width = picture.shape[1:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    borders = (left, side - width - left, top, side - height - top)
    padded = functional.pad(picture, borders)
    return functional.interpolate(padded[None], size=PIXELS, mode="area")[0]
