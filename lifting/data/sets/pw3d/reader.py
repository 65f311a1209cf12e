"""3DPW as tracks: one person in one sequence, seen by a moving camera, outdoors.

Published numbers regress Human3.6M's joints from the posed SMPL mesh, which needs a model file and
a regressor of the user's. Without them the joints are approximated from the 24 of the SMPL tree
that the files hold (see ``body.joints17``), and results say so.

Source: von Marcard et al., "Recovering Accurate 3D Human Pose in The Wild", 2018.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from lifting.body.joints17 import approximate_h36m
from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks, shared_facts
from lifting.data.config import DataConfig, Split
from lifting.data.folders import search_folders
from lifting.data.options import check_every
from lifting.data.sequence import PoseTracks
from lifting.data.sets.pw3d.config import Config as Pw3dConfig
from lifting.data.sets.pw3d.files import Pw3dPerson, Pw3dSequence, read_sequence
from lifting.data.smpl_regressor import (
    RegressedBody,
    body_files,
    joint_facts,
    read_regressed_body,
    regressed_joints,
)
from lifting.errors import MissingDataError
from lifting.files.hashes import files_hash
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.projective import calibration_intrinsics
from lifting.skeleton import COCO_18, H36M_17
from lifting.skeleton.convert import remap_joints

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
