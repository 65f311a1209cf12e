"""The data set ``image_folder``: pictures on disk, with the labels of another data set.

Labels, cameras, subjects and frames are those of Human3.6M, MPI-INF-3DHP, 3DPW or 3DOH50K as the
project reads them; here the picture of every frame is found and the square around the person cut
out. The square follows the true root, so that the root's depth is an oracle's, as in published
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lifting.data.cache import cache_folder
from lifting.data.check import check_ranges
from lifting.data.config import DataConfig, Split
from lifting.data.folders import search_folders
from lifting.data.images.crops import SIDE_MM, crop_around
from lifting.data.images.photos import cut_photos
from lifting.data.images.store import stored_arrays
from lifting.data.sequence import PoseTracks
from lifting.data.sets import DataSet, Pictures, data_sets, find_set
from lifting.data.window import track_of_rows
from lifting.errors import ConfigError, MissingDataError, suggest
from lifting.files.checks import files_state

VERSION = 1  # to be raised when the same files give other tracks or pictures
NUMBER = "picture"
_FIELDS = {"subject": "S1", "recording": "Walking", "camera": "0", "frame": 1}
_SIZES, _MARGINS = (16, 1024), (0.5, 4.0)


def _labels(config: DataConfig) -> tuple[DataSet, Pictures]:
    """The set that has the labels, and where its pictures lie.

    Raises:
        ConfigError: There is no such set, or it has no pictures.
    """
    one = find_set(config.image_folder.labels)
    pictures = one.fact("PICTURES")
    if pictures is None:
        having = [name for name, s in data_sets().items() if s.fact("PICTURES") is not None]
        raise ConfigError(
            f"expected a data set with pictures in data.image_folder.labels, got '{one.name}'; "
            f"{suggest(one.name, having)}"
        )
    return one, pictures


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """Labelled frames of a split; pictures are added by :func:`complete`.

    Frames without a valid label of the root are left out. Beside the labels stand the crops, and
    the extra ``picture``, the number of each frame's picture.

    Args:
        config: The data section; ``image_folder`` and the section that it names are read.
        split: Which split.

    Raises:
        ConfigError: An option is out of range, or the labels do not agree with the pictures.
        MissingDataError: The labels' files are not found.
        DataError: They are damaged or of another form.
    """
    _check_options(config)
    options, (one, form) = config.image_folder, _labels(config)
    seen: PoseTracks = one.reader().tracks(config, split)
    track = track_of_rows(seen.offsets)
    within = torch.arange(len(seen)) - seen.offsets[track]
    first = form.first if options.first is None else options.first
    every = int(getattr(config, one.section).every)
    seen = replace(seen, extras={NUMBER: first + every * within})
    root, lenses = seen.labels()[:, seen.skeleton.root], seen.cameras.intrinsics
    known = root.isfinite().all(-1) & (root[:, 2] > 0)
    if seen.visible is not None:
        known &= seen.visible[:, seen.skeleton.root]
    crop = crop_around(root, lenses[seen.camera[track]], options.margin * SIDE_MM)
    source = {**seen.source, "pictures": f"of {int(known.sum())} frames with a label"}
    return _rows(replace(seen, crop=crop, source=source), known)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: what decides the labels', and the crops.

    Raises:
        ConfigError: An option is out of range, or the labels do not agree with the pictures.
        MissingDataError: The labels' files are not found.
    """
    _check_options(config)
    options = config.image_folder
    return {
        "version": VERSION,
        "labels": _labels(config)[0].reader().cache_key(config, split),
        "of": options.labels,
        "first": options.first,
        "margin": options.margin,
    }


def complete(seen: PoseTracks, config: DataConfig, split: Split) -> PoseTracks:
    """The same tracks with their pictures, mapped from the cache or cut out into it.

    Args:
        seen: From :func:`tracks`.
        config: The data section.
        split: Which split.

    Raises:
        MissingDataError: A picture is not found.
        DataError: A picture cannot be read, or has another size than its camera.
    """
    options, size = config.image_folder, config.image_folder.size
    paths = _paths(seen, config)
    assert seen.crop is not None
    crop, sizes = seen.crop, seen.cameras.size[seen.camera[track_of_rows(seen.offsets)]]
    key = {
        "photos": VERSION,
        "tracks": cache_key(config, split),
        "split": split,
        "files": files_state(paths),
        "size": size,
    }
    (image,) = stored_arrays(
        key,
        {"photo": (len(seen), 3, size, size)},
        lambda: cut_photos(paths, crop, sizes, size, options.threads),
        cache_folder(config.cache),
    )
    extras = {name: value for name, value in seen.extras.items() if name != NUMBER}
    return replace(seen, image=image, extras=extras)


def _check_options(config: DataConfig) -> None:
    options = config.image_folder
    bounds = {"size": _SIZES, "margin": _MARGINS, "threads": (1, 64)}
    check_ranges("image_folder", options, bounds)
    if options.files is not None:
        _filled(options.files, _FIELDS)
    if options.labels == "mpi_inf_3dhp" and config.mpi_inf_3dhp.annotation != "annot3":
        raise ConfigError(
            "expected data.mpi_inf_3dhp.annotation 'annot3' beside pictures, got "
            f"'{config.mpi_inf_3dhp.annotation}', whose poses are scaled and do not lie on the "
            "person; set it to annot3"
        )


def _filled(pattern: str, values: Mapping[str, object]) -> str:
    try:
        return pattern.format(**values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"expected data.image_folder.files with {{subject}}, {{recording}}, {{camera}} and "
            f"{{frame:06d}} in it, got '{pattern}' ({type(error).__name__}: {error}); correct it"
        ) from error


def _paths(seen: PoseTracks, config: DataConfig) -> list[Path]:
    """The picture of every frame, all of which exist."""
    paths: list[Path] = []
    numbers = seen.extras[NUMBER].tolist()
    for name, first, last in zip(
        seen.track_names, seen.offsets[:-1].tolist(), seen.offsets[1:].tolist(), strict=True
    ):
        paths += _track_paths(name, numbers[first:last], config)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise MissingDataError(
            f"expected {len(paths)} pictures, found none for {len(missing)} of them, such as "
            f"{missing[0]}; extract them from the films, or leave out their recordings"
        )
    return paths


def _track_paths(name: str, numbers: list[int], config: DataConfig) -> list[Path]:
    """Pictures of a track, in the first form in which the first of them is found."""
    options, (_, form) = config.image_folder, _labels(config)
    folders = search_folders(options.labels, config.root)
    patterns = form.files if options.files is None else (options.files,)
    tried = []
    for fields in form.fields(name):
        for pattern in patterns:
            for folder in folders:
                found = folder / _filled(pattern, {**fields, "frame": numbers[0]})
                if found.is_file():
                    files = (_filled(pattern, {**fields, "frame": n}) for n in numbers)
                    return [folder / file for file in files]
                tried.append(found)
    raise MissingDataError(
        f"expected pictures of the track {name}, found none at {tried[0]} or {len(tried) - 1} "
        "other places; extract them from the films (lifting/data/README.md), or say in "
        "data.image_folder.files where they are"
    )


def _rows(seen: PoseTracks, kept: Tensor) -> PoseTracks:
    """The frames that are kept; tracks without any are left out."""
    counts = torch.bincount(track_of_rows(seen.offsets)[kept], minlength=len(seen.track_names))
    whole = (counts > 0).nonzero()[:, 0]
    return seen.take(kept.nonzero()[:, 0], whole, counts[whole])
