"""MPI-INF-3DHP as tracks of its own 17 joints, from whichever form of it is found.

The npz form of P-STMO is preferred, because it is quick to read; its training cameras' intrinsics
are estimated from the labels, and where the cameras stand is no part of it. The distributed files
have the calibration of every training camera, the other annotation, and all 14 cameras. The test
cameras' intrinsics are published and built in.

Source: Mehta et al., "Monocular 3D Human Pose Estimation In The Wild Using Improved CNN
Supervision", 2017; npz form of Shan et al., P-STMO, 2022.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import torch

from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks, shared_facts
from lifting.data.check import check_every, check_names
from lifting.data.config import DataConfig, Split
from lifting.data.lens_fit import LensFit, fit_lens
from lifting.data.sequence import CameraKind, PoseTracks
from lifting.data.sets.mpi_inf_3dhp import files
from lifting.data.sets.mpi_inf_3dhp.config import Config
from lifting.data.splits import HoldOut
from lifting.data.two_d_npz import read_keypoints
from lifting.errors import ConfigError, DataError
from lifting.files.checks import files_state, sha256_of
from lifting.geometry.camera import Camera
from lifting.skeleton import MPI_INF_3DHP_17

log = logging.getLogger(__name__)

VERSION = 3  # to be raised when the same files give other tracks
LABELS: Mapping[str, files.Labels] = {"univ": "univ_annot3", "annot3": "annot3"}
TERMS = "MPI-INF-3DHP, vcai.mpi-inf.mpg.de/3dhp-dataset: non-commercial research only"
_FIT_FRAMES = 4000


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All sequences of a split, one track a camera, each with its own frames a second.

    Args:
        config: The data section; ``mpi_inf_3dhp`` says which annotation, subjects and frames.
        split: The part.

    Returns:
        Tracks by sequence, then camera, in the order ``mpi17``. Test frames that are not valid
        stay, as neighbours in a window, and are marked as not visible. An action is a sequence
        (``Seq1``, ``TS1`` ...). From the distributed files, training cameras have their
        extrinsics too, one camera a track.

    Raises:
        ConfigError: An option names something the data set does not have.
        MissingDataError: Neither form is found, or a sequence that is asked for is not there.
        DataError: A file is damaged, unsafe, or lacks a subject, a sequence or a camera.
    """
    options: Config = config.mpi_inf_3dhp
    _check_options(options)
    log.info("terms of use: %s", TERMS)
    return _test(config) if split == "test" else _train(config, split)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`.

    The npz form is known by its content; the distributed files, gigabytes of them, by name, size
    and time of change.

    Args:
        config: The data section.
        split: The part.

    Raises:
        MissingDataError: Neither form is found, or a sequence that is asked for is not there.
    """
    options = asdict(config.mpi_inf_3dhp)
    del options["skeleton"]
    labels = LABELS[config.mpi_inf_3dhp.annotation]
    npz = files.find_npz(config.root, "test" if split == "test" else "train", labels)
    if npz is not None:
        return {"version": VERSION, "file": sha256_of(npz), "options": options}
    homes = _test_homes(config) if split == "test" else _train_homes(config, split)
    paths = [home.path for home in homes]
    if split != "test":
        paths += [home.path.with_name(files.CALIBRATION) for home in homes]
    state = files_state([path for path in paths if path.is_file()])
    return {"version": VERSION, "files": state, "options": options}


def people(options: Config) -> tuple[str, ...]:
    """Subjects of training and validation."""
    wanted = {*options.train_subjects, *options.val_subjects}
    return tuple(subject for subject in files.SUBJECTS if subject in wanted)


def _check_options(options: Config) -> None:
    check_names("mpi_inf_3dhp.train_subjects", options.train_subjects, files.SUBJECTS)
    check_names("mpi_inf_3dhp.val_subjects", options.val_subjects, files.SUBJECTS)
    check_names("mpi_inf_3dhp.test_sequences", options.test_sequences, files.TEST_SEQUENCES)
    check_names("mpi_inf_3dhp.cameras", options.cameras, files.CAMERAS)
    check_every("mpi_inf_3dhp.every", options.every)
    _hold_out(options)


def _hold_out(options: Config) -> HoldOut:
    return HoldOut(options.val_subjects, options.val_holdout)


def _test_homes(config: DataConfig) -> list[files.Home]:
    wanted = tuple(dict.fromkeys(config.mpi_inf_3dhp.test_sequences))
    homes = files.find_homes(config.root, wanted or files.TEST_SEQUENCES)
    lacking = [take for take in wanted if take not in {home.sequence for home in homes}]
    if lacking or not homes:
        take = lacking[0] if lacking else files.TEST_SEQUENCES[0]
        raise files.missing(config.root, "test", LABELS[config.mpi_inf_3dhp.annotation], take)
    return homes


def _train_homes(config: DataConfig, split: Split) -> list[files.Home]:
    options = config.mpi_inf_3dhp
    takes = [
        f"{subject}/{sequence}" for subject in people(options) for sequence in files.SEQUENCES
    ]
    homes = files.find_homes(config.root, takes)
    for subject in people(options):
        if subject not in {home.subject for home in homes}:
            raise files.missing(
                config.root, "train", LABELS[options.annotation], f"{subject}/Seq1"
            )
    return _hold_out(options).pick(homes, split)


def _test(config: DataConfig) -> PoseTracks:
    options = config.mpi_inf_3dhp
    labels = LABELS[options.annotation]
    npz = files.find_npz(config.root, "test", labels)
    if npz is None:
        form = {"form": "distributed files"}
        views = [files.read_test_home(home, labels) for home in _test_homes(config)]
    else:
        form = {"form": "npz", "file_sha256": sha256_of(npz)}
        views = files.read_npz_test(npz, tuple(dict.fromkeys(options.test_sequences)))
    names = tuple(view.name for view in views)
    valid = sum(view.valid_count for view in views)
    published = sum(count for _, count in files.TEST_FRAMES.values())
    facts = {
        "split_rule": f"sequences {', '.join(names)}",
        "sequences": _sequence_words(names, asked=bool(options.test_sequences)),
        "valid_frames": ", ".join(f"{v.name} {v.valid_count}" for v in views)
        + f"; {valid} in all"
        + (", as published" if valid == published else f" against {published} published"),
        **form,
    }
    cameras = _cameras([files.test_camera(name) for name in names])
    return _view_tracks(views, (names, cameras), options, "test", facts)


def _sequence_words(names: Sequence[str], asked: bool) -> str:
    """How much of the published test is there; said aloud when nobody asked for less."""
    lacking = [name for name in files.TEST_SEQUENCES if name not in names]
    if not lacking:
        return "all six, as published"
    words = (
        f"{', '.join(lacking)} {'not asked for' if asked else 'not found'}: the published test "
        f"has all six; {len(names)} of {len(files.TEST_SEQUENCES)} scored"
    )
    if not asked:
        log.warning("%s", words)
    return words


def _train(config: DataConfig, split: Split) -> PoseTracks:
    options = config.mpi_inf_3dhp
    labels = LABELS[options.annotation]
    if not people(options):
        raise ConfigError(
            "expected data.mpi_inf_3dhp.train_subjects or val_subjects to name somebody, got "
            f"nobody; name some of {', '.join(files.SUBJECTS)}"
        )
    rule = f"subjects {', '.join(people(options))}; {_hold_out(options).words()}"
    npz = files.find_npz(config.root, "train", labels)
    if npz is None:
        return _train_distributed(config, split, {"split_rule": rule, "form": "distributed files"})
    pool = files.read_npz_train(npz, people(options), tuple(dict.fromkeys(options.cameras)))
    names = sorted({view.camera for view in pool}, key=int)
    fits = {name: _fit([v for v in pool if v.camera == name], name) for name in names}
    firsts = {view.take: view for view in reversed(pool)}.values()
    kept = {v.take for v in _hold_out(options).pick(list(firsts)[::-1], split)}
    residuals = ", ".join(f"{name} {fit.residual:.2f}" for name, fit in fits.items())
    facts = {
        "split_rule": rule,
        "form": "npz",
        "file_sha256": sha256_of(npz),
        "intrinsics": f"estimated without distortion, median residual px: {residuals}",
    }
    cameras = Camera(
        intrinsics=torch.stack([fit.intrinsics for fit in fits.values()]),
        size=torch.tensor(files.STUDIO_SIZE).repeat(len(fits), 1),
    )
    views = [view for view in pool if view.take in kept]
    return _view_tracks(views, (tuple(fits), cameras), options, split, facts, "estimated")


def _fit(views: Sequence[files.View], camera: str) -> LensFit:
    """Intrinsics of one camera, from every sequence it filmed."""
    step = max(sum(view.frames for view in views) // _FIT_FRAMES, 1)
    labels = [torch.tensor(view.joints[::step]) for view in views]
    pixels = [torch.tensor(view.keypoints[::step, :, :2]) for view in views]
    return fit_lens(torch.cat(labels), torch.cat(pixels), f"MPI-INF-3DHP camera {camera}")


def _train_distributed(config: DataConfig, split: Split, facts: dict[str, str]) -> PoseTracks:
    options = config.mpi_inf_3dhp
    views: list[files.View] = []
    calibrated: dict[str, files.Calibration] = {}
    for home in _train_homes(config, split):
        path = home.path.with_name(files.CALIBRATION)
        cameras = files.read_calibration(path)
        wanted = tuple(dict.fromkeys(options.cameras))
        for view in files.read_train_home(home, wanted, LABELS[options.annotation]):
            if view.camera not in cameras:
                raise DataError(
                    f"expected camera {view.camera} in {path}, got {', '.join(cameras)}; use the "
                    "calibration that comes with the sequence"
                )
            calibrated[view.name] = cameras[view.camera]
            views.append(view)
    facts["intrinsics"] = "calibrated, linear" + (
        "; radial terms of the calibration left out"
        if any(c.distorted for c in calibrated.values())
        else ""
    )
    named = tuple(calibrated), _cameras(list(calibrated.values()))
    return _view_tracks(views, named, options, split, facts)


def _cameras(calibrated: Sequence[files.Calibration]) -> Camera:
    """Cameras with one leading axis; with extrinsics where all have them."""
    lenses = torch.zeros(len(calibrated), 9)
    lenses[:, :4] = torch.tensor([c.intrinsics for c in calibrated])
    rotations = [c.rotation for c in calibrated if c.rotation is not None]
    positions = [c.position for c in calibrated if c.position is not None]
    return Camera(
        intrinsics=lenses,
        size=torch.tensor([c.size for c in calibrated]),
        rotation=torch.stack([torch.tensor(r).float() for r in rotations]) if rotations else None,
        position=torch.stack([torch.tensor(p).float() for p in positions]) if positions else None,
    )


def _view_tracks(
    views: Sequence[files.View],
    named_cameras: tuple[tuple[str, ...], Camera],
    options: Config,
    split: Split,
    facts: dict[str, str],
    kind: CameraKind = "true",
) -> PoseTracks:
    """Tracks of the views of a split.

    Args:
        views: By sequence, then camera.
        named_cameras: Names, which are those of views or of cameras, and the cameras.
        options: Which frames.
        split: The part.
        facts: For the result record; completed.
        kind: How the cameras are known.
    """
    names, cameras = named_cameras
    subjects, actions = (
        files.SUBJECTS + files.TEST_SEQUENCES,
        files.SEQUENCES + files.TEST_SEQUENCES,
    )
    takes = list(dict.fromkeys(view.take for view in views))
    plans = [
        TrackPlan(
            name=view.name,
            subject=subjects.index(view.subject),
            action=actions.index(view.sequence),
            recording=takes.index(view.take),
            camera=names.index(view.name if view.name in names else view.camera),
            frames=-(-view.frames // options.every),
            read=partial(_read, view, options.every),
        )
        for view in views
    ]
    source = {
        **shared_facts(files.NAME, split, options.every, TERMS),
        "annotation": LABELS[options.annotation],
        "two_d": "gt",
        "two_d_joints": f"keypoints in the order of {MPI_INF_3DHP_17.name}",
        "frame_rate": _rate_words(views),
        "frame_counts": _count_words(views),
        **facts,
    }
    return assemble_tracks(
        plans,
        skeleton=MPI_INF_3DHP_17,
        cameras=cameras,
        subject_names=subjects,
        action_names=actions,
        fps=torch.tensor([view.fps for view in views], dtype=torch.float64) / options.every,
        source=source,
        camera_kind=kind,
    )


def _read(view: files.View, every: int) -> TrackContent:
    keypoints, confidence = read_keypoints(
        view.keypoints[::every], MPI_INF_3DHP_17, MPI_INF_3DHP_17
    )
    visible = None
    if view.valid is not None:
        valid = torch.tensor(view.valid[::every])
        visible = valid[:, None].expand(-1, len(MPI_INF_3DHP_17))
    return TrackContent(
        keypoints_2d=keypoints,
        joints_3d=torch.tensor(view.joints[::every]),
        confidence=confidence,
        visible=visible,
    )


def _rate_words(views: Sequence[files.View]) -> str:
    """Frames a second as filmed, and of which sequences, in words."""
    takes: dict[int, dict[str, None]] = {}
    for view in views:
        takes.setdefault(view.fps, {})[view.take] = None
    if len(takes) == 1:
        return f"{next(iter(takes))} a second"
    return "; ".join(f"{fps} a second in {', '.join(takes[fps])}" for fps in sorted(takes))


def _count_words(views: Sequence[files.View]) -> str:
    """Which sequences have other numbers of frames than are published, in words."""
    odd = []
    for view in {view.take: view for view in views}.values():
        got, published = f"{view.frames}", f"{files.TRAIN_FRAMES.get(view.take, (0,))[0]}"
        if view.valid is not None:
            got = f"{view.frames} ({view.valid_count} valid)"
            published = "{} ({} valid)".format(*files.TEST_FRAMES[view.take])
        if got != published:
            odd.append(f"{view.take} {got} against {published}")
    return "; ".join(odd) or "as published"
