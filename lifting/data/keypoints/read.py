"""A user's own video: keypoints of any known detector as unlabelled tracks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
import torch

from lifting.data.keypoints.formats import read_people
from lifting.data.keypoints.gaps import Filled, fill_gaps
from lifting.data.keypoints.people import People
from lifting.data.keypoints.persons import LARGEST, choose_persons
from lifting.data.keypoints.pixels import Coordinates, check_size, to_pixels
from lifting.data.keypoints.plausibility import exchanged_sides, upside_down
from lifting.data.keypoints.timeline import Timeline, timeline
from lifting.data.sequence import PoseTracks, rate_of_each
from lifting.errors import ConfigError, DataError
from lifting.files.json_file import DEFAULT_MAX_BYTES
from lifting.geometry.camera import Camera
from lifting.skeleton import H36M_17
from lifting.skeleton.convert import remap_joints
from lifting.typing import PerJoint, Pose2D

log = logging.getLogger(__name__)

# Focal length of an unknown camera in parts of the image's larger side: 45 degrees across, as
# many cameras have, and close to that of Human3.6M.
GUESSED_FOCAL = 1.2
_LARGEST_SIDE = 100_000


class PersonSeen(NamedTuple):
    """One person of one video.

    Attributes:
        people: Everyone, in pixels.
        filled: The person without gaps, in the detector's joints.
        when: Numbers of the frames.
        camera: ``(1,)``, given or guessed.
        keypoints_2d: ``(frames, 17, 2)``, pixels, in ``h36m17``.
        confidence: ``(frames, 17)``, 0 to 1.
        facts: What was read and changed, by key.
    """

    people: People
    filled: Filled
    when: Timeline
    camera: Camera
    keypoints_2d: Pose2D
    confidence: PerJoint
    facts: dict[str, str]


class Reading(TypedDict, total=False):
    """How keypoints are read; see :func:`read_keypoints`."""

    image_size: tuple[float, float] | None
    skeleton: str | None
    person: str
    intrinsics: Sequence[float] | None
    fps: float | None
    coordinates: Coordinates
    max_bytes: int


class _Lens(NamedTuple):
    numbers: tuple[float, ...]
    origin: str


def read_keypoints(path: Path, **options: Unpack[Reading]) -> PoseTracks:
    """Read one person of a user's own video.

    Args:
        path: COCO results or annotations, MMPose, AlphaPose, MediaPipe landmarks or an npz; or a
            folder of OpenPose or MMPose files, one a frame.
        image_size: Width and height of the video, pixels; None when the file says so.
        skeleton: Name of the detector's skeleton; None takes what the file says of itself, else
            the one with that many joints that fits the positions.
        person: ``largest``, or the number of a track.
        intrinsics: ``fx, fy, cx, cy``, or all nine, pixels; None takes those of the file, or
            guesses a focal length of 1.2 times the larger side and the centre of the image.
        fps: Frames a second of the video; None where it is not known.
        coordinates: What the file's positions are: ``pixels``, ``unit`` for parts of width and
            height from 0 to 1, ``signed`` for -1 to 1; ``auto`` is what the format prescribes.
        max_bytes: Largest file, or sum of a folder's files, that is read, bytes.

    Returns:
        Unlabelled tracks in ``h36m17``, one for each piece that gaps of more than ten frames cut
        the video into; where there are several, their names give the frames they span.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use.
    """
    seen = read_person(path, **options)
    fps = options.get("fps")
    names = _names(path, seen.people, seen.when, seen.filled)
    return _tracks(seen, names, math.nan if fps is None else fps / seen.when.step)


def read_person(
    path: Path,
    *,
    image_size: tuple[float, float] | None = None,
    skeleton: str | None = None,
    person: str = LARGEST,
    intrinsics: Sequence[float] | None = None,
    fps: float | None = None,
    coordinates: Coordinates = "auto",
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> PersonSeen:
    """One person of a video with the numbers of the frames; arguments as of ``read_keypoints``.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use.
    """
    _check_options(fps, coordinates, max_bytes)
    people = read_people(path, skeleton, max_bytes)
    size = _image_size(path, people, image_size)
    lens = _intrinsics(path, people, size, intrinsics)
    cleaned = to_pixels(path, people, size, coordinates)
    people = cleaned.people
    check_size(path, people, size)
    _warn_of_sides(path, people)
    when = timeline(people.frames)
    number = when.number[people.frame]
    chosen = choose_persons(path, people, number, person)
    choice = chosen.choices[0]
    filled = fill_gaps(people.joints[choice.rows], number[choice.rows])
    facts = {
        "joints": people.order.why,
        "joints_told_by": people.order.told_by,
        "frame_step": str(when.step),
        "frame_numbers": "from the names" if when.numbered else "in order",
        "person": f"{choice.track} of {chosen.persons}, asked for {person}, by {chosen.by}",
        "joints_not_finite": str(cleaned.not_finite),
        "confidences_clipped": str(cleaned.clipped),
        "sightings_dropped": str(cleaned.dropped),
        "coordinates": coordinates,
        "image_size": f"{size[0]:g} x {size[1]:g}",
        "intrinsics": lens.origin,
    }
    camera = Camera(intrinsics=torch.tensor([lens.numbers]), size=torch.tensor([size]))
    points, confidence = _remapped(people, filled)
    return PersonSeen(people, filled, when, camera, points, confidence, facts)


def _warn_of_sides(path: Path, people: People) -> None:
    """Say what the order of the joints cannot tell: sides exchanged, or up and down."""
    points, confidence = people.joints[..., :2], people.joints[..., 2]
    if exchanged_sides(points, confidence, people.skeleton):
        log.warning(
            "%s: faces are seen from behind and not from the front; left and right may be "
            "exchanged, or the video is mirrored",
            path,
        )
    if upside_down(points, confidence, people.skeleton):
        log.warning(
            "%s: heads lie below ankles; y points up, or the picture is turned: y must point down",
            path,
        )


def _remapped(people: People, filled: Filled) -> tuple[Pose2D, PerJoint]:
    joints = torch.from_numpy(filled.joints)
    points, confidence = remap_joints(
        joints[..., :2].contiguous(), people.skeleton, H36M_17, joints[..., 2]
    )
    return points.float(), confidence.float()


def _tracks(seen: PersonSeen, names: tuple[str, ...], fps: float) -> PoseTracks:
    people, filled = seen.people, seen.filled
    none = torch.zeros(len(names), dtype=torch.int64)
    return PoseTracks(
        skeleton=H36M_17,
        keypoints_2d=seen.keypoints_2d,
        confidence=seen.confidence,
        offsets=torch.from_numpy(filled.offsets),
        cameras=seen.camera,
        camera=none,
        recording=torch.arange(len(names)),
        subject=none,
        action=none,
        track_names=names,
        subject_names=("unknown",),
        action_names=("unknown",),
        fps=rate_of_each(fps, len(names)),
        camera_kind="guessed" if seen.facts["intrinsics"].startswith("guessed") else "true",
        source={
            **seen.facts,
            "dataset": "own keypoints",
            "split": "test",
            "two_d": f"{people.form} ({people.skeleton.name})",
            "format": people.form,
            "detector_skeleton": people.skeleton.name,
            "frames": str(len(filled.joints)),
            "frames_filled": str(filled.frames),
            "pieces": str(len(names)),
            "joints_missing": str(int((filled.joints[..., 2] <= 0).sum())),
        },
    )


def _names(path: Path, people: People, when: Timeline, filled: Filled) -> tuple[str, ...]:
    """One name a piece, with the frames it spans where there are several."""
    if len(filled.offsets) == 2:
        return (path.stem,)
    first, last = filled.number[filled.offsets[:-1]], filled.number[filled.offsets[1:] - 1]
    ends = zip(
        np.searchsorted(when.number, first), np.searchsorted(when.number, last), strict=True
    )
    return tuple(
        f"{path.stem}/{_printable(people.frames[a])}..{_printable(people.frames[b])}"
        for a, b in ends
    )


def _printable(name: str) -> str:
    """A frame's name without halves of characters, which no file could be written with."""
    return name[-60:].encode("utf-8", "replace").decode()


