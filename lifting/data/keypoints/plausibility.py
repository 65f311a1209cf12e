"""Which order joints are in, told from their positions alone.

In the right order joints that follow one another in the tree are neighbours in the image, and left
and right bones are of like length; a wrong order draws long chords. This needs no scale, no camera
and no notion of how people look. It is blind to exchanging left and right, for which
:func:`exchanged_sides` looks at where faces are seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from lifting.skeleton import Skeleton

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

LEAST_JOINTS, LEAST_FRAMES, MOST_FRAMES = 6, 5, 100
LEAST_CONFIDENCE = 0.05
UNDECIDED, CONTRADICTED, IMPLAUSIBLE = 0.10, 0.25, 0.9
_SYMMETRY = 0.5
_FARTHEST = 1e9  # pixels; beyond that a file is damaged
_HIDDEN_FACE, _NEARLY_AS_GOOD, _EYES_APART = 0.3, 0.3, 0.65
_FACE_SIZE, _HEAD_AND_REST = 0.26, (slice(0, 5), slice(5, 17))
_FRONT, _FACE_BEHIND, _LEAST_SIDE = 0.25, 0.15, 30
_UPSIDE_DOWN, _LEAST_UPRIGHT = 0.2, 100
# Faces, hands and other details of whole-body sets: their trees say nothing of the order.
_DETAIL = re.compile(r"(^|_)(face|hand|finger|detail)_\d+$")
# Trees that tell orders apart better than those that networks were built on.
_BETTER_PARENTS: Mapping[str, Mapping[str, str]] = {
    name: {f"{side}_small_toe": f"{side}_big_toe" for side in ("left", "right")}
    for name in ("body25", "halpe26", "halpe68", "halpe136")
}
_HEAD_ON_NOSE = ("halpe26", "halpe68", "halpe136")


class Told(NamedTuple):
    """Which order the joints of a file are in.

    Attributes:
        best: The order that fits best.
        scores: Median score of every candidate by name, the least first; lower is better.
        usable: Person-frames with enough joints to tell.
        gap: By how much the next best scores worse, of those that no question has ruled out.
        rival: Name of that next best; empty where none is left.
    """

    best: Skeleton
    scores: Mapping[str, float]
    usable: int
    gap: float
    rival: str

    @property
    def decided(self) -> bool:
        """Whether there were enough person-frames, and the best is clearly better."""
        return self.usable >= LEAST_FRAMES and self.gap >= UNDECIDED


class _Tree(NamedTuple):
    parents: tuple[int, ...]
    order: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


def seen_joints(points: FloatArray, confidence: FloatArray) -> BoolArray:
    """Joints that a detector saw: sure enough, finite, and not in the very corner of the image.

    Args:
        points: ``(T, joints, 2)``.
        confidence: ``(T, joints)``.
    """
    finite: BoolArray = (np.abs(points) < _FARTHEST).all(-1) & ~(points == 0).all(-1)
    return finite & (confidence > LEAST_CONFIDENCE)


def score(points: FloatArray, seen: BoolArray, skeleton: Skeleton) -> FloatArray:
    """How badly the joints of each frame fit an order, ``(T,)``; NaN with fewer than six joints.

    The logarithm of the tree's length over that of the least tree that joins the same joints, and
    half the mean difference between left and right bones in parts of their sum. A missing joint is
    contracted: its children hang on its nearest present ancestor, and where several are left
    without one, on the first of them.

    Args:
        points: ``(T, joints, 2)``, any unit.
        seen: ``(T, joints)``, which of them are there.
        skeleton: The order; of whole-body sets only the body counts.
    """
    body = _body(skeleton)
    points, seen = points[:, body].astype(np.float64), seen[:, body]
    return _fit(points, seen, _least_length(points, seen), _tree(skeleton))


def tell(points: FloatArray, confidence: FloatArray, candidates: Sequence[Skeleton]) -> Told:
    """The order among several of one number of joints that fits best.

    Medians over up to a hundred person-frames spread over the file decide, and then three
    questions where the scores cannot: whether the first joints are a face, seen or hidden, rather
    than hips; whether two joints are eyes rather than neck and head; and at which end the trunk
    begins.

    Args:
        points: ``(T, joints, 2)``, any unit, one row for every person in every frame.
        confidence: ``(T, joints)``.
        candidates: At least one order.
    """
    body = _body(candidates[0])
    seen = seen_joints(points, confidence)
    enough = np.flatnonzero(seen[:, body].sum(1) >= LEAST_JOINTS)
    few = min(MOST_FRAMES, len(enough))
    rows = enough[np.linspace(0, len(enough) - 1, few).round().astype(np.int64)]
    seen = seen[rows]
    points = np.where(seen[..., None], points[rows].astype(np.float64), 0.0)
    fits = _medians(points, seen, candidates)
    best = min(candidates, key=lambda s: fits[s.name])
    open_sets = {s.name: s for s in candidates}
    best = _after_questions(points, seen, best, open_sets, fits)
    others = [name for name in open_sets if name != best.name]
    rival = min(others, key=lambda name: fits[name], default="")
    gap = fits[rival] - fits[best.name] if rival and few else np.inf if few else np.nan
    scores = dict(sorted(fits.items(), key=lambda item: item[1]))
    return Told(best, scores, len(enough), float(gap), rival)


def exchanged_sides(points: FloatArray, confidence: FloatArray, skeleton: Skeleton) -> bool:
    """Whether faces are seen from behind: left and right are exchanged, or the video mirrored.

    Args:
        points: ``(T, joints, 2)``, y down.
        confidence: ``(T, joints)``.
        skeleton: The order of the joints.
    """
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_eye", "right_eye")
    if not set(names) <= set(skeleton.joints):
        return False
    left, right, *hips = (points[:, skeleton.index(name)] for name in names[:4])
    eyes = confidence[:, [skeleton.index(name) for name in names[4:]]].min(1)
    trunk = seen_joints(points, confidence)[:, [skeleton.index(name) for name in names[:4]]].all(1)
    left, right, eyes = left[trunk], right[trunk], eyes[trunk]
    height = np.linalg.norm(left - (hips[0][trunk] + hips[1][trunk]) / 2, axis=-1)
    width = (left - right)[:, 0] / np.maximum(height, 1e-9)
    front, behind = eyes[width > _FRONT], eyes[width < -_FRONT]
    if min(len(front), len(behind)) < _LEAST_SIDE:
        return False
    return bool(behind.mean() - front.mean() >= _FACE_BEHIND)


def upside_down(points: FloatArray, confidence: FloatArray, skeleton: Skeleton) -> bool:
    """Whether heads lie below ankles nearly always: y points up, or the picture is turned.

    Args:
        points: ``(T, joints, 2)``.
        confidence: ``(T, joints)``.
        skeleton: The order of the joints.
    """
    top = next((n for n in ("nose", "head", "head_top") if n in skeleton.joints), None)
    ankles = [n for n in ("left_ankle", "right_ankle") if n in skeleton.joints]
    if top is None or len(ankles) < 2:
        return False
    used = [skeleton.index(name) for name in (top, *ankles)]
    y = points[seen_joints(points, confidence)[:, used].all(1)][:, used, 1]
    return len(y) >= _LEAST_UPRIGHT and bool((y[:, 0] < y[:, 1:].mean(1)).mean() < _UPSIDE_DOWN)


@cache
def _body(skeleton: Skeleton) -> list[int]:
    return [j for j, name in enumerate(skeleton.joints) if not _DETAIL.search(name)]


@cache
def _tree(skeleton: Skeleton) -> _Tree:
    """The tree that is drawn, over the joints of the body."""
    better = dict(_BETTER_PARENTS.get(skeleton.name, {}))
    if skeleton.name in _HEAD_ON_NOSE:
        better["head"] = "nose"
    body = _body(skeleton)
    place = {joint: i for i, joint in enumerate(body)}
    parents = [skeleton.parents[joint] for joint in body]
    for child, nearer in better.items():
        parents[place[skeleton.index(child)]] = skeleton.index(nearer)
    ours = tuple(place[parent] if parent >= 0 else -1 for parent in parents)
    order = [ours.index(-1)]
    for joint in order:
        order.extend(child for child, parent in enumerate(ours) if parent == joint)
    pairs = zip(skeleton.left, skeleton.right, strict=True)
    return _Tree(
        ours, tuple(order), tuple((place[a], place[b]) for a, b in pairs if {a, b} <= set(place))
    )


def _medians(
    points: FloatArray, seen: BoolArray, candidates: Sequence[Skeleton]
) -> dict[str, float]:
    if not len(points):
        return {s.name: np.nan for s in candidates}
    body = _body(candidates[0])
    points, seen = points[:, body], seen[:, body]
    least = _least_length(points, seen)
    fits = {}
    for candidate in candidates:
        frames = _fit(points, seen, least, _tree(candidate))
        usable = frames[np.isfinite(frames)]
        fits[candidate.name] = float(np.median(usable)) if len(usable) else np.nan
    return fits


def _least_length(points: FloatArray, seen: BoolArray) -> FloatArray:
    """Length of the least tree over the seen joints of each frame, by Prim's rule, ``(T,)``."""
    frames, joints = seen.shape
    rows = np.arange(frames)
    safe = np.where(seen[..., None], points, 0.0)
    far = np.linalg.norm(safe[:, :, None] - safe[:, None], axis=-1)  # (T, joints, joints)
    open_joints = seen.copy()
    latest = open_joints.argmax(1)
    away = np.full((frames, joints), np.inf)
    length = np.zeros(frames)
    for _ in range(joints - 1):
        open_joints[rows, latest] = False
        away = np.where(open_joints, np.minimum(away, far[rows, latest]), np.inf)
        latest = away.argmin(1)
        step = away[rows, latest]
        length += np.where(np.isfinite(step), step, 0.0)
    return length


