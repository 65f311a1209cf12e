"""The crop that the network sees, as a camera of its own, and what is known of the body in it.

In training textured squares may stand before a person, new in every step. Their textures are of
another kind than AdvOcc's, which no training may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lifting.batch import MIRRORED, PoseBatch
from lifting.errors import DataError, check_shape
from lifting.methods.nbf.body_pose import BodyPose, choose_bodies, mirror_sideways
from lifting.methods.nbf.selection import RayGrid
from lifting.nn.units import MM_PER_METRE
from lifting.typing import Points3D, Pose2D

BACKGROUND = -1
_OCCLUDED = 128
_LEAST_SCALE = 0.1
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BODY = ("rotations", "betas", "translation")


class CropView(NamedTuple):
    """Camera of a crop; lens distortion is not looked at.

    Attributes:
        focal: ``(batch, 2)``, pixels of the crop.
        centre: Principal point, ``(batch, 2)``, pixels of the crop.
        side: Side of the crop, pixels.
    """

    focal: Tensor
    centre: Tensor
    side: int

    @classmethod
    def of_batch(cls, batch: PoseBatch) -> CropView:
        """The crop's own camera.

        Raises:
            DataError: The batch has no images.
        """
        if batch.image is None or batch.crop is None:
            raise DataError(
                "expected images and their crops in the batch, got none; set data.name=images, or "
                "another source with images"
            )
        side = int(batch.image.shape[-1])
        check_shape("image", batch.image, "batch 3 height width", height=side)
        lens, crop = batch.camera.intrinsics, batch.crop
        scale = side / crop[:, 2:]
        centre = (lens[:, 2:4] - crop[:, :2]) * scale + side / 2
        return cls(lens[:, 0:2] * scale, centre, side)

    def first(self, count: int) -> CropView:
        """Those of the first images."""
        return CropView(self.focal[:count], self.centre[:count], self.side)

    def grid(self, stride: int) -> RayGrid:
        """Rays of a feature map; ``stride`` pixels of the crop to one of the map."""
        side = self.side // stride
        return RayGrid(side, side, self.focal / stride, self.centre / stride)

    def project(self, points: Points3D) -> Pose2D:
        """Pixels of the crop from minus to plus one, ``(batch, points, 2)``.

        Args:
            points: ``(batch, points, 3)``, mm; those not in front are taken to be at 1 mm.
        """
        slopes = points[..., :2] / points[..., 2:].clamp(min=1.0)
        pixels = slopes * self.focal[:, None] + self.centre[:, None]
        return 2 * pixels / self.side - 1

    def root(self, camera: Tensor) -> Points3D:
        """Place of the root that a weak-perspective camera of the crop stands for.

        Args:
            camera: Scale, and offset from the crop's middle in metres, ``(batch, 3)``.

        Returns:
            ``(batch, 3)``, mm.
        """
        depth = 2 * self.focal.mean(-1) / (self.side * camera[:, 0].clamp(min=_LEAST_SCALE))
        middle = depth[:, None] * (self.side / 2 - self.centre) / self.focal
        return MM_PER_METRE * torch.cat((middle + camera[:, 1:], depth[:, None]), dim=-1)

    def camera(self, root: Points3D) -> Tensor:
        """Weak-perspective camera of a root, inverse of ``root``, ``(batch, 3)``."""
        metres = root / MM_PER_METRE
        depth = metres[:, 2:].clamp(min=1 / MM_PER_METRE)
        middle = depth * (self.side / 2 - self.centre) / self.focal
        scale = 2 * self.focal.mean(-1, keepdim=True) / (self.side * depth)
        return torch.cat((scale, metres[:, :2] - middle), dim=-1)


class BodyLabels(NamedTuple):
    """What is known of the bodies in a batch of training images.

    Attributes:
        pose: The bodies.
        parts: Joint that carries what a pixel of the feature map shows, ``(batch, height,
            width)`` int64, -1 for background and for what stands before the body.
    """

    pose: BodyPose
    parts: Tensor

    def first(self, count: int) -> BodyLabels:
        """Those of the first images."""
        return BodyLabels(BodyPose(*(v[:count] for v in self.pose)), self.parts[:count])


def body_labels(batch: PoseBatch, mirror: Sequence[int], stride: int) -> BodyLabels:
    """Labels of a batch; those of mirrored samples are mirrored.

    Args:
        batch: With the extras ``rotations``, ``betas``, ``translation`` and ``parts``.
        mirror: Permutation of the joints that exchanges left and right.
        stride: Pixels of the image to one of the feature map.

    Raises:
        DataError: An extra is missing.
    """
    missing = [name for name in (*_BODY, "parts") if name not in batch.extras]
    if missing:
        raise DataError(
            f"expected the extras {', '.join(_BODY)} and parts to train on, got no "
            f"{', '.join(missing)}; set data.images.extras=[body, parts]"
        )
    size = len(batch)
    rotations, betas, translation = (batch.extras[name] for name in _BODY)
    pose = BodyPose(
        rotations.reshape(size, -1, 3, 3), betas.reshape(size, -1), translation.reshape(size, 3)
    )
    code = at_cells(batch.extras["parts"].flatten(0, -3), stride).long()
    turned = batch.extras.get(MIRRORED)
    if turned is not None:
        pose, code = _mirrored(pose, code, turned, mirror)
    return BodyLabels(pose, torch.where(code >= _OCCLUDED, BACKGROUND, code - 1))


def at_cells(pixels: Tensor, stride: int) -> Tensor:
    """What an image has at the middles of the cells of its feature map.

    Args:
        pixels: ``(batch, height, width)``.
        stride: Pixels to a cell.
    """
    middles = slice(stride // 2, None, stride)
    return pixels[:, middles, middles]


def network_images(batch: PoseBatch, gain: Tensor | None = None) -> Tensor:
    """Images as the network wants them, ``(batch, 3, height, width)``.

    Args:
        batch: With images.
        gain: Factor of each colour, ``(batch, 3)``; None for one.
    """
    assert batch.image is not None
    share = batch.image.float() / 255
    if gain is not None:
        share = (share * gain[..., None, None]).clamp(0, 1)
    mean, spread = (share.new_tensor(v)[:, None, None] for v in (_MEAN, _SPREAD))
    return (share - mean) / spread


def _mirrored(
    pose: BodyPose, code: Tensor, turned: Tensor, mirror: Sequence[int]
) -> tuple[BodyPose, Tensor]:
    """Bodies and coded parts of the samples that are mirrored sideways."""
    other = mirror_sideways(pose, mirror)
    table = torch.arange(2 * _OCCLUDED, device=code.device)
    swap = torch.tensor(mirror, device=code.device) + 1
    for start in (0, _OCCLUDED):
        table[start + 1 : start + 1 + len(swap)] = start + swap
    flipped = table[code].flip(-1)
    return choose_bodies(turned, other, pose), torch.where(turned.view(-1, 1, 1), flipped, code)


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
