"""Named skeletons: joints, tree, and mirror symmetry.

A skeleton is a fact about a data set, so it is written by joint name; index lists are derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from lifting.errors import ConfigError, suggest


@dataclass(frozen=True)
class Skeleton:
    """A tree of named joints with left/right symmetry.

    Attributes:
        name: Name in the registry, for example ``h36m17``.
        joints: Joint names in the order of the arrays.
        parents: Index of each joint's parent, -1 for the root.
        mirror: Pairs (left, right) of joint names.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents):
            raise ConfigError(
                f"expected one parent a joint in skeleton {self.name}, got {len(self.joints)} "
                f"joints and {len(self.parents)} parents"
            )
        if self.parents.count(-1) != 1:
            raise ConfigError(f"expected one root in skeleton {self.name}, got {self.parents}")

    @property
    def root(self) -> int:
        """Index of the root joint."""
        return self.parents.index(-1)

    @cached_property
    def left(self) -> tuple[int, ...]:
        """Indices of the left joints, in the order of :attr:`right`."""
        return tuple(self.index(pair[0]) for pair in self.mirror)

    @cached_property
    def right(self) -> tuple[int, ...]:
        """Indices of the right joints, in the order of :attr:`left`."""
        return tuple(self.index(pair[1]) for pair in self.mirror)

    @cached_property
    def flip_index(self) -> tuple[int, ...]:
        """Permutation that exchanges left and right: ``mirrored = pose[..., flip_index, :]``."""
        order = list(range(len(self.joints)))
        for a, b in zip(self.left, self.right, strict=True):
            order[a], order[b] = b, a
        return tuple(order)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (parent, child), in the order of the child."""
        return tuple((p, c) for c, p in enumerate(self.parents) if p >= 0)

    @cached_property
    def depth_order(self) -> tuple[int, ...]:
        """Joint indices such that a parent always comes before its children."""
        order: list[int] = [self.root]
        for joint in order:
            order.extend(c for c, p in enumerate(self.parents) if p == joint)
        return tuple(order)

    def index(self, joint: str) -> int:
        """Index of a joint by name.

        Raises:
            ConfigError: The skeleton has no joint of that name.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise ConfigError(
                f"skeleton {self.name} has no joint '{joint}'; {suggest(joint, self.joints)}"
            ) from None

    def __len__(self) -> int:
        return len(self.joints)


H36M_17 = Skeleton(
    name="h36m17",
    joints=(
        "hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "spine", "thorax", "neck", "head", "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    mirror=(
        ("left_hip", "right_hip"), ("left_knee", "right_knee"), ("left_ankle", "right_ankle"),
        ("left_shoulder", "right_shoulder"), ("left_elbow", "right_elbow"),
        ("left_wrist", "right_wrist"),
    ),
)  # fmt: skip

MPI_INF_3DHP_17 = Skeleton(
    name="mpi17",
    joints=(
        "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
        "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
        "left_knee", "left_ankle", "pelvis", "spine", "head",
    ),
    parents=(16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
    mirror=(
        ("left_shoulder", "right_shoulder"), ("left_elbow", "right_elbow"),
        ("left_wrist", "right_wrist"), ("left_hip", "right_hip"), ("left_knee", "right_knee"),
        ("left_ankle", "right_ankle"),
    ),
)  # fmt: skip

HUMANEVA_15 = Skeleton(
    name="humaneva15",
    joints=(
        "pelvis", "thorax", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
        "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", "right_hip",
        "right_knee", "right_ankle", "head",
    ),
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
    mirror=(
        ("left_shoulder", "right_shoulder"), ("left_elbow", "right_elbow"),
        ("left_wrist", "right_wrist"), ("left_hip", "right_hip"), ("left_knee", "right_knee"),
        ("left_ankle", "right_ankle"),
    ),
)  # fmt: skip

SKELETONS: Mapping[str, Skeleton] = {s.name: s for s in (H36M_17, MPI_INF_3DHP_17, HUMANEVA_15)}


def get_skeleton(name: str) -> Skeleton:
    """Look a skeleton up by name.

    Raises:
        ConfigError: No skeleton has that name.
    """
    try:
        return SKELETONS[name]
    except KeyError:
        raise ConfigError(f"unknown skeleton '{name}'; {suggest(name, SKELETONS)}") from None
