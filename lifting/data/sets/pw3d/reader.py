"""3DPW as tracks: one person in one sequence, seen by a moving camera, outdoors.

Published numbers regress Human3.6M's joints from the posed SMPL mesh, which needs a model file and
a regressor of the user's. Without them the joints are approximated from the 24 of the SMPL tree
that the files hold (see ``body.smpl``), and results say so.

Source: von Marcard et al., "Recovering Accurate 3D Human Pose in The Wild", 2018.

The sequence files are pickles of Python 2, read without running anything in them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.body.smpl import approximate_h36m
from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks, shared_facts
from lifting.data.check import check_every
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.check import SPLITS, check_reading, check_takes
from lifting.data.doctor.presence import SUMS, attempt, check_content, check_presence, find_files
from lifting.data.doctor.takes import Bodies, CheckRow, Keypoints, Sight, Take, judged_count
from lifting.data.folders import search_folders
from lifting.data.sequence import PoseTracks
from lifting.data.sets.pw3d.config import Config as Pw3dConfig
from lifting.data.smpl import (
    RegressedBody,
    body_files,
    joint_facts,
    read_regressed_body,
    regressed_joints,
)
from lifting.errors import MissingDataError
from lifting.files.checks import check_file, files_hash, misfit
from lifting.files.npz import Array
from lifting.files.pickles import read_pickle
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.triangulation import calibration_intrinsics
from lifting.skeleton import COCO_18, H36M_17, SMPL_24
from lifting.skeleton.convert import remap_joints

MM = 1000.0
MAX_BYTES = 1024**3
MOST_PEOPLE = 10  # in one sequence; published are one or two
_GENDERS = {"m": "male", "f": "female"}
_PER_PERSON = (
    "jointPositions", "poses2d", "campose_valid", "poses", "betas", "trans", "genders"
)  # fmt: skip
_SHAPES = 10
_LARGEST = 1e6
_malformed = misfit("use the sequence files of 3DPW as they are downloaded")


@dataclass(frozen=True)
class Pw3dPerson:
    """One person of a sequence file. F frames.

    Attributes:
        joints: SMPL's 24 joints, world frame, ``(F, 24, 3)``, mm.
        detections: OpenPose's 18 joints, x, y and confidence, ``(F, 18, 3)``, pixels.
        valid: Whether the camera of a frame is known, ``(F,)``.
        gender: ``male`` or ``female``.
        poses: Rotation vectors of SMPL's 24 joints, ``(F, 24, 3)``, radians.
        betas: SMPL's first shape coefficients, ``(10,)``.
        translation: Of the body, world frame, ``(F, 3)``, mm.
    """

    joints: Tensor
    detections: Tensor
    valid: Tensor
    gender: str
    poses: Tensor
    betas: Tensor
    translation: Tensor


@dataclass(frozen=True)
class Pw3dSequence:
    """One sequence file. F frames.

    Attributes:
        name: Name of the sequence.
        people: The persons in it.
        intrinsics: Camera matrix, ``(3, 3)``, pixels.
        rotation: World to camera in each frame, ``(F, 3, 3)``.
        position: Camera centre in each frame, ``(F, 3)``, mm.
    """

    name: str
    people: tuple[Pw3dPerson, ...]
    intrinsics: Tensor
    rotation: Tensor
    position: Tensor


def read_sequence(path: Path) -> Pw3dSequence:
    """One sequence file.

    Args:
        path: A pickle of Python 2.

    Raises:
        DataError: It is damaged, unsafe, or of another form.
    """
    check_file(path, MAX_BYTES, "a sequence")
    data = read_pickle(path.read_bytes(), str(path))
    if not isinstance(data, dict):
        raise _malformed(path, "a dictionary", type(data).__name__)
    camera = _array(path, "cam_poses", data.get("cam_poses"), (4, 4))
    frames = len(camera)
    people = _people(path, data, frames)
    rotation = torch.from_numpy(camera[:, :3, :3])
    shift = torch.from_numpy(camera[:, :3, 3]) * MM
    intrinsics = _array(path, "cam_intrinsics", data.get("cam_intrinsics"), (3,))
    if intrinsics.shape != (3, 3) or not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0):
        raise _malformed(path, "a finite 'cam_intrinsics' of shape (3, 3)", f"{intrinsics.shape}")
    return Pw3dSequence(
        name=path.stem,
        people=people,
        intrinsics=torch.from_numpy(intrinsics),
        rotation=rotation,
        position=-(rotation.transpose(1, 2) @ shift[..., None])[..., 0],
    )


def _people(path: Path, data: Mapping[object, object], frames: int) -> tuple[Pw3dPerson, ...]:
    lists: dict[str, Sequence[object]] = {}
    for name in _PER_PERSON:
        value = data.get(name)
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_PEOPLE:
            got = len(value) if isinstance(value, list | tuple) else type(value).__name__
            raise _malformed(path, f"1 to {MOST_PEOPLE} persons in the list '{name}'", f"{got}")
        lists[name] = value
    counts = {name: len(value) for name, value in lists.items()}
    if len(set(counts.values())) > 1:
        raise _malformed(path, "as many persons in every list", f"{counts}")
    return tuple(
        _person(path, {name: value[i] for name, value in lists.items()}, frames)
        for i in range(counts["poses2d"])
    )


def _person(path: Path, data: Mapping[str, object], frames: int) -> Pw3dPerson:
    joints = _array(path, "jointPositions", data["jointPositions"], (72,), frames)
    detections = _array(path, "poses2d", data["poses2d"], (3, len(COCO_18)), frames)
    valid = _array(path, "campose_valid", data["campose_valid"], (), frames) != 0
    poses = _array(path, "poses", data["poses"], (72,), frames)
    trans = _array(path, "trans", data["trans"], (3,), frames)
    betas = _array(path, "betas", data["betas"], ())[:_SHAPES]
    for name, values in {
        "jointPositions": joints[valid], "poses2d": detections, "poses": poses[valid],
        "trans": trans[valid], "betas": betas,
    }.items():  # fmt: skip
        if not (np.abs(values) < _LARGEST).all():
            raise _malformed(path, f"finite '{name}'", "NaN, infinity or huge numbers")
    if data["genders"] not in _GENDERS:
        raise _malformed(path, "genders 'm' and 'f'", f"{data['genders']!s:.20}")
    return Pw3dPerson(
        joints=torch.from_numpy(joints.reshape(frames, len(SMPL_24), 3)) * MM,
        detections=torch.from_numpy(detections.transpose(0, 2, 1)),
        valid=torch.from_numpy(valid),
        gender=_GENDERS[str(data["genders"])],
        poses=torch.from_numpy(poses.reshape(frames, len(SMPL_24), 3)),
        betas=torch.from_numpy(betas),
        translation=torch.from_numpy(trans) * MM,
    )


def _array(
    path: Path, name: str, value: object, shape: tuple[int, ...], frames: int | None = None
) -> Array:
    """Numbers of shape (frames, *shape), in double precision."""
    fits = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    if not isinstance(value, np.ndarray) or not fits or value.shape[1:] != shape or not value.ndim:
        got = value.shape if isinstance(value, np.ndarray) else type(value).__name__
        raise _malformed(path, f"numbers '{name}' of shape (frames, *{shape})", f"{got}")
    if len(value) == 0 or (frames is not None and len(value) != frames):
        raise _malformed(path, f"'{name}' of {frames or 'some'} frames", f"{len(value)}")
    return value.astype(np.float64)


log = logging.getLogger(__name__)
NAME = "3dpw"
VERSION = 1  # to be raised when the same files give other tracks
FOLDERS: Mapping[Split, str] = {"train": "train", "val": "validation", "test": "test"}
PUBLISHED = {"train": 24, "val": 12, "test": 24}
FPS = 30.0
TERMS = "3DPW, virtualhumans.mpi-inf.mpg.de/3DPW: non-commercial research only"


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All persons of a split's sequences.

    Args:
        config: The data section; ``pw3d`` says which 2D.
        split: The part; 3DPW's own folders train, validation and test.

    Returns:
        Tracks with 17 joints. The camera moves, so it has intrinsics only; frames
        without a valid camera are kept for windows and marked as not visible.

    Raises:
        MissingDataError: The folder or its files are not found.
        DataError: A file is damaged, unsafe, or of another form.
    """
    options = config.pw3d
    check_every("pw3d.every", options.every)
    log.info("terms of use: %s", TERMS)
    paths = _paths(config, split)
    sequences = [read_sequence(path) for path in paths]
    bodies = _bodies(sequences, options)
    actions = sorted({_action(s.name) for s in sequences})
    subjects = [f"{s.name}/{i}" for s in sequences for i in range(len(s.people))]
    plans = [
        TrackPlan(
            name=f"{s.name}/{i}",
            subject=subjects.index(f"{s.name}/{i}"),
            action=actions.index(_action(s.name)),
            recording=subjects.index(f"{s.name}/{i}"),
            camera=number,
            frames=-(-len(person.joints) // options.every),
            read=partial(_content, s, person, bodies.get(person.gender), options),
        )
        for number, s in enumerate(sequences)
        for i, person in enumerate(s.people)
    ]
    valid = sum(int(p.valid[:: options.every].sum()) for s in sequences for p in s.people)
    return assemble_tracks(
        plans,
        skeleton=H36M_17,
        cameras=_cameras(sequences),
        subject_names=tuple(subjects),
        action_names=tuple(actions),
        fps=FPS / options.every,
        source={
            **shared_facts(NAME, split, options.every, TERMS),
            "split_rule": f"folder {FOLDERS[split]}",
            "sequences": f"{len(paths)} (published {PUBLISHED[split]})",
            "valid_frames": str(valid),
            **joint_facts(options.joint_regressor),
            "two_d": options.two_d,
        },
    )


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: the files' content, and the options.

    Raises:
        MissingDataError: The folder or its files are not found.
    """
    options, paths = config.pw3d, _paths(config, split)
    paths += body_files(options.joint_regressor, options.body_model, ("female", "male"))
    return {
        "version": VERSION,
        "files": files_hash(paths),
        "two_d": options.two_d,
        "every": options.every,
        "regressed": options.joint_regressor is not None,
    }


def _paths(config: DataConfig, split: Split) -> list[Path]:
    folders = search_folders(NAME, config.root)
    for home in (f / sub / FOLDERS[split] for f in folders for sub in ("sequenceFiles", "")):
        paths = sorted(home.glob("*.pkl"))
        if paths:
            return paths
    looked = " or ".join(map(str, folders)) or "any folder (set LIFTING_DATA or data.root)"
    raise MissingDataError(
        f"expected sequenceFiles/{FOLDERS[split]}/*.pkl of 3DPW, found none in {looked}; download "
        "sequenceFiles.zip from virtualhumans.mpi-inf.mpg.de/3DPW after accepting its terms and "
        "unpack it there"
    )


def _action(sequence: str) -> str:
    return sequence.rstrip("0123456789").rstrip("_") or sequence


def _cameras(sequences: list[Pw3dSequence]) -> Camera:
    """Intrinsics of each sequence; its image is upright or lying, as the centre tells."""
    matrices = torch.stack([s.intrinsics for s in sequences])
    intrinsics = calibration_intrinsics(matrices).float()
    upright = intrinsics[:, 2:3] < intrinsics[:, 3:4]
    size = torch.where(upright, torch.tensor([1080.0, 1920.0]), torch.tensor([1920.0, 1080.0]))
    return Camera(intrinsics=intrinsics, size=size)


def _bodies(sequences: Sequence[Pw3dSequence], options: Pw3dConfig) -> dict[str, RegressedBody]:
    """Model and regressor of each gender that occurs; none without a regressor."""
    path = options.joint_regressor
    if path is None:
        return {}
    genders = sorted({person.gender for s in sequences for person in s.people})
    return {g: read_regressed_body(path, options.body_model, g) for g in genders}


def _content(
    sequence: Pw3dSequence,
    person: Pw3dPerson,
    body: RegressedBody | None,
    options: Pw3dConfig,
) -> TrackContent:
    rows = slice(None, None, options.every)
    if body is None:
        world = approximate_h36m(person.joints[rows])
    else:
        poses, places = person.poses[rows], person.translation[rows]
        world = regressed_joints(body, poses, person.betas, places).double()
    joints = world_to_camera(world, sequence.rotation[rows], sequence.position[rows]).float()
    visible = person.valid[rows, None].expand(joints.shape[:2])
    if options.two_d == "gt":
        intrinsics = _cameras([sequence]).intrinsics
        keypoints = project(joints, intrinsics).nan_to_num(posinf=0, neginf=0)
        return TrackContent(keypoints_2d=keypoints, joints_3d=joints, visible=visible)
    detections = person.detections[rows].float()
    keypoints, confidence = remap_joints(
        detections[..., :2], COCO_18, H36M_17, confidence=detections[..., 2]
    )
    return TrackContent(
        keypoints_2d=keypoints,
        joints_3d=joints,
        confidence=confidence.clamp(0, 1),
        visible=visible,
    )


# Detections of another definition of the joints, in images of 1920 pixels.
_DETECTED_PX = 25.0
_WHOLE = (
    "unpack the whole of sequenceFiles.zip, and nothing else, or expect other figures than "
    "published"
)


def check(config: DataConfig, published: dict[str, int] | None = None) -> list[CheckRow]:
    """Look at the files of 3DPW.

    Args:
        config: The data section.
        published: How many sequences a part has; None for the published numbers.
    """
    counts = dict(PUBLISHED) if published is None else published
    rows: list[CheckRow] = []
    root = config.root
    sights: list[Sight] = []
    present = []
    for split in SPLITS:
        folder = FOLDERS[split]
        paths = find_files(NAME, root, [f"sequenceFiles/{folder}/*.pkl", f"{folder}/*.pkl"])
        wanted = f"sequenceFiles/{folder}/*.pkl"
        rows.append(check_presence(NAME, root, wanted, paths))
        if paths:
            present.append(split)
            rows.append(judged_count(f"sequences {split}", counts[split], len(paths), _WHOLE))
            rows += check_content([path for path in paths if (path.parent / SUMS).is_file()])
        for path in paths:
            sequence = attempt(rows, f"form {folder}/{path.name}", "a sequence of 3DPW",
                               partial(read_sequence, path))  # fmt: skip
            sights += [] if sequence is None else _sights(path, sequence)
    if sights:
        bodies = Bodies(label="3D", skeleton=SMPL_24, unit="m", up=None, fps=FPS,
                        bone_share=0.05, bone_reason="a body model's",
                        takes=tuple(s.take for s in sights))  # fmt: skip
        keypoints = Keypoints(label="2D openpose", layout=COCO_18, skeleton=SMPL_24,
                              residual_px=_DETECTED_PX, sights=tuple(sights))  # fmt: skip
        rows += check_takes(bodies, [keypoints])
    return rows + check_reading(tracks, config, tuple(present))


def _sights(path: Path, sequence: Pw3dSequence) -> list[Sight]:
    """The persons of a sequence before its camera."""
    matrix = sequence.intrinsics.numpy()
    lens = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], *[0.0] * 5])
    size = (1080.0, 1920.0) if lens[2] < lens[3] else (1920.0, 1080.0)
    return [
        Sight(
            take=Take(
                subject=f"{sequence.name}/{i}",
                name=path.parent.name,
                action=sequence.name,
                joints=person.joints.numpy(),
                valid=person.valid.numpy(),
            ),
            camera="camera",
            keypoints=person.detections[..., :2].numpy(),
            confidence=person.detections[..., 2].numpy(),
            size=size,
            lens=lens,
            rotation=sequence.rotation.numpy(),
            position=sequence.position.numpy(),
        )
        for i, person in enumerate(sequence.people)
    ]
