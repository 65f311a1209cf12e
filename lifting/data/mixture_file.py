"""2D mixtures of whole splits: made, in a file of plain arrays, and given to tracks.

They are made from confidence, by an error model, or fitted to heatmaps.

For each split: ``mixtures_<split>`` ``(frames, joints, kernels, 5)`` float32, weight, mean u,
mean v (pixels), spread u, spread v (half image widths); ``tracks_<split>``, the names of the
tracks; ``offsets_<split>``, the row each begins at and the total. ``joints`` names the joints,
``source`` says in words what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor

from lifting.atomic import replacing
from lifting.data.config import Split
from lifting.data.detections import Detections
from lifting.data.heatmaps import Crop, person_crops, render_heatmaps
from lifting.data.mixtures import (
    confidence_sigma,
    detection_mixtures,
    fit_mixtures,
    mixtures_to_frame,
    point_mixtures,
)
from lifting.data.sequence import PoseTracks
from lifting.data.sets.h36m.files import read_mixtures
from lifting.errors import ConfigError, DataError, check_shape, suggest
from lifting.files.npz import read_plain_npz
from lifting.skeleton import Skeleton

MIXTURES = "mixtures"
_MAX_BYTES = 64 * 1024**3
_CURE = "make it again with `lifting data mixtures` from the same data section"

Source = Literal["confidence", "synthetic", "heatmap"]
_ROWS = {"confidence": 8192, "synthetic": 8192, "heatmap": 128}
_SIGMA = "sigma"


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


@dataclass(frozen=True)
class MixtureOptions:
    """How mixtures are made.

    Attributes:
        source: ``confidence`` for one kernel, the wider the less confident the detection;
            ``synthetic`` for five kernels around the detection, by an error model; ``heatmap``
            for kernels fitted to heatmaps: a detector's own, or as one would draw them.
        kernels: Gaussians fitted to each heatmap.
        heatmaps: Folder of a detector's own maps, ``<track>.npz``, slashes in the name of the
            track written ``_``: ``heatmaps (frames, joints, height, width)`` and ``crop
            (frames, 3)``, left and upper edge and side of a cell, pixels. None draws maps.
        device: Where the work is done.
        seed: Seed of whatever is drawn.
    """

    source: Source = "heatmap"
    kernels: int = 5
    heatmaps: Path | None = None
    device: str = "cpu"
    seed: int = 0


def make_mixtures(
    tracks: PoseTracks,
    options: MixtureOptions,
    progress: Callable[[int], object] = lambda frames: None,
) -> MixtureSet:
    """Mixtures of every frame of some tracks.

    Args:
        tracks: The detections. Their extra ``sigma``, where they have it, says how wide the
            kernels are; else their confidence does.
        options: What to do.
        progress: Told the number of frames that each part of the work has done.

    Raises:
        ConfigError: A folder of heatmaps is given to another source, no kernel asked for, or a
            GPU that is not there.
        DataError: A file of heatmaps is absent, damaged, or of another form.
    """
    if options.heatmaps is not None and options.source != "heatmap":
        raise ConfigError(
            f"expected source heatmap with a folder of heatmaps, got '{options.source}'; leave "
            "one of them out"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("expected a GPU for device cuda, got none; work on the device cpu")
    generator = Generator(options.device).manual_seed(options.seed)
    parts = []
    for rows, maps in _parts(tracks, options):
        parts.append(_make(tracks, rows, maps, options, generator).cpu())
        progress(rows.stop - rows.start)
    words = f"{options.source}, seed {options.seed}"
    if options.source == "heatmap":
        kind = "drawn" if options.heatmaps is None else "a detector's own"
        words = f"{words}, {options.kernels} kernels, {kind} maps"
    return MixtureSet(torch.cat(parts), tracks.offsets, tracks.track_names, words)


class _Maps:
    """Heatmaps of one file, and the crops they lie in."""

    def __init__(self, path: Path, frames: int, joints: int) -> None:
        arrays = read_plain_npz(path, {"heatmaps": ("float", 4), "crop": ("number", 2)})
        self.maps = torch.from_numpy(arrays["heatmaps"]).float()
        self.crop = torch.from_numpy(arrays["crop"]).float()
        given, wanted = (*self.maps.shape[:2], *self.crop.shape), (frames, joints, frames, 3)
        if given != wanted or not bool(self.crop.isfinite().all() & (self.crop[:, 2] > 0).all()):
            raise DataError(
                f"expected heatmaps of {frames} frames and {joints} joints and, for each frame, "
                f"left, top and a cell above 0 in {path}, got maps {tuple(self.maps.shape)} and "
                f"crop {tuple(self.crop.shape)}; write the file anew for this track"
            )

    def part(self, rows: slice) -> tuple[Tensor, Crop]:
        """Maps and crops of some frames."""
        crop = self.crop[rows]
        return self.maps[rows], Crop(crop[:, :2], crop[:, 2])


def _parts(
    tracks: PoseTracks, options: MixtureOptions
) -> Iterator[tuple[slice, tuple[Tensor, Crop] | None]]:
    """Rows that are worked on together, in order, and their maps where there are files."""
    size = _ROWS[options.source]
    if options.heatmaps is None:
        for first in range(0, len(tracks), size):
            yield slice(first, min(first + size, len(tracks))), None
        return
    bounds = tracks.offsets.tolist()
    for name, start, end in zip(tracks.track_names, bounds[:-1], bounds[1:], strict=True):
        path = options.heatmaps / f"{name.replace('/', '_')}.npz"
        maps = _Maps(path, end - start, len(tracks.skeleton))
        for first in range(start, end, size):
            rows = slice(first, min(first + size, end))
            yield rows, maps.part(slice(rows.start - start, rows.stop - start))


def _make(
    tracks: PoseTracks,
    rows: slice,
    maps: tuple[Tensor, Crop] | None,
    options: MixtureOptions,
    generator: Generator,
) -> Tensor:
    """Mixtures of some frames, ``(rows, joints, kernels, 5)``."""
    device = options.device
    track = torch.searchsorted(tracks.offsets, torch.arange(rows.start, rows.stop), right=True) - 1
    image = tracks.cameras.size[tracks.camera[track]].to(device)
    if maps is not None:
        own, crop = maps[0].to(device), Crop(*(v.to(device) for v in maps[1]))
        return mixtures_to_frame(fit_mixtures(own, options.kernels), crop, image)
    keypoints = tracks.keypoints_2d[rows].to(device)
    confidence = tracks.confidence[rows].to(device)
    sigma = confidence_sigma(keypoints, confidence)
    if _SIGMA in tracks.extras:
        sigma = tracks.extras[_SIGMA][rows].to(device)
    if options.source == "heatmap":
        crop = person_crops(keypoints)
        drawn = render_heatmaps(
            keypoints, confidence, tracks.skeleton, crop, generator=generator, sigma=sigma
        )
        return mixtures_to_frame(fit_mixtures(drawn, options.kernels), crop, image)
    found = Detections(keypoints, confidence, sigma, torch.zeros_like(sigma, dtype=torch.bool))
    if options.source == "confidence":
        return point_mixtures(found, image[:, 0])
    return detection_mixtures(
        found, tracks.skeleton, image[:, 0], partner=True, generator=generator
    )
