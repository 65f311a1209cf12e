"""A user's own video: people that any known detector saw, cleaned and in pixels (no torch)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from lifting.data.keypoints.dialects import find_dialect
from lifting.data.keypoints.dialects.arrays import sightings_of
from lifting.data.keypoints.people import People, tabulate
from lifting.data.keypoints.persons import ALL, Chosen, choose_alone, choose_persons
from lifting.data.keypoints.pixels import Cleaned, Coordinates, to_pixels, within
from lifting.data.keypoints.plausibility import exchanged_sides, upside_down
from lifting.data.keypoints.source import open_source
from lifting.data.keypoints.timeline import MAX_GAP, Filled, Timeline, fill_gaps, timeline
from lifting.errors import ConfigError, DataError, suggest
from lifting.files.checks import Size
from lifting.files.npz import Array

log = logging.getLogger(__name__)

# Focal length of an unknown camera in parts of the image's larger side: 45 degrees across, as
# many cameras have, and close to that of Human3.6M.
GUESSED_FOCAL = 1.2
_SHORTEST, _LONGEST = 0.2, 20.0  # focal lengths that a camera may have, in the same parts
_LARGEST_SIDE = 100_000
_SAME_RATE = 0.01
_SLOWEST, _FASTEST = 1.0, 1000.0  # frames a second
_LONGEST_GAP = 100_000  # frames
_MOST_NAMED = 6
_GIVE_SIZE = "give --image-size WIDTH HEIGHT (image_size=(width, height))"


class Reading(TypedDict, total=False):
    """How keypoints are read; see :func:`read_video`."""

    image_size: Sequence[float] | None
    skeleton: str | Sequence[str] | None
    person: str | int
    intrinsics: Sequence[float] | None
    fps: float | None
    coordinates: Coordinates
    gap_frames: int
    photographs: bool
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


class View(NamedTuple):
    """A photograph's.

    Attributes:
        size: Width and height, pixels.
        lens: Of its camera.
    """

    size: tuple[float, float]
    lens: Lens


class VideoSeen(NamedTuple):
    """A video, or photographs, with everyone that was asked for.

    Attributes:
        people: Everyone, in pixels.
        when: Numbers of the frames.
        size: Width and height, pixels; of photographs, of the first.
        lens: Of the camera; likewise.
        fps: Frames a second of the video; None where nobody says.
        persons: Those asked for, by appearance.
        of: How many people there are.
        facts: What was read and changed, by key.
        photographs: One a frame, where frames are unrelated images; every sighting is a person.
    """

    people: People
    when: Timeline
    size: tuple[float, float]
    lens: Lens
    fps: float | None
    persons: tuple[Person, ...]
    of: int
    facts: dict[str, str]
    photographs: tuple[View, ...] = ()


def read_people(
    path: Path, skeleton: str | tuple[str, ...] | None = None, size: Size | None = None
) -> People:
    """Everyone that a file or folder of keypoints holds.

    Args:
        path: A file, or a folder with a file for every frame.
        skeleton: Name of the detector's skeleton, or names of all its joints; None takes what the
            file says of itself, else the one with that many joints that fits.
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
            so. ``skeleton``, name of the detector's skeleton, or the names of all its joints;
            None takes what the file says of itself, else the one with that many joints that fits
            the positions. ``person``, see
            :func:`choose_persons`. ``intrinsics``, ``fx, fy, cx, cy``, or all nine, pixels, None
            takes those of the file, or guesses a focal length of 1.2 times the larger side and
            the centre of the image. ``fps``, frames a second of the video, None where it is not
            known. ``coordinates``, what the file's positions are: ``pixels``, ``unit`` for parts
            of width and height from 0 to 1, ``signed`` for -1 to 1; ``auto`` is what the format
            prescribes. ``gap_frames``, the longest gap of a person that is filled, 10 frames where
            it is not given; longer ones cut a track. ``photographs``, whether every image is a
        photograph by itself, of somebody else; so are images of several sizes whose names do not
        number the frames of a video. ``size``, the largest file that is read.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use.
    """
    asked = _asked_for(options)
    return _seen(path, read_people(path, asked.skeleton, asked.size), asked)


def see_arrays(
    name: Path,
    points: Array,
    confidence: Array | None = None,
    **options: Unpack[Reading],
) -> VideoSeen:
    """The people of arrays in memory, as :func:`read_video` has those of a file.

    Args:
        name: What the arrays are called in messages.
        points: ``(frames, joints, 2 or 3)`` or ``(frames, people, joints, 2 or 3)``; the third
            number is the confidence. NaN is absent.
        confidence: Beside them, without the last axis.
        options: As for :func:`read_video`.

    Raises:
        DataError: They are of another form, or the order of the joints cannot be told.
        ConfigError: An argument is of no use.
    """
    asked = _asked_for(options)
    seen = sightings_of(name, points, confidence)
    return _seen(name, tabulate(name, seen, asked.skeleton), asked)


def _seen(path: Path, people: People, asked: _Asked) -> VideoSeen:
    if asked.photographs or are_photographs(people):
        return _photographs(path, people, asked)
    person = asked.person
    longest = MAX_GAP if asked.gap_frames is None else asked.gap_frames
    size = _image_size(path, people, asked.image_size)
    lens = _intrinsics(path, people, size, asked.intrinsics)
    fps = _rate(path, people, asked.fps)
    cleaned = to_pixels(path, people, size, asked.coordinates)
    people, far = within(path, cleaned.people, size, cleaned.coordinates)
    _warn_of_sides(path, people)
    when = timeline(people.frames)
    number = when.number[people.frame]
    chosen = choose_persons(path, people, number, person)
    persons = tuple(
        Person(one.track, fill_gaps(people.joints[one.rows], number[one.rows], longest))
        for one in chosen.choices
    )
    facts = {
        "frame_step": str(when.step),
        "frame_numbers": _numbers_from(people, when),
        "image_size": f"{size[0]:g} x {size[1]:g}",
        **_facts(people, cleaned, far, chosen, person, lens),
    }
    return VideoSeen(people, when, size, lens, fps, persons, chosen.persons, facts)


def are_photographs(people: People) -> bool:
    """Whether images are of several sizes, and their names no numbers of a video's frames.

    Args:
        people: As read.
    """
    sizes = people.claims.frame_sizes
    return len(set(sizes)) > 1 and not timeline(people.frames).numbered


def _photographs(path: Path, people: People, asked: _Asked) -> VideoSeen:
    """Images that have nothing to do with one another, each with a camera of its own."""
    if asked.fps is not None:
        raise ConfigError(
            f"expected no rate of the photographs in {path}, got {asked.fps:g} frames a second; "
            "leave --fps (fps=) out"
        )
    if asked.gap_frames is not None:
        raise ConfigError(
            f"expected no gaps between the photographs in {path}, got gap_frames "
            f"{asked.gap_frames}; leave --gap-frames (gap_frames=) out"
        )
    stated = people.claims.frame_sizes
    if len(set(stated)) < 2:
        stated = (_image_size(path, people, asked.image_size),) * len(people.frames)
    elif asked.image_size is not None or asked.intrinsics is not None:
        name = "intrinsics" if asked.image_size is None else "image_size"
        raise ConfigError(
            f"expected one size and camera for each of the photographs in {path}, whose sizes it "
            f"says, got one for all; leave --{name.replace('_', '-')} ({name}=) out"
        )
    sizes = [_checked_size(path, size) for size in stated]
    lenses = {size: _intrinsics(path, people, size, asked.intrinsics) for size in set(sizes)}
    views = tuple(View(size, lenses[size]) for size in sizes)
    sides = np.array(sizes)
    cleaned = to_pixels(path, people, sides[people.frame], asked.coordinates)
    shown = cleaned.people
    people, far = within(path, shown, sides[shown.frame], cleaned.coordinates)
    _warn_of_sides(path, people)
    chosen = choose_alone(path, people, asked.person)
    persons = tuple(
        Person(one.track, fill_gaps(people.joints[one.rows], people.frame[one.rows]))
        for one in chosen.choices
    )
    count, kinds = len(sizes), len(set(sizes))
    images = f"{count} image{'s' * (count > 1)}"
    facts = {
        "photographs": f"{images} of {kinds} size{'s' * (kinds > 1)}, no motion",
        "frame_step": "1",
        "frame_numbers": "of photographs",
        "image_size": "of each image" if kinds > 1 else f"{sizes[0][0]:g} x {sizes[0][1]:g}",
        **_facts(people, cleaned, far, chosen, asked.person, views[0].lens),
    }
    when = Timeline(np.arange(count, dtype=np.int64), 1, numbered=False)
    return VideoSeen(
        people, when, *views[0], None, persons, chosen.persons, facts, photographs=views
    )


def _facts(
    people: People, cleaned: Cleaned, far: int, chosen: Chosen, person: str, lens: Lens
) -> dict[str, str]:
    """What was read and changed, of videos and photographs alike."""
    facts = {
        "joints": people.order.why,
        "joints_told_by": people.order.told_by,
        "people": chosen.why,
        "person": _asked(chosen, person),
        "joints_not_finite": str(cleaned.not_finite),
        "joints_far_outside": str(far),
        "confidences_clipped": str(cleaned.clipped),
        "sightings_dropped": str(cleaned.dropped),
        "coordinates": cleaned.coordinates,
        "intrinsics": lens.origin,
    }
    if people.claims.notes:
        facts["notes"] = "; ".join(people.claims.notes)
    return facts


def _numbers_from(people: People, when: Timeline) -> str:
    if people.claims.plain:
        return "places in the array"
    return "from the names" if when.numbered else "in order"


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
    if stated is None or math.isnan(stated):  # unknown, as in the files that this package writes
        return given
    if not _SLOWEST <= stated <= _FASTEST:
        raise DataError(
            f"expected from {_SLOWEST:g} to {_FASTEST:g} frames a second in {path}, got "
            f"{stated:g}; correct it, or leave it out"
        )
    if given is not None and abs(given / stated - 1) > _SAME_RATE:
        raise DataError(
            f"expected the {stated:g} frames a second that {path} says, got {given:g}; leave "
            "--fps (fps=) out"
        )
    return stated


def check_one_size(path: Path, people: People) -> None:
    """Refuse images of several sizes, which are no single video.

    Args:
        path: The file, for messages.
        people: As read.

    Raises:
        DataError: The file says several sizes.
    """
    sizes = people.claims.image_sizes
    if len(sizes) > 1:
        listed = ", ".join(f"{width:g} x {height:g}" for width, height in sizes[:_MOST_NAMED])
        more = ", ..." if len(sizes) > _MOST_NAMED else ""
        raise DataError(
            f"expected images of one size in {path}, got {len(sizes)}: {listed}{more}; they are "
            "no single video: give one video at a time, or --photographs (photographs=True) to "
            "lift each image by itself"
        )


def _image_size(
    path: Path, people: People, given: tuple[float, ...] | None
) -> tuple[float, float]:
    check_one_size(path, people)
    stated = people.claims.image_size
    size = given or stated
    if size is None:
        raise DataError(
            f"expected the width and height of the video, got none, and {path} ({people.form}, "
            f"{people.order.why}) does not hold them; {_GIVE_SIZE}"
        )
    checked = _checked_size(path, size)
    if stated is not None and tuple(size) != tuple(stated):
        raise DataError(
            f"expected the image size that {path} says, {stated}, got {size}; "
            "leave --image-size (image_size=) out"
        )
    return checked


def _checked_size(path: Path, size: tuple[float, ...]) -> tuple[float, float]:
    if len(size) != 2 or not all(1 <= side <= _LARGEST_SIDE for side in size):
        raise DataError(
            f"expected finite numbers in 'image_size' of {path}, width and height from 1 to "
            f"{_LARGEST_SIDE} pixels, got {size}; {_GIVE_SIZE}"
        )
    return float(size[0]), float(size[1])


def _intrinsics(
    path: Path, people: People, size: tuple[float, float], given: tuple[float, ...] | None
) -> Lens:
    stated = people.claims.intrinsics
    numbers, origin = (stated, "of the file") if given is None else (given, "given")
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
            f"optionally five of distortion, got {numbers}; give --intrinsics FX FY CX CY "
            "(intrinsics=(fx, fy, cx, cy))"
        )
    if (
        given is not None
        and stated is not None
        and not np.allclose(given, stated[: len(given)], rtol=_SAME_RATE)
    ):
        raise DataError(
            f"expected the intrinsics that {path} says, {_listed(stated)}, got "
            f"{_listed(given)}; leave --intrinsics (intrinsics=) out"
        )
    _check_lens(path, size, numbers, origin)
    padded = (*(float(v) for v in numbers), *(0.0,) * (9 - len(numbers)))
    return Lens(padded, origin, is_guessed)


def _check_lens(
    path: Path, size: tuple[float, float], numbers: Sequence[float], origin: str
) -> None:
    """Refuse the intrinsics of no camera, such as those in parts of the image."""
    low, high = _SHORTEST * max(size), _LONGEST * max(size)
    focal = all(low <= value <= high for value in numbers[:2])
    if focal and all(0 <= v <= side for v, side in zip(numbers[2:4], size, strict=True)):
        return
    advice = (
        "correct them there, or leave them out"
        if origin == "of the file"
        else "give --intrinsics FX FY CX CY (intrinsics=(fx, fy, cx, cy)) in pixels"
    )
    raise DataError(
        f"expected 'intrinsics' for {path} in pixels, fx and fy from {low:g} to {high:g} "
        f"({_SHORTEST:g} to {_LONGEST:g} times the larger side) and cx, cy within the image of "
        f"{size[0]:g} x {size[1]:g}, got {_listed(numbers)} ({origin}); {advice}"
    )


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in numbers[:4])


class _Asked(NamedTuple):
    """The options of a reading, each of its kind."""

    image_size: tuple[float, ...] | None = None
    skeleton: str | tuple[str, ...] | None = None
    person: str = ALL
    intrinsics: tuple[float, ...] | None = None
    fps: float | None = None
    coordinates: Coordinates = "auto"
    gap_frames: int | None = None
    photographs: bool = False
    size: Size | None = None


def _asked_for(options: Mapping[str, Any]) -> _Asked:
    """Options as they are used; None is left out, arrays and tensors become tuples."""
    for name in options:
        if name not in _Asked._fields:
            raise ConfigError(
                f"expected an option of reading keypoints, got '{name}'; "
                f"{suggest(name, _Asked._fields)}"
            )
    given = {name: value for name, value in options.items() if value is not None}
    for name, form in (("image_size", "(width, height)"), ("intrinsics", "(fx, fy, cx, cy)")):
        if name in given:
            given[name] = _numbers(name, given[name], form)
    if "skeleton" in given:
        given["skeleton"] = _joint_set(given["skeleton"])
    person = given.get("person", ALL)
    if isinstance(person, Integral) and not isinstance(person, bool):
        given["person"] = str(person)
    elif not isinstance(person, str):
        raise ConfigError(
            f"expected person to be 'all', 'largest', 'longest' or the number of a track, got "
            f"{person!r:.60}; correct --person (person=)"
        )
    fps = given.get("fps", _SLOWEST)
    if not _is_number(fps) or not _SLOWEST <= fps <= _FASTEST:
        raise ConfigError(
            f"expected fps from {_SLOWEST:g} to {_FASTEST:g} frames a second, got "
            f"{fps!r:.60}; correct --fps (fps=)"
        )
    gap = given.get("gap_frames", 0)
    if type(gap) is not int or not 0 <= gap <= _LONGEST_GAP:
        raise ConfigError(
            f"expected gap_frames from 0 to {_LONGEST_GAP:,}, got {gap!r:.60}; correct "
            "--gap-frames (gap_frames=)"
        )
    if not isinstance(given.get("size", Size()), Size):
        raise ConfigError(
            f"expected size as a lifting.files.checks.Size, got {given['size']!r:.60}; give "
            "size=Size(megabytes)"
        )
    known = ("auto", "pixels", "unit", "signed")
    if given.get("coordinates", "auto") not in known:
        raise ConfigError(
            f"expected coordinates to be one of {', '.join(known)}, got "
            f"'{given['coordinates']}'; correct --coordinates (coordinates=)"
        )
    return _Asked(**given)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _numbers(name: str, given: Any, form: str) -> tuple[float, ...]:
    """The numbers of a sequence, an array or a tensor."""
    listed = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed, list | tuple):
        numbers = [v.tolist() if hasattr(v, "tolist") else v for v in listed]
        if all(map(_is_number, numbers)):
            return tuple(numbers)
    raise ConfigError(f"expected numbers in {name}, got {given!r:.80}; give {name}={form}")


def _joint_set(given: Any) -> str | tuple[str, ...]:
    """Name of a set, or names of all joints."""
    listed = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed, str):
        return listed
    if isinstance(listed, list | tuple) and all(isinstance(name, str) for name in listed):
        return tuple(listed)
    raise ConfigError(
        f"expected skeleton to be the name of a joint set, or the names of all joints, got "
        f"{given!r:.80}; give skeleton='coco17', for example"
    )
