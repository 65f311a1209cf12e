"""2D mixtures of whole splits: from confidence, by an error model, or fitted to heatmaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor

from lifting.data.detections import Detections
from lifting.data.heatmaps import Crop, person_crops, render_heatmaps
from lifting.data.mixture_file import MixtureSet
from lifting.data.mixtures import (
    confidence_sigma,
    detection_mixtures,
    fit_mixtures,
    mixtures_to_frame,
    point_mixtures,
)
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError, DataError
from lifting.files.npz import read_plain_npz

Source = Literal["confidence", "synthetic", "heatmap"]
_ROWS = {"confidence": 8192, "synthetic": 8192, "heatmap": 128}
_SIGMA = "sigma"


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
