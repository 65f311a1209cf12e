"""Adversarial occlusion: a textured square slides over each image, and the worst place counts.

Sizes are given for an image of 224 pixels and scaled to the image's. Errors count joints that the
square does not hide. With a textured background of our own the benchmark is called
``synthetic-advocc``; the name 3DPW-AdvOcc is for its images and textures.

Source: 3DNBF, arXiv 2308.10123, section 4.1, and its released code; PARE for the protocol.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.data.images.textures import CELLS, enlarge
from lifting.data.sampler import stream
from lifting.errors import ConfigError, check_shape
from lifting.typing import PerJoint, PerSample, Pose2D

REFERENCE_SIZE = 224
OCCLUDERS = (40, 80)
STRIDE = 10
_CHUNK = 256
_TEXTURE_STREAM = 9011  # a number that no picture of the data is drawn from
_CONTRAST = (0.5, 0.35, 0.25, 0.2)  # of the texture's grids, coarse to fine

Measure = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""Errors, ``(n,)`` by metric, larger being worse, of occluded images ``(n, 3, height, width)``,
which are of samples ``(n,)`` behind windows ``(n, 4)``. NaN where nothing can be scored."""


class Worst(NamedTuple):
    """The worst window of each image by one metric.

    Attributes:
        error: ``(images,)``, NaN where no window left anything to score.
        window: ``(images, 4)`` int64, first row and column, and those after the last.
    """

    error: PerSample
    window: Tensor


def occluder_windows(size: int, occluder: int, stride: int = STRIDE) -> Tensor:
    """Places of the square, row by row; those at the border are cut off.

    Args:
        size: Side of the image, pixels.
        occluder: Side of the square, pixels of an image of 224.
        stride: Between two places, pixels of an image of 224.

    Returns:
        ``(n * n, 4)`` int64: first row and column, and those after the last.

    Raises:
        ConfigError: The square is larger than the image, or a size is not positive.
    """
    if size < 1 or stride < 1 or not 1 <= occluder <= REFERENCE_SIZE:
        raise ConfigError(
            f"expected an occluder of 1 to {REFERENCE_SIZE} pixels, a stride and an image of at "
            f"least 1, got {occluder}, {stride} and {size}; sizes refer to {REFERENCE_SIZE} pixels"
        )
    number = math.ceil((REFERENCE_SIZE - occluder) / stride + 1)
    scale = size / REFERENCE_SIZE
    side, step = max(1, round(occluder * scale)), max(1, round(stride * scale))
    start = (torch.arange(number) * step).clamp(max=size)
    row, column = torch.meshgrid(start, start, indexing="ij")
    first = torch.stack((row.flatten(), column.flatten()), dim=-1)
    return torch.cat((first, (first + side).clamp(max=size)), dim=-1)


def occluder_texture(size: int, seed: int) -> Tensor:
    """What objects show: random grids of several sizes, coloured; none of the data's textures.

    Args:
        size: Side, pixels.
        seed: Of the texture.

    Returns:
        ``(3, size, size)`` uint8.
    """
    generator = stream(seed, _TEXTURE_STREAM)
    canvas = torch.rand(3, 1, 1, generator=generator).expand(3, size, size).clone()
    for cells, contrast in zip(CELLS, _CONTRAST, strict=True):
        grid = 2 * torch.rand(1, cells, cells, generator=generator) - 1
        tint = contrast * torch.randn(3, 1, 1, generator=generator)
        canvas += tint * enlarge(grid, size)
    return (255 * canvas.clamp(0, 1)).round().to(torch.uint8)


def occlude(images: Tensor, windows: Tensor, texture: Tensor) -> Tensor:
    """Paste a texture into one window of each image.

    Args:
        images: ``(n, channels, height, width)``.
        windows: ``(n, 4)``.
        texture: ``(channels, h, w)``, at least as large as a window; its first pixels go into the
            window's first.

    Returns:
        ``(n, channels, height, width)``.
    """
    check_shape("windows", windows, "n 4", n=len(images))
    height, width = images.shape[-2:]
    row = torch.arange(height, device=images.device)
    column = torch.arange(width, device=images.device)
    inside = window_mask(windows, height, width)
    down = (row - windows[:, :1]).clamp(0, texture.shape[-2] - 1)
    across = (column - windows[:, 1:2]).clamp(0, texture.shape[-1] - 1)
    pasted = texture[:, down[:, :, None], across[:, None, :]].movedim(0, 1)
    return torch.where(inside[:, None], pasted.to(images.dtype), images)


def window_mask(windows: Tensor, height: int, width: int) -> Tensor:
    """Pixels of windows ``(n, 4)``, ``(n, height, width)`` bool."""
    row = torch.arange(height, device=windows.device)
    column = torch.arange(width, device=windows.device)
    rows = (row >= windows[:, :1]) & (row < windows[:, 2:3])
    columns = (column >= windows[:, 1:2]) & (column < windows[:, 3:4])
    return rows[:, :, None] & columns[:, None, :]


def scored_joints(keypoints: Pose2D, windows: Tensor, size: int) -> PerJoint:
    """Joints that are in the image and not strictly inside the window, ``(n, joints)`` bool.

    Args:
        keypoints: True places, ``(n, joints, 2)``, pixels.
        windows: ``(n, 4)``.
        size: Side of the image, pixels.
    """
    x, y = keypoints.unbind(-1)
    top, left, bottom, right = (edge[:, None] for edge in windows.unbind(-1))
    hidden = (x > left) & (x < right) & (y > top) & (y < bottom)
    seen = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return seen & ~hidden


@torch.no_grad()
def worst_windows(
    images: Tensor, measure: Measure, windows: Tensor, texture: Tensor, chunk: int = _CHUNK
) -> dict[str, Worst]:
    """Measure every image behind every window, and keep each metric's worst.

    Args:
        images: ``(images, channels, size, size)``.
        measure: Errors of occluded images.
        windows: ``(windows, 4)``.
        texture: What the square shows, ``(channels, h, w)``.
        chunk: Occluded images at a time.

    Returns:
        By metric; the first of equal windows.
    """
    pairs = torch.cartesian_prod(torch.arange(len(images)), torch.arange(len(windows)))
    pairs = pairs.to(images.device)
    windows = windows.to(images.device)
    parts: dict[str, list[Tensor]] = {}
    for sample, place in (part.unbind(1) for part in torch.split(pairs, chunk)):
        occluded = occlude(images[sample], windows[place], texture)
        for name, errors in measure(occluded, sample, windows[place]).items():
            parts.setdefault(name, []).append(errors)
    return {name: _worst(torch.cat(found), windows) for name, found in parts.items()}


def _worst(errors: Tensor, windows: Tensor) -> Worst:
    by_window = errors.view(-1, len(windows))
    known = torch.where(by_window.isnan(), -math.inf, by_window)
    error, place = known.max(dim=1)
    return Worst(torch.where(error > -math.inf, error, math.nan), windows[place])
