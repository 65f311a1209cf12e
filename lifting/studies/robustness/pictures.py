"""Objects before people, and pictures that end before people do, at levels of the person's box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.data.images.advocc import occlude, occluder_texture
from lifting.data.images.crops import crop_pixels
from lifting.data.images.raycast import SEEN
from lifting.data.sampler import stream
from lifting.data.sequence import PoseTracks
from lifting.data.window import track_of_rows
from lifting.geometry.camera import project
from lifting.studies.robustness.plan import OCCLUDER, PictureKind
from lifting.typing import PerJoint, Pose2D

SIGHT = "sight"
_WINDOW_STREAM = 9013  # a number that no picture of the data is drawn from
_SLENDER = 0.25


def picture_windows(
    places: Pose2D, size: int, kind: PictureKind, level: float, seed: int
) -> Tensor:
    """The part of each picture that is hidden.

    An object is a rectangle within the person's box, with sides of a random ratio, at a random
    place that is about the same at all levels. A picture is cut along one random side of the box,
    from a line within it to the picture's edge.

    Args:
        places: True places of the joints, ``(poses, joints, 2)``, pixels of the picture.
        size: Side of the picture, pixels.
        kind: Object or cut.
        level: Share of the area of the person's box.
        seed: Of the places.

    Returns:
        ``(poses, 4)`` int64: first row and column, and those after the last, within the picture.
    """
    low, high = places.amin(1).clamp(0, size), places.amax(1).clamp(0, size)  # poses xy
    draws = torch.rand(len(places), 3, generator=stream(seed, _WINDOW_STREAM))
    if level == 0:
        return torch.zeros(len(places), 4, dtype=torch.int64)
    if kind == OCCLUDER:
        # level ** p and level ** (1 - p) of the two sides: the area is the level.
        power = _SLENDER + (1 - 2 * _SLENDER) * draws[:, :1]
        share = torch.cat((level**power, level ** (1 - power)), dim=-1)
        first = low + draws[:, 1:] * (1 - share) * (high - low)
        last = first + share * (high - low)
    else:
        first, last = _cut(low, high, size, level, draws[:, 0])
    corners = torch.cat((first.flip(-1), last.flip(-1)), dim=-1)  # rows before columns
    return corners.round().long().clamp(0, size)


def hidden_joints(places: Pose2D, windows: Tensor) -> PerJoint:
    """Joints within a window, ``(poses, joints)`` bool.

    Args:
        places: ``(poses, joints, 2)``, pixels of the picture.
        windows: ``(poses, 4)``.
    """
    top, left, bottom, right = (edge[:, None] for edge in windows.unbind(-1))
    x, y = places.unbind(-1)
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)


def picture_texture(kind: PictureKind, size: int, seed: int) -> Tensor:
    """What stands in a window: an object, or the black beyond a picture's edge."""
    if kind == OCCLUDER:
        return occluder_texture(size, seed)
    return torch.zeros(3, size, size, dtype=torch.uint8)


def hide(batches: Iterable[PoseBatch], windows: Tensor, texture: Tensor) -> Iterator[PoseBatch]:
    """The same batches with a window of each picture pasted over.

    Args:
        batches: With pictures.
        windows: ``(poses, 4)``, in the order of the batches.
        texture: ``(3, size, size)``.
    """
    start = 0
    for batch in batches:
        image = batch.image
        assert image is not None
        own = windows[start : start + len(batch)].to(image.device)
        start += len(batch)
        yield replace(batch, image=occlude(image, own, texture.to(image.device)))


def true_places(tracks: PoseTracks, rows: Tensor) -> Pose2D:
    """Where the joints are in the pictures of some frames, ``(poses, joints, 2)``, pixels."""
    assert tracks.image is not None
    assert tracks.crop is not None
    cameras = tracks.cameras[tracks.camera[track_of_rows(tracks.offsets)[rows]]]
    pixels = project(tracks.labels()[rows], cameras.intrinsics)
    return crop_pixels(pixels, tracks.crop[rows], tracks.image.shape[-1])


def seen_joints(tracks: PoseTracks, rows: Tensor, places: Pose2D) -> PerJoint:
    """Joints that the clean pictures show, ``(poses, joints)`` bool.

    Those of procedural pictures are known; of other pictures, joints within them.
    """
    assert tracks.image is not None
    size = tracks.image.shape[-1]
    inside = ((places >= 0) & (places < size)).all(-1)
    return inside & (tracks.extras[SIGHT][rows] == SEEN) if SIGHT in tracks.extras else inside


def _cut(
    low: Tensor, high: Tensor, size: int, level: float, draw: Tensor
) -> tuple[Tensor, Tensor]:
    """Corners of what lies beyond a line that cuts a level off the box at one of its sides."""
    side = (4 * draw).long()[:, None]  # left, top, right, bottom
    axis = torch.arange(2) == side % 2
    near, zero = side < 2, torch.zeros_like(low)
    line = torch.where(near, low + level * (high - low), high - level * (high - low))
    first = torch.where(axis & ~near, line, zero)
    last = torch.where(axis & near, line, zero + size)
    return first, last
