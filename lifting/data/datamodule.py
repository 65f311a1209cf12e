"""``PoseDataModule``: from the data section to loaders of ``PoseBatch``."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.data.cache import tracks_hash
from lifting.data.check import check_config, check_tracks
from lifting.data.config import DataConfig, Split
from lifting.data.conform import conformed, highest_rate, wished_skeleton
from lifting.data.epipolar_labels import training_labels
from lifting.data.gather import GatherOptions, TrackBatches, ViewBatches, evaluation_options
from lifting.data.info import DataInfo, supervision_of
from lifting.data.refilm import RefilmedBatches
from lifting.data.sampler import BatchLoader, BatchSampler, Share, stream
from lifting.data.sequence import PoseTracks, map_tensors
from lifting.data.sources import load_motion, load_tracks
from lifting.errors import MissingDataError
from lifting.skeleton import H36M_17, Skeleton

log = logging.getLogger(__name__)

STAGE_SPLITS: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}
GPU_SHARE = 0.5


class PoseDataModule(pl.LightningDataModule):
    """Tracks of the three splits and their loaders.

    A split is loaded when it is first asked for, and once. Build the trainer with
    ``use_distributed_sampler=False``: the samplers share the data out themselves.

    Args:
        config: The data section.
        seed: Seed of batches and augmentation.
        tracks: Tracks to use instead of the data set's, by split (for example a user's
            keypoints as ``test``).
        skeleton: Joints that weights were trained for; None takes those that the data section
            wishes, else those of the data.
        fps: Frames a second that weights were trained at, for methods of windows; None takes
            ``data.fps``, else the highest rate of the training tracks.
        scored: Joints that a published protocol names; their labels count even where a conversion
            approximates them.

    Raises:
        ConfigError: A number of the data section is out of range.
    """

    def __init__(
        self,
        config: DataConfig,
        seed: int,
        tracks: Mapping[Split, PoseTracks] | None = None,
        *,
        skeleton: Skeleton | None = None,
        fps: float | None = None,
        scored: Collection[str] = (),
    ) -> None:
        super().__init__()
        check_config(config)
        self.config = config
        self.seed = seed
        self.scored = scored
        self._given = dict(tracks or {})
        self._raw: dict[Split, PoseTracks] = {}
        self._tracks: dict[Split, PoseTracks] = {}
        self._hashes: dict[Split, str] = {}
        self._skeleton, self._fps = skeleton, fps
        self._refilmed: RefilmedBatches | None = None

    def prepare_data(self) -> None:
        """Fill the cache in one process before the others read it."""
        if self.trainer is not None and self.trainer.world_size > 1:
            for split in STAGE_SPLITS["fit"] + STAGE_SPLITS["test"]:
                self.tracks(split)

    def setup(self, stage: str) -> None:
        """Load the splits of a stage: fit, validate, test or predict."""
        for split in STAGE_SPLITS[stage]:
            self.tracks(split)

    @property
    def skeleton(self) -> Skeleton:
        """Joints of all batches: those of the weights, those wished for, or those of the data.

        Poses are relative to the hip, so that data without one are taken as ``h36m17``.
        """
        if self._skeleton is None:
            own = self._first_raw().skeleton
            wished = wished_skeleton(self.config)
            self._skeleton = wished or (own if own.has_hip else H36M_17)
        return self._skeleton

    @property
    def fps(self) -> float | None:
        """Frames a second of all batches of windows; None for single frames, of any rate."""
        if self.config.frames == 1:
            return None
        if self._fps is None:
            self._fps = self.config.fps or highest_rate(self._first_raw())
        return self._fps

    def tracks(self, split: Split) -> PoseTracks:
        """All frames of a split, converted, checked, on the CPU.

        Raises:
            ConfigError: The joints of the data cannot be converted to those asked for.
            DataError: The split is empty, or holds a value that is not finite.
        """
        if split not in self._tracks:
            tracks = conformed(self._read(split), self.skeleton, self.fps, self.scored)
            self._tracks[split] = check_tracks(tracks, split)
            self._raw.pop(split, None)
        return self._tracks[split]

    def has(self, split: Split) -> bool:
        """Whether the files of a split are there."""
        try:
            return len(self.tracks(split)) > 0
        except MissingDataError:
            return False

    def info(self, split: Split) -> DataInfo:
        """Names behind the integers of a split's batches."""
        tracks = self.tracks(split)
        return DataInfo(
            skeleton=tracks.skeleton,
            action_names=tracks.action_names,
            subject_names=tracks.subject_names,
            track_names=tracks.track_names,
            fps=tracks.fps,
            source=dict(tracks.source),
            frames=tracks.offsets.diff(),
            window_stride=self.config.window_stride,
            supervision=supervision_of(self.config, tracks),
        )

    def fingerprints(self) -> dict[Split, str]:
        """Hash of the content of each loaded split."""
        for split, tracks in self._tracks.items():
            if split not in self._hashes:
                self._hashes[split] = tracks_hash(tracks)
        return dict(sorted(self._hashes.items()))

    def fingerprint(self) -> str:
        """The same as text, such as ``test:09af… train:77c1…``."""
        return " ".join(f"{split}:{value}" for split, value in self.fingerprints().items())

    def train_dataloader(self, share: Share | None = None) -> BatchLoader:
        """Shuffled, augmented batches of the training split.

        Args:
            share: Which part of each; None is that of this process.
        """
        config = self.config
        options = replace(
            self.options(config.train_every),
            windows="centred" if config.windows == "centred" else "inner",
            flip=config.flip,
            bone_jitter=config.bone_jitter,
            turn=config.turn,
        )
        together = config.views == "together"
        return self._loader("train", options, config.batch_size, together, share)

    def val_dataloader(self) -> BatchLoader:
        """Batches of the validation split, in order."""
        return self._loader("val", self.options(self.config.eval_every))

    def test_dataloader(self) -> BatchLoader:
        """Batches of the test split, in order."""
        return self._loader("test", self.options(self.config.eval_every))

    def predict_dataloader(self) -> BatchLoader:
        """Batches of the test split, in order; labels only where there are some."""
        tracks = self.tracks("test")
        # Answers to resampled tracks are interpolated, which takes all of them.
        every = self.config.eval_every if tracks.read_fps is None else 1
        options = replace(self.options(every), labels=tracks.joints_3d is not None)
        return self._loader("test", options)

    def options(self, every: int) -> GatherOptions:
        """How tracks become batches in evaluation, of every n-th frame."""
        return evaluation_options(self.config, self.seed, every)

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch; one that was gathered on the device is passed through as it is."""
        if not isinstance(batch, PoseBatch):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return (
            batch
            if batch.keypoints_2d.device == device
            else map_tensors(batch, lambda values: values.to(device, non_blocking=True))
        )

    def _first_raw(self) -> PoseTracks:
        """The training split as it was read, or where it is not there, another one."""
        missing: MissingDataError | None = None
        for split in (*self._given, *STAGE_SPLITS["fit"], *STAGE_SPLITS["test"]):
            try:
                return self._read(split)
            except MissingDataError as error:
                missing = missing or error
        assert missing is not None
        raise missing

    def _read(self, split: Split) -> PoseTracks:
        """A split in the joints and at the rates of the data."""
        if split not in self._raw:
            given = self._given.get(split)
            self._raw[split] = self._load(split) if given is None else given
        return self._raw[split]

    def _load(self, split: Split) -> PoseTracks:
        tracks = load_tracks(self.config, split)
        if split == "train" and self.config.train_recordings:
            tracks = spread_recordings(tracks, self.config.train_recordings)
        return training_labels(tracks, self.config, split)

    def _loader(
        self,
        split: Split,
        options: GatherOptions,
        batch_size: int | None = None,
        together: bool = False,
        share: Share | None = None,
    ) -> BatchLoader:
        tracks = self._placed(split)
        single = TrackBatches(tracks, options)
        batches: TrackBatches | ViewBatches | RefilmedBatches = single
        if together:
            batches = ViewBatches(single)
        elif split == "train" and self.config.refilm.every:
            batches = self._films(single)
        on_cpu = tracks.keypoints_2d.device.type == "cpu"
        workers = self.config.workers if on_cpu else 0  # a GPU tensor does not survive a fork
        sampler = BatchSampler(
            len(batches),
            batch_size or self.config.eval_batch_size,
            seed=self.seed,
            shuffle=batch_size is not None,
            share=share or self._share(),
            batches=None if batch_size is None else self.config.epoch_batches,
        )
        return BatchLoader(
            batches,
            batch_size=None,
            sampler=sampler,
            num_workers=workers,
            collate_fn=_same,
            generator=stream(self.seed),  # else the loader draws from the global numbers
            persistent_workers=workers > 0,
        )

    def _films(self, batches: TrackBatches) -> RefilmedBatches:
        """Training batches of motion that is filmed anew; all loaders share the newest film."""
        if self._refilmed is None:
            motion = load_motion(self.config, "train")
            self._refilmed = RefilmedBatches(batches, motion, self.config, self.fps)
        return self._refilmed

    def _share(self) -> Share:
        if self.trainer is None:
            return Share()
        return Share(self.trainer.global_rank, self.trainer.world_size)

    def _placed(self, split: Split) -> PoseTracks:
        tracks = self.tracks(split)
        if self.trainer is None or self.config.device == "cpu":
            return tracks
        device = self.trainer.strategy.root_device
        if device.type != "cuda":
            return tracks
        size, (free, _) = _bytes(tracks), torch.cuda.mem_get_info(device)
        if size > GPU_SHARE * free:
            log.info("%s tracks (%.1f GB) stay on the CPU", split, size / 1e9)
            return tracks
        return tracks.to(device)


def spread_recordings(tracks: PoseTracks, count: int) -> PoseTracks:
    """The tracks of some recordings, evenly spread over all.

    Args:
        tracks: Any tracks.
        count: Recordings at most.
    """
    numbers = torch.unique(tracks.recording)
    chosen = numbers[torch.linspace(0, len(numbers) - 1, min(count, len(numbers))).long()]
    return tracks.select(torch.isin(tracks.recording, chosen).nonzero()[:, 0])


def _same(batch: Any) -> Any:
    return batch


def _bytes(tracks: PoseTracks) -> int:
    values = [v for f in fields(tracks) if isinstance(v := getattr(tracks, f.name), Tensor)]
    return sum(v.nbytes for v in (*values, *tracks.extras.values()))