def _fit(points: FloatArray, seen: BoolArray, least: FloatArray, tree: _Tree) -> FloatArray:
    frames, joints = seen.shape
    nearest = np.full((frames, joints), -1)
    for joint in tree.order:
        parent = tree.parents[joint]
        if parent >= 0:
            nearest[:, joint] = np.where(seen[:, parent], parent, nearest[:, parent])
    roots = seen & (nearest < 0)
    first = roots.argmax(1)
    nearest = np.where(roots, first[:, None], nearest)
    edge = seen & (nearest != np.arange(joints))
    start = np.take_along_axis(points, nearest.clip(0)[..., None], 1)
    bones = np.where(
        edge, np.linalg.norm(np.where(edge[..., None], points - start, 0), axis=-1), 0
    )
    usable = (seen.sum(1) >= LEAST_JOINTS) & (least > 0)
    ratio = np.where(usable, bones.sum(1), 1.0) / np.where(usable, least, 1.0)
    left, right = (np.array([pair[side] for pair in tree.pairs], dtype=int) for side in (0, 1))
    both = edge[:, left] & edge[:, right]
    total = bones[:, left] + bones[:, right]
    uneven = np.abs(bones[:, left] - bones[:, right]) / np.where(total > 0, total, 1.0)
    uneven = np.where(both, uneven, 0.0).sum(1) / both.sum(1).clip(1)
    with np.errstate(divide="ignore"):
        return np.where(usable, np.log(ratio) + _SYMMETRY * uneven, np.nan)


