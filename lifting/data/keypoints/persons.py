"""The people of a video: by the ids of its file where those are tracks, else by following them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lifting.data.keypoints.people import People
from lifting.data.keypoints.plausibility import BoolArray, FloatArray
from lifting.data.keypoints.timeline import IntArray
from lifting.errors import ConfigError, DataError

ALL, LARGEST, LONGEST = "all", "largest", "longest"
_MAX_SCORE = 100.0  # AlphaPose adds several confidences up
_MAX_PAIRS, _MAX_A_FRAME = 1_000_000_000, 3000
_FARTHEST = 1e9  # pixels; beyond that a number is damaged
# How people are followed. Lengths are parts of a person's size, which is the larger side of its
# box; times are frames. benchmarks/keypoint_people.py measures what they do: they were chosen on
# motions of CMU's part `train`, at 10 to 50 frames a second.
_LONGEST_ABSENCE, _ABSENCE_A_SIGHTING = 60, 6
_KEEPS_MOVING, _NEW_MOTION = 0.97, 0.1
# How far people are found from where they are expected: at first, more a frame missed, bounds; and
# how many times what was usual for the person, of which each frame changes a part.
_OFFSET, _OFFSET_A_FRAME, _LEAST_OFFSET, _FARTHEST_OFFSET = 0.1, 0.007, 0.03, 0.15
_STRAYS, _NEW_STRAY = 2.0, 0.1
_POSE, _POSE_A_FRAME, _POSE_AT_MOST = 0.06, 0.005, 0.12
_POSE_COST = 9.0  # at most: detectors take left for right
_SCALE = 0.12
_NO_OVERLAP, _DOUBT = 2.0, 3.0
_DEAREST, _SURELY = 30.0, 9.0
_REACH = 6.0  # an offset of more than that many times the allowed is too dear on its own
_LEAST_JOINTS = 3
# When the file's own word is not believed.
_ENOUGH = 10
_JUMP, _JUMP_A_FRAME = 1.5, 0.2
_OTHER_SIZE, _SOON = 1.8, 15
_APART, _SAME, _MOST_CHECKED = 0.05, 0.3, 5000
_SWAPS, _SWAPS_SHARE = 3, 0.02
_TWIN_JOINTS, _TWIN_OVERLAP, _TWIN_BOXES = 0.08, 0.5, 0.8


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
            f"got '{person}'; correct --person"
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
    return _usable_boxes(people.box, xy, seen)


def follow(number: IntArray, boxes: FloatArray, joints: FloatArray) -> IntArray:
    """Number the people of a video by where they are, ``(D,)``; counted by appearance.

    In every frame those known so far are assigned to those seen, at the least sum of costs. A
    cost grows with the distance of the joints from where the person's motion would have brought
    them, measured by how well that motion told its place before, with the change of pose and of
    scale, and as boxes overlap less; of sightings with fewer than three joints in common only the
    boxes count. People are expected back where they were heading for up to 60 frames, and for a
    shorter time if they were hardly seen: the longer, the more distance is allowed and the more it
    costs to be taken for them. Whoever comes back later, or elsewhere, is somebody new. Two
    sightings in a frame with nearly the same joints or boxes are one person seen twice, and get
    the same number, unless both go on where two people were seen in the frame before.

    Args:
        number: ``(D,)``, frame number of each sighting, never falling.
        boxes: ``(D, 4)``, corners, pixels.
        joints: ``(D, J, 3)``: x, y, confidence; a missing joint has position NaN.
    """
    from scipy.optimize import linear_sum_assignment  # 1.2 s to import

    track = np.full(len(number), -1, dtype=np.int64)
    everyone = _sightings(boxes, joints)
    first = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))
    known, made = _nobody(joints.shape[1]), 0
    for begin, end in pairwise([*first.tolist(), len(number)]):
        frame, seen = int(number[begin]), _Seen(*(part[begin:end] for part in everyone))
        known = _still_expected(known, frame)
        cost, step = _costs(known, seen, frame)
        who, which = linear_sum_assignment(cost)
        fits = cost[who, which] < _DEAREST
        who, which = who[fits], which[fits]
        price = np.full(end - begin, np.inf)
        price[which] = cost[who, which]
        steady = np.zeros(end - begin, dtype=bool)
        steady[which] = (price[which] < _SURELY) & (frame - known.last[who] == 1)
        original = _originals(seen, price, steady)
        itself = original == np.arange(end - begin)
        who, which = who[itself[which]], which[itself[which]]
        given = np.full(end - begin, -1, dtype=np.int64)
        given[which] = known.track[who]
        _move(known, who, seen, which, step[who, which], frame)
        new = np.flatnonzero(itself & (given < 0))
        if len(new):
            given[new] = made + np.arange(len(new))
            known = _joined(known, seen, new, given[new], frame)
            made += len(new)
        track[begin:end] = given[original]
    return track


class _Seen(NamedTuple):
    """Sightings: ``box (n, 4)``, ``xy (n, J, 2)`` 0 where missing, ``sure (n, J)``, ``size``."""

    box: FloatArray
    xy: FloatArray
    sure: FloatArray
    size: FloatArray


class _Known(NamedTuple):
    """People who may be seen again, as they were last seen.

    ``motion (n, 2)`` a frame, and by what part of its size each was mostly missed, ``stray (n,)``.
    """

    box: FloatArray
    xy: FloatArray
    sure: FloatArray
    size: FloatArray
    motion: FloatArray
    stray: FloatArray
    last: IntArray
    times: IntArray
    track: IntArray


def _sightings(boxes: FloatArray, joints: FloatArray) -> _Seen:
    """Everyone, with what is damaged made missing: NaN in boxes, confidence 0 for joints."""
    xy, confidence = joints[..., :2], joints[..., 2]
    shown = (np.abs(xy) < _FARTHEST).all(-1) & (confidence > 0)
    box = _usable_boxes(boxes, xy, shown)
    box = np.where((np.abs(box) < _FARTHEST).all(-1, keepdims=True), box, np.nan)
    size = (box[:, 2:] - box[:, :2]).max(-1, initial=1.0)
    sure = np.where(shown, confidence, 0.0).clip(0, 1)
    return _Seen(box, np.where(shown[..., None], xy, 0.0), sure, size)


def _usable_boxes(boxes: FloatArray, xy: FloatArray, shown: BoolArray) -> FloatArray:
    """Boxes, those of the shown joints where one is of no use, ``(n, 4)``."""
    low = np.where(shown[..., None], xy, np.inf).min(1)
    high = np.where(shown[..., None], xy, -np.inf).max(1)
    rising = np.all(boxes[:, 2:] > boxes[:, :2], axis=-1, keepdims=True)
    usable = rising & np.all(np.abs(boxes) < _FARTHEST, axis=-1, keepdims=True)
    return np.where(usable, boxes, np.concatenate((low, high), axis=-1))


def _nobody(joints: int) -> _Known:
    none = np.zeros(0, dtype=np.int64)
    place = np.zeros((0, joints, 2))
    return _Known(
        np.zeros((0, 4)),
        place,
        place[..., 0],
        np.zeros(0),
        np.zeros((0, 2)),
        np.zeros(0),
        none,
        none,
        none,
    )


def _originals(seen: _Seen, price: FloatArray, steady: BoolArray) -> IntArray:
    """For each sighting of a frame the one it repeats, else itself, ``(n,)``.

    Args:
        seen: The sightings.
        price: ``(n,)``, what it cost to recognise each, infinity where nobody was; of two alike
            the dearer repeats the other, or the less sure.
        steady: ``(n,)``, who was recognised for little and seen in the frame before, too; two of
            these are two people who meet, however alike.
    """
    count = len(price)
    original = np.arange(count)
    if count < 2:
        return original
    a, b = np.nonzero(_close(seen.box, np.zeros(count), seen.box))
    a, b = a[a < b], b[a < b]
    overlap = _overlap(seen.box[a], seen.box[b])
    alike = (overlap > _TWIN_OVERLAP) & ~(steady[a] & steady[b])
    if not alike.any():
        return original
    a, b, overlap = a[alike], b[alike], overlap[alike]
    size = np.sqrt(seen.size[a] * seen.size[b])
    apart = _compare(seen.xy[a], seen.sure[a], seen.xy[b], seen.sure[b])
    same = overlap > _TWIN_BOXES
    same |= apart.usable & (apart.distance < _TWIN_JOINTS * size)
    a, b = a[same], b[same]
    order = np.lexsort((-seen.sure.sum(-1), price))
    rank = np.argsort(order)
    best = np.arange(count)  # by rank: the best that each is like
    np.minimum.at(best, np.maximum(rank[a], rank[b]), np.minimum(rank[a], rank[b]))
    while (best[best] != best).any():
        best = best[best]
    original[order] = order[best]
    return original


def _still_expected(known: _Known, frame: int) -> _Known:
    patience = np.minimum(known.times * _ABSENCE_A_SIGHTING, _LONGEST_ABSENCE)
    there = frame - known.last <= patience + 1
    parts: list[Any] = list(known)
    return known if there.all() else _Known(*(part[there] for part in parts))


def _costs(known: _Known, seen: _Seen, frame: int) -> tuple[FloatArray, FloatArray]:
    """What it costs to take each of the known for each of the seen, and how far that moves them.

    Returns:
        ``(known, seen)`` and ``(known, seen, 2)``, pixels.
    """
    cost = np.full((len(known.size), len(seen.size)), _DEAREST)
    step = np.zeros((*cost.shape, 2))
    missed = (frame - known.last - 1).astype(np.float64)
    ahead = known.motion * _way(missed + 1)[:, None]
    box = known.box + np.concatenate((ahead, ahead), axis=-1)
    allowed = np.maximum(_STRAYS * known.stray, _LEAST_OFFSET) + _OFFSET_A_FRAME * missed
    allowed = np.minimum(allowed, _FARTHEST_OFFSET)
    who, which = np.nonzero(_close(box, known.size * allowed * _REACH, seen.box))
    if not len(who):
        return cost, step
    size = np.sqrt(known.size[who] * seen.size[which])
    before, now, late, shift = box[who], seen.box[which], missed[who], ahead[who]
    xy = known.xy[who] + shift[:, None]
    apart = _compare(xy, known.sure[who], seen.xy[which], seen.sure[which])
    usable = apart.usable
    centre = (now[:, :2] + now[:, 2:] - before[:, :2] - before[:, 2:]) / 2
    offset = np.where(usable[:, None], apart.offset, centre)
    pose = np.where(usable, apart.pose / size, _POSE)
    bent = np.minimum(_POSE + _POSE_A_FRAME * late, _POSE_AT_MOST)
    scale = np.where(usable, apart.scale, np.log(seen.size[which] / known.size[who]))
    found = (
        (offset**2).sum(-1) / (allowed[who] * size) ** 2
        + np.minimum((pose / bent) ** 2, _POSE_COST)
        + (scale / _SCALE) ** 2
        + _NO_OVERLAP * (1 - _overlap(before, now))
        + _DOUBT * np.log(allowed[who] / _OFFSET * bent / _POSE)
    )
    cost[who, which] = np.where(found < _DEAREST, found, _DEAREST)
    step[who, which] = offset + shift
    return cost, step


def _way(frames: FloatArray) -> FloatArray:
    """How many frames' motion a person goes on for, slowing down."""
    return (1 - _KEEPS_MOVING**frames) / (1 - _KEEPS_MOVING)


