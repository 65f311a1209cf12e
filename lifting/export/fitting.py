"""Rotations of a tree of constant bones from positions of its joints.

Joints with several children are turned by orthogonal Procrustes, against directions that are
learnt from the data; all others by the smallest rotation from where the parent carries them, aimed
from the place that was reached. Thighs and upper arms are then turned about themselves until the
next bone bends about its hinge. Positions say nothing of other twists: there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lifting.errors import DataError
from lifting.export.chain import Chain, chain_of
from lifting.files.npz import Array
from lifting.skeleton import Skeleton

ROUNDS = 10
_STUDIED = 2000  # frames from which directions in the rest pose are learnt
_STRAIGHT = np.sin(np.radians(15.0))
_MIRROR = np.array((-1.0, 1.0, 1.0))


class Filled(NamedTuple):
    """Positions without gaps.

    Attributes:
        points: ``(F, J, 3)``; NaN in every frame of a joint that is never known.
        interpolated: ``(F, J)``, in a gap that is short enough.
        held: ``(F, J)``, in a longer one: as before it, relative to the root.
    """

    points: Array
    interpolated: Array
    held: Array


@dataclass(frozen=True)
class Fitted:
    """An animation, y up, mm.

    Attributes:
        chain: Its nodes.
        offsets: ``(N, 3)``, from each node's parent in the rest pose; zero of the root.
        rotations: ``(F, N, 3, 3)``, in the frame of the parent.
        root: ``(F, 3)``, place of the root.
        error: ``(F, J)``, distance of each joint from where it was seen, mm; NaN where it was not.
        filled: What was made up in gaps.
        skeleton: The joints.
    """

    chain: Chain
    offsets: Array
    rotations: Array
    root: Array
    error: Array
    filled: Filled
    skeleton: Skeleton

    def facts(self, first: int, step: int = 1) -> dict[str, Any]:
        """How far it is from what was seen, and which frames were made up.

        Args:
            first: Number of the first frame.
            step: Between two frames.
        """
        joints = self.skeleton.joints
        never = np.flatnonzero(np.isnan(self.filled.points).any((0, 2)))
        return {
            "distance_mean_mm": round(float(np.nanmean(self.error)), 3),
            "distance_95_percent_mm": round(float(np.nanpercentile(self.error, 95)), 3),
            "interpolated": _frames_of(self.filled.interpolated, joints, first, step),
            "held": _frames_of(self.filled.held, joints, first, step),
            "never_seen": [joints[i] for i in never],
        }


def fit(points: Array, skeleton: Skeleton, max_gap: int) -> Fitted:
    """The animation of one person.

    Args:
        points: ``(F, J, 3)``, y up, mm; NaN where not known.
        skeleton: The joints.
        max_gap: Longest gap that is interpolated, frames; in longer ones the pose is held.

    Raises:
        DataError: The skeleton has no rest pose, or its root is never known.
    """
    chain = chain_of(skeleton)
    if np.isnan(points[:, skeleton.root]).any(-1).all():
        raise DataError(
            f"expected '{skeleton.joints[skeleton.root]}', on which all joints hang, in some "
            "frame for an animation, got it in none; export c3d, trc or csv"
        )
    filled = fill(points, skeleton.root, max_gap)
    rest = _learnt_rest(filled.points, chain, skeleton)
    offsets = rest * _lengths(points, skeleton)[list(chain.joints)][:, None]
    turned, reached = _solve(filled.points, chain, rest, offsets)
    local = turned.copy()
    for node, parent in enumerate(chain.parents):
        if parent >= 0:
            local[:, node] = turned[:, parent].swapaxes(1, 2) @ turned[:, node]
    error = np.linalg.norm(reached[:, chain.node_of_joint] - points, axis=-1)
    root = filled.points[:, skeleton.root]
    return Fitted(chain, offsets, local, root, error, filled, skeleton)


def fill(points: Array, root: int, max_gap: int) -> Filled:
    """Interpolate short gaps of every joint, relative to the root, and hold the pose in longer.

    Args:
        points: ``(F, J, 3)``; NaN where not known.
        root: Index of the root.
        max_gap: Longest gap that is interpolated, frames.
    """
    relative = points - points[:, root, None]
    relative[:, root] = points[:, root]
    known = np.isfinite(relative).all(-1)
    count, at = len(points), np.arange(len(points))[:, None]
    before = np.maximum.accumulate(np.where(known, at, -1))
    after = np.minimum.accumulate(np.where(known, at, count)[::-1])[::-1]
    inside = (before >= 0) & (after < count)
    short = inside & (after - before - 1 <= max_gap)
    share = np.where(short & ~known, (at - before) / np.maximum(after - before, 1), 0.0)[..., None]
    start = np.where(before >= 0, before, np.minimum(after, count - 1))
    joint = np.arange(points.shape[1])
    whole = relative[start, joint] * (1 - share)
    whole += np.where(share > 0, relative[np.minimum(after, count - 1), joint] * share, 0.0)
    ever = known.any(0)
    whole[:, np.arange(len(ever)) != root] += whole[:, root, None]
    return Filled(whole, short & ~known, ~short & ~known & ever)


def _frames_of(
    mask: Array, joints: tuple[str, ...], first: int, step: int
) -> dict[str, list[list[int]]]:
    """First and last frames of runs, of all joints together and of each beside these."""
    whole = mask.all(1)
    columns = {"all joints": whole}
    columns |= {joint: mask[:, i] & ~whole for i, joint in enumerate(joints)}
    found = {}
    for name, column in columns.items():
        edges = np.flatnonzero(np.diff(np.pad(column.astype(np.int8), 1)))
        runs = [[first + int(a) * step, first + int(b - 1) * step]
                for a, b in edges.reshape(-1, 2)]  # fmt: skip
        if runs:
            found[name] = runs
    return found


def _lengths(points: Array, skeleton: Skeleton) -> Array:
    """Of the bone that ends in each joint: the median, left and right averaged, ``(J,)``."""
    lengths = np.zeros(len(skeleton))
    for parent, child in skeleton.bones:
        each = np.linalg.norm(points[:, child] - points[:, parent], axis=-1)
        lengths[child] = np.median(each[np.isfinite(each)]) if np.isfinite(each).any() else np.nan
    both = np.stack((lengths, lengths[list(skeleton.flip_index)]))
    known = np.isfinite(both)
    means: Array = np.where(known, both, 0).sum(0) / np.maximum(known.sum(0), 1)
    return means


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        unit: Array = np.where(length > 0, vectors / np.maximum(length, 1e-12), np.nan)
    return unit


def _aimed(chain: Chain, node: int) -> list[tuple[int, int]]:
    """Child nodes with a direction to look at: the child that has a joint of its own, and it."""
    found = []
    for child in chain.children(node):
        end = child if chain.own[child] else chain.children(child)[0]
        found.append((end, chain.joints[end]))
    return found


def _learnt_rest(points: Array, chain: Chain, skeleton: Skeleton) -> Array:
    """Rest directions: where a joint has several children, those that fit the data best."""
    rest = chain.rest.copy()
    every = points[:: max(1, len(points) // _STUDIED)]
    for node in range(len(chain.names)):
        ends = [(n, j) for n, j in _aimed(chain, node) if np.isfinite(every[:, j]).all()]
        if len(ends) < 2:
            continue
        nodes, joints = map(list, zip(*ends, strict=True))
        seen = _unit(every[:, joints] - every[:, chain.joints[node], None])
        seen = seen[np.isfinite(seen).all((1, 2))]
        if not len(seen):
            continue
        partner = [joints.index(skeleton.flip_index[j]) if skeleton.flip_index[j] in joints else i
                   for i, j in enumerate(joints)]  # fmt: skip
        best = rest[nodes]
        for _ in range(ROUNDS):
            turn = _procrustes(best, seen)
            mean = np.einsum("fji,fkj->ki", turn, seen)
            best = _unit(mean + mean[partner] * _MIRROR)
        rest[nodes] = best
    return rest


def _procrustes(rest: Array, seen: Array) -> Array:
    """Rotations that bring directions ``(k, 3)`` nearest to those seen, ``(F, k, 3)``."""
    u, _, v = np.linalg.svd(np.einsum("fki,kj->fij", seen, rest))
    u[..., 2] *= np.linalg.det(u @ v)[:, None]
    turn: Array = u @ v
    return turn


def _swing(start: Array, end: Array) -> Array:
    """Smallest rotations from unit vectors to others, ``(F, 3, 3)``; none where not known."""
    end = np.where(np.isfinite(end).all(-1, keepdims=True), end, start)
    cosine = (start * end).sum(-1)[:, None, None]
    cross = _cross_matrix(np.cross(start, end))
    turn = np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-12)
    # Of opposite vectors: half a turn about any axis at right angles.
    axis = _unit(np.cross(start, np.eye(3)[np.abs(start).argmin(-1)]))
    half = 2 * axis[:, :, None] * axis[:, None] - np.eye(3)
    found: Array = np.where(cosine < -1 + 1e-9, half, turn)
    return found


def _cross_matrix(vectors: Array) -> Array:
    zero = np.zeros(len(vectors))
    x, y, z = vectors.T
    matrix: Array = np.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(-1, 3, 3)
    return matrix


def _solve(points: Array, chain: Chain, rest: Array, offsets: Array) -> tuple[Array, Array]:
    """Global rotations ``(F, N, 3, 3)`` and places that they reach, ``(F, N, 3)``."""
    count, nodes = len(points), len(chain.names)
    turned = np.empty((count, nodes, 3, 3))
    turned[:] = np.eye(3)
    reached = np.empty((count, nodes, 3))
    for node, parent in enumerate(chain.parents):
        if parent < 0:
            reached[:, node] = points[:, chain.joints[node]]
            above = turned[:, node]
        else:
            above = turned[:, parent]
            reached[:, node] = reached[:, parent] + above @ offsets[node]
        ends = [(n, j) for n, j in _aimed(chain, node) if np.isfinite(points[:, j]).all()]
        if not ends:
            turned[:, node] = above
            continue
        index, joints = map(list, zip(*ends, strict=True))
        seen = _unit(points[:, joints] - reached[:, node, None])
        if len(ends) == 1 or not np.isfinite(seen).all():
            turned[:, node] = _swing(above @ rest[index[0]], seen[:, 0]) @ above
        else:
            turned[:, node] = _procrustes(rest[index], seen)
        if node in chain.flexion and len(ends) == 1:
            further = _aimed(chain, index[0])
            if len(further) == 1:
                following = points[:, further[0][1]] - points[:, joints[0]]
                turned[:, node] = _twisted(
                    turned[:, node], seen[:, 0], _unit(following), chain.flexion[node]
                )
    return turned, reached


def _twisted(turned: Array, along: Array, following: Array, axis: Array) -> Array:
    """Rotations that are also turned about their bone, until the next one bends about an axis."""
    normal = np.cross(along, following)
    bend = np.linalg.norm(normal, axis=-1)
    carried = turned @ axis
    angle = np.arctan2((along * np.cross(carried, normal)).sum(-1), (carried * normal).sum(-1))
    weight = np.nan_to_num(np.minimum(bend / _STRAIGHT, 1.0))
    sure = np.flatnonzero(weight >= 1)
    last = float(angle[sure[0]]) if len(sure) else 0.0
    twist = np.empty(len(angle))
    for i, (share, wanted) in enumerate(
        zip(weight.tolist(), np.nan_to_num(angle).tolist(), strict=True)
    ):
        last += share * ((wanted - last + np.pi) % (2 * np.pi) - np.pi)
        twist[i] = last
    cross = _cross_matrix(np.nan_to_num(along))
    sine, cosine = np.sin(twist)[:, None, None], np.cos(twist)[:, None, None]
    turn: Array = (np.eye(3) + sine * cross + (1 - cosine) * cross @ cross) @ turned
    return turn
