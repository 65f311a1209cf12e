"""Random changes of training crops: parameters drawn from a generator, applied to whole batches.

Everything random is drawn on the processor, so that a batch is the same on every device. What is
pasted over crops are cut-outs: procedural shapes, or a folder of png files.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.image import imread
from torch import Generator, Tensor, nn
from torch.nn import functional

from lifting.errors import DataError, MissingDataError, check_shape
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.crop import PATCH, Affine

MEAN = (123.675, 116.280, 103.530)
SPREAD = (58.395, 57.120, 57.375)
WHITE = 255.0
LARGEST_SCALE, LARGEST_ANGLE = 1.0, 2.0
"""Deviations at which the normal draws of scale and angle are cut off."""
OCCLUDER_SCALE = (0.2, 1.0)


class Augmentation(NamedTuple):
    """Geometric and colour changes of a batch.

    Attributes:
        scale: Sides of the crop over those of the box, ``(batch,)``.
        angle: ``(batch,)``, radians.
        gain: Factor of each colour, ``(batch, 3)``.
    """

    scale: Tensor
    angle: Tensor
    gain: Tensor


class Occlusion(NamedTuple):
    """What is pasted over a batch, in the order of the second axis.

    Attributes:
        shape: Which cut-out, ``(batch, slots)`` int64.
        scale: Of the cut-out, ``(batch, slots)``; zero where the slot is empty.
        centre: ``(batch, slots, 2)``, as parts of the patch's side.
    """

    shape: Tensor
    scale: Tensor
    centre: Tensor


def draw_augmentation(size: int, config: Config, generator: Generator) -> Augmentation:
    """Draw scale, angle and gain for each of ``size`` crops.

    Source: EpipolarPose, released code; the paper's ranges are smaller.
    """
    normal = torch.randn(2, size, generator=generator)
    uniform = torch.rand(4, size, generator=generator)
    scale = 1 + config.scale_spread * normal[0].clamp(-LARGEST_SCALE, LARGEST_SCALE)
    angle = config.angle_spread * normal[1].clamp(-LARGEST_ANGLE, LARGEST_ANGLE)
    angle = torch.where(uniform[0] < config.angle_chance, angle, 0.0)
    gain = 1 + config.gain_spread * (2 * uniform[1:].T - 1)
    return Augmentation(scale, torch.deg2rad(angle), gain)


def draw_occlusion(
    size: int, shapes: int, count: tuple[int, int], generator: Generator
) -> Occlusion:
    """Draw what is pasted over each of ``size`` crops.

    Args:
        size: Number of crops.
        shapes: Number of cut-outs to choose from.
        count: Least and largest number of them on a crop, both included.
        generator: Source of the random numbers, on the CPU.

    Source: EpipolarPose, released code, after Sarandi et al. 2018.
    """
    least, most = count
    chosen = torch.randint(shapes, (size, most), generator=generator)
    number = torch.randint(least, most + 1, (size, 1), generator=generator)
    draws = torch.rand(3, size, most, generator=generator)
    low, high = OCCLUDER_SCALE
    scale = low + (high - low) * draws[0]
    scale = torch.where(torch.arange(most) < number, scale, 0.0)
    return Occlusion(chosen, scale, draws[1:].permute(1, 2, 0))


def cut_patches(pictures: Tensor, patch_to_picture: Affine, patch: int) -> Tensor:
    """Patches out of pictures, bilinear; black where there is no picture.

    Args:
        pictures: ``(batch, 3, height, width)``, 0 to 255.
        patch_to_picture: Map of pixel coordinates, ``(batch, 2, 3)``; the first pixel of a picture
            covers 0 to 1.
        patch: Side of the patches, pixels.

    Returns:
        ``(batch, 3, patch, patch)`` float, 0 to 255.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("pictures", pictures, "batch 3 height width")
    check_shape("patch_to_picture", patch_to_picture, "batch 2 3", batch=len(pictures))
    return _sample(pictures.float(), patch_to_picture, patch)


def paste(patches: Tensor, bank: OccluderBank, occlusion: Occlusion) -> Tensor:
    """Lay cut-outs over patches, one after the other.

    Args:
        patches: ``(batch, 3, side, side)``, 0 to 255; left as they are.
        bank: Where the cut-outs come from.
        occlusion: Which, how large and where.
    """
    side = patches.shape[-1]
    for slot in range(occlusion.shape.shape[1]):
        scale, chosen = occlusion.scale[:, slot], occlusion.shape[:, slot]
        shown = (bank.side[chosen] * scale * (side / PATCH)).clamp(min=1e-3)  # pixels
        cut = bank.cutouts(chosen, shown)
        factor = bank.pixels / shown
        centre = occlusion.centre[:, slot] * side
        shift = bank.pixels / 2 - centre * factor[:, None]
        linear = torch.eye(2, device=patches.device) * factor[:, None, None]
        layer = _sample(cut, torch.cat((linear, shift[..., None]), dim=-1), side)
        layer = layer * (scale > 0)[:, None, None, None]
        patches = patches * (1 - layer[:, 3:]) + layer[:, :3] * WHITE
    return patches


def network_input(patches: Tensor, gain: Tensor | None = None) -> Tensor:
    """Standardised colours.

    Args:
        patches: ``(batch, 3, height, width)``, 0 to 255.
        gain: Factor of each colour, ``(batch, 3)``; what gets brighter than white is cut off.
    """
    if gain is not None:
        patches = (patches * gain[..., None, None]).clamp(0, WHITE)
    mean, spread = (patches.new_tensor(v)[:, None, None] for v in (MEAN, SPREAD))
    return (patches - mean) / spread


def _sample(pictures: Tensor, patch_to_picture: Affine, patch: int) -> Tensor:
    height, width = pictures.shape[-2:]
    linear, shift = patch_to_picture[..., :2], patch_to_picture[..., 2]
    size = linear.new_tensor((width, height))
    # Both sides in units of half a picture from its middle, as the sampler counts.
    turned = linear * (patch / size[:, None])
    moved = (linear.sum(-1) * patch + 2 * shift) / size - 1
    theta = torch.cat((turned, moved[..., None]), dim=-1).to(pictures.dtype)
    grid = functional.affine_grid(
        theta, [len(pictures), pictures.shape[1], patch, patch], align_corners=False
    )
    return functional.grid_sample(pictures, grid, padding_mode="zeros", align_corners=False)


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
