"""AIST++ as tracks: a dancer in one sequence, seen by each of nine cameras.

The tangential term of a lens is of another form than that of :class:`Camera`, so it is taken out:
keypoints are moved to where a lens with the radial terms alone would show them.

Source: Li et al., "AI Choreographer: Music Conditioned 3D Dance Generation with AIST++", 2021.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from lifting.data.assemble import TrackContent, TrackPlan, assemble_tracks, shared_facts
from lifting.data.check import check_every, check_names
from lifting.data.config import DataConfig, Split
from lifting.data.folders import search_folders
from lifting.data.sequence import PoseTracks
from lifting.data.sets.aistpp.config import Config as AistppConfig
from lifting.data.sets.aistpp.files import (
    FPS,
    VIEWS,
    AistCamera,
    decide_world,
    find_settings,
    parse_name,
    read_keypoints2d,
    read_keypoints3d,
    read_names,
    read_setting,
)
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import files_state
from lifting.files.npz import Array
from lifting.geometry.camera import (
    Camera,
    project,
    without_tangential,
    world_to_camera,
)
from lifting.skeleton import COCO_17

log = logging.getLogger(__name__)

NAME = "aistpp"
VERSION = 1  # to be raised when the same files give other tracks
TERMS = "AIST++ annotations, google.github.io/aistplusplus_dataset: CC BY 4.0"
MOST_ASKED = 20  # sequences that tell the world


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """All sequences of a split, seen by each camera.

    Args:
        config: The data section; ``aistpp`` says which 2D, lists and cameras.
        split: The part, by the data set's own lists.

    Returns:
        Tracks with COCO's 17 joints; a joint that is absent is zero and not visible. The world
        of the cameras is in mm, z up.

    Raises:
        ConfigError: An option is out of range.
        MissingDataError: A list, a camera or a sequence is not found.
        DataError: A file is damaged, unsafe, or of another form.
    """
    options = config.aistpp
    check_every("aistpp.every", options.every)
    check_names("aistpp.views", options.views, VIEWS)
    log.info("terms of use: %s", TERMS)
    home, names, left_out = _sequences(config, split)
    joints = {name: read_keypoints3d(home / "keypoints3d" / f"{name}.pkl") for name in names}
    world = decide_world([joints[name] for name in names[:MOST_ASKED]])
    log.info("world of AIST++: %s", world.note)
    joints = {name: world.to_mm(values).astype(np.float32) for name, values in joints.items()}
    settings = find_settings(home / "cameras", names)
    files = sorted(set(settings.values()))
    cameras = [camera.placed(world) for file in files for camera in read_setting(file)]
    subjects = sorted({parse_name(name).dancer for name in names})
    actions = sorted({_action(name) for name in names})
    place = {key: number for number, key in enumerate(product(files, VIEWS))}
    detected = lru_cache(1)(read_keypoints2d)  # one file holds the tracks of all views
    plans = [
        TrackPlan(
            name=f"{name}/{view}",
            subject=subjects.index(parse_name(name).dancer),
            action=actions.index(_action(name)),
            recording=number,
            camera=place[settings[name], view],
            frames=-(-len(joints[name]) // options.every),
            read=partial(_content, home, name, view, options, cameras[place[settings[name], view]],
                         joints[name], detected),
        )
        for number, name in enumerate(names)
        for view in options.views or VIEWS
    ]  # fmt: skip
    return assemble_tracks(
        plans,
        skeleton=COCO_17,
        cameras=_as_camera(cameras),
        subject_names=tuple(subjects),
        action_names=tuple(actions),
        fps=FPS / options.every,
        source={
            **shared_facts(NAME, split, options.every, TERMS),
            "split_rule": f"{options.split}_{split}.txt",
            "sequences": f"{len(names)} ({left_out} more are in ignore_list.txt)",
            "world": world.note,
            "two_d": options.two_d,
            "lens": "radial; the tangential term is taken out of the keypoints",
        },
    )


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: the files' state, and the options.

    Raises:
        MissingDataError: A list, a camera or a sequence is not found.
    """
    home, names, _ = _sequences(config, split)
    paths = [home / kind / f"{name}.pkl" for kind in _kinds(config.aistpp) for name in names]
    settings = find_settings(home / "cameras", names)
    return {
        "version": VERSION,
        "files": files_state([*paths, *sorted(set(settings.values()))]),
        "cameras": {name: file.name for name, file in settings.items()},
        "options": asdict(config.aistpp),
    }


