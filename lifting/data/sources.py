"""Name of a data set -> its tracks.

A reader of 3D motion offers ``motion(config, split)`` and ``cache_key(config, split)``; a virtual
rig films the motion and detector noise is added, once, into the cache. A reader of recordings
that come with their cameras and keypoints offers ``tracks`` instead of ``motion``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from lifting.data import (
    amass,
    cmu,
    human36m,
    humaneva,
    image_folder,
    keypoint_rig,
    mpi_inf_3dhp,
    oh50k,
    pw3d,
    synthetic,
)
from lifting.data.cache import cache_folder, cached_tracks
from lifting.data.config import DATASETS, DataConfig, Split
from lifting.data.film import film
from lifting.data.images import source as images
from lifting.data.mixture_file import with_mixtures
from lifting.data.sequence import MotionClips, PoseTracks
from lifting.errors import ConfigError, suggest

SPLITS: tuple[Split, ...] = get_args(Split)
FILM_VERSION = 1  # to be raised when rigs or detector noise change, so that old files are not read


@dataclass(frozen=True)
class MotionReader:
    """Where a data set's 3D motion comes from.

    Attributes:
        motion: Reads or makes the clips of a split.
        cache_key: Everything in the configuration and the files that the clips depend on.
    """

    motion: Callable[[DataConfig, Split], MotionClips]
    cache_key: Callable[[DataConfig, Split], dict[str, object]]


@dataclass(frozen=True)
class TrackReader:
    """Where a data set's recordings with cameras and keypoints of their own come from.

    Attributes:
        tracks: Reads a split.
        cache_key: Everything in the configuration and the files that the tracks depend on.
        complete: Adds what is kept elsewhere than in the cache of tracks, as images are; None
            when there is nothing to add.
    """

    tracks: Callable[[DataConfig, Split], PoseTracks]
    cache_key: Callable[[DataConfig, Split], dict[str, object]]
    complete: Callable[[PoseTracks, DataConfig, Split], PoseTracks] | None = None


READERS: dict[str, MotionReader | TrackReader] = {
    "synthetic": MotionReader(synthetic.motion, synthetic.cache_key),
    "images": TrackReader(images.tracks, images.cache_key, images.with_pictures),
    "image_folder": TrackReader(
        image_folder.tracks, image_folder.cache_key, image_folder.with_pictures
    ),
    "cmu": MotionReader(cmu.motion, cmu.cache_key),
    "h36m": TrackReader(human36m.tracks, human36m.cache_key),
    "humaneva": TrackReader(humaneva.tracks, humaneva.cache_key),
    "mpi_inf_3dhp": TrackReader(mpi_inf_3dhp.tracks, mpi_inf_3dhp.cache_key),
    "3dpw": TrackReader(pw3d.tracks, pw3d.cache_key),
    "3doh50k": TrackReader(oh50k.tracks, oh50k.cache_key),
    "amass": MotionReader(amass.motion, amass.cache_key),
    "keypoint_rig": TrackReader(keypoint_rig.tracks, keypoint_rig.cache_key),
}


def load_tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All frames of a split: filmed or read from the data set's files, or from the cache.

    Mixtures are added where the data section names a file of them.

    Args:
        config: The data section.
        split: Which part.

    Raises:
        ConfigError: No data set has that name.
        MissingDataError: Its files, or that of the mixtures, are absent.
        DataError: The mixtures belong to other tracks.
    """
    if config.name not in READERS:
        raise ConfigError(f"unknown data set '{config.name}'; {suggest(config.name, DATASETS)}")
    tracks = _load(READERS[config.name], config, split)
    if config.mixtures is None:
        return tracks
    return with_mixtures(tracks, Path(config.mixtures).expanduser(), split)


def _load(reader: MotionReader | TrackReader, config: DataConfig, split: Split) -> PoseTracks:
    if isinstance(reader, TrackReader):
        key = {"dataset": config.name, "split": split, "files": reader.cache_key(config, split)}
        make = partial(reader.tracks, config, split)
        tracks = cached_tracks(key, make, cache_folder(config.cache))
        return tracks if reader.complete is None else reader.complete(tracks, config, split)
    return _filmed(reader, config, split)


def _filmed(reader: MotionReader, config: DataConfig, split: Split) -> PoseTracks:
    seed = film_seed(config.noise_seed, split)
    extras = tuple(config.synthetic.extras)
    noise = config.noise
    if split == "train" and config.noise_train is not None:
        noise = config.noise_train

    def make() -> PoseTracks:
        motion = reader.motion(config, split)
        return film(motion, rig=config.cameras, noise=noise, seed=seed, extras=extras)

    key: dict[str, object] = {
        "dataset": config.name,
        "split": split,
        "motion": reader.cache_key(config, split),
        "film": FILM_VERSION,
        "rig": config.cameras,
        "noise": noise,
        "noise_seed": seed,
        "extras": list(extras),
    }
    return cached_tracks(key, make, cache_folder(config.cache))


def film_seed(noise_seed: int, split: Split) -> int:
    """Seed of rigs and noise in a split; no two splits or seeds share one."""
    return noise_seed * len(SPLITS) + SPLITS.index(split)
