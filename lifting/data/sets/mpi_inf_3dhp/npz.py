"""MPI-INF-3DHP as tracks, read from the npz files that P-STMO made.

The files hold camera coordinates in millimetres and pixels. The test cameras' intrinsics are
published and built in; those of the training cameras are not part of this form and are estimated
from the labels. Where the cameras stand is not part of it either.

Source: Mehta et al., MPI-INF-3DHP, 2017; file form of Shan et al., P-STMO, 2022.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks
from lifting.data.config import DataConfig, Split
from lifting.data.files import find_file, sha256_of
from lifting.data.holdout import HoldOut
from lifting.data.keypoint_layout import read_keypoints
from lifting.data.lens_fit import LensFit, fit_lens
from lifting.data.options import check_every, check_names
from lifting.data.sequence import PoseTracks
from lifting.data.sets.mpi_inf_3dhp.config import Config as Mpi3dhpConfig
from lifting.data.sets.mpi_inf_3dhp.npz_files import View, read_test, read_train
from lifting.data.sets.mpi_inf_3dhp.raw import TRAIN_FRAMES, Annotation
from lifting.errors import MissingDataError
from lifting.geometry.camera import Camera
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17, Skeleton, get_skeleton
from lifting.skeleton.convert import remap_joints

log = logging.getLogger(__name__)

NAME = "mpi_inf_3dhp"
VERSION = 2  # to be raised when the same files give other tracks
FPS = 50.0  # of the test sequences
LABELS: Mapping[str, Annotation] = {"univ": "univ_annot3", "annot3": "annot3"}
TERMS = "MPI-INF-3DHP, vcai.mpi-inf.mpg.de/3dhp-dataset: non-commercial research only"
SUBJECTS = tuple(f"S{i}" for i in range(1, 9))
SEQUENCES = ("Seq1", "Seq2")
TEST_SEQUENCES = tuple(f"TS{i}" for i in range(1, 7))
CAMERAS = tuple(str(i) for i in range(14))
STUDIO_SIZE, OUTDOOR_SIZE = (2048.0, 2048.0), (1920.0, 1080.0)
# fx, fy, cx, cy and no distortion
_STUDIO_LENS = (1500.17, 1500.17, 1017.39, 1043.03, 0.0, 0.0, 0.0, 0.0, 0.0)
_OUTDOOR_LENS = (1683.98, 1683.98, 939.86, 560.14, 0.0, 0.0, 0.0, 0.0, 0.0)
_OUTDOOR = ("TS5", "TS6")
_FIT_FRAMES = 4000


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All sequences of a split, one track a camera.

    Args:
        config: The data section; ``mpi_inf_3dhp`` says which annotation, subjects and frames.
        split: The part.

    Returns:
        Tracks by sequence, then camera. Test frames that are not valid stay, as neighbours in a
        window, and are marked as not visible. An action is a sequence (``Seq1``, ``TS1`` ...).

    Raises:
        ConfigError: An option names something the data set does not have.
        MissingDataError: The file is not found.
        DataError: The file is damaged, unsafe, or lacks a subject, a sequence or a camera.
    """
    options = config.mpi_inf_3dhp
    check_options(options)
    log.info("terms of use: %s", TERMS)
    path = _path(config, split)
    facts = {**split_facts(options, split), "file_sha256": sha256_of(path)}
    if split == "test":
        facts["frame_rate"] = f"{FPS:g} a second"
        return test_tracks(read_test(path, options.test_sequences), options, facts)
    pool = read_train(path, people(options), SEQUENCES, options.cameras)
    names = sorted({view.camera for view in pool}, key=int)
    fits = {name: _fit([v for v in pool if v.camera == name], name) for name in names}
    recordings = hold_out(options).pick(_first_views(pool), split)
    kept = {(r.subject, r.sequence) for r in recordings}
    residuals = ", ".join(f"{name} {fit.residual:.2f}" for name, fit in fits.items())
    facts["intrinsics"] = f"estimated without distortion, median residual px: {residuals}"
    chosen = [view for view in pool if (view.subject, view.sequence) in kept]
    return train_tracks(chosen, _train_cameras(fits), options, facts)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: the file's content, and the options.

    Args:
        config: The data section.
        split: The part.

    Raises:
        MissingDataError: The file is not found.
    """
    return {
        "version": VERSION,
        "file": sha256_of(_path(config, split)),
        "options": asdict(config.mpi_inf_3dhp),
    }


def _path(config: DataConfig, split: Split) -> Path:
    part = "test" if split == "test" else "train"
    ending = "_ori" if config.mpi_inf_3dhp.annotation == "annot3" else ""
    return find_file(NAME, f"data_{part}_3dhp{ending}.npz", config.root)


def is_present(config: DataConfig, split: Split) -> bool:
    """Whether the file of a split is there in this form."""
    try:
        return _path(config, split).is_file()
    except MissingDataError:
        return False


def check_options(options: Mpi3dhpConfig) -> None:
    """Check that the options name what the data set has.

    Raises:
        ConfigError: One does not.
    """
    check_names("mpi_inf_3dhp.train_subjects", options.train_subjects, SUBJECTS)
    check_names("mpi_inf_3dhp.val_subjects", options.val_subjects, SUBJECTS)
    check_names("mpi_inf_3dhp.test_sequences", options.test_sequences, TEST_SEQUENCES)
    check_names("mpi_inf_3dhp.cameras", options.cameras, CAMERAS)
    check_every("mpi_inf_3dhp.every", options.every)


def people(options: Mpi3dhpConfig) -> tuple[str, ...]:
    """Subjects of training and validation."""
    wanted = {*options.train_subjects, *options.val_subjects}
    return tuple(subject for subject in SUBJECTS if subject in wanted)


def hold_out(options: Mpi3dhpConfig) -> HoldOut:
    """The rule that divides validation from training.

    Raises:
        ConfigError: The options allow none.
    """
    return HoldOut(options.val_subjects, options.val_holdout)


def split_facts(options: Mpi3dhpConfig, split: Split) -> dict[str, str]:
    """What a result record says of a split, whichever form it is read from."""
    rule = f"sequences {', '.join(options.test_sequences)}"
    if split != "test":
        rule = f"subjects {', '.join(people(options))}; {hold_out(options).words()}"
    return {
        "dataset": NAME,
        "split": split,
        "split_rule": rule,
        "annotation": LABELS[options.annotation],
        "two_d": "gt",
        "frames": f"every {options.every}" if options.every > 1 else "all",
        "terms": TERMS,
    }


def _first_views(views: Sequence[View]) -> list[View]:
    """One view of each sequence."""
    return list({(v.subject, v.sequence): v for v in reversed(views)}.values())[::-1]


def _fit(views: Sequence[View], camera: str) -> LensFit:
    """Intrinsics of one camera, from every sequence it filmed."""
    step = max(sum(view.frames for view in views) // _FIT_FRAMES, 1)
    labels = [torch.tensor(view.joints[::step]) for view in views]
    pixels = [torch.tensor(view.keypoints[::step, :, :2]) for view in views]
    return fit_lens(torch.cat(labels), torch.cat(pixels), f"MPI-INF-3DHP camera {camera}")


def _train_cameras(fits: Mapping[str, LensFit]) -> tuple[tuple[str, ...], Camera]:
    """Names of the training cameras, and the cameras."""
    lenses = torch.stack([fit.intrinsics for fit in fits.values()])
    size = torch.tensor(STUDIO_SIZE).repeat(len(fits), 1)
    return tuple(fits), Camera(intrinsics=lenses, size=size)


def test_cameras() -> tuple[tuple[str, ...], Camera]:
    """Names of the test cameras, which are those of the sequences, and the cameras."""
    outdoor = [name in _OUTDOOR for name in TEST_SEQUENCES]
    lenses = [_OUTDOOR_LENS if out else _STUDIO_LENS for out in outdoor]
    sizes = [OUTDOOR_SIZE if out else STUDIO_SIZE for out in outdoor]
    return TEST_SEQUENCES, Camera(intrinsics=torch.tensor(lenses), size=torch.tensor(sizes))


def test_tracks(
    views: Sequence[View], options: Mpi3dhpConfig, facts: dict[str, str]
) -> PoseTracks:
    """Tracks of the test sequences, see :func:`view_tracks`."""
    facts["valid_frames"] = ", ".join(f"{v.sequence} {v.valid_count}" for v in views)
    return view_tracks(views, test_cameras(), options, facts)


def train_tracks(
    views: Sequence[View],
    named_cameras: tuple[tuple[str, ...], Camera],
    options: Mpi3dhpConfig,
    facts: dict[str, str],
) -> PoseTracks:
    """Tracks of training sequences, at the rate of the slowest; see :func:`view_tracks`."""
    rates = {name: TRAIN_FRAMES[name][1] for name in (f"{v.subject}/{v.sequence}" for v in views)}
    fps = min(rates.values(), default=FPS)
    fast = [name for name, rate in rates.items() if rate > fps]
    facts["frame_rate"] = f"{fps:g} a second" + (f"; more in {', '.join(fast)}" if fast else "")
    return view_tracks(views, named_cameras, options, facts, fps)


def view_tracks(
    views: Sequence[View],
    named_cameras: tuple[tuple[str, ...], Camera],
    options: Mpi3dhpConfig,
    facts: dict[str, str],
    fps: float = FPS,
) -> PoseTracks:
    """Tracks of the views of a split.

    Args:
        views: By sequence, then camera.
        named_cameras: Names, which are those of views or of cameras, and the cameras.
        options: Which frames and joints.
        facts: For the result record; completed.
        fps: Frames a second of the recordings.
    """
    skeleton = get_skeleton(options.skeleton)
    names, cameras = named_cameras
    subjects, actions = SUBJECTS + TEST_SEQUENCES, SEQUENCES + TEST_SEQUENCES
    recordings = list(dict.fromkeys((v.subject, v.sequence) for v in views))
    plans = [
        TrackPlan(
            name=view.name,
            subject=subjects.index(view.subject),
            action=actions.index(view.sequence),
            recording=recordings.index((view.subject, view.sequence)),
            camera=names.index(view.name if view.name in names else view.camera),
            frames=-(-view.frames // options.every),
            read=partial(_read, view, skeleton, options.every),
        )
        for view in views
    ]
    facts["two_d_joints"] = f"keypoints in the order of {MPI_INF_3DHP_17.name}" + (
        f", converted to {H36M_17.name}" if skeleton is H36M_17 else ""
    )
    return assemble_tracks(
        plans,
        skeleton=skeleton,
        cameras=cameras,
        subject_names=subjects,
        action_names=actions,
        fps=fps / options.every,
        source=facts,
    )


def _read(view: View, skeleton: Skeleton, every: int) -> TrackContent:
    labels = torch.tensor(view.joints[::every])
    joints, _ = remap_joints(labels, MPI_INF_3DHP_17, skeleton)
    keypoints, confidence = read_keypoints(view.keypoints[::every], MPI_INF_3DHP_17, skeleton)
    visible = None
    if view.valid is not None:
        valid = torch.tensor(view.valid[::every])
        visible = valid[:, None].expand(-1, len(skeleton))
    return TrackContent(
        keypoints_2d=keypoints, joints_3d=joints, confidence=confidence, visible=visible
    )
