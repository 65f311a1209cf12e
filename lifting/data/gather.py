"""From row numbers to a ``PoseBatch``: one gather for each field of a whole batch.

Views of one recording come together where they are wanted so.

Training batches may be changed at random, see ``augment``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lifting.batch import GUESSED_LENS, MIRRORED, PoseBatch
from lifting.data.augment import (
    jitter_bones,
    mirror_samples,
    random_angles,
    random_bone_factors,
    random_half,
    turn_poses,
    verticals,
)
from lifting.data.config import DataConfig
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
from lifting.geometry.camera import Camera
from lifting.geometry.rotation import axis_angle_to_matrix

_SHARED = ("subject", "action", "sequence", "frame")  # by all views of an instant


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


def evaluation_options(config: DataConfig, seed: int, every: int = 1) -> GatherOptions:
    """How tracks become batches that are scored or lifted.

    Args:
        config: The data section.
        seed: Of the run.
        every: Use every n-th frame as a sample.
    """
    return GatherOptions(
        frames=config.frames,
        stride=config.window_stride,
        windows=config.windows,
        all_targets=config.target == "all",
        every=every,
        seed=seed,
    )


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
        self.up = verticals(tracks) if options.turn else None
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
        if self.tracks.camera_kind == "guessed":
            extras[GUESSED_LENS] = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        if self.tracks.extras:
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
