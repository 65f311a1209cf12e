"""MPI-INF-3DHP as tracks, from whichever form of it is found: npz files, or those distributed.

The npz form of P-STMO is preferred, because it is quick to read. The distributed files have in
addition the calibration of every training camera, the other annotation, and all 14 cameras.

Source: Mehta et al., "Monocular 3D Human Pose Estimation In The Wild Using Improved CNN
Supervision", 2017.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from lifting.data.config import DataConfig, Split
from lifting.data.files import files_state, search_folders
from lifting.data.sequence import PoseTracks
from lifting.data.sets.mpi_inf_3dhp import npz as npz
from lifting.data.sets.mpi_inf_3dhp.config import Config as Mpi3dhpConfig
from lifting.data.sets.mpi_inf_3dhp.npz_files import View
from lifting.data.sets.mpi_inf_3dhp.raw import (
    ANNOTATIONS,
    CALIBRATION,
    TEST_ANNOTATIONS,
    Annotation,
    Calibration,
    Home,
    count_words,
    find_test,
    find_train,
    read_calibration,
    read_test_home,
    read_train_home,
)
from lifting.errors import DataError
from lifting.geometry.camera import Camera

log = logging.getLogger(__name__)

VERSION = 1  # to be raised when the same files give other tracks


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All sequences of a split, one track a camera.

    Args:
        config: The data section; ``mpi_inf_3dhp`` says which annotation, subjects and frames.
        split: The part.

    Returns:
        Tracks by sequence, then camera. Test frames that are not valid stay, as neighbours in a
        window, and are marked as not visible. From the distributed files, training cameras have
        their extrinsics too, one camera a track.

    Raises:
        ConfigError: An option names something the data set does not have.
        MissingDataError: Neither form is found.
        DataError: A file is damaged, unsafe, or lacks a subject, a sequence or a camera.
    """
    if npz.is_present(config, split):
        return npz.tracks(config, split)
    options = config.mpi_inf_3dhp
    npz.check_options(options)
    log.info("terms of use: %s", npz.TERMS)
    label = npz.LABELS[options.annotation]
    homes = _homes(config, split)
    facts = {**npz.split_facts(options, split), "form": "distributed files"}
    if split == "test":
        views = [read_test_home(home, label) for home in homes]
        facts["frame_counts"] = count_words(views)
        return npz.test_tracks(views, options, facts)
    return _train_tracks(homes, label, options, facts)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`.

    The npz form is known by its content; the distributed files, gigabytes of them, by name, size
    and time of change.

    Raises:
        MissingDataError: Neither form is found.
    """
    if npz.is_present(config, split):
        return npz.cache_key(config, split)
    name = TEST_ANNOTATIONS if split == "test" else ANNOTATIONS
    homes = _homes(config, split)
    paths = [home.folder / name for home in homes]
    if split != "test":
        paths += [home.folder / CALIBRATION for home in homes]
    return {
        "version": VERSION,
        "files": files_state([path for path in paths if path.is_file()]),
        "options": asdict(config.mpi_inf_3dhp),
    }


def _homes(config: DataConfig, split: Split) -> list[Home]:
    options = config.mpi_inf_3dhp
    folders: Sequence[Path] = search_folders(npz.NAME, config.root)
    if split == "test":
        return find_test(folders, options.test_sequences)
    return npz.hold_out(options).pick(find_train(folders, npz.people(options)), split)


def _train_tracks(
    homes: Sequence[Home], label: Annotation, options: Mpi3dhpConfig, facts: dict[str, str]
) -> PoseTracks:
    views: list[View] = []
    calibrated: dict[str, Calibration] = {}
    for home in homes:
        path = home.folder / CALIBRATION
        cameras = read_calibration(path)
        for view in read_train_home(home, options.cameras, label):
            if view.camera not in cameras:
                raise DataError(
                    f"expected camera {view.camera} in {path}, got {', '.join(cameras)}; use the "
                    "calibration that comes with the sequence"
                )
            calibrated[view.name] = cameras[view.camera]
            views.append(view)
    facts["frame_counts"] = count_words(views)
    facts["intrinsics"] = "calibrated, linear" + (
        "; radial terms of the calibration left out"
        if any(c.distorted for c in calibrated.values())
        else ""
    )
    return npz.train_tracks(views, _cameras(calibrated), options, facts)


def _cameras(calibrated: dict[str, Calibration]) -> tuple[tuple[str, ...], Camera]:
    """Names of the views and the camera of each."""
    values = list(calibrated.values())
    lenses = torch.zeros(len(values), 9)
    lenses[:, :4] = torch.tensor([c.intrinsics for c in values])
    return tuple(calibrated), Camera(
        intrinsics=lenses,
        size=torch.tensor([c.size for c in values]),
        rotation=torch.stack([torch.from_numpy(c.rotation).float() for c in values]),
        position=torch.stack([torch.from_numpy(c.position).float() for c in values]),
    )
