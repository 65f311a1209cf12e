"""From row numbers to a ``PoseBatch``: one gather for each field of a whole batch.

Views of one recording come together where they are wanted so.

Training batches may be mirrored, turned, and their bones made longer or shorter, at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from lifting.batch import MIRRORED, PoseBatch, flip_batch
from lifting.data.sampler import BatchKey, stream
from lifting.data.sequence import PoseTracks, map_tensors
from lifting.data.window import (
    Windows,
    centred_windows,
    check_window,
    chunk_windows,
    inner_windows,
    window_rows,
)
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera, project
from lifting.geometry.kinematics import scale_bones
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, PerSample, Points3D, Pose3D, RotationMatrix

FACTOR_RANGE = (0.5, 1.5)
_IMAGE_AND_LABELS = ("keypoints_2d", "confidence", "joints_3d", "visible", "image", "crop")

_SHARED = ("subject", "action", "sequence", "frame")  # by all views of an instant


def random_half(size: int, generator: Generator) -> Tensor:
    """Choose each of ``size`` samples with probability one half.

    Returns:
        ``(size,)`` bool, on the CPU.
    """
    return torch.rand(size, generator=generator) < 0.5


def mirror_samples(batch: PoseBatch, chosen: Tensor, skeleton: Skeleton) -> None:
    """Mirror the chosen samples of a batch, in place: image, labels, intrinsics, left and right.

    Extrinsics are dropped from the whole batch, since no rigid camera sees a mirrored world. Where
    the batch has extras, which only their owner can mirror, ``extras["mirrored"]`` tells
    ``(batch,)`` which samples were.

    Args:
        batch: A batch that owns its tensors, which are overwritten.
        chosen: ``(chosen,)`` int64, indices of the samples to mirror, on the batch's device.
        skeleton: Gives the symmetry of the joints.
    """
    batch.camera = Camera(intrinsics=batch.camera.intrinsics, size=batch.camera.size)
    part = map_tensors(replace(batch, extras={}), lambda values: values.index_select(0, chosen))
    mirrored = flip_batch(part, skeleton)
    for name in _IMAGE_AND_LABELS:
        old = getattr(batch, name)
        if old is not None:
            old.index_copy_(0, chosen, getattr(mirrored, name))
    batch.camera.intrinsics.index_copy_(0, chosen, mirrored.camera.intrinsics)
    if batch.extras:
        mask = torch.zeros(len(batch), dtype=torch.bool, device=chosen.device)
        batch.extras = {**batch.extras, MIRRORED: mask.index_fill_(0, chosen, True)}


def random_bone_factors(
    size: int, spread: float, skeleton: Skeleton, generator: Generator
) -> PerJoint:
    """Draw a length factor for each bone, the same on both sides of the body.

    Args:
        size: Number of samples.
        spread: Standard deviation about one; factors are limited to 0.5 and 1.5.
        skeleton: Gives the bones and their symmetry.
        generator: Source of the random numbers, on the CPU.

    Returns:
        ``(size, joints)``, a bone named by its child joint; the root's entry has no meaning.
    """
    draws = 1 + spread * torch.randn(size, len(skeleton), generator=generator)
    factors = draws.clamp(*FACTOR_RANGE)
    factors[:, list(skeleton.right)] = factors[:, list(skeleton.left)]
    return factors


def random_angles(size: int, largest: float, generator: Generator) -> PerSample:
    """Draw angles of turns, to either side.

    Args:
        size: Number of samples.
        largest: Largest angle, degrees; all up to it are alike.
        generator: Source of the random numbers, on the CPU.

    Returns:
        ``(size,)``, radians.
    """
    return math.radians(largest) * (2 * torch.rand(size, generator=generator) - 1)


def change_poses(batch: PoseBatch, change: Callable[[Pose3D], Pose3D], option: str) -> PoseBatch:
    """Give every sample another pose and carry its 2D noise over to it.

    The new keypoints are the projection of the new pose plus the deviation that the old ones had
    from the projection of the old pose. A sample with a joint whose label is not valid in some
    frame keeps its pose, since what hangs on an unknown joint is unknown, too.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        change: From old poses to new ones, ``(batch, frames, joints, 3)``, camera frame, mm.
        option: The option, below ``data``, that asks for it, for the message.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """
    old = batch.joints_3d
    if old is None or old.shape[:-1] != batch.keypoints_2d.shape[:-1]:
        came = "none" if old is None else f"shape {tuple(old.shape)}"
        raise DataError(
            f"expected 3D labels of every frame of a window for data.{option}, got {came} beside "
            f"keypoints {tuple(batch.keypoints_2d.shape)}; set it to 0"
        )
    new = change(old)
    intrinsics = batch.camera.intrinsics[:, None, :]
    keypoints = batch.keypoints_2d + project(new, intrinsics) - project(old, intrinsics)
    if batch.visible is not None:
        whole = batch.visible.flatten(1).all(dim=1)
        new = _choose(whole, new, old)
        keypoints = _choose(whole, keypoints, batch.keypoints_2d)
    return replace(batch, joints_3d=new, keypoints_2d=keypoints)


def jitter_bones(batch: PoseBatch, factors: PerJoint, skeleton: Skeleton) -> PoseBatch:
    """Give every sample other bone lengths, see :func:`change_poses`.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        factors: ``(batch, joints)``, one a bone.
        skeleton: The tree of the joints.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """
    return change_poses(
        batch, lambda old: scale_bones(old, factors.to(old)[:, None, :], skeleton), "bone_jitter"
    )


def turn_poses(batch: PoseBatch, turns: RotationMatrix, skeleton: Skeleton) -> PoseBatch:
    """Turn every sample about its root, all frames of it alike, see :func:`change_poses`.

    Args:
        batch: A batch whose labels cover all frames of its windows; it is left as it is.
        turns: ``(batch, 3, 3)``.
        skeleton: Says which joint is the root.

    Returns:
        A new batch.

    Raises:
        DataError: The batch has no labels, or not for every frame.
    """

    def turned(old: Pose3D) -> Pose3D:
        root = old[..., skeleton.root, None, :]
        return (old - root) @ turns.to(old)[:, None].mT + root

    return change_poses(batch, turned, "turn")


def _choose(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *(1,) * (no.dim() - 1)), yes, no)


@dataclass(frozen=True, kw_only=True)
class GatherOptions:
    """How tracks become batches.

    Attributes:
        frames: Odd length of a window.
        stride: Frames between two neighbours inside a window.
        windows: ``centred`` on the samples; ``inner``, within the tracks, from the samples on;
            ``chunks``, side by side over whole tracks, in which each sample counts once;
            ``chunks_released``, in which it counts as often as the windows hold it.
        all_targets: Label all frames of a window; else the middle one.
        every: Use every n-th frame as a sample.
        flip: Mirror half of the samples.
        bone_jitter: Standard deviation of random bone-length factors, 0 is off.
        turn: Largest random turn about the vertical, degrees, 0 is off.
        labels: Deliver 3D labels.
        seed: Seed of whatever is random.
    """

    frames: int = 1
    stride: int = 1
    windows: Literal["centred", "inner", "chunks", "chunks_released"] = "centred"
    all_targets: bool = False
    every: int = 1
    flip: bool = False
    bone_jitter: float = 0.0
    turn: float = 0.0
    labels: bool = True
    seed: int = 0

    @property
    def moves(self) -> bool:
        """Whether samples get other poses, for which the labels of all frames are needed."""
        return self.bone_jitter > 0 or self.turn > 0


class TrackBatches(Dataset[PoseBatch]):
    """Maps a ``BatchKey`` to its batch; all of its randomness comes from that key and the seed.

    Args:
        tracks: The frames, on the device where batches are wanted.
        options: How they become batches.

    Raises:
        ConfigError: The window is not odd, a number is out of range, or samples are to get other
            poses beside extras or pictures, or to be turned about a vertical that is not known.
        DataError: Labels are asked for and missing.
    """

    def __init__(self, tracks: PoseTracks, options: GatherOptions) -> None:
        check_window(options.frames, options.stride)
        if options.labels and tracks.joints_3d is None:
            raise DataError(
                "expected tracks with 3D labels, got none in "
                f"{tracks.source.get('dataset', 'the data')}; "
                "unlabelled keypoints can only be predicted"
            )
        fixed = sorted(tracks.extras) + ["pictures"] * (tracks.image is not None)
        if options.moves and fixed:
            raise ConfigError(
                "expected keypoints alone where samples get other bone lengths or are turned, got "
                f"{', '.join(fixed)}, which do not move with them; set data.bone_jitter and "
                "data.turn to 0"
            )
        self.tracks = tracks
        self.options = options
        self.up = _verticals(tracks) if options.turn else None
        self.windows = _cut(tracks.offsets, options)
        self.bounds = torch.stack((tracks.offsets[:-1], tracks.offsets[1:] - 1), dim=1)
        self.cameras = tracks.cameras[tracks.camera]
        if options.flip:
            self.cameras = Camera(intrinsics=self.cameras.intrinsics, size=self.cameras.size)

    def __len__(self) -> int:
        return len(self.windows.middle)

    def __getitem__(self, key: BatchKey) -> PoseBatch:
        batch = self.gather(key.samples.to(self.windows.middle.device))
        options, skeleton = self.options, self.tracks.skeleton
        if not (options.flip or options.moves):
            return batch
        device = batch.keypoints_2d.device
        generator = stream(options.seed, key.epoch, key.number)
        # Drawn for the whole batch, of which this may be one process's slice.
        if options.bone_jitter:
            factors = random_bone_factors(key.size, options.bone_jitter, skeleton, generator)
            batch = jitter_bones(batch, factors[key.slice].to(device), skeleton)
        if options.turn:
            angles = random_angles(key.size, options.turn, generator)[key.slice].to(device)
            assert self.up is not None
            assert batch.sequence is not None
            up = self.up.index_select(0, batch.sequence)
            batch = turn_poses(batch, axis_angle_to_matrix(angles[:, None] * up), skeleton)
        if options.moves and not options.all_targets:
            self._keep_middle(batch)
        if options.flip:
            chosen = random_half(key.size, generator)[key.slice].nonzero()[:, 0]
            mirror_samples(batch, chosen.to(device), skeleton)
        return batch

    def gather(self, samples: Tensor) -> PoseBatch:
        """The batch of some samples, before augmentation.

        Args:
            samples: ``(batch,)`` int64, indices of samples.

        Returns:
            A batch; its labels cover whole windows where those are the targets, or where new poses
            need them.
        """
        options, tracks = self.options, self.tracks
        middle = self.windows.middle.index_select(0, samples)
        track = self.windows.track.index_select(0, samples)
        bounds = self.bounds.index_select(0, track)
        rows = window_rows(middle, bounds[:, 0], bounds[:, 1], options.frames, options.stride)
        labelled = rows if options.all_targets or options.moves else middle[:, None]
        return PoseBatch(
            skeleton=tracks.skeleton,
            keypoints_2d=_select(tracks.keypoints_2d, rows),
            confidence=_select(tracks.confidence, rows),
            joints_3d=_select_if(tracks.joints_3d if options.labels else None, labelled),
            visible=self._visible(samples, rows - bounds[:, :1], labelled)
            if options.labels
            else None,
            image=_select_if(tracks.image, rows[:, options.frames // 2]),
            crop=_select_if(tracks.crop, rows[:, options.frames // 2]),
            camera=self.cameras.map(lambda values: values.index_select(0, track)),
            subject=tracks.subject.index_select(0, track),
            action=tracks.action.index_select(0, track),
            sequence=track,
            frame=middle - bounds[:, 0],
            extras=self._extras(rows),
        )

    def _extras(self, rows: Tensor) -> dict[str, Tensor]:
        """Extras of the windows, none of which is mirrored yet."""
        extras = {name: _select(value, rows) for name, value in self.tracks.extras.items()}
        if extras:
            extras[MIRRORED] = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        return extras

    def _visible(self, samples: Tensor, frames: Tensor, labelled: Tensor) -> Tensor | None:
        """Labels that count, ``(batch, targets, joints)`` bool; None when all do."""
        visible = _select_if(self.tracks.visible, labelled)
        if self.windows.fresh is None:
            return visible
        counted = self._counted(frames, self.windows.fresh.index_select(0, samples))
        counted = counted[..., None].repeat(1, 1, len(self.tracks.skeleton))
        return counted if visible is None else visible & counted

    def _counted(self, frames: Tensor, fresh: Tensor) -> Tensor:
        """Frames of windows that count, ``(batch, frames)`` bool.

        Args:
            frames: ``(batch, frames)`` int64, counted from the start of the track.
            fresh: ``(batch,)`` int64, the first that no earlier window holds.
        """
        options = self.options
        sampled = frames % (1 if options.windows == "inner" else options.every) == 0
        if options.windows == "chunks_released":
            return sampled
        repeated = frames.diff(dim=1, prepend=frames[:, :1] - 1) == 0
        return sampled & ~repeated & (frames >= fresh[:, None])

    def _keep_middle(self, batch: PoseBatch) -> None:
        half = self.options.frames // 2
        if batch.joints_3d is not None:
            batch.joints_3d = batch.joints_3d[:, half : half + 1]
        if batch.visible is not None:
            batch.visible = batch.visible[:, half : half + 1]


def _verticals(tracks: PoseTracks) -> Points3D:
    """Up in the camera frame of each track, ``(tracks, 3)``, of unit length."""
    rotation = tracks.cameras.rotation
    if tracks.world != "z up" or rotation is None:
        raise ConfigError(
            "expected cameras whose vertical is known, about which data.turn turns people, got "
            f"none in {tracks.source.get('dataset', 'the data')}; set data.turn to 0"
        )
    return rotation[tracks.camera, :, 2]


def _cut(offsets: Tensor, options: GatherOptions) -> Windows:
    if options.windows == "centred":
        return centred_windows(offsets, options.every)
    if options.windows == "inner":
        return inner_windows(offsets, options.frames, options.every)
    return chunk_windows(offsets, options.frames)


def _select(values: Tensor, rows: Tensor) -> Tensor:
    picked = values.index_select(0, rows.reshape(-1))
    return picked.view(*rows.shape, *values.shape[1:])  # (batch, frames, ...)


def _select_if(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else _select(values, rows)


class ViewBatches(Dataset[PoseBatch]):
    """Maps a ``BatchKey`` to the batch of its instants, with an axis of views after the first.

    Recordings with fewer views than the most there are do not take part. Subject, action,
    sequence and frame are those of the first view.

    Args:
        batches: Gathers single views.

    Raises:
        ConfigError: The batches are mirrored, which leaves no camera that sees the same world.
        DataError: No recording has two views of the same length.
    """

    def __init__(self, batches: TrackBatches) -> None:
        for option in ("flip", "turn"):
            if getattr(batches.options, option):
                raise ConfigError(
                    "expected views that are to be seen together as they are, got data."
                    f"{option}={getattr(batches.options, option)}; set it to 0"
                )
        self.batches = batches
        self.samples = _synchronised(batches)

    @property
    def views(self) -> int:
        """Number of views."""
        return int(self.samples.shape[1])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: BatchKey) -> PoseBatch:
        chosen = self.samples.index_select(0, key.samples.to(self.samples.device))

        def folded(value: Tensor) -> Tensor:
            return value.view(*chosen.shape, *value.shape[1:])  # (batch, views, ...)

        before, after = key.before * self.views, key.after * self.views
        flat = self.batches[BatchKey(key.epoch, key.number, chosen.flatten(), before, after)]
        views = map_tensors(flat, folded)
        return replace(views, **{name: getattr(views, name)[:, 0] for name in _SHARED})


def _synchronised(batches: TrackBatches) -> Tensor:
    """Samples of the same instant, ``(instants, views)`` int64."""
    track = batches.windows.track
    counts = torch.bincount(track, minlength=len(batches.tracks.recording))
    first = counts.cumsum(0) - counts
    groups = _complete(batches.tracks)
    rows = []
    for group in groups:
        # Windows lie track by track, so the k-th of each view shows the same instant.
        number = torch.arange(int(counts[group[0]]), device=track.device)
        rows.append(first[group] + number[:, None])
    return torch.cat(rows)


def _complete(tracks: PoseTracks) -> list[Tensor]:
    """Tracks of each recording that has the most views, all of the same length."""
    lengths = tracks.offsets.diff()
    groups = [
        (tracks.recording == recording).nonzero()[:, 0]
        for recording in torch.unique(tracks.recording).tolist()
    ]
    even = [g for g in groups if bool((lengths[g] == lengths[g[0]]).all())]
    most = max((len(g) for g in even), default=0)
    if most < 2:
        raise DataError(
            "expected recordings of two or more synchronised views in "
            f"{tracks.source.get('dataset', 'the data')}, got one at most; use data with several "
            "cameras, or data.views=apart"
        )
    return [g for g in even if len(g) == most]
