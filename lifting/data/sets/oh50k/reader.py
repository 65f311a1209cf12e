"""3DOH50K as tracks of one frame: single images of people behind objects.

The labels are SMPL bodies. Published numbers regress Human3.6M's joints from the posed mesh, which
needs a model file and a regressor of the user's. Without them the joints are approximated from the
24 of the SMPL tree that the file holds (see ``body.smpl``), and results say so. There are no
detections: the 2D keypoints are the projected labels.

Source: Zhang, Huang, Wang, "Object-Occluded Human Shape and Pose Estimation From a Single Color
Image", CVPR 2020.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.body.smpl import approximate_h36m
from lifting.data.assemble import shared_facts
from lifting.data.check import check_every
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.body import check_bodies
from lifting.data.doctor.check import check_reading
from lifting.data.doctor.presence import SUMS, attempt, check_content, check_presence, find_files
from lifting.data.doctor.takes import Bodies, CheckRow, Take, judged, judged_count, spread
from lifting.data.folders import search_folders
from lifting.data.images.photos import photo_sizes
from lifting.data.sequence import PoseTracks, rate_of_each
from lifting.data.sets.oh50k.config import Config as Oh50kConfig
from lifting.data.sets.oh50k.files import (
    Oh50kAnnotations,
    PlacedPeople,
    place_people,
    read_annotations,
    regressed_people,
)
from lifting.data.smpl import body_files, joint_facts, read_regressed_body
from lifting.data.splits import first_held_out
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import files_hash
from lifting.geometry.camera import Camera, project
from lifting.geometry.triangulation import calibration_intrinsics
from lifting.skeleton import H36M_17, SMPL_24
from lifting.typing import Pose3D

log = logging.getLogger(__name__)
NAME = "3doh50k"
VERSION = 1  # to be raised when the same files give other tracks
ANNOTATIONS = "annots.json"
PARTS: Mapping[str, tuple[str, ...]] = {  # of the data set, and the folders they are found in
    "train": ("trainset", "train"),
    "test": ("testset", "test"),
}
PUBLISHED = {"train": 50_310, "test": 1_290}
GENDER = "neutral"
TERMS = "3DOH50K, www.yangangwang.com/papers/ZHANG-OOH-2020-03.html: non-commercial research only"
_CURE = "unpack the images of 3DOH50K beside its annots.json"
_THREADS = 4


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All images of a split, each a track of its own.

    A track is named by its picture's path below the data set's folder. The last of the training
    images validate, ``oh50k.holdout`` of them: neighbours may show one person at one moment.

    Args:
        config: The data section; ``oh50k`` is read.
        split: The part.

    Returns:
        Tracks with 17 joints, cameras with intrinsics only. People whose labels are not finite or
        lie behind the camera are kept and marked as not visible.

    Raises:
        ConfigError: An option is out of range.
        MissingDataError: The annotations, a picture, or a file of the body is not found.
        DataError: The annotations are damaged, of another form, or contradict themselves; a
            picture cannot be read.
    """
    options = config.oh50k
    check_every("oh50k.every", options.every)
    log.info("terms of use: %s", TERMS)
    path = annotations_path(config.root, split)
    labels = read_annotations(path, options.joint_regressor is not None, options.max_bytes)
    placed = place_people(labels)
    rows = _rows(len(labels), split, options)
    joints = _joints(labels, placed, rows, options)
    names = [f"{path.parent.name}/{labels.pictures[i]}" for i in rows.tolist()]
    sizes = photo_sizes([path.parent.parent / name for name in names], _THREADS, _CURE)
    lenses = calibration_intrinsics(labels.intrinsics)[rows]
    pixels = project(joints, lenses).float()
    known = placed.valid[rows] & joints.float().isfinite().all(-1).all(-1)
    cameras, camera = torch.unique(torch.cat((lenses, sizes), dim=-1), dim=0, return_inverse=True)
    none = torch.zeros(len(rows), dtype=torch.int64)
    return PoseTracks(
        skeleton=H36M_17,
        keypoints_2d=pixels.nan_to_num(posinf=0, neginf=0),
        confidence=torch.ones(joints.shape[:2]),
        joints_3d=joints.float(),
        visible=known[:, None].expand(joints.shape[:2]),
        offsets=torch.arange(len(rows) + 1),
        cameras=Camera(intrinsics=cameras[:, :-2].float(), size=cameras[:, -2:].float()),
        camera=camera,
        recording=torch.arange(len(rows)),
        subject=none,
        action=none,
        track_names=tuple(names),
        subject_names=("unknown",),
        action_names=("unknown",),
        fps=rate_of_each(torch.nan, len(rows)),  # single images
        source=_facts(labels, placed, rows, options, split),
    )


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: the files' content, and the options.

    The sizes of the pictures belong to the annotations, whose pixels would be wrong in others.

    Raises:
        MissingDataError: The annotations, or a file of the body, are not found.
    """
    options, path = config.oh50k, annotations_path(config.root, split)
    body = body_files(options.joint_regressor, options.body_model, (GENDER,))
    return {
        "version": VERSION,
        "files": files_hash((path, *body)),
        "holdout": options.holdout,
        "every": options.every,
        "regressed": options.joint_regressor is not None,
    }


def annotations_path(root: str | None, split: Split) -> Path:
    """The file with the labels of a split.

    Args:
        root: Folder from the configuration, or None for the environment's.
        split: The part.

    Raises:
        MissingDataError: It is not found.
    """
    folders = search_folders(NAME, root)
    parts = PARTS["test" if split == "test" else "train"]
    for path in (folder / part / ANNOTATIONS for folder in folders for part in parts):
        if path.is_file():
            return path
    looked = " or ".join(map(str, folders)) or "any folder (set LIFTING_DATA or data.root)"
    raise MissingDataError(
        f"expected {parts[0]}/{ANNOTATIONS} of 3DOH50K, found none in {looked}; ask for the data "
        "set as www.yangangwang.com/papers/ZHANG-OOH-2020-03.html says, and unpack it there"
    )


def _rows(count: int, split: Split, options: Oh50kConfig) -> Tensor:
    """Images of a split."""
    if split == "test":
        return torch.arange(0, count, options.every)
    first = first_held_out("oh50k.holdout", options.holdout, count)
    chosen = (0, first) if split == "train" else (first, count)
    if chosen[0] == chosen[1]:
        raise DataError(
            f"expected at least two training images of 3DOH50K, got {count}; one part trains and "
            "one validates"
        )
    return torch.arange(*chosen, options.every)


def _joints(
    labels: Oh50kAnnotations, placed: PlacedPeople, rows: Tensor, options: Oh50kConfig
) -> Pose3D:
    """Human3.6M's joints of some images, ``(n, 17, 3)`` float64, camera frame, mm."""
    if options.joint_regressor is None:
        return approximate_h36m(placed.joints[rows])
    body = read_regressed_body(options.joint_regressor, options.body_model, GENDER)
    return regressed_people(body, labels, placed, rows).double()


