"""Lost, jittered, frozen and exchanged keypoints, objects before people, and people cut off.

Keypoints of all frames of a split are corrupted before windows are cut, so that every method sees
the same, whatever the length of its windows. A joint is hit for some time; at a higher rate all is
hit that was hit at a lower one, and lost, jittered and frozen joints are the same ones. Pictures
are hidden at levels of the person's box.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.data.images.advocc import occlude, occluder_texture
from lifting.data.images.crops import crop_pixels
from lifting.data.images.raycast import SEEN
from lifting.data.sampler import stream
from lifting.data.sequence import PoseTracks
from lifting.data.window import track_of_rows
from lifting.errors import ConfigError
from lifting.geometry.camera import project
from lifting.studies.robustness.plan import (
    DROP,
    FREEZE,
    OCCLUDER,
    SWAP,
    KeypointKind,
    PictureKind,
    Trials,
)
from lifting.typing import PerJoint, Pose2D

SIGHT = "sight"
_JITTER_STREAM = 1
_WINDOW_STREAM = 9013  # a number that no picture of the data is drawn from
_SLENDER = 0.25
_USUAL_FPS = 50.0  # where the data do not say


class Corrupted(NamedTuple):
    """Tracks after a corruption.

    Attributes:
        tracks: With other keypoints, and other confidences where a detector would know.
        affected: Joints that were hit, ``(frames, joints)`` bool.
    """

    tracks: PoseTracks
    affected: PerJoint


def corrupt(
    tracks: PoseTracks, rows: Tensor, kind: KeypointKind, rate: float, trials: Trials, seed: int
) -> Corrupted:
    """Corrupt a share of the joints.

    * ``drop``: confidence 0, at the mean of the frame's other joints, as the project places what
      it knows nothing of;
    * ``jitter``: Gaussian noise, new in every frame;
    * ``freeze``: where the joint was in the last frame in which it was not hit, or in the track's
      first;
    * ``swap``: the place and confidence of the mirror partner, and the other way round.

    Args:
        tracks: All frames.
        rows: Frames that are scored, ``(poses,)`` int64; the rate is exact on them.
        kind: Which corruption.
        rate: Share of the joints, of ``swap`` of those that have a partner.
        trials: Size of the noise, and how long a joint is hit.
        seed: Of all that is random.

    Raises:
        ConfigError: The keypoints are given as mixtures too, which would stay as they are.
    """
    mixtures = sorted(name for name in tracks.extras if "mixture" in name)
    if mixtures:
        raise ConfigError(
            f"expected keypoints alone, got {', '.join(mixtures)} beside them, which a corruption "
            "would not reach; set data.mixtures=null"
        )
    hold = max(1, round(trials.seconds * float(tracks.fps.nanmedian().nan_to_num(_USUAL_FPS))))
    if kind == SWAP:
        return _swap(tracks, rows, rate, hold, seed)
    order = hit_order(tracks.offsets, len(tracks.skeleton), hold, seed)
    affected = hit_cells(order, rows, rate)
    keypoints, confidence = tracks.keypoints_2d, tracks.confidence
    if kind == DROP:
        other = _middle(tracks, affected)
        confidence = torch.where(affected, 0.0, confidence)
    elif kind == FREEZE:
        other = _last_found(tracks, affected)
    else:
        other = keypoints + _noise(keypoints, trials.jitter, seed)
    moved = torch.where(affected[..., None], other, keypoints)
    return Corrupted(replace(tracks, keypoints_2d=moved, confidence=confidence), affected)


def hit_order(offsets: Tensor, columns: int, hold: int, seed: int) -> Tensor:
    """In which order joints of frames are hit.

    Time is cut into pieces, for each track and column with an offset of its own; the pieces are
    hit in random order, the frames of a piece one after the other.

    Args:
        offsets: ``(tracks + 1,)`` int64.
        columns: Joints, or pairs of them.
        hold: Frames of a piece.
        seed: Of the order.

    Returns:
        ``(frames, columns)`` int64, all different.
    """
    generator = stream(seed, columns)
    track = track_of_rows(offsets)
    lengths = offsets.diff()
    offset = torch.randint(hold, (len(lengths), columns), generator=generator)
    within = torch.arange(len(track)) - offsets[track]
    shifted = within[:, None] + offset[track]  # frames columns
    pieces = (lengths + 2 * (hold - 1)) // hold
    first = pieces.cumsum(0) - pieces
    number = (first[track][:, None] + shifted // hold) * columns + torch.arange(columns)
    rank = torch.randperm(int(pieces.sum()) * columns, generator=generator)[number]
    return rank * hold + shifted % hold


def hit_cells(order: Tensor, rows: Tensor, rate: float) -> Tensor:
    """The first to be hit: exactly a share of the cells of some rows, and all before them.

    Args:
        order: From :func:`hit_order`.
        rows: ``(poses,)`` int64.
        rate: Share, 0 to 1.

    Returns:
        ``(frames, columns)`` bool.
    """
    scored = order[rows].flatten()
    count = round(rate * len(scored))
    if count == 0:
        return torch.zeros_like(order, dtype=torch.bool)
    return order <= scored.kthvalue(count).values


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


def _swap(tracks: PoseTracks, rows: Tensor, rate: float, hold: int, seed: int) -> Corrupted:
    """Exchange mirror partners."""
    skeleton = tracks.skeleton
    hit = hit_cells(hit_order(tracks.offsets, len(skeleton.left), hold, seed), rows, rate)
    affected = torch.zeros_like(tracks.confidence, dtype=torch.bool)
    affected[:, skeleton.left] = hit
    affected[:, skeleton.right] = hit
    partner = list(skeleton.flip_index)
    keypoints, confidence = tracks.keypoints_2d, tracks.confidence
    moved = torch.where(affected[..., None], keypoints[:, partner], keypoints)
    known = torch.where(affected, confidence[:, partner], confidence)
    return Corrupted(replace(tracks, keypoints_2d=moved, confidence=known), affected)


def _middle(tracks: PoseTracks, affected: PerJoint) -> Pose2D:
    """Mean of the joints that were not hit, or the image's centre, ``(frames, 1, 2)``."""
    kept = ~affected
    total = (tracks.keypoints_2d * kept[..., None]).sum(1)
    count = kept.sum(1)[:, None]
    track = track_of_rows(tracks.offsets)
    centre = tracks.cameras.size[tracks.camera[track]] / 2
    return torch.where(count > 0, total / count.clamp(min=1), centre)[:, None]


def _last_found(tracks: PoseTracks, affected: PerJoint) -> Pose2D:
    """Places in the last frame of the track in which a joint was not hit, else in its first."""
    row = torch.arange(len(tracks))[:, None]
    found = torch.where(affected, -1, row).cummax(0).values
    start = tracks.offsets[track_of_rows(tracks.offsets)][:, None]
    last = torch.maximum(found, start)[..., None].expand(-1, -1, 2)
    return tracks.keypoints_2d.gather(0, last)


def _noise(keypoints: Pose2D, share: float, seed: int) -> Pose2D:
    """Gaussian noise, in longer sides of each frame's box."""
    side = (keypoints.amax(1) - keypoints.amin(1)).amax(-1)
    generator = stream(seed, keypoints.shape[1], _JITTER_STREAM)
    return torch.randn(keypoints.shape, generator=generator) * (share * side)[:, None, None]


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
