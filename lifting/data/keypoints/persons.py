"""One person out of everyone a detector saw: by track, or the one that fills the picture most."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.keypoints.people import People
from lifting.data.keypoints.plausibility import BoolArray, FloatArray
from lifting.data.keypoints.timeline import MAX_GAP, IntArray
from lifting.errors import ConfigError, DataError

LARGEST = "largest"
_MIN_OVERLAP = 0.3
_MAX_SCORE = 100.0  # AlphaPose adds several confidences up
_MAX_PAIRS = 100_000_000
_PAIRS_AT_ONCE = 1_000_000


ALL = "all"


class Choice(NamedTuple):
    """The sightings of one person.

    Attributes:
        rows: ``(n,)`` rows of the sightings, one a frame, in order.
        track: Number of the person.
        persons: Number of persons there were.
        by: ``ids`` of the file, ``overlap`` of boxes, or ``only one`` in every frame.
    """

    rows: IntArray
    track: int
    persons: int
    by: str


def choose_person(path: Path, people: People, number: IntArray, person: str = LARGEST) -> Choice:
    """Choose one person of a video.

    The largest has the largest product of box area and score, averaged over all frames in which
    anyone was seen, so that a brief false detection does not win. Where the file has track
    numbers, sightings without one are left out. Elsewhere boxes that overlap from frame to frame,
    over gaps of up to ten frames, are one person, numbered by appearance.

    Args:
        path: The file, for messages.
        people: Everyone, in pixels.
        number: ``(D,)``, frame number of each sighting, never falling.
        person: ``largest``, or the number of a track.

    Raises:
        DataError: The file has no such track.
        ConfigError: ``person`` is neither.
    """
    boxes = boxes_of(people)
    weight = _weights(people, boxes)
    track, by = people.track, "ids"
    if (track < 0).all():
        alone = len(np.unique(number)) == len(number)
        track = np.zeros_like(number) if alone else link(path, number, boxes)
        by = "only one" if alone else "overlap"
    ids = np.unique(track[track >= 0])
    chosen = _chosen(path, person, ids, track, weight)
    rows = np.flatnonzero(track == chosen)
    # Twice in a frame: the heavier sighting comes first and is kept.
    rows = rows[np.lexsort((-weight[rows], number[rows]))]
    rows = rows[np.unique(number[rows], return_index=True)[1]]
    return Choice(rows, chosen, len(ids), by)


def _weights(people: People, boxes: FloatArray) -> FloatArray:
    """Box area times score, the mean confidence where there is none, ``(D,)``."""
    confidence = people.joints[..., 2]
    mean = confidence.sum(-1) / (confidence > 0).sum(-1).clip(min=1)
    score = np.where(np.isfinite(people.score), people.score, mean).clip(0, _MAX_SCORE)
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1) * score


def boxes_of(people: People) -> FloatArray:
    """Box of every sighting, that of its joints where the file gives none, ``(D, 4)`` corners.

    Args:
        people: Everyone, in pixels.
    """
    xy = people.joints[..., :2]
    seen = (people.joints[..., 2:] > 0) & np.isfinite(xy)
    low = np.where(seen, xy, np.inf).min(1)
    high = np.where(seen, xy, -np.inf).max(1)
    own = people.box
    rising = np.all(own[:, 2:] > own[:, :2], axis=-1, keepdims=True)
    usable = rising & np.all(np.abs(own) < 1e9, axis=-1, keepdims=True)
    return np.where(usable, own, np.concatenate((low, high), axis=-1))


def link(path: Path, number: IntArray, boxes: FloatArray) -> IntArray:
    """Number the persons of a video by the overlap of their boxes, ``(D,)``.

    First sightings in neighbouring frames are joined, then the ends of what is joined over ever
    longer gaps; each end takes the start it overlaps most, each start its best end.

    Args:
        path: The file, for messages.
        number: ``(D,)``, frame number of each sighting, never falling.
        boxes: ``(D, 4)``, corners.

    Raises:
        DataError: So many people in a frame that comparing them all would take too long.
    """
    following = np.full(len(number), -1, dtype=np.int64)
    followed = np.zeros(len(number), dtype=bool)
    for distance in range(1, MAX_GAP + 2):
        ends, starts = np.flatnonzero(following < 0), np.flatnonzero(~followed)
        first = np.searchsorted(number[starts], number[ends] + distance, side="left")
        last = np.searchsorted(number[starts], number[ends] + distance, side="right")
        if int((last - first).sum()) > _MAX_PAIRS:
            raise DataError(
                f"expected few enough people a frame to tell them apart in {path}, got "
                f"{len(number)} sightings; use a detector that writes track numbers"
            )
        end, start, overlap = _best_starts(boxes, ends, starts, first, last)
        order = np.lexsort((overlap, start))
        winner = np.diff(start[order], append=-1) != 0
        end, start = end[order][winner], start[order][winner]
        following[end], followed[start] = start, True
    return _components(following, followed)


def _best_starts(
    boxes: FloatArray, ends: IntArray, starts: IntArray, first: IntArray, last: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """For every end the start with the largest overlap, and that overlap; those with enough."""
    counts = last - first
    blocks = np.cumsum(counts) // _PAIRS_AT_ONCE
    found: list[tuple[IntArray, IntArray, FloatArray]] = []
    for block in np.split(np.arange(len(ends)), np.flatnonzero(np.diff(blocks)) + 1):
        block = block[counts[block] > 0]
        if not len(block):
            continue
        size = counts[block]
        begins = np.cumsum(size) - size
        place = np.arange(int(size.sum())) - np.repeat(begins - first[block], size)
        end, start = np.repeat(ends[block], size), starts[place]
        overlap = _overlap(boxes[end], boxes[start])
        best = np.lexsort((-overlap, end))[begins]
        best = best[overlap[best] >= _MIN_OVERLAP]
        found.append((end[best], start[best], overlap[best]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    end, start, overlap = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return end, start, overlap


def _overlap(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of pairs of boxes, ``(n,)``."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clip(0).prod(-1)
    either = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - both
    return both / np.maximum(either, 1e-9)


def _components(following: IntArray, followed: BoolArray) -> IntArray:
    """Number of the chain that each sighting belongs to, chains counted by their start."""
    before = np.arange(len(following))
    linked = np.flatnonzero(following >= 0)
    before[following[linked]] = linked
    while True:  # each round doubles the distance looked back
        further = before[before]
        if (further == before).all():
            break
        before = further
    return np.cumsum(~followed)[before] - 1


def _chosen(path: Path, person: str, ids: IntArray, track: IntArray, weight: FloatArray) -> int:
    index = np.searchsorted(ids, track[track >= 0])
    if person == LARGEST:
        return int(ids[np.bincount(index, weights=weight[track >= 0]).argmax()])
    if not (person.isascii() and person.isdigit() and len(person) <= 15):
        raise ConfigError(
            f"expected person to be '{LARGEST}' or the number of a track, got '{person}'; "
            "correct --person"
        )
    if int(person) not in ids:
        sizes = np.bincount(index)
        most = np.argsort(-sizes, kind="stable")[:10]
        listed = ", ".join(f"{ids[i]} ({sizes[i]} frames)" for i in most)
        raise DataError(
            f"expected a person {person} in {path}, got {len(ids)} persons: {listed}; "
            "name one of them with --person"
        )
    return int(person)


class Chosen(NamedTuple):
    """Stands in until people are followed."""

    choices: tuple[Choice, ...]
    persons: int
    by: str
    why: str


def choose_persons(path: Path, people: People, number: IntArray, person: str = ALL) -> Chosen:
    """Stands in until people are followed."""
    one = choose_person(path, people, number, LARGEST if person == ALL else person)
    return Chosen((one,), one.persons, one.by, "")