def _image_size(
    path: Path, people: People, given: tuple[float, float] | None
) -> tuple[float, float]:
    size = given or people.image_size
    if size is None:
        raise DataError(
            f"expected the width and height of the video, got none, and {path} ({people.form}) "
            "does not hold them; give --image-size WIDTH HEIGHT"
        )
    if len(size) != 2 or not all(1 <= side <= _LARGEST_SIDE for side in size):
        raise DataError(
            f"expected finite numbers in 'image_size' of {path}, width and height from 1 to "
            f"{_LARGEST_SIDE} pixels, got {size}; give --image-size WIDTH HEIGHT"
        )
    if people.image_size is not None and size != tuple(people.image_size):
        raise DataError(
            f"expected the image size that {path} says, {people.image_size}, got {size}; "
            "leave --image-size out"
        )
    return float(size[0]), float(size[1])


def _intrinsics(
    path: Path, people: People, size: tuple[float, float], given: Sequence[float] | None
) -> _Lens:
    numbers, origin = people.intrinsics, "of the file"
    if given is not None:
        numbers, origin = tuple(given), "given"
    if numbers is None:
        focal = GUESSED_FOCAL * max(size)
        origin = f"guessed: focal length {GUESSED_FOCAL} x the larger side, centre of the image"
        numbers = (focal, focal, size[0] / 2, size[1] / 2)
    if (
        len(numbers) not in (4, 9)
        or not all(math.isfinite(v) and abs(v) < 1e9 for v in numbers)
        or min(numbers[:2]) <= 0
    ):
        raise DataError(
            f"expected finite numbers in 'intrinsics' for {path}, fx, fy above zero, cx, cy and "
            f"optionally five of distortion, got {numbers}; give --intrinsics FX FY CX CY"
        )
    return _Lens((*(float(v) for v in numbers), *(0.0,) * (9 - len(numbers))), origin)


def _check_options(fps: float | None, coordinates: str, max_bytes: int) -> None:
    for name, value in (("fps", fps), ("max_bytes", max_bytes)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"expected {name} above zero, got {value}; correct --{name}")
    known = ("auto", "pixels", "unit", "signed")
    if coordinates not in known:
        raise ConfigError(
            f"expected coordinates to be one of {', '.join(known)}, got '{coordinates}'; "
            "correct --coordinates"
        )
