"""Own recordings of several cameras as tracks: a keypoint file or folder for every camera.

There is no 3D truth; a teacher makes labels, see ``epipolar_labels``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lifting.data.config import DataConfig, Split
from lifting.data.folders import data_folder
from lifting.data.keypoints.camera_facts import CameraFacts
from lifting.data.keypoints.cameras import cameras_of, read_cameras
from lifting.data.keypoints.pose2sim_toml import ENDING
from lifting.data.keypoints.tracks import PersonSeen, read_person
from lifting.data.sequence import PoseTracks, offsets_of, rate_of_each
from lifting.data.sets.keypoint_rig.config import Config as KeypointRigConfig
from lifting.data.splits import first_held_out
from lifting.errors import ConfigError, DataError, suggest
from lifting.files.checks import Size
from lifting.geometry.camera import Camera, radial_only, without_tangential
from lifting.skeleton import H36M_17

NAME = "keypoint_rig"
VERSION = 2  # to be raised when the same files give other tracks
CAMERAS_FILE = "cameras.json"
_KINDS = (".json", ".npz")


class SharedFrames(NamedTuple):
    """The frames of a recording that every camera has.

    Attributes:
        keypoints: ``(views, frames, 17, 2)``, pixels.
        confidence: ``(views, frames, 17)``.
        left_out: Frames that some camera has and another has not.
    """

    keypoints: Tensor
    confidence: Tensor
    left_out: int


def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """Unlabelled tracks of a split, by recording, then camera.

    The end of every recording, ``keypoint_rig.holdout`` of it, validates and tests.

    Args:
        config: The data section.
        split: The part.

    Raises:
        ConfigError: An option is out of range, or a recording is not there.
        MissingDataError: The folder is not found.
        DataError: A file is damaged, cameras of a recording share no frames, or a camera's image
            size is not known.
    """
    options = config.keypoint_rig
    folder = data_folder(NAME, config.root)
    file = _cameras_file(folder, options)
    given = read_cameras(file, Size(options.max_bytes / 2**20))
    names: list[str] = []
    cameras: list[Camera] = []
    parts: list[SharedFrames] = []
    recording: list[int] = []
    chosen = sorted(_recordings(folder, options).items())
    for number, (title, files) in enumerate(chosen):
        known = cameras_of(file, given, list(files))
        seen = [read_view(path, known.get(view), options) for view, path in files.items()]
        parts.append(_part(shared_frames(title, list(files), seen), split, options, title))
        names += [f"{title}/{view}" for view in files]
        cameras += [view_camera(s, known.get(view)) for view, s in zip(files, seen, strict=True)]
        recording += [number] * len(files)
    lengths = torch.tensor([p.keypoints.shape[1] for p in parts for _ in p.keypoints])
    count = len(names)
    titles = tuple(title for title, _ in chosen)
    none = torch.zeros(count, dtype=torch.int64)
    return PoseTracks(
        skeleton=H36M_17,
        keypoints_2d=torch.cat([p.keypoints.flatten(0, 1) for p in parts]),
        confidence=torch.cat([p.confidence.flatten(0, 1) for p in parts]),
        offsets=offsets_of(lengths),
        cameras=joined_cameras(cameras),
        camera=torch.arange(count),
        recording=torch.tensor(recording),
        subject=none,
        action=torch.tensor(recording),
        track_names=tuple(names),
        subject_names=("unknown",),
        action_names=titles,
        fps=rate_of_each(options.fps or torch.nan, count),
        source={
            "dataset": NAME,
            "split": split,
            "split_rule": f"the last {options.holdout:g} of every recording validates and tests",
            "two_d": "own keypoints",
            "recordings": ", ".join(titles),
            "frames_left_out": str(sum(p.left_out for p in parts)),
        },
    )


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`tracks`: options, and name, size and time of all files.

    Args:
        config: The data section.
        split: The part.

    Raises:
        MissingDataError: The folder is not found.
    """
    folder = data_folder(NAME, config.root)
    kinds = (*_KINDS, ENDING)
    found = sorted(p for p in folder.rglob("*") if p.suffix in kinds and p.is_file())
    states = [(p, p.stat()) for p in found]
    return {
        "version": VERSION,
        "options": asdict(config.keypoint_rig),
        "files": [[p.relative_to(folder).as_posix(), s.st_size, s.st_mtime_ns] for p, s in states],
    }


def _cameras_file(folder: Path, options: KeypointRigConfig) -> Path | None:
    if options.cameras is not None:
        return folder / options.cameras
    usual = folder / CAMERAS_FILE
    return usual if usual.is_file() else None