def _close(a: FloatArray, margin: FloatArray, b: FloatArray) -> BoolArray:
    """Whether boxes ``(p, 4)`` with a margin ``(p,)`` meet others ``(q, 4)``, ``(p, q)``."""
    more = margin[:, None]
    close: BoolArray = (a[:, None, 0] - more <= b[:, 2]) & (b[:, 0] <= a[:, None, 2] + more)
    close &= (a[:, None, 1] - more <= b[:, 3]) & (b[:, 1] <= a[:, None, 3] + more)
    return close


class _Apart(NamedTuple):
    """How joints of pairs differ: ``offset (n, 2)`` of all, ``pose`` after it, log ``scale``."""

    usable: BoolArray
    distance: FloatArray
    offset: FloatArray
    pose: FloatArray
    scale: FloatArray


def _compare(a: FloatArray, sure_a: FloatArray, b: FloatArray, sure_b: FloatArray) -> _Apart:
    """Compare the joints that both of a pair show, ``(n, J, 2)`` each, the surer the more."""
    share = sure_a * sure_b
    usable = (share > 0).sum(-1) >= _LEAST_JOINTS
    share = share / np.maximum(share.sum(-1, keepdims=True), 1e-12)
    step = b - a
    offset = np.einsum("nj,njc->nc", share, step)
    middle_a, middle_b = (np.einsum("nj,njc->nc", share, v)[:, None] for v in (a, b))
    wide_a = np.einsum("nj,njc->n", share, (a - middle_a) ** 2)
    wide_b = np.einsum("nj,njc->n", share, (b - middle_b) ** 2)
    left = step - offset[:, None]
    pose = (share * np.hypot(left[..., 0], left[..., 1])).sum(-1)
    distance = (share * np.hypot(step[..., 0], step[..., 1])).sum(-1)
    scale = 0.5 * np.log(np.maximum(wide_b, 1e-6) / np.maximum(wide_a, 1e-6))
    return _Apart(usable, distance, offset, pose, scale)


