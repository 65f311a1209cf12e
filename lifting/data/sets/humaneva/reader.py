"""HumanEva-I as tracks, read from the npz files of VideoPose3D.

The files hold world coordinates in metres and pixels of three cameras. Where the cameras stand is
published and built in; their intrinsics are not part of this form and are estimated from the
training recordings, once for all splits.

Source: Sigal et al., HumanEva, 2010; file form of Pavllo et al., VideoPose3D, 2019.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks, shared_facts
from lifting.data.check import check_every, check_names
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.containers import NpzForm, check_form
from lifting.data.doctor.presence import Published
from lifting.data.doctor.takes import CheckRow, Sight, Take
from lifting.data.folders import find_file, is_there
from lifting.data.lens_fit import LensFit, fit_lens
from lifting.data.sequence import PoseTracks
from lifting.data.sets.humaneva.config import Config as HumanEvaConfig
from lifting.data.sets.humaneva.files import (
    ACTIONS,
    CAMERAS,
    EXTRINSICS,
    PARTS,
    SIZE,
    HumanEvaFiles,
    Recording,
    humaneva_extrinsics,
    parse_name,
    read_files,
)
from lifting.data.splits import HoldOut
from lifting.data.two_d_npz import read_keypoints
from lifting.errors import DataError
from lifting.files.checks import sha256_of
from lifting.files.npz import Array
from lifting.geometry.camera import Camera, world_to_camera
from lifting.skeleton import COCO_17, H36M_17, HUMANEVA_15, Skeleton
from lifting.skeleton.convert import remap_joints

log = logging.getLogger(__name__)
NAME = "humaneva"
VERSION = 2  # to be raised when the same files give other tracks
FPS = 60.0
THREE_D = "data_3d_humaneva15.npz"
TWO_D = "data_2d_humaneva15"
EXACT = "gt"
TERMS = "HumanEva-I, humaneva.is.tue.mpg.de: registration, research use only"
DAMAGED = ("S3", "Walking")
APPROXIMATE = ("spine", "neck")
_FIT_FRAMES = 4000
_MM = 1000.0


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All recordings of a split, seen by each camera.

    Args:
        config: The data section; ``humaneva`` says which files, subjects and frames.
        split: The part: ``Validate`` tests, ``Train`` trains and validates.

    Returns:
        Tracks by recording, then camera; a piece of a recording ("chunk") is a track of its own.
        The 15 joints of the data set, beside keypoints of the same. Keypoints of COCO give no
        head and no thorax of it: both then become ``h36m17``, whose spine and neck are midpoints
        of others and marked as not visible.

    Raises:
        ConfigError: An option names something the data set does not have.
        MissingDataError: A file is not found.
        DataError: A file is damaged, unsafe, or lacks a subject, an action or a camera.
    """
    options = config.humaneva
    _check_options(options)
    log.info("terms of use: %s", TERMS)
    three_d, two_d = _paths(config)
    files = read_files(three_d, two_d, tuple(EXTRINSICS))
    fits = [_fit(files, camera) for camera in range(len(CAMERAS))]
    test = split == "test"
    pool = [
        r
        for r in files.recordings
        if (r.part == "Validate") == test
        and r.subject in options.subjects
        and r.action in (options.actions or ACTIONS)
        and not (options.drop_corrupt and (r.subject, r.action) == DAMAGED)
    ]
    _check_subjects(pool, options.subjects, "Validate" if test else "Train", three_d)
    rule = HoldOut(options.val_subjects, options.val_holdout)
    chosen = pool if test else rule.pick(pool, split)
    residuals = ", ".join(
        f"{name} {f.residual:.2f}" for name, f in zip(CAMERAS, fits, strict=True)
    )
    facts = {
        **shared_facts(NAME, split, options.every, TERMS),
        "split_rule": f"subjects {', '.join(options.subjects)}, "
        + ("Validate" if test else f"Train; {rule.words()}"),
        "left_out": "/".join(DAMAGED) if options.drop_corrupt else "none",
        "intrinsics": f"estimated from Train without distortion, median residual px: {residuals}",
        "three_d_sha256": sha256_of(three_d),
        "two_d_sha256": sha256_of(two_d),
        "two_d": options.two_d,
    }
    return _tracks(chosen, files, fits, options, facts)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: both files' content, and the options.

    Args:
        config: The data section.
        split: The part.

    Raises:
        MissingDataError: A file is not found.
    """
    three_d, two_d = _paths(config)
    return {
        "version": VERSION,
        "three_d": sha256_of(three_d),
        "two_d": sha256_of(two_d),
        "options": {k: v for k, v in asdict(config.humaneva).items() if k != "skeleton"},
    }


def _paths(config: DataConfig) -> tuple[Path, Path]:
    ending, root = config.humaneva.two_d, config.root
    check_names("humaneva.two_d", [ending], ())
    two_d, unnamed = f"{TWO_D}_{ending}.npz", f"{TWO_D}.npz"
    if ending == EXACT and is_there(NAME, unnamed, root) and not is_there(NAME, two_d, root):
        two_d = unnamed
    return find_file(NAME, THREE_D, root), find_file(NAME, two_d, root)


def _check_options(options: HumanEvaConfig) -> None:
    check_names("humaneva.subjects", options.subjects, EXTRINSICS)
    check_names("humaneva.val_subjects", options.val_subjects, options.subjects)
    check_names("humaneva.actions", options.actions, ACTIONS)
    check_names("humaneva.cameras", options.cameras, CAMERAS)
    check_every("humaneva.every", options.every)


def _check_subjects(
    pool: Sequence[Recording], subjects: Sequence[str], part: str, path: Path
) -> None:
    for subject in subjects:
        if all(r.subject != subject for r in pool):
            raise DataError(
                f"missing subject '{part}/{subject}' with the chosen actions in {path}; get a "
                "file that has it, or leave it out of data.humaneva.subjects"
            )


def _fit(files: HumanEvaFiles, camera: int) -> LensFit:
    """Intrinsics of one camera from the joints that keypoints and labels share by name."""
    shared = [joint for joint in HUMANEVA_15.joints if joint in files.layout.joints]
    ours = [HUMANEVA_15.index(joint) for joint in shared]
    theirs = [files.layout.index(joint) for joint in shared]
    train = [r for r in files.recordings if r.part == "Train"]
    step = max(sum(len(r.joints) for r in train) // _FIT_FRAMES, 1)
    labels, pixels = [], []
    for recording in train:
        rotation, position = humaneva_extrinsics(recording.subject, camera)
        world = torch.from_numpy(recording.joints[::step][:, ours]) * _MM
        labels.append(world_to_camera(world, rotation, position))
        pixels.append(torch.tensor(files.view(recording, camera)[::step][:, theirs, :2]))
    if not labels:
        raise DataError(
            "expected a 'Train' subject in the 3D and 2D files of HumanEva-I, from which to "
            "estimate intrinsics, got none; use the whole files"
        )
    return fit_lens(torch.cat(labels), torch.cat(pixels), f"HumanEva-I camera {CAMERAS[camera]}")


def _tracks(
    recordings: Sequence[Recording],
    files: HumanEvaFiles,
    fits: Sequence[LensFit],
    options: HumanEvaConfig,
    facts: dict[str, str],
) -> PoseTracks:
    subjects = tuple(EXTRINSICS)
    skeleton = HUMANEVA_15 if files.layout is HUMANEVA_15 else H36M_17
    plans = [
        TrackPlan(
            name=f"{recording.part}/{recording.subject}/{recording.name}/{camera_name}",
            subject=subjects.index(recording.subject),
            action=ACTIONS.index(recording.action),
            recording=index,
            camera=subjects.index(recording.subject) * len(CAMERAS) + i,
            frames=-(-len(recording.joints) // options.every),
            read=partial(_read, recording, files, i, skeleton, options.every),
        )
        for index, recording in enumerate(recordings)
        for i, camera_name in enumerate(CAMERAS)
        if camera_name in (options.cameras or CAMERAS)
    ]
    facts["two_d_joints"] = f"keypoints in the order of {files.layout.name}" + (
        "" if files.layout is skeleton else f", converted to {skeleton.name}"
    )
    if skeleton is H36M_17:
        facts["approximate_joints"] = f"{', '.join(APPROXIMATE)} (masked)"
    return assemble_tracks(
        plans,
        skeleton=skeleton,
        cameras=_cameras(fits),
        subject_names=subjects,
        action_names=ACTIONS,
        fps=FPS / options.every,
        source=facts,
        camera_kind="estimated",
    )


def _cameras(fits: Sequence[LensFit]) -> Camera:
    """Every camera as it stood for every subject, subject-major."""
    extrinsics = [humaneva_extrinsics(s, i) for s in EXTRINSICS for i in range(len(CAMERAS))]
    return Camera(
        intrinsics=torch.stack([fit.intrinsics for fit in fits]).repeat(len(EXTRINSICS), 1),
        size=torch.tensor(SIZE).repeat(len(extrinsics), 1),
        rotation=torch.stack([rotation for rotation, _ in extrinsics]),
        position=torch.stack([position for _, position in extrinsics]),
    )


def _read(
    recording: Recording, files: HumanEvaFiles, camera: int, skeleton: Skeleton, every: int
) -> TrackContent:
    """One recording in one camera."""
    rotation, position = humaneva_extrinsics(recording.subject, camera)
    world = torch.from_numpy(recording.joints[::every]) * _MM
    joints, _ = remap_joints(world_to_camera(world, rotation, position), HUMANEVA_15, skeleton)
    array = files.view(recording, camera)[::every]
    keypoints, confidence = read_keypoints(array, files.layout, skeleton)
    return TrackContent(
        keypoints_2d=keypoints,
        joints_3d=joints,
        confidence=confidence,
        visible=_visible(skeleton, len(joints)),
    )


def _visible(skeleton: Skeleton, frames: int) -> Tensor | None:
    if skeleton is HUMANEVA_15:
        return None
    known = torch.tensor([joint not in APPROXIMATE for joint in skeleton.joints])
    return known.expand(frames, -1)


PUBLISHED = Published(subjects=tuple(f"{part}.{s}" for part in PARTS for s in EXTRINSICS))


def check(config: DataConfig, published: Published = PUBLISHED) -> list[CheckRow]:
    """Look at the files of HumanEva-I.

    Args:
        config: The data section.
        published: What should be in them; a subject is named ``Train.S1``.
    """
    return check_form(_FORM, config, published)


def _subject(group: str) -> str | None:
    part, _, subject = group.partition("/")
    return f"{part}.{subject}" if part in PARTS and subject in EXTRINSICS else None


def _recording(name: str) -> tuple[str, str] | None:
    parsed = parse_name(name)
    return None if parsed is None else (name, parsed[0])


def _sight(take: Take, number: int, keypoints: Array, confidence: Array | None) -> Sight:
    rotation, position = humaneva_extrinsics(take.subject.partition(".")[2], number)
    return Sight(
        take=take,
        camera=CAMERAS[number],
        keypoints=keypoints,
        confidence=confidence,
        size=SIZE,
        rotation=rotation.double().numpy(),
        position=position.double().numpy(),
    )


_FORM = NpzForm(
    name=NAME,
    three_d=THREE_D,
    two_d=TWO_D,
    words="'Train/S1' and 'Walking 1 chunk0'",
    recorded=len(HUMANEVA_15),
    kept=tuple(range(len(HUMANEVA_15))),
    skeleton=HUMANEVA_15,
    orders=(HUMANEVA_15, COCO_17),
    cameras=CAMERAS,
    fps=FPS,
    bone_share=0.3,
    bone_reason="means of markers on skin",
    exact_px=4.0,
    detected_px=12.0,
    subject_of=_subject,
    recording_of=_recording,
    sight=_sight,
    read=tracks,
    splits=("train", "test"),
)
