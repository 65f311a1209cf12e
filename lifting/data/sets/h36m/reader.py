"""Human3.6M as tracks, read from the npz files of VideoPose3D and the mixtures of DiffPose.

The 3D file holds world coordinates in metres, the 2D file pixels of four cameras whose calibration
is built in. Nothing of the recordings is distributed with this package.

Source: Ionescu et al., Human3.6M, 2014; file form of Pavllo et al., VideoPose3D, 2019.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lifting.actions import H36M_ACTIONS
from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks, shared_facts
from lifting.data.check import check_disjoint, check_every, check_names
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.containers import NpzForm, check_form
from lifting.data.doctor.presence import Group, Published
from lifting.data.doctor.takes import CheckRow, Sight, Take
from lifting.data.folders import find_file
from lifting.data.sequence import PoseTracks
from lifting.data.sets.h36m.cameras import EXTRINSICS, INTRINSICS, h36m_cameras
from lifting.data.sets.h36m.config import Config as H36mConfig
from lifting.data.sets.h36m.files import (
    CORRUPT,
    KEPT_JOINTS,
    RECORDED_JOINTS,
    Recording,
    drifting,
    keypoints_file,
    parse_name,
    read_mixtures,
    read_three_d,
    recording_name,
)
from lifting.data.splits import HoldOut
from lifting.data.two_d_npz import TwoD, read_keypoints
from lifting.files.checks import sha256_of
from lifting.files.npz import Array
from lifting.geometry.camera import Camera, world_to_camera
from lifting.skeleton import COCO_17, H36M_17, MPII_16

log = logging.getLogger(__name__)
NAME = "h36m"
VERSION = 1  # to be raised when the same files give other tracks
FPS = 50.0
THREE_D = "data_3d_h36m.npz"
TERMS = "Human3.6M, vision.imar.ro/human3.6m: registration, academic use only"
_MM = 1000.0


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All recordings of a split, seen by each camera.

    Args:
        config: The data section; ``h36m`` says which files, subjects and frames.
        split: The part.

    Returns:
        Tracks with 17 joints, by recording, then camera; camera i of subject j is number 4 j + i,
        subjects in the order of ``EXTRINSICS``. Mixtures of the 2D file, where it has some, are
        the extra ``mixtures`` ``(N, 17, kernels, 5)``: weight, mean u, mean v (pixels), spread u,
        spread v (half image widths); the keypoints are then the most probable means.

    Raises:
        ConfigError: An option names something the data set does not have.
        MissingDataError: A file is not found.
        DataError: A file is damaged, unsafe, or lacks a subject, an action or a camera.
    """
    options = config.h36m
    _check_options(options)
    log.info("terms of use: %s", TERMS)
    three_d, two_d_path = _paths(config, split)
    test = split == "test"
    subjects = options.test_subjects if test else _trained_on(options)
    recordings = read_three_d(three_d, subjects, options.max_bytes)
    left_out = drifting(recordings) if options.drop_corrupt else set()
    chosen = [
        r
        for r in recordings
        if r.action in (options.actions or H36M_ACTIONS) and (r.subject, r.name) not in left_out
    ]
    rule = HoldOut(options.val_subjects, options.val_holdout)
    chosen = chosen if test else rule.pick(chosen, split)
    facts = {
        **shared_facts(NAME, split, options.every, TERMS),
        "split_rule": f"subjects {', '.join(dict.fromkeys(r.subject for r in chosen))}"
        + ("" if test else f"; {rule.words()}"),
        "left_out": ", ".join(sorted(f"{s}/{n}" for s, n in left_out)) or "none",
        "three_d_sha256": sha256_of(three_d),
        "two_d_sha256": sha256_of(two_d_path),
    }
    return _tracks(chosen, two_d_path, options, facts)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: both files' content, and the options.

    Args:
        config: The data section.
        split: The part.

    Raises:
        MissingDataError: A file is not found.
    """
    three_d, two_d = _paths(config, split)
    return {
        "version": VERSION,
        "three_d": sha256_of(three_d),
        "two_d": sha256_of(two_d),
        "two_d_name": two_d.name,
        "options": {k: v for k, v in asdict(config.h36m).items() if k != "max_bytes"},
    }


def _paths(config: DataConfig, split: Split) -> tuple[Path, Path]:
    options = config.h36m
    detector = (options.two_d_test or options.two_d) if split == "test" else options.two_d
    check_names("h36m.two_d", [detector], ())
    two_d = f"data_2d_h36m_{detector}.npz"
    return find_file(NAME, THREE_D, config.root), find_file(NAME, two_d, config.root)


def _trained_on(options: H36mConfig) -> tuple[str, ...]:
    """Subjects of training and validation, in the order of the calibration."""
    wanted = {*options.train_subjects, *options.val_subjects}
    return tuple(subject for subject in EXTRINSICS if subject in wanted)


def _check_options(options: H36mConfig) -> None:
    for name in ("train_subjects", "val_subjects", "test_subjects"):
        check_names(f"h36m.{name}", getattr(options, name), EXTRINSICS)
    check_names("h36m.actions", options.actions, H36M_ACTIONS)
    check_names("h36m.cameras", options.cameras, INTRINSICS)
    check_disjoint("h36m", options.test_subjects, _trained_on(options))
    check_every("h36m.every", options.every)


def _tracks(
    recordings: Sequence[Recording], two_d_path: Path, options: H36mConfig, facts: dict[str, str]
) -> PoseTracks:
    cameras, subjects = h36m_cameras(), tuple(EXTRINSICS)
    two_d = keypoints_file(two_d_path, recordings, options.max_bytes) if recordings else None
    plans = []
    for index, recording in enumerate(recordings):
        for i, camera_name in enumerate(INTRINSICS):
            if two_d is None or (options.cameras and camera_name not in options.cameras):
                continue
            subject = subjects.index(recording.subject)
            camera = subject * len(INTRINSICS) + i
            plans.append(
                TrackPlan(
                    name=f"{recording.subject}/{recording.name}/{camera_name}",
                    subject=subject,
                    action=H36M_ACTIONS.index(recording.action),
                    recording=index,
                    camera=camera,
                    frames=-(-recording.frames // options.every),
                    read=partial(_read, recording, two_d, i, cameras[camera], options.every),
                )
            )
    if two_d is not None:
        kind = "mixtures" if two_d.mixtures else "keypoints"
        facts["two_d"] = two_d_path.stem.removeprefix("data_2d_h36m_")
        facts["two_d_joints"] = f"{kind} in the order of {two_d.layout.name}" + (
            "" if two_d.layout is H36M_17 else f", converted to {H36M_17.name}"
        )
    return assemble_tracks(
        plans,
        skeleton=H36M_17,
        cameras=cameras,
        subject_names=subjects,
        action_names=H36M_ACTIONS,
        fps=FPS / options.every,
        source=facts,
        world="z up",
    )


def _read(
    recording: Recording, two_d: TwoD, number: int, camera: Camera, every: int
) -> TrackContent:
    """One recording in one camera."""
    world = torch.from_numpy(recording.joints[::every]) * _MM
    assert camera.rotation is not None
    assert camera.position is not None
    joints = world_to_camera(world, camera.rotation, camera.position)
    view = (recording.subject, recording.name, number)
    array = two_d.take(*view, recording.frames)[::every]
    if two_d.mixtures:
        keypoints, mixtures = read_mixtures(array, two_d.place(*view))
        return TrackContent(
            keypoints_2d=keypoints, joints_3d=joints, extras={"mixtures": mixtures}
        )
    keypoints, confidence = read_keypoints(array, two_d.layout, H36M_17)
    return TrackContent(keypoints_2d=keypoints, joints_3d=joints, confidence=confidence)


# Frames of one camera: a quarter of the 543,344 and 1,559,752 that are published for all four.
PUBLISHED = Published(
    subjects=tuple(EXTRINSICS),
    recordings={subject: 29 if subject == "S11" else 30 for subject in EXTRINSICS},
    actions=H36M_ACTIONS,
    groups=(
        Group("test", ("S9", "S11"), frames=135_836),
        Group("train", ("S1", "S5", "S6", "S7", "S8"), frames=389_938, tolerance=0.001),
    ),
)


def check(config: DataConfig, published: Published = PUBLISHED) -> list[CheckRow]:
    """Look at the files of Human3.6M.

    Args:
        config: The data section.
        published: What should be in them.
    """
    return check_form(_FORM, config, published)


def _recording(name: str) -> tuple[str, str] | None:
    """By today's name of the recording."""
    parsed = parse_name(name)
    return None if parsed is None else (recording_name(*parsed), parsed[0])


