"""2D mixtures in a file of plain arrays, and tracks that are given them.

For each split: ``mixtures_<split>`` ``(frames, joints, kernels, 5)`` float32, weight, mean u,
mean v (pixels), spread u, spread v (half image widths); ``tracks_<split>``, the names of the
tracks; ``offsets_<split>``, the row each begins at and the total. ``joints`` names the joints,
``source`` says in words what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.atomic import replacing
from lifting.data.config import Split
from lifting.data.sequence import PoseTracks
from lifting.data.sets.h36m.files import read_mixtures
from lifting.errors import DataError, check_shape, suggest
from lifting.files.npz import read_plain_npz
from lifting.skeleton import Skeleton

MIXTURES = "mixtures"
_MAX_BYTES = 64 * 1024**3
_CURE = "make it again with `lifting data mixtures` from the same data section"


@dataclass(frozen=True)
class MixtureSet:
    """Mixtures of the tracks of one split.

    Attributes:
        mixtures: ``(frames, joints, kernels, 5)``.
        offsets: ``(tracks + 1,)`` int64; track i is rows ``offsets[i]:offsets[i + 1]``.
        names: One a track.
        source: Where they come from, in words.
    """

    mixtures: Tensor
    offsets: Tensor
    names: tuple[str, ...]
    source: str


def write_mixture_file(path: Path, splits: Mapping[Split, MixtureSet], skeleton: Skeleton) -> None:
    """Write the mixtures of some splits, whole or not at all.

    Args:
        path: The file; an older one is replaced.
        splits: By split, at least one.
        skeleton: Names the joints.

    Raises:
        OutputError: The folder cannot be written.
    """
    arrays = {"joints": np.array(skeleton.joints)}
    for split, part in splits.items():
        arrays["source"] = np.array(part.source)
        arrays[f"mixtures_{split}"] = part.mixtures.numpy().astype(np.float32, copy=False)
        arrays[f"offsets_{split}"] = part.offsets.numpy()
        arrays[f"tracks_{split}"] = np.array(part.names)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_mixture_file(path: Path, split: Split, skeleton: Skeleton) -> MixtureSet:
    """Read the mixtures of one split; weights are made to sum to one.

    Args:
        path: The file.
        split: Which part.
        skeleton: The joints that are wanted.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe, damaged, lacks the split, or has other joints.
    """
    arrays = read_plain_npz(
        path,
        {
            "joints": ("text", 1),
            "source": ("text", 0),
            f"mixtures_{split}": ("float", 4),
            f"offsets_{split}": ("integer", 1),
            f"tracks_{split}": ("text", 1),
        },
        _MAX_BYTES,
    )
    joints = tuple(arrays["joints"].tolist())
    if joints != skeleton.joints:
        raise DataError(
            f"expected the joints of {skeleton.name} in {path}, got {joints[:4]}...; {_CURE}"
        )
    values, offsets = arrays[f"mixtures_{split}"], arrays[f"offsets_{split}"].astype(np.int64)
    names = tuple(arrays[f"tracks_{split}"].tolist())
    where = f"mixtures_{split} of {path}"
    check_shape(where, values, "frames joints kernels 5", joints=len(joints))
    whole = offsets[[0, -1]].tolist() == [0, len(values)] if len(offsets) else False
    if len(offsets) != len(names) + 1 or not whole or (np.diff(offsets) < 1).any():
        raise DataError(
            f"expected rising offsets from 0 to {len(values)} frames, one a track and the total, "
            f"in {path}, got {len(offsets)} for {len(names)} tracks; {_CURE}"
        )
    if not np.isfinite(values).all():
        raise DataError(f"expected finite numbers in {where}, got others; {_CURE}")
    _, mixtures = read_mixtures(values.astype(np.float32, copy=False), where)
    return MixtureSet(mixtures, torch.from_numpy(offsets), names, str(arrays["source"]))


def with_mixtures(tracks: PoseTracks, path: Path, split: Split) -> PoseTracks:
    """The same tracks with the mixtures of a file as the extra ``mixtures``.

    Args:
        tracks: Whole tracks; the file may hold more of them, in any order.
        path: The file.
        split: Which part of it.

    Raises:
        MissingDataError: There is no such file.
        DataError: It lacks a track, or has another number of frames of one.
    """
    part = read_mixture_file(path, split, tracks.skeleton)
    lengths = tracks.offsets.diff()
    if part.names == tracks.track_names and torch.equal(part.offsets, tracks.offsets):
        mixtures = part.mixtures
    else:
        known = {name: index for index, name in enumerate(part.names)}
        missing = [name for name in tracks.track_names if name not in known]
        if missing:
            raise DataError(
                f"expected track '{missing[0]}' in the {split} part of {path}; "
                f"{suggest(missing[0], part.names[:200])}; {_CURE}"
            )
        index = torch.tensor([known[name] for name in tracks.track_names])
        found = part.offsets.diff()[index]
        if not torch.equal(found, lengths):
            wrong = int((found != lengths).long().argmax())
            raise DataError(
                f"expected {int(lengths[wrong])} frames of '{tracks.track_names[wrong]}' in "
                f"{path}, got {int(found[wrong])}; {_CURE}"
            )
        shift = part.offsets[:-1][index] - tracks.offsets[:-1]
        rows = torch.arange(len(tracks)) + shift.repeat_interleave(lengths)
        mixtures = part.mixtures[rows]
    source = {**tracks.source, MIXTURES: f"{path.name}, {part.source}"}
    return replace(tracks, extras={**tracks.extras, MIXTURES: mixtures}, source=source)