def _recordings(folder: Path, options: KeypointRigConfig) -> dict[str, dict[str, Path]]:
    """Files of every recording, by its name and that of the camera."""
    found: dict[str, dict[str, Path]] = {}
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        views = {
            p.stem: p
            for p in sorted(place.iterdir())
            if p.suffix in _KINDS or (p.is_dir() and any(p.glob("*.json")))
        }
        if len(views) >= 2:
            found[place.name] = views
    for name in options.recordings:
        if name not in found:
            raise ConfigError(
                f"unknown recording '{name}' in data.keypoint_rig.recordings; "
                f"{suggest(name, found)}"
            )
    chosen = {k: v for k, v in found.items() if not options.recordings or k in options.recordings}
    if not chosen:
        raise DataError(
            f"expected folders of recordings in {folder}, each with a keypoint file or folder for "
            "two cameras at least, got none; put them there as <recording>/<camera>.json"
        )
    return chosen


def read_view(path: Path, known: CameraFacts | None, options: KeypointRigConfig) -> PersonSeen:
    """The person in the keypoints of one camera.

    The tangential term of a lens of the Brown model, which is not that of :class:`Camera`, is
    taken out of keypoints and intrinsics.

    Args:
        path: File or folder.
        known: What is known of the camera; None for nothing.
        options: How it is read.
    """
    size = options.image_size if known is None or known.image_size is None else known.image_size
    seen = read_person(
        path,
        image_size=None if size is None else (float(size[0]), float(size[1])),
        skeleton=options.skeleton,
        person=options.person,
        intrinsics=None if known is None else known.intrinsics,
        fps=options.fps,
        coordinates=options.coordinates,
        size=Size(options.max_bytes / 2**20),
    )
    if known is None or known.intrinsics is None or known.tangential != "brown":
        return seen
    lens = seen.camera.intrinsics[0].double()
    if not lens[7:].any():
        return seen
    straight = without_tangential(seen.keypoints_2d.double(), lens).float()
    keypoints = torch.where(straight.isfinite(), straight, seen.keypoints_2d)
    camera = Camera(intrinsics=radial_only(seen.camera.intrinsics), size=seen.camera.size)
    return seen._replace(keypoints_2d=keypoints, camera=camera)


def view_camera(seen: PersonSeen, known: CameraFacts | None) -> Camera:
    """A camera, ``()``; intrinsics that were only guessed are NaN."""
    camera = seen.camera[0]
    if seen.lens.is_guessed:
        camera.intrinsics = torch.full_like(camera.intrinsics, torch.nan)
    if known is not None and known.rotation is not None and known.position is not None:
        camera.rotation = torch.tensor(known.rotation)
        camera.position = torch.tensor(known.position)
    return camera


def joined_cameras(cameras: list[Camera]) -> Camera:
    """All cameras, ``(views,)``; extrinsics where every one has them."""
    turns = [c.rotation for c in cameras if c.rotation is not None]
    places = [c.position for c in cameras if c.position is not None]
    placed = len(turns) == len(cameras)
    return Camera(
        intrinsics=torch.stack([c.intrinsics for c in cameras]),
        size=torch.stack([c.size for c in cameras]),
        rotation=torch.stack(turns) if placed else None,
        position=torch.stack(places) if placed else None,
    )


def shared_frames(title: str, views: list[str], seen: list[PersonSeen]) -> SharedFrames:
    """Frames that every camera has, matched by their numbers.

    Args:
        title: Of the recording, for messages.
        views: Names of the cameras.
        seen: The person in each.

    Raises:
        DataError: There are under two, or lengths differ where nothing numbers the frames.
    """
    numbers = [s.when.first + s.filled.number * s.when.step for s in seen]
    if len({s.when.numbered for s in seen}) > 1 or (
        not seen[0].when.numbered and len({len(n) for n in numbers}) > 1
    ):
        sizes = ", ".join(f"{v}: {len(n)}" for v, n in zip(views, numbers, strict=True))
        raise DataError(
            f"expected frame numbers in the names of all cameras of recording '{title}', or as "
            f"many frames in each, got {sizes}; cut the videos to the time they share"
        )
    common = numbers[0]
    for other in numbers[1:]:
        common = np.intersect1d(common, other)
    if len(common) < 2:
        raise DataError(
            f"expected frames that all cameras of recording '{title}' have, got {len(common)} "
            f"({', '.join(views)}); check that the frame numbers count from one moment"
        )
    rows = [torch.from_numpy(np.searchsorted(n, common)) for n in numbers]
    return SharedFrames(
        torch.stack([s.keypoints_2d[r] for s, r in zip(seen, rows, strict=True)]),
        torch.stack([s.confidence[r] for s, r in zip(seen, rows, strict=True)]),
        sum(len(n) for n in numbers) - len(common) * len(numbers),
    )


def _part(
    shared: SharedFrames, split: Split, options: KeypointRigConfig, title: str
) -> SharedFrames:
    """The frames of a split."""
    frames = shared.keypoints.shape[1]
    first = first_held_out("keypoint_rig.holdout", options.holdout, frames)
    chosen = slice(0, first) if split == "train" else slice(first, frames)
    return SharedFrames(shared.keypoints[:, chosen], shared.confidence[:, chosen], shared.left_out)
