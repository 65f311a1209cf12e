"""Own recordings of several cameras as tracks: a keypoint file or folder for every camera.

There is no 3D truth; a teacher makes labels, see ``epipolar_labels``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lifting.data.config import DataConfig, KnownCameras, Split
from lifting.data.folders import data_folder
from lifting.data.keypoints.cameras import (
    ENDING,
    CameraFacts,
    by_name,
    cameras_of,
    is_calibration,
    read_cameras,
)
from lifting.data.keypoints.tracks import PersonSeen, read_person
from lifting.data.sequence import PoseTracks, offsets_of, rate_of_each
from lifting.data.sets.keypoint_rig.config import Config as KeypointRigConfig
from lifting.data.splits import first_held_out
from lifting.errors import ConfigError, DataError, MissingDataError, suggest
from lifting.files.checks import Size
from lifting.geometry.camera import Camera, radial_only, without_tangential
from lifting.skeleton import H36M_17
from lifting.teacher.views import RigViews

NAME = "keypoint_rig"
VERSION = 2  # to be raised when the same files give other tracks
CAMERAS_FILE = "cameras.json"
_KINDS = (".json", ".npz")
_SAME_RATE = 0.01


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


_PLACES = ("npz", "mediapipe")
"""Formats whose frames have no number but their place."""


@dataclass(frozen=True)
class RecordedRig:
    """A recording.

    Attributes:
        views: What the teacher is given.
        known: What is known of the cameras.
        left_out: Frames that some camera has and another has not.
        fps: Frames a second; None where nobody says.
    """

    views: RigViews
    known: KnownCameras
    left_out: int
    fps: float | None = None


def read_rig(
    files: Sequence[Path],
    cameras: Path | None = None,
    options: KeypointRigConfig | None = None,
    told: KnownCameras = "given",
) -> RecordedRig:
    """Read the keypoints of all cameras of one recording.

    Args:
        files: A keypoint file or folder for each camera. Cameras go by the names of the files, or
            of the folders around them where files have one name.
        cameras: JSON file with what is known of each camera, by name, or a calibration of
            Pose2Sim; None for nothing. Intrinsics that keypoint files hold count as well.
        options: How files are read; ``cameras``, ``holdout`` and ``recordings`` are not looked at.
        told: The most that the teacher may know of the cameras.

    Raises:
        MissingDataError: A file is not there.
        DataError: A file is damaged, names are not unique, the file of cameras has another camera
            or a calibration lacks one, or cameras share no frames, or their files have not as many
            and do not number them, or their rates differ.
    """
    for path in files:
        if not path.exists():
            raise MissingDataError(
                f"expected a keypoint file or folder at {path}, found none; check the path"
            )
    options = options or KeypointRigConfig()
    names = camera_names(files)
    given = read_cameras(cameras, Size(options.max_bytes / 2**20))
    if cameras is not None and not is_calibration(cameras):
        used = set(by_name(given, names).values())
        for name in given:
            if name not in used:
                raise DataError(
                    f"expected the cameras {', '.join(names)} in {cameras}, got '{name}'; "
                    f"{suggest(name, names)}"
                )
    known = cameras_of(cameras, given, names)
    paths = dict(zip(names, files, strict=True))
    seen = {name: read_view(path, known.get(name), options) for name, path in paths.items()}
    _check_lengths(seen)
    shared = shared_frames(files[0].parent.name, list(names), list(seen.values()))
    camera = joined_cameras([view_camera(seen[name], known.get(name)) for name in names])
    lens = bool(camera.intrinsics.isfinite().all()) and told != "sizes"
    placed = lens and told == "given" and camera.rotation is not None
    views = RigViews(
        keypoints=shared.keypoints,
        confidence=shared.confidence,
        sizes=camera.size,
        skeleton=H36M_17,
        intrinsics=camera.intrinsics if lens else None,
        rotation=camera.rotation if placed else None,
        centre=camera.position if placed else None,
        names=names,
    )
    found: KnownCameras = "given" if placed else "intrinsics" if lens else "sizes"
    return RecordedRig(views, found, shared.left_out, _rate(seen))


def _rate(seen: Mapping[str, PersonSeen]) -> float | None:
    """The one rate of all files that say it."""
    rates = {name: person.fps for name, person in seen.items() if person.fps is not None}
    if not rates:
        return None
    low, high = min(rates.values()), max(rates.values())
    if high / low - 1 > _SAME_RATE:
        listed = ", ".join(f"{name}: {rate:g}" for name, rate in rates.items())
        raise DataError(
            f"expected one rate of all cameras, got frames a second of {listed}; bring the "
            "recordings to one rate, or correct the files"
        )
    return next(iter(rates.values()))


def _check_lengths(seen: Mapping[str, PersonSeen]) -> None:
    """Files that do not number their frames must have as many: nothing else puts them in time."""
    sizes = {name: len(person.people.frames) for name, person in seen.items()}
    if len(set(sizes.values())) > 1 and any(p.people.form in _PLACES for p in seen.values()):
        listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise DataError(
            f"expected as many frames in files that do not number them, got {listed}; cut the "
            "recordings to the time that all cameras share"
        )


def camera_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Names of cameras: the files', or the folders' around them where the files' are the same.

    Args:
        files: One a camera.

    Raises:
        DataError: Neither tells the cameras apart.
    """
    stems = tuple(path.name if path.is_dir() else path.stem for path in files)
    folders = tuple(path.absolute().parent.name for path in files)
    for names in (stems, folders):
        if len(set(names)) == len(files):
            return names
    twice = next(name for name, count in Counter(stems).items() if count > 1)
    raise DataError(
        f"expected a file of its own name for each camera, got '{twice}' more than once; name "
        "the files after the cameras"
    )