def _overlap(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of pairs of boxes, ``(n,)``."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clip(0).prod(-1)
    either = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - both
    return both / np.maximum(either, 1e-9)


def _move(
    known: _Known, who: IntArray, seen: _Seen, which: IntArray, step: FloatArray, frame: int
) -> None:
    """Put those of the known that were seen, ``who``, where they were seen, ``which``.

    ``step (n, 2)`` is how far each has moved; joints that are missing go with the others.
    """
    passed = frame - known.last[who]
    off = step - known.motion[who]
    stray = np.where(
        passed == 1, np.hypot(off[:, 0], off[:, 1]) / known.size[who], known.stray[who]
    )
    known.stray[who] += _NEW_STRAY * (np.minimum(stray, _FARTHEST_OFFSET) - known.stray[who])
    fresh = np.maximum(_NEW_MOTION, 1 / known.times[who])
    known.motion[who] += fresh[:, None] * (step / passed[:, None] - known.motion[who])
    sure = seen.sure[which]
    there = sure > 0
    known.xy[who] = np.where(there[..., None], seen.xy[which], known.xy[who] + step[:, None])
    known.sure[who] = np.where(there, sure, known.sure[who] / 2)  # a guess counts ever less
    known.size[who] += fresh * (seen.size[which] - known.size[who])
    known.box[who] = seen.box[which]
    known.last[who] = frame
    known.times[who] += 1


def _joined(known: _Known, seen: _Seen, new: IntArray, track: IntArray, frame: int) -> _Known:
    """The known and those seen for the first time."""
    count = len(track)
    box, xy, sure, size = (part[new] for part in seen)
    stray = np.full(count, _OFFSET / _STRAYS)
    last, times = np.full(count, frame, dtype=np.int64), np.ones(count, dtype=np.int64)
    added = _Known(box, xy, sure, size, np.zeros((count, 2)), stray, last, times, track)
    pairs: list[tuple[Any, Any]] = list(zip(known, added, strict=True))
    return _Known(*(np.concatenate(pair) for pair in pairs))


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
        other = (size > _OTHER_SIZE * np.minimum(first, second)) & (_overlap(before, now) <= 0)
        return bool((far | (other & (passed <= _SOON))).any())


def _swapped(number: IntArray, track: IntArray, boxes: FloatArray) -> int:
    """How often an id goes to where another was, from frame to frame; 0 where it hardly does."""
    rows = np.flatnonzero(track >= 0)
    rows = rows[np.lexsort((number[rows], track[rows]))]
    a, b = rows[:-1], rows[1:]
    next_to = (track[a] == track[b]) & (number[b] - number[a] == 1)
    a, b = a[next_to], b[next_to]
    apart = _overlap(boxes[a], boxes[b]) < _APART
    count = 0
    for i, j in zip(a[apart][:_MOST_CHECKED], b[apart][:_MOST_CHECKED], strict=True):
        there = slice(*np.searchsorted(number, (number[j], number[j] + 1)))
        others = boxes[there]
        count += bool((_overlap(np.broadcast_to(boxes[i], others.shape), others) > _SAME).any())
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
        "name one of them with --person"
    )
