"""A user's own video: people that any known detector saw, cleaned and in pixels (no torch)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import numpy as np

from lifting.data.keypoints.dialects import find_dialect
from lifting.data.keypoints.dialects.arrays import sightings_of
from lifting.data.keypoints.people import People, tabulate
from lifting.data.keypoints.persons import ALL, Chosen, choose_persons
from lifting.data.keypoints.pixels import Coordinates, to_pixels, within
from lifting.data.keypoints.plausibility import exchanged_sides, upside_down
from lifting.data.keypoints.source import open_source
from lifting.data.keypoints.timeline import Filled, Timeline, fill_gaps, timeline
from lifting.errors import ConfigError, DataError
from lifting.files.checks import Size
from lifting.files.npz import Array

log = logging.getLogger(__name__)

# Focal length of an unknown camera in parts of the image's larger side: 45 degrees across, as
# many cameras have, and close to that of Human3.6M.
GUESSED_FOCAL = 1.2
_LARGEST_SIDE = 100_000
_SAME_RATE = 0.01
_MOST_NAMED = 6


class Reading(TypedDict, total=False):
    """How keypoints are read; see :func:`read_video`."""

    image_size: tuple[float, float] | None
    skeleton: str | None
    person: str
    intrinsics: Sequence[float] | None
    fps: float | None
    coordinates: Coordinates
    size: Size


class Lens(NamedTuple):
    """Intrinsics of a camera.

    Attributes:
        numbers: fx, fy, cx, cy and five of distortion, pixels.
        origin: Where they are from, in words.
        is_guessed: Whether nobody gave them.
    """

    numbers: tuple[float, ...]
    origin: str
    is_guessed: bool


class Person(NamedTuple):
    """One person of a video.

    Attributes:
        track: Number.
        filled: The person without gaps, in the detector's joints, pixels.
    """

    track: int
    filled: Filled


class VideoSeen(NamedTuple):
    """A video with everyone that was asked for.

    Attributes:
        people: Everyone, in pixels.
        when: Numbers of the frames.
        size: Width and height, pixels.
        lens: Of the camera.
        fps: Frames a second of the video; None where nobody says.
        persons: Those asked for, by appearance.
        of: How many people there are.
        facts: What was read and changed, by key.
    """

    people: People
    when: Timeline
    size: tuple[float, float]
    lens: Lens
    fps: float | None
    persons: tuple[Person, ...]
    of: int
    facts: dict[str, str]


def read_people(path: Path, skeleton: str | None = None, size: Size | None = None) -> People:
    """Everyone that a file or folder of keypoints holds.

    Args:
        path: A file, or a folder with a file for every frame.
        skeleton: Name of the detector's skeleton; None takes what the file says of itself, else
            the one with that many joints that fits.
        size: What may be read.

    Raises:
        MissingDataError: There is no such file.
        DataError: The format is unknown, or a claim of the file is wrong.
        ConfigError: No skeleton has that name.
    """
    size = size or Size()
    source = open_source(path, size)
    seen = find_dialect(source).read(source)
    size.check_frames(path, len(seen.frames))
    return tabulate(path, seen, skeleton)


def read_video(path: Path, **options: Unpack[Reading]) -> VideoSeen:
    """The people of a user's own video.

    Args:
        path: A file of keypoints in any format of ``dialects``, or a folder with one a frame.
        options: ``image_size``, width and height of the video, pixels, None when the file says
            so. ``skeleton``, name of the detector's skeleton, None takes what the file says of
            itself, else the one with that many joints that fits the positions. ``person``, see
            :func:`choose_persons`. ``intrinsics``, ``fx, fy, cx, cy``, or all nine, pixels, None
            takes those of the file, or guesses a focal length of 1.2 times the larger side and
            the centre of the image. ``fps``, frames a second of the video, None where it is not
            known. ``coordinates``, what the file's positions are: ``pixels``, ``unit`` for parts
            of width and height from 0 to 1, ``signed`` for -1 to 1; ``auto`` is what the format
            prescribes. ``size``, the largest file that is read.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use.
    """
    _check_options(options.get("fps"), options.get("coordinates", "auto"))
    return _seen(path, read_people(path, options.get("skeleton"), options.get("size")), options)


def see_arrays(
    name: Path,
    points: Array,
    confidence: Array | None = None,
    joints: Sequence[str] | None = None,
    **options: Unpack[Reading],
) -> VideoSeen:
    """The people of arrays in memory, as :func:`read_video` has those of a file.

    Args:
        name: What the arrays are called in messages.
        points: ``(frames, joints, 2 or 3)`` or ``(frames, people, joints, 2 or 3)``; the third
            number is the confidence. NaN is absent.
        confidence: Beside them, without the last axis.
        joints: Names of the joints; None where ``skeleton`` names the set, or positions tell it.
        options: As for :func:`read_video`.

    Raises:
        DataError: They are of another form, or the order of the joints cannot be told.
        ConfigError: An argument is of no use.
    """
    _check_options(options.get("fps"), options.get("coordinates", "auto"))
    named = None if joints is None else tuple(joints)
    seen = sightings_of(name, points, confidence, named)
    return _seen(name, tabulate(name, seen, options.get("skeleton")), options)


def _seen(path: Path, people: People, options: Reading) -> VideoSeen:
    coordinates, person = options.get("coordinates", "auto"), options.get("person", ALL)
    size = _image_size(path, people, options.get("image_size"))
    lens = _intrinsics(path, people, size, options.get("intrinsics"))
    fps = _rate(path, people, options.get("fps"))
    cleaned = to_pixels(path, people, size, coordinates)
    people, far = within(path, cleaned.people, size, cleaned.coordinates)
    _warn_of_sides(path, people)
    when = timeline(people.frames)
    number = when.number[people.frame]
    chosen = choose_persons(path, people, number, person)
    persons = tuple(
        Person(one.track, fill_gaps(people.joints[one.rows], number[one.rows]))
        for one in chosen.choices
    )
    facts = {
        "joints": people.order.why,
        "joints_told_by": people.order.told_by,
        "frame_step": str(when.step),
        "frame_numbers": "from the names" if when.numbered else "in order",
        "people": chosen.why,
        "person": _asked(chosen, person),
        "joints_not_finite": str(cleaned.not_finite),
        "joints_far_outside": str(far),
        "confidences_clipped": str(cleaned.clipped),
        "sightings_dropped": str(cleaned.dropped),
        "coordinates": cleaned.coordinates,
        "image_size": f"{size[0]:g} x {size[1]:g}",
        "intrinsics": lens.origin,
    }
    if people.claims.notes:
        facts["notes"] = "; ".join(people.claims.notes)
    return VideoSeen(people, when, size, lens, fps, persons, chosen.persons, facts)


def _asked(chosen: Chosen, person: str) -> str:
    tracks = ", ".join(str(one.track) for one in chosen.choices[:8])
    more = ", ..." if len(chosen.choices) > 8 else ""
    return f"{tracks}{more} of {chosen.persons}, asked for {person}, by {chosen.by}"


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


def _rate(path: Path, people: People, given: float | None) -> float | None:
    stated = people.claims.fps
    if stated is None or math.isnan(stated):
        return given
    if not 0 < stated < math.inf:
        raise DataError(
            f"expected frames a second above zero in {path}, got {stated:g}; correct it, or leave "
            "it out"
        )
    if given is not None and abs(given / stated - 1) > _SAME_RATE:
        raise DataError(
            f"expected the {stated:g} frames a second that {path} says, got {given:g}; leave "
            "--fps out"
        )
    return stated


def _image_size(
    path: Path, people: People, given: tuple[float, float] | None
) -> tuple[float, float]:
    sizes = people.claims.image_sizes
    if len(sizes) > 1:
        listed = ", ".join(f"{width:g} x {height:g}" for width, height in sizes[:_MOST_NAMED])
        more = ", ..." if len(sizes) > _MOST_NAMED else ""
        raise DataError(
            f"expected images of one size in {path}, got {len(sizes)}: {listed}{more}; give one "
            "video at a time"
        )
    stated = people.claims.image_size
    size = given or stated
    if size is None:
        raise DataError(
            f"expected the width and height of the video, got none, and {path} ({people.form}, "
            f"{people.order.why}) does not hold them; give --image-size WIDTH HEIGHT"
        )
    if len(size) != 2 or not all(1 <= side <= _LARGEST_SIDE for side in size):
        raise DataError(
            f"expected finite numbers in 'image_size' of {path}, width and height from 1 to "
            f"{_LARGEST_SIDE} pixels, got {size}; give --image-size WIDTH HEIGHT"
        )
    if stated is not None and tuple(size) != tuple(stated):
        raise DataError(
            f"expected the image size that {path} says, {stated}, got {size}; "
            "leave --image-size out"
        )
    return float(size[0]), float(size[1])


def _intrinsics(
    path: Path, people: People, size: tuple[float, float], given: Sequence[float] | None
) -> Lens:
    numbers, origin = people.claims.intrinsics, "of the file"
    if given is not None:
        if numbers is not None and not np.allclose(given, numbers[: len(given)], rtol=_SAME_RATE):
            raise DataError(
                f"expected the intrinsics that {path} says, {_listed(numbers)}, got "
                f"{_listed(given)}; leave --intrinsics out"
            )
        numbers, origin = tuple(given), "given"
    is_guessed = numbers is None
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
    padded = (*(float(v) for v in numbers), *(0.0,) * (9 - len(numbers)))
    return Lens(padded, origin, is_guessed)


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in numbers[:4])


def _check_options(fps: float | None, coordinates: str) -> None:
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"expected fps above zero, got {fps}; correct --fps")
    known = ("auto", "pixels", "unit", "signed")
    if coordinates not in known:
        raise ConfigError(
            f"expected coordinates to be one of {', '.join(known)}, got '{coordinates}'; "
            "correct --coordinates"
        )
