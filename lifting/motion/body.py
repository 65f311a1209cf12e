"""One body a person: metric scale, and bones that keep their length."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from lifting.files.npz import Array
from lifting.skeleton import Skeleton
from lifting.skeleton.proportions import MEAN_STATURE_MM, population_lengths

SHOWN = 0.8
"""Share of the frames in which a bone is answered shorter than it is: where a method is not sure
of a depth, it answers too small a one. Were the bone of most frames stretched to a known height,
what lies across the line of sight would be too large, and people too far away."""


def lengths_of(joints_3d: Array, skeleton: Skeleton) -> Array:
    """Length of the bone to each joint, ``(N, joints)``, left and right the same; 0 for the root.

    Args:
        joints_3d: ``(N, joints, 3)``.
        skeleton: The joints.
    """
    parents = np.array(skeleton.parents)
    lengths = np.linalg.norm(joints_3d - joints_3d[:, np.maximum(parents, 0)], axis=-1)
    lengths[:, parents < 0] = 0
    both: Array = (lengths + lengths[:, list(skeleton.flip_index)]) / 2
    return both


def typical(values: Array, person: Array, *, causal: bool, share: float = 0.5) -> Array:
    """What is usual of a person, at every frame: the value that a share of the frames is below.

    Args:
        values: ``(N, K)``, NaN where not known.
        person: ``(N,)``, whose rows follow one another in time.
        causal: Of the frames up to this one, by their mean and deviation, in place of all.
        share: Of the frames.

    Returns:
        ``(N, K)``.
    """
    found = np.full_like(values, np.nan)
    above = NormalDist().inv_cdf(share)
    for one in np.unique(person):
        rows = np.flatnonzero(person == one)
        own = values[rows]
        known = np.isfinite(own)
        if not causal:
            if known.any():
                found[rows] = np.nanquantile(own[known.any(1)], share, axis=0)
            continue
        count = np.maximum(known.cumsum(0), 1)
        mean = np.where(known, own, 0.0).cumsum(0) / count
        square = np.where(known, own**2, 0.0).cumsum(0) / count
        usual = mean + above * np.sqrt(np.maximum(square - mean**2, 0.0))
        found[rows] = np.where(known.cumsum(0) > 0, usual, np.nan)
    return found


def stature_of(lengths: Array, skeleton: Skeleton) -> Array:
    """Height of people in the mean whose bones add up to as much, mm.

    The bones that stand on one another count, from an ankle to the head; of a skeleton without
    them, all whose length is known of people.

    Args:
        lengths: ``(..., joints)``, mm, see :func:`lengths_of`.
        skeleton: The joints.
    """
    usual = np.array(population_lengths(skeleton))
    standing = np.array([skeleton.joints[j].endswith(_UPRIGHT) for j in range(len(skeleton))])
    used = standing & (usual > 0)
    if not used.any():
        used = usual > 0
    share = np.where(np.array(skeleton.flip_index) != np.arange(len(skeleton)), 0.5, 1.0) * used
    stature: Array = MEAN_STATURE_MM * (lengths * share).sum(-1) / (usual * share).sum()
    return stature


_UPRIGHT = ("knee", "ankle", "spine", "thorax", "neck", "head")


def scale_to(
    lengths: Array,
    person: Array,
    skeleton: Skeleton,
    heights: Mapping[int, float],
    bones: Mapping[str, float],
) -> Array:
    """Factor that makes each person as tall as is known, ``(N,)``; 1 where nothing is.

    Args:
        lengths: ``(N, joints)``, usual lengths, mm.
        person: ``(N,)``.
        skeleton: The joints.
        heights: Metres, by person.
        bones: Known lengths, mm, by the lower joint of the bone; used where no height is.
    """
    factor = np.ones(len(lengths))
    if bones:
        index = [skeleton.index(joint) for joint in bones]
        own, known = lengths[:, index], np.array([bones[joint] for joint in bones])
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = (own * known).sum(1) / (own * own).sum(1)
    tall = stature_of(lengths, skeleton)
    for one, height in heights.items():
        rows = person == one
        factor[rows] = 1000.0 * height / tall[rows]
    return np.where(np.isfinite(factor) & (factor > 0), factor, 1.0)


def with_lengths(joints_3d: Array, lengths: Array, skeleton: Skeleton) -> Array:
    """Poses with every bone's direction kept and its length set.

    Args:
        joints_3d: ``(N, joints, 3)``.
        lengths: ``(N, joints)``; where NaN or 0 a bone keeps its own.
        skeleton: The joints.
    """
    parents = np.array(skeleton.parents)
    vectors = joints_3d - joints_3d[:, np.maximum(parents, 0)]
    own = np.linalg.norm(vectors, axis=-1)
    factor = np.where((lengths > 0) & (own > 1e-6), lengths / np.maximum(own, 1e-6), 1.0)
    found = joints_3d.copy()
    for joint in skeleton.depth_order[1:]:
        bone = vectors[:, joint] * factor[:, joint, None]
        found[:, joint] = found[:, skeleton.parents[joint]] + bone
    return found
