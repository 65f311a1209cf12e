"""The skeleton as a graph whose edges are sorted by what they connect."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.skeleton import Skeleton

CENTRE = "spine"
PARTITIONS = 4


def partitioned_adjacency(skeleton: Skeleton, centre: str | None = None) -> Tensor:
    """Normalised adjacency split into four kinds of edge, ``(4, joints, joints)`` float64.

    Entry ``[k, v, w]`` is what joint w receives from joint v: k is 0 for the joint itself, 1 for a
    bone towards the centre, 2 for a bone away from it, 3 for the mirrored joint. What a joint
    receives sums to one.

    Args:
        skeleton: Its bones and mirror pairs are the edges.
        centre: Joint from which distances are counted, along bones; None is that of
            :func:`centre_joint`.

    Raises:
        ConfigError: The skeleton has no such joint.

    Source: released code, for the joints of Human3.6M.
    """
    joints = len(skeleton)
    bones = _symmetric(skeleton.bones, joints)
    mirrors = _symmetric(tuple(zip(skeleton.left, skeleton.right, strict=True)), joints)
    eye = torch.eye(joints, dtype=torch.float64)
    distance = _distances(bones, skeleton.index(centre or centre_joint(skeleton)))
    inward, outward = distance[:, None] > distance, distance[:, None] < distance
    parts = torch.stack((eye, bones * inward, bones * outward, mirrors))
    return parts / parts.sum(dim=(0, 1))


def centre_joint(skeleton: Skeleton) -> str:
    """Joint from which the graph is partitioned: the spine, else the middle of the trunk.

    The trunk are the joints without a mirrored one that join two bones or more. Its middle is the
    joint whose farthest joint is nearest, counted in bones; of several, the first in the order of
    the joints. A face, which is far from the feet, is never the middle. Where there is no trunk,
    all joints are looked at.

    Args:
        skeleton: Its bones and mirror pairs.
    """
    if CENTRE in skeleton.joints:
        return CENTRE
    bones = _symmetric(skeleton.bones, len(skeleton))
    joined = bones.sum(dim=0).tolist()
    single = [j == other for j, other in enumerate(skeleton.flip_index)]
    trunk = [j for j, count in enumerate(joined) if single[j] and count >= 2]
    middle = min(
        trunk or range(len(skeleton)), key=lambda joint: int(_distances(bones, joint).max())
    )
    return skeleton.joints[middle]


def _symmetric(pairs: tuple[tuple[int, int], ...], joints: int) -> Tensor:
    matrix = torch.zeros(joints, joints, dtype=torch.float64)
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


def _distances(bones: Tensor, centre: int) -> Tensor:
    """Bones between each joint and the centre, ``(joints,)``."""
    distance = torch.zeros(len(bones), dtype=torch.int64)
    reached = distance > 0
    reached[centre] = True
    while not reached.all():
        distance += ~reached
        reached = reached | (bones[reached].sum(dim=0) > 0)
    return distance
