"""What a keypoint file is, for people: ``lifting data look``. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lifting.data.keypoints.dialects import find_dialect
from lifting.data.keypoints.people import People, Sightings, tabulate
from lifting.data.keypoints.persons import choose_alone, choose_persons
from lifting.data.keypoints.pixels import to_pixels, within
from lifting.data.keypoints.plausibility import IMPLAUSIBLE, exchanged_sides, upside_down
from lifting.data.keypoints.read import are_photographs, check_one_size
from lifting.data.keypoints.source import open_source
from lifting.data.keypoints.timeline import timeline
from lifting.errors import DataError
from lifting.files.checks import Size

_NOMINAL = (1000.0, 1000.0)  # for parts of an image whose size nobody says
_LISTED = 8


@dataclass
class Look:
    """What was found.

    Attributes:
        facts: What there is, by name, in the order of reading.
        people: Everyone, in pixels; None where reading did not get so far.
        track: ``(D,)``, number of the person of each sighting, -1 for sightings left out.
        problem: Why it cannot be lifted as it is; None where it can.
    """

    facts: dict[str, str] = field(default_factory=dict)
    people: People | None = None
    track: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
    problem: str | None = None


def look(
    path: Path,
    skeleton: str | None = None,
    image_size: tuple[float, float] | None = None,
    size: Size | None = None,
) -> Look:
    """Describe a file or folder of keypoints as far as it can be read.

    Args:
        path: The file or folder.
        skeleton: Name of the order of the joints, where the file leaves it open.
        image_size: Width and height, pixels, where the file does not say.
        size: What may be read.

    Returns:
        The facts; with ``problem`` where reading stopped, in the words of the error.

    Raises:
        MissingDataError: Nothing is there.
        ConfigError: No skeleton has that name.
    """
    found = Look()
    try:
        _describe(found, path, skeleton, image_size, size)
    except DataError as error:
        if not found.facts and not path.exists():
            raise
        found.problem = str(error)
    return found


def sampled_rows(found: Look, count: int = 3) -> Iterator[list[int]]:
    """Sightings of a few frames spread over those that show someone.

    Args:
        found: What was found, with people.
        count: Frames.
    """
    assert found.people is not None
    frames = np.unique(found.people.frame)
    chosen = np.unique(frames[np.linspace(0, len(frames) - 1, count).round().astype(int)])
    for frame in chosen:
        yield np.flatnonzero(found.people.frame == frame).tolist()


def _describe(
    found: Look,
    path: Path,
    skeleton: str | None,
    image_size: tuple[float, float] | None,
    size: Size | None,
) -> None:
    facts = found.facts
    source = open_source(path, size)
    facts["file"] = source.in_words()
    dialect = find_dialect(source)
    facts["format"] = f"{dialect.title} ({dialect.name})"
    seen = dialect.read(source)
    facts["frames"] = _frames(seen)
    facts["rate"] = "not said" if seen.fps is None else f"{seen.fps:g} frames a second"
    stated = seen.image_size or image_size
    facts["image size"] = (
        f"{len(seen.image_sizes)} sizes"
        if len(seen.image_sizes) > 1
        else "not said: lifting needs --image-size WIDTH HEIGHT"
        if stated is None
        else f"{stated[0]:g} x {stated[1]:g}"
    )
    if seen.notes:
        facts["notes"] = "; ".join(seen.notes)
    people = tabulate(path, seen, skeleton)
    order = people.order
    facts["joints"] = order.why
    if not np.isnan(order.score):
        facts["score of the joints"] = f"{order.score:.2f}; people score below {IMPLAUSIBLE}"
    if seen.extra:
        facts["further joints"] = f"{len(seen.extra)}: {seen.extra[0]} .. {seen.extra[-1]}"
    alone = are_photographs(people)
    sides = np.array(seen.frame_sizes) if alone else np.array(stated or _NOMINAL)[None]
    cleaned = to_pixels(path, people, sides[people.frame if alone else [0]])
    people = cleaned.people
    if stated is not None or alone:
        own = sides[people.frame if alone else [0]]
        people, far = within(path, people, own, cleaned.coordinates)
        facts["far outside the image"] = f"{far} joints, which count as missing"
    found.people = people
    facts["positions"] = _range(people, cleaned.coordinates)
    if alone:
        facts["images"] = "photographs: each is lifted by itself, without motion"
        chosen = choose_alone(path, people)
        facts["people"] = f"{chosen.persons}: {chosen.why}"
        found.track = np.arange(len(people.frame))
    else:
        _follow(found, path, people)
    facts["missing joints"] = _missing(people)
    points, sure = people.joints[..., :2], people.joints[..., 2]
    if exchanged_sides(points, sure, people.skeleton):
        facts["sides"] = "faces are seen from behind: left and right may be exchanged"
    if upside_down(points, sure, people.skeleton):
        facts["up and down"] = "heads lie below ankles: y points up, or the picture is turned"
    if not alone:
        check_one_size(path, people)


def _follow(found: Look, path: Path, people: People) -> None:
    """Tell the people of a video apart."""
    facts = found.facts
    number = timeline(people.frames).number[people.frame]
    chosen = choose_persons(path, people, number)
    facts["people"] = f"{chosen.persons}: {chosen.why}"
    found.track = np.full(len(number), -1, dtype=np.int64)
    for one in chosen.choices:
        found.track[one.rows] = one.track
    facts["tracks"] = _tracks([(one.track, number[one.rows]) for one in chosen.choices])


def _frames(seen: Sightings) -> str:
    frames = seen.frames
    when = timeline(frames)
    shown = len({person.frame for person in seen.people})
    gaps = int(when.number[-1]) + 1 - len(frames) if frames else 0
    names = f", {frames[0][:30]} to {frames[-1][:30]}" if len(frames) > 1 else ""
    step = f", every {when.step}th" if when.step > 1 else ""
    return f"{len(frames)} ({shown} with someone, {gaps} missing in their numbers{step}){names}"


def _range(people: People, kind: str) -> str:
    points = people.joints[..., :2]
    low, high = np.nanmin(points, (0, 1)), np.nanmax(points, (0, 1))
    if kind != "pixels":
        return f"parts of the image, {'0' if kind == 'unit' else '-1'} to 1"
    return f"pixels, x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f}"


def _tracks(tracks: list[tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]]]) -> str:
    words = [
        f"{track} ({len(number)} frames, {number[0]} to {number[-1]})"
        for track, number in tracks[:_LISTED]
    ]
    more = f", and {len(tracks) - _LISTED} more" if len(tracks) > _LISTED else ""
    return ", ".join(words) + more


def _missing(people: People) -> str:
    absent = ~(people.joints[..., 2] > 0)
    share = absent.mean(0)
    worst = np.argsort(-share, kind="stable")[:3]
    names = people.skeleton.joints
    most = ", ".join(f"{names[j]} {share[j]:.0%}" for j in worst if share[j] > 0)
    return f"{absent.mean():.1%}" + (f" (most: {most})" if most else "")
