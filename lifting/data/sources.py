"""Name of a data set -> its tracks, in the joints and at the rates of the data.

A reader of 3D motion offers ``motion``; a virtual rig films it and detector noise is added, once,
into the cache. A reader of recordings that come with cameras and keypoints offers ``tracks``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

from lifting.data.cache import cache_folder, cached_tracks
from lifting.data.config import DataConfig, Split, noise_of
from lifting.data.film import film
from lifting.data.mixture_file import with_mixtures
from lifting.data.sequence import MotionClips, PoseTracks
from lifting.data.sets import find_set
from lifting.errors import ConfigError

SPLITS: tuple[Split, ...] = get_args(Split)
FILM_VERSION = 1  # to be raised when rigs or detector noise change, so that old files are not read


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
    reader = find_set(config.name).reader()
    if hasattr(reader, "motion"):
        tracks = _filmed(reader, config, split)
    else:
        key = {"dataset": config.name, "split": split, "files": reader.cache_key(config, split)}
        make = partial(reader.tracks, config, split)
        tracks = cached_tracks(key, make, cache_folder(config.cache))
        if hasattr(reader, "complete"):
            tracks = reader.complete(tracks, config, split)
    if config.mixtures is None:
        return tracks
    return with_mixtures(tracks, Path(config.mixtures).expanduser(), split)


def load_motion(config: DataConfig, split: Split) -> MotionClips:
    """The motion of a split that virtual cameras film.

    Args:
        config: The data section.
        split: Which part.

    Raises:
        ConfigError: The data set is of recordings with cameras, or has extras of single frames.
        MissingDataError: Its files are absent.
    """
    reader = find_set(config.name).reader()
    if not hasattr(reader, "motion") or config.synthetic.extras:
        came = f"extras of {config.name}" if hasattr(reader, "motion") else config.name
        raise ConfigError(
            f"expected motion without cameras and extras for data.refilm, got {came}; set "
            "data.refilm.every to 0"
        )
    motion: MotionClips = reader.motion(config, split)
    return motion


def _filmed(reader: Any, config: DataConfig, split: Split) -> PoseTracks:
    seed = film_seed(config.noise_seed, split)
    extras = tuple(config.synthetic.extras)
    noise = noise_of(config, split)

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
