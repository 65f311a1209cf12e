"""Random changes of training crops: parameters drawn from a generator, applied to whole batches.

Everything random is drawn on the processor, so that a batch is the same on every device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lifting.errors import check_shape
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.crop import PATCH, Affine
from lifting.methods.epipolarpose.occluders import OccluderBank

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