def _sight(take: Take, number: int, keypoints: Array, confidence: Array | None) -> Sight:
    name, (width, height, *lens) = list(INTRINSICS.items())[number]
    rotation = position = None
    if take.subject in EXTRINSICS:
        camera = h36m_cameras(take.subject)[number]
        assert camera.rotation is not None
        assert camera.position is not None
        rotation, position = camera.rotation.double().numpy(), camera.position.double().numpy()
    return Sight(
        take=take,
        camera=name,
        keypoints=keypoints,
        confidence=confidence,
        size=(width, height),
        lens=np.array(lens),
        rotation=rotation,
        position=position,
    )


_FORM = NpzForm(
    name=NAME,
    three_d=THREE_D,
    two_d="data_2d_h36m",
    words="subject and 'Action n'",
    recorded=RECORDED_JOINTS,
    kept=KEPT_JOINTS,
    skeleton=H36M_17,
    orders=(H36M_17, COCO_17, MPII_16),
    cameras=tuple(INTRINSICS),
    fps=FPS,
    bone_share=0.05,
    bone_reason="a fitted skeleton",
    exact_px=1.0,
    detected_px=12.0,
    subject_of=str,
    recording_of=_recording,
    sight=_sight,
    read=tracks,
    unset={"two_d_test": None},
    left_out=(CORRUPT,),
)
