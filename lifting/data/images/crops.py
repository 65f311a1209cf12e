"""The square around a person that a picture shows, and the rays of its pixels.

Pixels count from edge to edge: the first pixel's centre is at one half.

Source: EpipolarPose, arXiv 1903.02330, released code: a square of 2 m at the root's depth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lifting.geometry.camera import pixels_to_rays, project, undistort_rays
from lifting.typing import Intrinsics, Points3D, Pose2D

SIDE_MM = 2000.0
_NODES = 17


def crop_around(root: Points3D, intrinsics: Intrinsics, side: float = SIDE_MM) -> Tensor:
    """Square of a given size at the root's depth.

    Args:
        root: ``(*batch, 3)``, camera frame, mm.
        intrinsics: ``(*batch, 9)``, pixels.
        side: Side of the square, mm.

    Returns:
        Centre x, centre y and side, ``(*batch, 3)``, pixels of the full image. Where the focal
        lengths differ the side is their geometric mean's.
    """
    centre = project(root[..., None, :], intrinsics)[..., 0, :]
    focal = intrinsics[..., :2].prod(-1, keepdim=True).sqrt()
    return torch.cat((centre, side * focal / root[..., 2:]), dim=-1)


def crop_pixels(pixels: Pose2D, crop: Tensor, size: int) -> Pose2D:
    """Pixels of the full image in pixels of the crop.

    Args:
        pixels: ``(*batch, points, 2)``.
        crop: ``(*batch, 3)``.
        size: Side of the picture, pixels.
    """
    return ((pixels - crop[..., None, :2]) / crop[..., None, 2:] + 0.5) * size


def crop_rays(crop: Tensor, intrinsics: Intrinsics, size: int) -> Tensor:
    """Directions x/z and y/z of the pixels' centres, lens distortion undone.

    Distortion is inverted on a coarse grid and interpolated, with an error of a few hundredths of
    a pixel for ordinary lenses.

    Args:
        crop: ``(pictures, 3)``, pixels of the full image.
        intrinsics: ``(pictures, 9)``.
        size: Side of the picture, pixels.

    Returns:
        ``(pictures, 2, size, size)``.
    """
    share = torch.linspace(-0.5, 0.5, _NODES, device=crop.device, dtype=crop.dtype)
    down, across = torch.meshgrid(share, share, indexing="ij")
    grid = torch.stack((across, down), dim=-1).flatten(0, 1)  # (nodes, 2)
    pixels = crop[:, None, :2] + grid * crop[:, None, 2:]
    nodes = undistort_rays(pixels_to_rays(pixels, intrinsics), intrinsics)
    nodes = nodes.mT.reshape(-1, 2, _NODES, _NODES)
    weights = _interpolation(size, crop)
    return weights @ nodes @ weights.T


def _interpolation(size: int, like: Tensor) -> Tensor:
    """Linear interpolation from nodes at both edges to the pixels' centres, ``(size, nodes)``."""
    place = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size * (_NODES - 1)
    below = place.floor().clamp(max=_NODES - 2)
    share = (place - below)[:, None]
    first = functional.one_hot(below.long(), _NODES).to(like)
    return first * (1 - share) + first.roll(1, dims=1) * share
