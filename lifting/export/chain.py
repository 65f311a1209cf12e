"""The tree of nodes that an animation has, and its rest pose: a T, facing +z, left at +x, y up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lifting.errors import DataError
from lifting.files.npz import Array
from lifting.skeleton import Skeleton

_MIDDLE_UP = (0.0, 1.0, 0.0)
_RESTS = {
    "hip": (1, 0, 0), "knee": (0, -1, 0), "ankle": (0, -1, 0),
    "clavicle": (1, 0, 0), "collar": (1, 0, 0), "shoulder": (1, 0, 0), "elbow": (1, 0, 0),
    "wrist": (1, 0, 0), "hand": (1, 0, 0),
    "foot": (0, -0.4, 0.9), "toe": (0, 0, 1), "big_toe": (0, -0.3, 0.9),
    "small_toe": (0.4, -0.3, 0.8), "heel": (0, -0.6, -0.8),
    "eye": (0.6, 0.6, -0.5), "ear": (0.5, 0, -0.9),
}  # fmt: skip
"""Of a left joint, from its parent: that of a right one has the other x."""
_MIDDLES = {"nose": (0.0, 0.7, 0.7)}
_UPWARD = ("spine", "thorax", "neck", "head", "chest", "head_top")
_FLEXION = {"hip": ((1, 0, 0), (1, 0, 0)), "shoulder": ((0, -1, 0), (0, 1, 0))}


@dataclass(frozen=True)
class Chain:
    """Nodes in depth-first order. A node without a joint of its own stands at its parent.

    A joint with several children, but for the root, gets such a node before each child, so that
    each child's direction is met exactly.

    Attributes:
        names: In our words; ``left_clavicle`` or ``neck_base`` for nodes without a joint.
        parents: Index of each node's parent, -1 for the root.
        joints: Index of the joint where each stands.
        own: Whether the joint is its own.
        rest: ``(N, 3)`` unit vectors from the parent; zero of the root and of nodes without a
            joint of their own.
        flexion: Rest axis about which the next bone bends, of the nodes where a twist is taken
            from the plane of two bones.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: tuple[int, ...]
    own: tuple[bool, ...]
    rest: Array
    flexion: dict[int, Array]

    def children(self, node: int) -> list[int]:
        """Nodes that hang on one."""
        return [child for child, parent in enumerate(self.parents) if parent == node]

    @property
    def node_of_joint(self) -> list[int]:
        """The node that each joint of the skeleton is."""
        of = {joint: n for n, joint in enumerate(self.joints) if self.own[n]}
        return [of[joint] for joint in range(len(of))]


def chain_of(skeleton: Skeleton) -> Chain:
    """The nodes of a skeleton.

    Args:
        skeleton: The joints, rooted at the hip.

    Raises:
        DataError: Its root is no hip, or nobody knows where a joint is in a T pose.
    """
    if not skeleton.has_hip:
        raise DataError(
            f"expected joints that hang on the hip for an animation, got {skeleton.name}, whose "
            f"root is '{skeleton.joints[skeleton.root]}'; export c3d, trc or csv"
        )
    found: list[tuple[str, int, int, bool]] = []

    def visit(joint: int, parent: int) -> None:
        node = len(found)
        found.append((skeleton.joints[joint], parent, joint, True))
        children = [child for above, child in skeleton.bones if above == joint]
        for child in children:
            above = node
            if len(children) > 1 and joint != skeleton.root:
                above = len(found)
                found.append((_base(child, skeleton), node, joint, False))
            visit(child, above)

    visit(skeleton.root, -1)
    names, parents, joints, own = zip(*found, strict=True)
    rest = np.zeros((len(found), 3))
    flexion = {}
    for node, (name, parent, _, is_own) in enumerate(found):
        if is_own and parent >= 0:
            rest[node] = _rest(name, skeleton)
        side, _, stem = name.partition("_")
        if is_own and side in ("left", "right") and stem in _FLEXION:
            flexion[node] = np.array(_FLEXION[stem][side == "right"], float)
    return Chain(names, parents, joints, own, rest, flexion)


def _base(child: int, skeleton: Skeleton) -> str:
    """Name of the node before a child."""
    name = skeleton.joints[child]
    clavicle = name.replace("shoulder", "clavicle")
    is_free = clavicle != name and clavicle not in skeleton.joints
    return clavicle if is_free else f"{name}_base"


def _rest(name: str, skeleton: Skeleton) -> Array:
    side, _, stem = name.partition("_")
    if side in ("left", "right") and stem in _RESTS:
        x, y, z = _RESTS[stem]
        rest = np.array((x if side == "left" else -x, y, z), float)
    elif name in _MIDDLES or name.rstrip("0123456789") in _UPWARD:
        rest = np.array(_MIDDLES.get(name, _MIDDLE_UP))
    else:
        raise DataError(
            f"expected joints whose place in a T pose is known for an animation, got '{name}' of "
            f"{skeleton.name}; export c3d, trc or csv"
        )
    unit: Array = rest / np.linalg.norm(rest)
    return unit
