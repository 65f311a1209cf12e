"""People followed from frame to frame by boxes, joints and motion: one assignment a frame."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lifting.data.keypoints.plausibility import BoolArray, FloatArray
from lifting.data.keypoints.timeline import IntArray

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
_TWIN_JOINTS, _TWIN_OVERLAP, _TWIN_BOXES = 0.08, 0.5, 0.8


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
    box = usable_boxes(boxes, xy, shown)
    box = np.where((np.abs(box) < _FARTHEST).all(-1, keepdims=True), box, np.nan)
    size = (box[:, 2:] - box[:, :2]).max(-1, initial=1.0)
    sure = np.where(shown, confidence, 0.0).clip(0, 1)
    return _Seen(box, np.where(shown[..., None], xy, 0.0), sure, size)


def usable_boxes(boxes: FloatArray, xy: FloatArray, shown: BoolArray) -> FloatArray:
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
    overlap = overlap_of(seen.box[a], seen.box[b])
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
        + _NO_OVERLAP * (1 - overlap_of(before, now))
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


def overlap_of(a: FloatArray, b: FloatArray) -> FloatArray:
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