def _after_questions(
    points: FloatArray,
    seen: BoolArray,
    best: Skeleton,
    candidates: dict[str, Skeleton],
    fits: Mapping[str, float],
) -> Skeleton:
    """The best after the questions; whoever a question rules out is taken from the candidates."""
    if not len(points):
        return best
    if "coco17" in candidates:
        faces = [candidates["coco17"]]
        if "posetrack17" in candidates and seen[:, 1:3].all(1).mean() > 0.5:
            faces.append(candidates["posetrack17"])
        face = min(faces, key=lambda s: fits[s.name])
        hidden = ~seen[:, 1:5].all(1) & (seen[:, 5:17].sum(1) >= 10)
        # No answer makes an order fit that is clearly wrong: hips are missing at times, too.
        near = fits[face.name] - fits[best.name] < _NEARLY_AS_GOOD
        if near and (hidden.mean() > _HIDDEN_FACE or _begins_with_face(points, seen)):
            for name in ("h36m17", "mpi17"):
                candidates.pop(name, None)
            best = face if best.name not in candidates else best
    for pair, question in (
        (("coco17", "posetrack17"), _has_neck),
        (("mpi15", "humaneva15"), _begins_with_pelvis),
    ):
        if best.name in pair and set(pair) <= set(candidates):
            told = question(points, seen)
            if told is None:
                continue
            answer = pair[int(told)]
            best = candidates[answer]
            candidates.pop(pair[1] if answer == pair[0] else pair[0])
    return best


