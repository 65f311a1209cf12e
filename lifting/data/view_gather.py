"""Batches of several synchronised views: the tracks of a recording, frame by frame."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lifting.batch import PoseBatch
from lifting.data.gather import TrackBatches
from lifting.data.sampler import BatchKey
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError, DataError

_SHARED = ("subject", "action", "sequence", "frame")


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
        if batches.options.flip:
            raise ConfigError(
                "expected no mirroring of views that are to be seen together, got data.flip true; "
                "set it to false"
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

        flat = self.batches[BatchKey(key.epoch, key.number, chosen.flatten())]
        parts: dict[str, object] = {"skeleton": flat.skeleton}
        for f in fields(PoseBatch):
            value = getattr(flat, f.name)
            if isinstance(value, Tensor):
                parts[f.name] = folded(value)[:, 0] if f.name in _SHARED else folded(value)
        parts["camera"] = flat.camera.map(folded)
        parts["extras"] = {name: folded(value) for name, value in flat.extras.items()}
        return PoseBatch(**parts)  # type: ignore[arg-type]


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
