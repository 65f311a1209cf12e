"""Errors of motion in an evaluation: velocity and acceleration within tracks.

A difference along time needs neighbouring frames of one track, which may come in any order, in
several batches and to several processes. So the residual of a frame (prediction minus label) is
kept until its neighbours are there: in an evaluation in order that is the ends of each track (and
of each slice of a batch), in a scrambled one everything, and so where windows of several processes
may answer the same frame. Only frames whose index differs by one are neighbours: of a split that
takes every n-th frame there is no motion to score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, distributed

from lifting.batch import PoseBatch
from lifting.metrics.functional.errors import PosePair, all_true, euclidean
from lifting.typing import PerJoint, Pose3D

ORDERS = (1, 2)
"""How often positions are differenced: for a velocity, for an acceleration."""

_MOST_ROWS = 1 << 14  # frames that are kept before those with all their neighbours go: some 9 MB
_CHUNK = 8192  # frames that stay in the processor's cache
_TRACK = 1 << 32  # more than a track has frames


@dataclass(frozen=True)
class Tracks:
    """The tracks that the frames of a split come from.

    Attributes:
        fps: Frames a second of each, ``(tracks,)``; NaN where it is not known.
        frames: How many frames each has, ``(tracks,)`` int64.
        stride: Frames between two neighbours inside a window.
    """

    fps: Tensor
    frames: Tensor
    stride: int = 1

    def __len__(self) -> int:
        return len(self.frames)


class _Rows(NamedTuple):
    """Frames whose neighbours may still come.

    Attributes:
        key: ``(rows,)`` int64, number of the frame and, from 2^32 on, of its track.
        residual: ``(rows, joints, 3)``, mm; NaN where the prediction is not finite.
        answers: ``(rows, joints)``, how many the residual is the mean of; 0 where there is none.
        home: ``(rows,)`` int64: rows of one home have had the differences among them counted; 0
            for those that have not.
    """

    key: Tensor
    residual: Pose3D
    answers: PerJoint
    home: Tensor


class Motion:
    """Sums of the errors of differences along time.

    Args:
        tracks: The tracks.
    """

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self._frames = tracks.frames
        self.reset()

    def to(self, device: torch.device | str) -> Self:
        """Take frames from that device, without waiting for it."""
        self._frames = self._frames.to(device)
        return self

    def reset(self) -> None:
        """Forget all frames."""
        self._shared = False
        self._parts: list[_Rows] = []
        self._new = 0

    @property
    def is_full(self) -> bool:
        """Whether enough frames are kept that it pays to settle."""
        kept = sum(len(part.key) for part in self._parts) - self._new
        return self._new > max(_MOST_ROWS, kept)

    def add(self, pair: PosePair, batch: PoseBatch, targets: int) -> None:
        """Keep the frames of a batch.

        Args:
            pair: Prediction and label of the scored joints, ``(batch targets, joints, 3)``, mm.
            batch: Says which frames they are; without that they are passed over.
            targets: Frames that are answered of each window.
        """
        if batch.sequence is None or batch.frame is None:
            return
        device = pair.usable.device
        steps = (torch.arange(targets, device=device) - targets // 2) * self.tracks.stride
        frame = (batch.frame[:, None] + steps).flatten()
        track = batch.sequence[:, None].expand(-1, targets).flatten()
        inside = (frame >= 0) & (frame < self._frames.index_select(0, track))
        residual = pair.predicted - pair.target
        if not all_true(~pair.nonfinite):
            residual = residual.masked_fill(pair.nonfinite[..., None], torch.nan)
        valid = (pair.usable | pair.nonfinite) & inside[:, None]
        key = track * _TRACK + frame
        answers = valid.to(residual.dtype)
        self._parts.append(_Rows(key, residual, answers, torch.zeros_like(key)))
        self._shared = self._shared or (targets > 1 and _several())
        self._new += len(key)

    def settle(self) -> Tensor:
        """Errors of all differences that have become known since the last time.

        Frames that have all their neighbours are let go; but where windows are answered as a
        whole in several processes, all are kept for :meth:`across_processes`, since another one
        may answer them too.

        Returns:
            ``(orders, 4)`` by order: sum of errors, mm a frame to that power; their count; the
            same two with errors a second, of the tracks whose rate is known.
        """
        if not self._parts:
            return torch.zeros(len(ORDERS), 4, device=self._frames.device)
        rows = _merged(self._parts)
        if self._shared:
            self._parts, self._new = [rows], 0
            return rows.residual.new_zeros(len(ORDERS), 4)
        sums = _sums(rows, self.tracks)
        here = 1 + (distributed.get_rank() if _several() else 0)
        rows = _Rows(*(part[~_surrounded(rows.key)] for part in rows))
        self._parts = [rows._replace(home=torch.full_like(rows.home, here))]
        self._new = 0
        return sums

    def across_processes(self) -> Tensor:
        """Errors of the differences between frames of different processes, as :meth:`settle`.

        Every process must call this, after settling, and gets the same.

        Returns:
            ``(orders, 4)``.
        """
        if not _several():
            return torch.zeros(len(ORDERS), 4)
        mine = [_Rows(*(value.cpu() for value in part)) for part in self._parts]
        gathered: list[list[_Rows]] = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(gathered, mine)
        parts = [part for process in gathered for part in process]
        return _sums(_merged(parts), self.tracks) if parts else torch.zeros(len(ORDERS), 4)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _merged(parts: list[_Rows]) -> _Rows:
    """Rows by track and frame; a frame that was answered more than once has the mean residual."""
    rows = _Rows(*(_joined(values) for values in zip(*parts, strict=True)))
    known = (rows.answers > 0).any(-1)
    if not bool(known.all()):
        rows = _Rows(*(value[known] for value in rows))
    if not bool((rows.key.diff() > 0).all()):
        order = rows.key.argsort(stable=True)
        rows = _Rows(*(value[order] for value in rows))
    key, inverse = torch.unique_consecutive(rows.key, return_inverse=True)
    if len(key) == len(rows.key):
        return rows
    answers = rows.answers[..., None]
    residual = torch.where(answers > 0, rows.residual * answers, 0.0)
    summed = residual.new_zeros(len(key), *residual.shape[1:]).index_add_(0, inverse, residual)
    count = summed[..., 0].new_zeros(summed.shape[:-1]).index_add_(0, inverse, rows.answers)
    home = rows.home.new_zeros(len(key)).scatter_reduce_(0, inverse, rows.home, reduce="amax")
    return _Rows(key, summed / count.clamp(min=1)[..., None], count, home)


def _joined(values: tuple[Tensor, ...]) -> Tensor:
    """Values of one row after the other, which stay side by side in memory."""
    return torch.cat([value.movedim(0, -1) for value in values], dim=-1).movedim(-1, 0)


def _surrounded(key: Tensor) -> Tensor:
    """Rows whose two neighbours on both sides are there, ``(rows,)`` bool."""
    inner = torch.zeros_like(key, dtype=torch.bool)
    inner[2:-2] = key[4:] - key[:-4] == 4
    return inner


def _sums(rows: _Rows, tracks: Tracks) -> Tensor:
    """As :meth:`Motion.settle`, of the differences that were not counted before."""
    sums = rows.residual.new_zeros(len(ORDERS), 4)
    new_run = torch.cat((rows.key.new_zeros(1), rows.key.diff() != 1))
    run = new_run.cumsum(0)
    fps = tracks.fps.to(rows.residual)
    for start in range(0, len(rows.key), _CHUNK):
        part = slice(start, start + _CHUNK + len(ORDERS))
        key, steps, answers, home = (value[part] for value in rows)
        valid = answers > 0
        for index, order in enumerate(ORDERS):
            steps = steps.diff(dim=0)
            valid = valid[1:] & valid[:-1]
            frames = slice(0, min(_CHUNK, len(steps)))
            new = _are_new(run[part], home, order)[frames, None]
            counted = valid[frames] & new
            error = torch.where(counted, euclidean(*steps[frames].unbind(-1)), 0.0).sum(-1)
            count = counted.sum(-1)
            rate = fps[key[frames] // _TRACK].pow(order)
            timed = rate.isfinite()
            sums[index] += torch.stack((
                error.sum(), count.sum(),
                torch.where(timed, error * rate, 0.0).sum(), torch.where(timed, count, 0).sum(),
            ))  # fmt: skip
    return sums


def _are_new(run: Tensor, home: Tensor, order: int) -> Tensor:
    """Differences within one run that were not counted before, ``(rows - order,)`` bool."""
    frames = max(0, len(run) - order)
    homes = torch.stack([home[shift : shift + frames] for shift in range(order + 1)])
    known = (homes == homes[0]).all(0) & (homes[0] > 0)
    return (run[order:] == run[:frames]) & ~known
