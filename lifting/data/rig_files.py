"""One recording of several cameras as a rig that can be solved: a keypoint file for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifting.data.keypoints.camera_facts import by_name
from lifting.data.keypoints.cameras import cameras_of, is_calibration, read_cameras
from lifting.data.keypoints.tracks import PersonSeen
from lifting.data.sets.keypoint_rig.config import Config as KeypointRigConfig
from lifting.data.sets.keypoint_rig.reader import (
    joined_cameras,
    read_view,
    shared_frames,
    view_camera,
)
from lifting.data.teacher_config import KnownCameras
from lifting.errors import DataError, suggest
from lifting.files.checks import Size
from lifting.skeleton import H36M_17
from lifting.teacher.views import RigViews

_PLACES = ("npz", "mediapipe")
"""Formats whose frames have no number but their place."""


@dataclass(frozen=True)
class RecordedRig:
    """A recording.

    Attributes:
        views: What the teacher is given.
        known: What is known of the cameras.
        left_out: Frames that some camera has and another has not.
    """

    views: RigViews
    known: KnownCameras
    left_out: int


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
            and do not number them.
    """
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
    return RecordedRig(views, found, shared.left_out)


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
