"""The frames that all runs of a study see, whatever the length of their windows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.data.config import Split
from lifting.data.gather import GatherOptions, TrackBatches
from lifting.data.sampler import stream
from lifting.data.sequence import PoseTracks
from lifting.data.window import sample_rows, track_of_rows
from lifting.errors import ConfigError
from lifting.experiment.build import build_data
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.trained import trained_data
from lifting.studies.plan import WEIGHTS, Plan, Run


@dataclass(frozen=True)
class Shown:
    """The frames of a study, for its caption.

    Attributes:
        source: Facts of the data's source.
        poses: How many.
        recordings: Recordings that they come from.
        every: They were chosen among every n-th frame of a track.
        fingerprints: Hash of their keypoints and labels, by view.
    """

    source: dict[str, str]
    poses: int
    recordings: int
    every: int
    fingerprints: tuple[str, ...]


class Frames:
    """Chosen frames of a split, as batches of a run's windows around them.

    Args:
        config: The experiment; its data section says what a window is.
        split: The split.
        every: Choose among every n-th frame of a track.
        poses: How many; None for all.
        weights: Checkpoint to whose joints and rate the data are brought; None leaves theirs.
        seed: Of the choice, which depends on the tracks' lengths and labels otherwise.

    Attributes:
        tracks: All frames of the split.
        rows: The chosen ones, ``(poses,)`` int64, rising.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        split: Split,
        *,
        every: int,
        poses: int | None,
        seed: int,
        weights: Path | None = None,
    ) -> None:
        self.config = config
        self._data = build_data(config) if weights is None else trained_data(config, weights)
        self.tracks = self._data.tracks(split)
        self.rows = choose_rows(self.tracks, every, poses, seed)

    def batches(self, size: int, device: torch.device) -> Iterator[PoseBatch]:
        """The frames in order, ``size`` at a time."""
        data = self.config.data
        gathered = TrackBatches(
            self.tracks,
            GatherOptions(
                frames=data.frames,
                stride=data.window_stride,
                all_targets=data.target == "all",
                seed=self.config.seed,
            ),
        )
        for rows in torch.split(self.rows, size):
            yield self._data.transfer_batch_to_device(gathered.gather(rows), device, 0)

    def showing(self, tracks: PoseTracks) -> Frames:
        """The same frames of other tracks, such as changed copies of these.

        Args:
            tracks: As long as these.
        """
        other = copy(self)
        other.tracks = tracks
        return other

    def thinned(self, poses: int) -> Frames:
        """Some of the chosen frames, spread evenly over them; all where they are no more."""
        other = copy(self)
        count = min(poses, len(self.rows))
        other.rows = self.rows[torch.arange(count) * len(self.rows) // count]
        return other

    def recordings(self) -> npt.NDArray[np.int64]:
        """Recording of every chosen frame."""
        track = track_of_rows(self.tracks.offsets)[self.rows]
        return np.asarray(self.tracks.recording[track].numpy())

    def fingerprint(self) -> str:
        """Hash of the chosen frames' places, keypoints and labels, 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        for values in (self.tracks.keypoints_2d[self.rows], self.tracks.labels()[self.rows]):
            digest.update(np.ascontiguousarray(values.numpy()).data)
        digest.update(self.rows.numpy().data)
        return digest.hexdigest()


def choose_rows(tracks: PoseTracks, every: int, poses: int | None, seed: int) -> Tensor:
    """Rows of labelled frames, drawn without replacement.

    Args:
        tracks: All frames.
        every: Choose among every n-th frame of a track.
        poses: How many; None, or more than there are, for all.
        seed: Of the choice.

    Returns:
        ``(poses,)`` int64, rising.
    """
    rows = sample_rows(tracks.offsets, every)
    if tracks.visible is not None:
        rows = rows[tracks.visible[rows].any(-1)]
    if poses is None or poses >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=stream(seed))[:poses]].sort().values


def common_period(runs: Sequence[Run]) -> int:
    """Frames between two samples of a track that all runs evaluate."""
    return math.lcm(*(run.config.data.eval_every for run in runs))


def test_frames(run: Run, plan: Plan, every: int) -> Frames:
    """Test frames of a study as one of its runs sees them.

    Args:
        run: The run, to whose joints and rate the data are brought.
        plan: How many frames, and the seed of their choice.
        every: See :func:`common_period`.
    """
    return Frames(
        run.config, "test", every=every, poses=plan.poses, seed=plan.seed,
        weights=run.folder / WEIGHTS,
    )  # fmt: skip


def shown_frames(runs: Sequence[Run], plan: Plan) -> Shown:
    """What a study shows, after a check that it is the same for all runs.

    Loads the data of one run after the other.

    Raises:
        ConfigError: Keypoints or labels of two runs differ.
    """
    shown: Shown | None = None
    every = common_period(runs)
    for run in runs:
        views = [test_frames(replace(run, views=(view,)), plan, every) for view in run.views]
        own = Shown(
            source=dict(views[0].tracks.source),
            poses=len(views[0].rows),
            recordings=len(np.unique(views[0].recordings())),
            every=every,
            fingerprints=tuple(view.fingerprint() for view in views),
        )
        if shown is not None and own.fingerprints != shown.fingerprints:
            raise ConfigError(
                "expected runs that are tested on the same frames, got other keypoints or labels "
                f"for '{run.label}' than for '{runs[0].label}'; give all the same data by --data "
                "NAME or --set data.KEY=VALUE"
            )
        shown = shown or own
    assert shown is not None
    return shown