def _begins_with_face(points: FloatArray, seen: BoolArray) -> bool:
    """Whether joints 0 to 4 lie close together beside the rest, as those of a head do.

    Their mean distance from their middle is at most 0.2 of that of the other joints in COCO's
    order, and 0.33 and more for the legs or the arm that other orders begin with.
    """
    rows = seen[:, :3].all(1) & (seen[:, 5:17].sum(1) >= 8)
    if rows.mean() <= 0.5:
        return False
    spread = [_spread(points[rows][:, part], seen[rows][:, part]) for part in _HEAD_AND_REST]
    return bool(np.median(spread[0] / np.maximum(spread[1], 1e-9)) < _FACE_SIZE)


def _spread(points: FloatArray, seen: BoolArray) -> FloatArray:
    """Mean distance of the seen joints from their middle, ``(T,)``."""
    count = seen.sum(1).clip(1)
    inside = np.where(seen[..., None], points, 0.0)
    away = np.linalg.norm(points - (inside.sum(1) / count[:, None])[:, None], axis=-1)
    spread: FloatArray = np.where(seen, away, 0.0).sum(1) / count
    return spread


def _has_neck(points: FloatArray, seen: BoolArray) -> bool | None:
    """Whether joints 1 and 2 lie apart as neck and head, rather than close together as eyes.

    None where they lie apart in too few frames to tell: a bowed head without hips looks alike.

    Measured against the height of the nose over the shoulders, and against half of the trunk
    where that is more: the nose of a bowed head comes down to the shoulders, its eyes stay close.
    """
    rows = seen[:, [0, 1, 2, 5, 6]].all(1)
    if not rows.any():
        return False
    used = points[rows]
    shoulders = (used[:, 5] + used[:, 6]) / 2
    between = np.linalg.norm(used[:, 1] - used[:, 2], axis=-1)
    reach = np.linalg.norm(used[:, 0] - shoulders, axis=-1)
    both: BoolArray = np.all(seen[rows][:, [11, 12]], axis=1, keepdims=True)
    hips = np.where(both, (used[:, 11] + used[:, 12]) / 2, shoulders)
    reach = np.maximum(reach, np.linalg.norm(shoulders - hips, axis=-1) / 2)
    apart = bool(np.median(between / np.maximum(reach, 1e-9)) >= _EYES_APART)
    return None if apart and len(used) < LEAST_FRAMES else apart


def _begins_with_pelvis(points: FloatArray, seen: BoolArray) -> bool:
    """Whether joint 0 lies nearer than joint 14 to the middle of joints 8 and 11, the hips."""
    rows = seen[:, [0, 8, 11, 14]].all(1)
    used = points[rows]
    hips = (used[:, 8] + used[:, 11]) / 2
    nearer = np.linalg.norm(used[:, 0] - hips, axis=-1) < np.linalg.norm(
        used[:, 14] - hips, axis=-1
    )
    return bool(len(nearer)) and bool(nearer.mean() > 0.5)