def _facts(
    labels: Oh50kAnnotations,
    placed: PlacedPeople,
    rows: Tensor,
    options: Oh50kConfig,
    split: Split,
) -> dict[str, str]:
    part = "test" if split == "test" else "train"
    rule = f"the last {options.holdout:g} of the training images validate"
    return {
        **shared_facts(NAME, split, options.every, TERMS),
        "split_rule": "the data set's own test images" if split == "test" else rule,
        "images": f"{len(rows)} of {len(labels)} (published {PUBLISHED[part]})",
        **placed.facts,
        **joint_facts(options.joint_regressor),
        "two_d": "gt",
    }


_SPLITS: dict[str, tuple[Split, ...]] = {"train": ("train", "val"), "test": ("test",)}
_LOOKED_AT = 2000  # images whose poses are judged
_FEW = 0.01
_WHOLE = f"use {ANNOTATIONS} as it is downloaded, or expect other figures than published"


def check(config: DataConfig, published: dict[str, int] | None = None) -> list[CheckRow]:
    """Look at the files of 3DOH50K.

    Args:
        config: The data section.
        published: How many images a part has; None for the published numbers.
    """
    counts = PUBLISHED if published is None else published
    rows: list[CheckRow] = []
    root = config.root
    for part, folders in PARTS.items():
        patterns = [f"{folder}/{ANNOTATIONS}" for folder in folders]
        found = (find_files(NAME, root, [pattern]) for pattern in patterns)
        paths = next(filter(None, found), [])
        rows.append(check_presence(NAME, root, patterns[0], paths))
        if paths:
            rows += check_content([path for path in paths[:1] if (path.parent / SUMS).is_file()])
            rows += _check_part(part, paths[0], counts[part])
            rows += check_reading(tracks, config, _SPLITS[part])
    return rows


def _check_part(part: str, path: Path, published: int) -> list[CheckRow]:
    rows: list[CheckRow] = []
    labels = attempt(
        rows, f"form {part}", "annotations of 3DOH50K", partial(read_annotations, path)
    )
    if labels is None:
        return rows
    number = judged_count(f"images {part}", published, len(labels), _WHOLE)
    rows += [number, _check_pictures(part, labels)]
    expected = "3D falls on 2D in one frame, people of the size of people"
    placed = attempt(rows, f"labels {part}", expected, partial(place_people, labels))
    if placed is None:
        return rows
    found = f"frame of the {placed.facts['label_frame']}; {placed.facts['label_unit']}"
    rows += [CheckRow(f"labels {part}", expected, found, "ok"), _check_valid(part, placed)]
    return rows + check_bodies(_bodies(part, labels, placed)).rows


def _check_pictures(part: str, labels: Oh50kAnnotations) -> CheckRow:
    places = [labels.path.parent / picture for picture in labels.pictures]
    missing = [place for place in places if not place.is_file()]
    return judged(
        f"pictures {part}",
        "a picture for every image",
        f"{len(missing)} of {len(places)} are not there, first {missing[0]}"
        if missing
        else f"{len(places)} pictures",
        "fail" if missing else "ok",
        f"unpack the images beside {ANNOTATIONS}",
    )


def _check_valid(part: str, placed: PlacedPeople) -> CheckRow:
    bad, total = int((~placed.valid).sum()), len(placed.valid)
    return judged(
        f"people {part}",
        "finite joints before the camera",
        f"{bad} of {total} are not, first number {int((~placed.valid).nonzero()[0])}"
        if bad
        else f"{total} people",
        "ok" if not bad else "warn" if bad <= _FEW * total else "fail",
        "these images are masked: get the file again, or leave them out",
    )


def _bodies(part: str, labels: Oh50kAnnotations, placed: PlacedPeople) -> Bodies:
    """People evenly spread over the file, a take each."""
    valid = np.flatnonzero(placed.valid.numpy())
    return Bodies(
        label=f"3D {part}", skeleton=SMPL_24, unit="mm", up="-y", fps=1.0, bone_share=0.05,
        bone_reason="a body model's",
        takes=tuple(
            Take(subject="unknown", name=labels.pictures[i], action="unknown",
                 joints=placed.joints[i : i + 1].numpy())
            for i in spread(valid, _LOOKED_AT).tolist()
        ),
    )  # fmt: skip
