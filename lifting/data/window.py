"""Index arithmetic of windows: which rows of the tracks a sample reads.

Tracks lie one after another along the first axis, so that a window is a few row numbers; no frame
is copied until a whole batch is gathered.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError


class Windows(NamedTuple):
    """Where the windows of a split lie, one a sample.

    Attributes:
        middle: Row of the middle frame, ``(samples,)`` int64; it may lie beyond the end of a track
            that is shorter than the window.
        track: ``(samples,)`` int64.
        fresh: First frame, counted from the start of the track, that is to count, ``(samples,)``
            int64; None where all frames of a window do, repeated ones too.
    """

    middle: Tensor
    track: Tensor
    fresh: Tensor | None = None


def centred_windows(offsets: Tensor, every: int) -> Windows:
    """A window around every n-th frame of each track.

    Args:
        offsets: ``(tracks + 1,)`` int64.
        every: Frames from one sample to the next.
    """
    middle = sample_rows(offsets, every)
    return Windows(middle, track_of_rows(offsets).index_select(0, middle))


def inner_windows(offsets: Tensor, frames: int, every: int) -> Windows:
    """Windows that lie within their track, from every n-th frame on; one where it is shorter.

    Args:
        offsets: ``(tracks + 1,)`` int64.
        frames: Odd length of a window.
        every: Frames from the start of one sample to that of the next.
    """
    start = sample_rows(offsets, every)
    track = track_of_rows(offsets).index_select(0, start)
    latest = (offsets[1:] - frames).maximum(offsets[:-1])
    kept = start <= latest.index_select(0, track)
    start, track = start[kept], track[kept]
    return Windows(start + frames // 2, track, torch.zeros_like(start))


def chunk_windows(offsets: Tensor, frames: int) -> Windows:
    """Windows side by side that cover each track; the last one ends with it.

    What the last one shares with the one before it is not to count again.

    Args:
        offsets: ``(tracks + 1,)`` int64.
        frames: Odd length of a window.

    Source: released video code of DiffPose (from MixSTE).
    """
    first, lengths = offsets[:-1], offsets.diff()
    counts = (lengths + frames - 1) // frames
    track = torch.arange(len(counts), device=offsets.device).repeat_interleave(counts)
    order = torch.arange(len(track), device=offsets.device)
    number = order - (counts.cumsum(0) - counts)[track]
    latest = (lengths - frames).clamp(min=0)[track]
    start = torch.minimum(number * frames, latest)
    return Windows(first[track] + start + frames // 2, track, number * frames)


def track_of_rows(offsets: Tensor) -> Tensor:
    """Track that each row belongs to.

    Args:
        offsets: ``(tracks + 1,)`` int64, first row of each track, then the number of rows.

    Returns:
        ``(rows,)`` int64.
    """
    tracks = torch.arange(len(offsets) - 1, device=offsets.device)
    return tracks.repeat_interleave(offsets.diff())


def sample_rows(offsets: Tensor, every: int) -> Tensor:
    """Rows that are samples: every n-th frame of each track, from its first frame on.

    Args:
        offsets: ``(tracks + 1,)`` int64.
        every: Frames from one sample to the next.

    Returns:
        ``(samples,)`` int64, rising; a row is the middle frame of its sample's window.

    Raises:
        ConfigError: ``every`` is below one.
    """
    if every < 1:
        raise ConfigError(
            f"expected a positive number of frames between samples, got every={every}; "
            "1 uses every frame"
        )
    rows = torch.arange(int(offsets[-1]), device=offsets.device)
    within = rows - offsets[:-1].repeat_interleave(offsets.diff())
    return rows[within % every == 0]


def window_rows(middle: Tensor, first: Tensor, last: Tensor, frames: int, stride: int) -> Tensor:
    """Rows of each sample's window; beyond a track's end its edge frame is repeated.

    Args:
        middle: ``(batch,)`` int64, row of the middle frame.
        first: ``(batch,)`` int64, first row of the sample's track.
        last: ``(batch,)`` int64, last row of the sample's track.
        frames: Odd length of a window.
        stride: Frames between two neighbours inside a window.

    Returns:
        ``(batch, frames)`` int64.

    Raises:
        ConfigError: The length is not odd and positive, or the stride is below one.
    """
    check_window(frames, stride)
    if frames == 1:
        return middle[:, None]
    half = frames // 2
    steps = torch.arange(-half, half + 1, device=middle.device) * stride
    rows = middle[:, None] + steps  # (batch, frames)
    return torch.minimum(torch.maximum(rows, first[:, None]), last[:, None])


def check_window(frames: int, stride: int) -> None:
    """Check the length and stride of windows.

    Raises:
        ConfigError: The length is not odd and positive, or the stride is below one.
    """
    if frames < 1 or frames % 2 == 0:
        raise ConfigError(
            f"expected an odd, positive number of frames in a window, got frames={frames}; "
            "a window has one middle frame, so take the next odd length"
        )
    if stride < 1:
        raise ConfigError(
            f"expected a positive stride inside a window, got window_stride={stride}; "
            "1 takes neighbouring frames"
        )
