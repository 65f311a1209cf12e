"""The people of a video: by the ids of its file where those are tracks, else by following them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.keypoints.following import follow, overlap_of, usable_boxes
from lifting.data.keypoints.people import People
from lifting.data.keypoints.plausibility import BoolArray, FloatArray
from lifting.data.keypoints.timeline import IntArray
from lifting.errors import ConfigError, DataError

ALL, LARGEST, LONGEST = "all", "largest", "longest"
_MAX_SCORE = 100.0  # AlphaPose adds several confidences up
_MAX_PAIRS, _MAX_A_FRAME = 1_000_000_000, 3000
# When the file's own word is not believed.
_ENOUGH = 10
_JUMP, _JUMP_A_FRAME = 1.5, 0.2
_OTHER_SIZE, _SOON = 1.8, 15
_APART, _SAME, _MOST_CHECKED = 0.05, 0.3, 5000
_SWAPS, _SWAPS_SHARE = 3, 0.02


class Choice(NamedTuple):
    """The sightings of one person.

    Attributes:
        rows: ``(n,)`` rows of the sightings, one a frame, in order.
        track: Number of the person.
    """

    rows: IntArray
    track: int


class Chosen(NamedTuple):
    """The people that are taken of a file.

    Attributes:
        choices: Those taken, in order of appearance.
        persons: Number of people there are.
        by: ``ids`` of the file, ``following``, or ``only one`` in every frame.
        why: How people were told apart and who is taken, in words.
    """

    choices: tuple[Choice, ...]
    persons: int
    by: str
    why: str


class _Told(NamedTuple):
    track: IntArray
    by: str
    why: str


def choose_persons(path: Path, people: People, number: IntArray, person: str = ALL) -> Chosen:
    """Tell the people of a video apart, and take all or one of them.

    Numbers that the file gives are kept where they are tracks (:func:`ids_are_tracks`); sightings
    without one beside them are followed among themselves and numbered on from the largest. Where
    there are none, or they are no tracks, everyone is followed and numbered by appearance; if no
    frame shows two people, all are sightings of one, however far it jumps. Of two sightings of a
    person in a frame the one with the larger product of box area and score is kept.

    Args:
        path: The file, for messages.
        people: Everyone, in pixels.
        number: ``(D,)``, frame number of each sighting, never falling.
        person: ``all``; ``largest``, whose product of box area and score is the largest in the
            mean over all frames in which anyone was seen, so that a brief false detection does
            not win; ``longest``, seen in the most frames; or the number of a track.

    Raises:
        DataError: The file has no such track, or too many people a frame to tell them apart.
        ConfigError: ``person`` is none of these.
    """
    if person not in (ALL, LARGEST, LONGEST) and not _is_number(person):
        raise ConfigError(
            f"expected person to be '{ALL}', '{LARGEST}', '{LONGEST}' or the number of a track, "
            f"got '{person}'; correct --person (person=)"
        )
    boxes = boxes_of(people)
    weight = _weights(people, boxes)
    told = _tell_apart(path, people, number, boxes)
    everyone = _by_appearance(told.track, number, weight)
    choices = everyone
    why = told.why
    repeats = len(number) - sum(len(choice.rows) for choice in everyone)
    if len(number) >= _ENOUGH and repeats > len(number) / 2:
        raise DataError(
            f"expected different people in a frame of {path}, got {len(number)} sightings in "
            f"{len(np.unique(number))} frames, {repeats} of which repeat another; the file lacks "
            "numbers of its frames, or mixes videos: write one entry or file for every frame"
        )
    if repeats:
        why = f"{why}; {repeats} sightings that repeat another are left out"
    if person != ALL:
        choices = (_one(path, person, everyone, weight),)
        if len(everyone) > 1:
            name = f"the {person}" if person in (LARGEST, LONGEST) else f"number {person}"
            why = f"{why}; taken is {name}{_number_of(choices[0], person)}"
    return Chosen(choices, len(everyone), told.by, why)


def choose_alone(path: Path, people: People, person: str = ALL) -> Chosen:
    """The people of photographs: every sighting is a person, numbered in order.

    Args:
        path: The file, for messages.
        people: Everyone, in pixels.
        person: ``all``; ``largest``, the one of each image whose product of box area and score is
            the largest; or a number.

    Raises:
        DataError: There is nobody of that number.
        ConfigError: ``person`` is none of these.
    """
    count = len(people.frame)
    images = len(np.unique(people.frame))
    why = f"{_persons(count)} in {images} image{'s' * (images > 1)}, each alone"
    chosen = np.arange(count)
    if person == LARGEST:
        order = np.lexsort((-_weights(people, boxes_of(people)), people.frame))
        chosen = order[np.diff(people.frame[order], prepend=-1) != 0]
        why = f"{why}; taken is the largest of each"
    elif _is_number(person):
        chosen = chosen[chosen == int(person)]
        why = f"{why}; taken is number {person}"
    elif person != ALL:
        raise ConfigError(
            f"expected '{ALL}', '{LARGEST}' or a number as person of photographs in {path}, got "
            f"'{person}'; correct --person (person=)"
        )
    if not len(chosen):
        raise DataError(
            f"expected a person {person} in {path}, got {_persons(count)}, numbered from 0; name "
            "one of them with --person (person=)"
        )
    choices = tuple(Choice(np.array([row]), int(row)) for row in chosen)
    return Chosen(choices, count, "image", why)


def ids_are_tracks(number: IntArray, track: IntArray) -> bool:
    """Whether the numbers that a file gives people can stay with them.

    They cannot where there are none, or where one stands twice in a frame, as it does where all
    are 0 and a frame shows two people. One that is seen once a frame, be it 0, is a track.

    Args:
        number: ``(D,)``, frame number of each sighting, never falling.
        track: ``(D,)``, number of each person, -1 without.
    """
    return bool((track >= 0).any()) and not len(_seen_twice(number, track))


def boxes_of(people: People) -> FloatArray:
    """Box of every sighting, that of its joints where the file gives none, ``(D, 4)`` corners.

    Args:
        people: Everyone, in pixels.
    """
    xy = people.joints[..., :2]
    seen: BoolArray = (people.joints[..., 2] > 0) & np.all(np.isfinite(xy), axis=-1)
    return usable_boxes(people.box, xy, seen)


def _tell_apart(path: Path, people: People, number: IntArray, boxes: FloatArray) -> _Told:
    track = people.track
    known = track >= 0
    alone_always = len(np.unique(number)) == len(number) and bool((track == track[0]).all())
    if alone_always and not _jumps(number, boxes):
        alone = np.full_like(track, max(int(track[0]), 0))
        return _Told(alone, "only one", "1 person: no frame shows two")
    are_tracks = not alone_always and ids_are_tracks(number, track)
    swapped = _swapped(number, track, boxes) if are_tracks else 0
    if are_tracks and not swapped:
        count = len(np.unique(track[known]))
        why = f"{_persons(count)} by the file's ids"
        if known.all():
            return _Told(track, "ids", why)
        others = _followed(path, people, number, boxes, ~known)
        extra = len(np.unique(others))
        track = track.copy()
        track[~known] = others + track.max() + 1
        why = f"{why}, and {_persons(extra)} without one followed by boxes, joints and motion"
        return _Told(track, "ids", why)
    track = _followed(path, people, number, boxes, np.ones(len(number), dtype=bool))
    how = f"{_persons(len(np.unique(track)))} followed by boxes, joints and motion"
    if alone_always:
        why = "no frame shows two, but who is shown jumps"
    elif swapped:
        why = f"the file's ids change between people {swapped} times"
    else:
        why = _why_no_ids(people, number)
    return _Told(track, "following", f"{how}: {why}")


def _jumps(number: IntArray, boxes: FloatArray) -> bool:
    """Whether the only one in every frame is somewhere else: too far, or beside and of other size.

    A person who is hidden in part has a smaller box, but one within the one before.
    """
    before, now, passed = boxes[:-1], boxes[1:], np.diff(number)
    with np.errstate(invalid="ignore"):
        first, second = ((box[:, 2:] - box[:, :2]).max(-1, initial=1.0) for box in (before, now))
        size = np.maximum(first, second)
        step = np.abs(now[:, :2] + now[:, 2:] - before[:, :2] - before[:, 2:]).max(-1) / 2
        far = step > (_JUMP + _JUMP_A_FRAME * passed) * size
        other = (size > _OTHER_SIZE * np.minimum(first, second)) & (overlap_of(before, now) <= 0)
        return bool((far | (other & (passed <= _SOON))).any())


def _swapped(number: IntArray, track: IntArray, boxes: FloatArray) -> int:
    """How often an id goes to where another was, from frame to frame; 0 where it hardly does."""
    rows = np.flatnonzero(track >= 0)
    rows = rows[np.lexsort((number[rows], track[rows]))]
    a, b = rows[:-1], rows[1:]
    next_to = (track[a] == track[b]) & (number[b] - number[a] == 1)
    a, b = a[next_to], b[next_to]
    apart = overlap_of(boxes[a], boxes[b]) < _APART
    count = 0
    for i, j in zip(a[apart][:_MOST_CHECKED], b[apart][:_MOST_CHECKED], strict=True):
        there = slice(*np.searchsorted(number, (number[j], number[j] + 1)))
        others = boxes[there]
        count += bool((overlap_of(np.broadcast_to(boxes[i], others.shape), others) > _SAME).any())
    return count if count >= _SWAPS and count > _SWAPS_SHARE * len(a) else 0


def _followed(
    path: Path, people: People, number: IntArray, boxes: FloatArray, rows: BoolArray
) -> IntArray:
    _, counts = np.unique(number[rows], return_counts=True)
    if int((counts.astype(np.float64) ** 2).sum()) > _MAX_PAIRS or counts.max() > _MAX_A_FRAME:
        raise DataError(
            f"expected few enough people a frame to tell them apart in {path}, got "
            f"{int(rows.sum())} sightings, up to {counts.max()} a frame; use a detector that "
            "writes track numbers"
        )
    return follow(number[rows], boxes[rows], people.joints[rows])


def _why_no_ids(people: People, number: IntArray) -> str:
    ids = people.track[people.track >= 0]
    if not len(ids):
        return "the file gives no ids"
    if (people.track == ids[0]).all():
        return f"the file's ids are no tracks (all {ids[0]})"
    row = int(_seen_twice(number, people.track)[0])
    name = people.frames[int(people.frame[row])]
    name = name if len(name) <= 80 else name[:77] + "..."
    return f"the file's ids are no tracks ({people.track[row]} stands twice in frame {name})"


def _seen_twice(number: IntArray, track: IntArray) -> IntArray:
    """Rows of sightings whose number another of the same frame had before."""
    known = np.flatnonzero(track >= 0)
    order = known[np.lexsort((track[known], number[known]))]
    same = (np.diff(track[order]) == 0) & (np.diff(number[order]) == 0)
    return np.sort(order[1:][same])


def _persons(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _weights(people: People, boxes: FloatArray) -> FloatArray:
    """Box area times score, the mean confidence where there is none, ``(D,)``."""
    confidence = people.joints[..., 2]
    mean = confidence.sum(-1) / (confidence > 0).sum(-1).clip(min=1)
    score = np.where(np.isfinite(people.score), people.score, mean).clip(0, _MAX_SCORE)
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1) * score


def _by_appearance(track: IntArray, number: IntArray, weight: FloatArray) -> tuple[Choice, ...]:
    """Everyone's sightings, one a frame, in order of the first."""
    order = np.lexsort((-weight, number, track))
    other = np.diff(track[order], prepend=-1) != 0
    kept = other | (np.diff(number[order], prepend=-1) != 0)
    rows, first = order[kept], np.flatnonzero(other[kept])
    pieces = np.split(rows, first[1:])
    ids = track[rows[first]]
    appeared = np.lexsort((ids, number[rows[first]]))
    return tuple(Choice(pieces[i], int(ids[i])) for i in appeared)


def _is_number(person: str) -> bool:
    return person.isascii() and person.isdigit() and len(person) <= 15


def _number_of(choice: Choice, person: str) -> str:
    return f", number {choice.track}" if person in (LARGEST, LONGEST) else ""


def _one(path: Path, person: str, everyone: tuple[Choice, ...], weight: FloatArray) -> Choice:
    if person == LARGEST:
        return max(everyone, key=lambda choice: float(weight[choice.rows].sum()))
    if person == LONGEST:
        return max(everyone, key=lambda choice: len(choice.rows))
    for choice in everyone:
        if choice.track == int(person):
            return choice
    most = sorted(everyone, key=lambda choice: -len(choice.rows))[:10]
    listed = ", ".join(f"{choice.track} ({len(choice.rows)} frames)" for choice in most)
    raise DataError(
        f"expected a person {person} in {path}, got {_persons(len(everyone))}: {listed}; "
        "name one of them with --person (person=)"
    )
