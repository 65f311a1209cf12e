"""Heatmaps as a 2D pose network would produce them, and the crops they lie in.

Maps are made on demand from a batch, since those of a whole data set would not fit. A map is a
regular grid of square cells over a crop around the person; cell (0, 0) has its centre at map
coordinate (0, 0).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lifting.errors import check_shape
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D

_SPREAD, _SPREAD_LIMITS, _SPREAD_PER_SIGMA = 2.0, (1.5, 3.0), 5.0
_ANISOTROPY = 1.5
_PARTNER_NEAR, _UNSURE, _PARTNER_HEIGHT = 0.1, 0.5, (0.1, 0.6)
_FALSE_SHARE, _FALSE_HEIGHT = 0.03, (0.1, 0.4)


class Crop(NamedTuple):
    """Where maps lie in the frame.

    Attributes:
        origin: Upper left corner, ``(batch, 2)``, pixels.
        cell: Side of a cell, ``(batch,)``, pixels.
    """

    origin: Tensor
    cell: Tensor


def person_crops(
    keypoints_2d: Pose2D, *, size: tuple[int, int] = (64, 64), margin: float = 1.25
) -> Crop:
    """Crops around people, with the aspect ratio of the maps.

    Args:
        keypoints_2d: ``(batch, joints, 2)``, pixels.
        size: Width and height of the maps, cells.
        margin: Side of the crop over that of the person's box.

    Returns:
        The smallest such crops, centred on the boxes.
    """
    check_shape("keypoints_2d", keypoints_2d, "batch joints 2")
    low, high = keypoints_2d.amin(1), keypoints_2d.amax(1)
    cells = torch.tensor(size, dtype=low.dtype, device=low.device)
    cell = (margin * (high - low) / cells).amax(-1).clamp(min=1e-3)
    return Crop((low + high) / 2 - cell[:, None] * cells / 2, cell)


def frame_to_map(points: Pose2D, crop: Crop) -> Pose2D:
    """Pixels of the frame, ``(batch, points, 2)``, to map coordinates."""
    return (points - crop.origin[:, None]) / crop.cell[:, None, None] - 0.5


def map_to_frame(points: Pose2D, crop: Crop) -> Pose2D:
    """Map coordinates, ``(batch, points, 2)``, to pixels of the frame."""
    return (points + 0.5) * crop.cell[:, None, None] + crop.origin[:, None]


def render_heatmaps(
    keypoints_2d: Pose2D,
    confidence: PerJoint,
    skeleton: Skeleton,
    crop: Crop,
    *,
    generator: Generator,
    size: tuple[int, int] = (64, 64),
    sigma: PerJoint | None = None,
    background: float = 0.02,
) -> Tensor:
    """Draw a detector's heatmaps: the answer, its rivals, and a noisy background.

    The answer is a Gaussian as high as its confidence, stretched along its bone. A joint that is
    unsure, or whose partner of the other side is near, also shows at the partner's place; now and
    then something else of the body does.

    Args:
        keypoints_2d: Detections, ``(batch, joints, 2)``, pixels.
        confidence: ``(batch, joints)``, 0 to 1.
        skeleton: Joints.
        crop: Where the maps lie, see ``person_crops``.
        generator: Source of the draws, on the device of the keypoints.
        size: Width and height of the maps, cells.
        sigma: Standard deviation of the detections, ``(batch, joints)``, pixels; makes the
            answers of hard joints wider. None gives all the same width.
        background: Greatest value of the uniform background noise.

    Returns:
        ``(batch, joints, height, width)``, not negative.

    Raises:
        ShapeError: Arrays that do not belong together.
    """
    joints = len(skeleton)
    check_shape("keypoints_2d", keypoints_2d, "batch joints 2", joints=joints)
    batch, device = len(keypoints_2d), keypoints_2d.device
    check_shape("confidence", confidence, "batch joints", batch=batch, joints=joints)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, joints, generator=generator, device=device)

    centre = frame_to_map(keypoints_2d, crop)
    spread = torch.full_like(confidence, _SPREAD)
    if sigma is not None:
        spread = (_SPREAD_PER_SIGMA * sigma / crop.cell[:, None]).clamp(*_SPREAD_LIMITS)
    stretch = uniform(1.0, _ANISOTROPY)
    maps = _stretched(centre, confidence, spread, stretch, skeleton, size)

    partner = centre[:, list(skeleton.flip_index)]
    sided = torch.tensor([i != j for i, j in enumerate(skeleton.flip_index)], device=device)
    near = (partner - centre).norm(dim=-1) < _PARTNER_NEAR * max(size)
    rival = sided & (near | (confidence < _UNSURE))
    other = uniform(0, joints).long().clamp(max=joints - 1)
    elsewhere = centre.gather(1, other[..., None].expand(-1, -1, 2))
    wrong = uniform(0, 1) < _FALSE_SHARE
    rivals = rival * uniform(*_PARTNER_HEIGHT) * confidence
    peaks = torch.stack((rivals, wrong * uniform(*_FALSE_HEIGHT)), dim=-1)
    _add_round(maps, torch.stack((partner, elsewhere), dim=2), peaks, spread)
    noise = torch.rand(maps.shape, generator=generator, device=device)
    return maps.add_(noise, alpha=background)


def _bell(centre: Tensor, spread: Tensor, cells: int) -> Tensor:
    grid = torch.arange(cells, dtype=centre.dtype, device=centre.device)
    return (-0.5 * ((grid - centre[..., None]) / spread[..., None]).square()).exp()


def _add_round(maps: Tensor, centre: Tensor, peak: Tensor, spread: PerJoint) -> None:
    """Add round Gaussians to maps, in place; modes of one joint along axis 2 of the centres."""
    wide = spread[..., None].expand(peak.shape)
    across = _bell(centre[..., 0], wide, maps.shape[-1]) * peak[..., None]
    down = _bell(centre[..., 1], wide, maps.shape[-2])
    maps.flatten(0, 1).baddbmm_(down.flatten(0, 1).transpose(1, 2), across.flatten(0, 1))


def _stretched(
    centre: Pose2D,
    peak: PerJoint,
    spread: PerJoint,
    stretch: PerJoint,
    skeleton: Skeleton,
    size: tuple[int, int],
) -> Tensor:
    """Gaussians whose spread is larger along the bone that ends in the joint."""
    parents = torch.tensor(skeleton.parents, device=centre.device).clamp(min=0)
    bone = functional.normalize(centre - centre[:, parents], dim=-1, eps=1e-3)
    excess = (1 / stretch.square() - 1)[..., None] * bone
    inverse = spread.square().reciprocal()[..., None]
    along_u, along_v = (1 + excess * bone).mul(inverse).unbind(-1)
    cross = excess[..., 0] * bone[..., 1] * inverse[..., 0]
    u = torch.arange(size[0], dtype=centre.dtype, device=centre.device) - centre[..., :1]
    v = torch.arange(size[1], dtype=centre.dtype, device=centre.device) - centre[..., 1:]
    # the exponent is a polynomial in u and v: a product of two thin matrices
    height = peak.clamp(min=1e-12).log()[..., None]
    by_row = torch.stack((torch.ones_like(v), v, v.square()), dim=-1)
    by_column = torch.stack(
        (
            height - 0.5 * along_u[..., None] * u.square(),
            -cross[..., None] * u,
            (-0.5 * along_v)[..., None].expand_as(u),
        ),
        dim=-2,
    )
    return (by_row @ by_column).exp_()