def _sequences(config: DataConfig, split: Split) -> tuple[Path, list[str], int]:
    """The folder, the split's sequences without those to ignore, and how many these are."""
    options: AistppConfig = config.aistpp
    folders = search_folders(NAME, config.root)
    place = f"splits/{options.split}_{split}.txt"
    home = next((folder for folder in folders if (folder / place).is_file()), None)
    if home is None:
        looked = " or ".join(map(str, folders)) or "any folder (set LIFTING_DATA or data.root)"
        raise MissingDataError(
            f"expected {place} of AIST++, found none in {looked}; download the annotations from "
            "google.github.io/aistplusplus_dataset and unpack them there"
        )
    ignored = set(read_names(home / "ignore_list.txt"))
    listed = read_names(home / place)
    names = [name for name in dict.fromkeys(listed) if name not in ignored]
    if not names:
        raise DataError(
            f"expected sequences in {home / place} beside those of ignore_list.txt, got none of "
            f"{len(listed)}; get the lists again"
        )
    for kind in _kinds(options):
        absent = [name for name in names if not (home / kind / f"{name}.pkl").is_file()]
        if absent:
            raise MissingDataError(
                f"expected {kind}/<sequence>.pkl of the {len(names)} sequences of {place} in "
                f"{home}, found none of {len(absent)}, such as {absent[0]}; get {kind} complete"
                + (", or set data.aistpp.two_d=gt" if kind == "keypoints2d" else "")
            )
    return home, names, len(set(listed) & ignored)


def _kinds(options: AistppConfig) -> tuple[str, ...]:
    """Folders of the pickles that are read."""
    return ("keypoints3d", "keypoints2d") if options.two_d == "detected" else ("keypoints3d",)


def _action(name: str) -> str:
    parts = parse_name(name)
    return f"g{parts.genre} s{parts.situation}"


def _content(
    home: Path,
    name: str,
    view: str,
    options: AistppConfig,
    camera: AistCamera,
    world: Array,
    detected: Callable[[Path, int], Array],
) -> TrackContent:
    """One sequence in one camera; its joints come in the world, mm."""
    every = slice(None, None, options.every)
    joints = world_to_camera(
        torch.from_numpy(world[every].astype(np.float64)),
        torch.from_numpy(camera.rotation),
        torch.from_numpy(camera.position),
    )
    visible = joints.isfinite().all(-1)
    joints = torch.where(visible[..., None], joints, 0.0)
    if options.two_d == "gt":
        radial = _as_camera([camera]).intrinsics.double()
        keypoints = torch.where(visible[..., None], project(joints, radial), 0.0)
        confidence = visible.float()
    else:
        path = home / "keypoints2d" / f"{name}.pkl"
        seen = torch.from_numpy(detected(path, len(world))[VIEWS.index(view)][every])
        points, scores = seen[..., :2], seen[..., 2]
        lens = torch.from_numpy(camera.intrinsics)
        plain = without_tangential(points.double(), lens)
        keypoints = torch.where(scores[..., None] > 0, plain, 0.0)
        confidence = scores.clamp(0, 1)
    return TrackContent(
        keypoints_2d=keypoints.float(),
        joints_3d=joints.float(),
        confidence=confidence,
        visible=visible,
    )


def _as_camera(cameras: Sequence[AistCamera]) -> Camera:
    """Cameras without tangential terms."""
    intrinsics, size, rotation, position = (
        torch.from_numpy(np.stack(values)).float()
        for values in (
            [camera.intrinsics * ([1] * 7 + [0] * 2) for camera in cameras],
            [camera.size for camera in cameras],
            [camera.rotation for camera in cameras],
            [camera.position for camera in cameras],
        )
    )
    return Camera(intrinsics=intrinsics, size=size, rotation=rotation, position=position)
