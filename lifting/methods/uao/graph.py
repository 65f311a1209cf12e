"""The skeleton as a graph whose edges are sorted by what they connect."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.skeleton import Skeleton

CENTRE = "spine"
PARTITIONS = 4


def partitioned_adjacency(skeleton: Skeleton, centre: str = CENTRE) -> Tensor:
    """Normalised adjacency split into four kinds of edge, ``(4, joints, joints)`` float64.

    Entry ``[k, v, w]`` is what joint w receives from joint v: k is 0 for the joint itself, 1 for a
    bone towards the centre, 2 for a bone away from it, 3 for the mirrored joint. What a joint
    receives sums to one.

    Args:
        skeleton: Its bones and mirror pairs are the edges.
        centre: Joint from which distances are counted, along bones.

    Raises:
        ConfigError: The skeleton has no such joint.

    Source: released code.
    """
    joints = len(skeleton)
    bones = _symmetric(skeleton.bones, joints)
    mirrors = _symmetric(tuple(zip(skeleton.left, skeleton.right, strict=True)), joints)
    eye = torch.eye(joints, dtype=torch.float64)
    distance = _distances(bones, skeleton.index(centre))
    inward, outward = distance[:, None] > distance, distance[:, None] < distance
    parts = torch.stack((eye, bones * inward, bones * outward, mirrors))
    return parts / parts.sum(dim=(0, 1))


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
