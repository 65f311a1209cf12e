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


def _skeleton(name: str, tree: str) -> Skeleton:
    """Build a skeleton from words ``joint<parent`` in array order; the root has no parent.

    Joints whose names differ only in left and right are mirror pairs.
    """
    words = [word.partition("<") for word in tree.split()]
    joints = tuple(word[0] for word in words)
    parents = tuple(joints.index(word[2]) if word[2] else -1 for word in words)
    mirror = tuple(
        (joint, joint.replace("left", "right", 1))
        for joint in joints
        if "left" in joint and joint.replace("left", "right", 1) in joints
    )
    return Skeleton(name, joints, parents, mirror)


H36M_17 = _skeleton(
    "h36m17",
    """hip right_hip<hip right_knee<right_hip right_ankle<right_knee left_hip<hip
    left_knee<left_hip left_ankle<left_knee spine<hip thorax<spine neck<thorax head<neck
    left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow right_shoulder<thorax
    right_elbow<right_shoulder right_wrist<right_elbow""",
)

MPI_INF_3DHP_17 = _skeleton(
    "mpi17",
    """head_top<head neck<spine right_shoulder<neck right_elbow<right_shoulder
    right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow
    right_hip<pelvis right_knee<right_hip right_ankle<right_knee left_hip<pelvis
    left_knee<left_hip left_ankle<left_knee pelvis spine<pelvis head<neck""",
)

MPI_INF_3DHP_28 = _skeleton(
    "mpi28",
    """spine3<spine2 spine4<spine3 spine2<spine spine<pelvis pelvis neck<spine4 head<neck
    head_top<head left_clavicle<spine4 left_shoulder<left_clavicle left_elbow<left_shoulder
    left_wrist<left_elbow left_hand<left_wrist right_clavicle<spine4 right_shoulder<right_clavicle
    right_elbow<right_shoulder right_wrist<right_elbow right_hand<right_wrist left_hip<pelvis
    left_knee<left_hip left_ankle<left_knee left_foot<left_ankle left_toe<left_foot
    right_hip<pelvis right_knee<right_hip right_ankle<right_knee right_foot<right_ankle
    right_toe<right_foot""",
)

HUMANEVA_15 = _skeleton(
    "humaneva15",
    """pelvis thorax<pelvis left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow
    right_shoulder<thorax right_elbow<right_shoulder right_wrist<right_elbow left_hip<pelvis
    left_knee<left_hip left_ankle<left_knee right_hip<pelvis right_knee<right_hip
    right_ankle<right_knee head<thorax""",
)

COCO_17 = _skeleton(
    "coco17",
    """nose left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye left_shoulder<nose
    right_shoulder<nose left_elbow<left_shoulder right_elbow<right_shoulder left_wrist<left_elbow
    right_wrist<right_elbow left_hip<left_shoulder right_hip<right_shoulder left_knee<left_hip
    right_knee<right_hip left_ankle<left_knee right_ankle<right_knee""",
)

COCO_18 = _skeleton(
    "coco18",
    """nose<neck neck right_shoulder<neck right_elbow<right_shoulder right_wrist<right_elbow
    left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow right_hip<neck
    right_knee<right_hip right_ankle<right_knee left_hip<neck left_knee<left_hip
    left_ankle<left_knee right_eye<nose left_eye<nose right_ear<right_eye left_ear<left_eye""",
)

BODY_25 = _skeleton(
    "body25",
    """nose<neck neck<mid_hip right_shoulder<neck right_elbow<right_shoulder
    right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow
    mid_hip right_hip<mid_hip right_knee<right_hip right_ankle<right_knee left_hip<mid_hip
    left_knee<left_hip left_ankle<left_knee right_eye<nose left_eye<nose right_ear<right_eye
    left_ear<left_eye left_big_toe<left_ankle left_small_toe<left_ankle left_heel<left_ankle
    right_big_toe<right_ankle right_small_toe<right_ankle right_heel<right_ankle""",
)

HALPE_26 = _skeleton(
    "halpe26",
    """nose<neck left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye
    left_shoulder<neck right_shoulder<neck left_elbow<left_shoulder right_elbow<right_shoulder
    left_wrist<left_elbow right_wrist<right_elbow left_hip<hip right_hip<hip left_knee<left_hip
    right_knee<right_hip left_ankle<left_knee right_ankle<right_knee head<neck neck<hip hip
    left_big_toe<left_ankle right_big_toe<right_ankle left_small_toe<left_ankle
    right_small_toe<right_ankle left_heel<left_ankle right_heel<right_ankle""",
)

MPII_16 = _skeleton(
    "mpii16",
    """right_ankle<right_knee right_knee<right_hip right_hip<pelvis left_hip<pelvis
    left_knee<left_hip left_ankle<left_knee pelvis thorax<pelvis neck<thorax head<neck
    right_wrist<right_elbow right_elbow<right_shoulder right_shoulder<thorax left_shoulder<thorax
    left_elbow<left_shoulder left_wrist<left_elbow""",
)

MEDIAPIPE_33 = _skeleton(
    "mediapipe33",
    """nose left_eye_inner<nose left_eye<left_eye_inner left_eye_outer<left_eye
    right_eye_inner<nose right_eye<right_eye_inner right_eye_outer<right_eye
    left_ear<left_eye_outer right_ear<right_eye_outer left_mouth<nose right_mouth<nose
    left_shoulder<nose right_shoulder<nose left_elbow<left_shoulder right_elbow<right_shoulder
    left_wrist<left_elbow right_wrist<right_elbow left_pinky<left_wrist right_pinky<right_wrist
    left_index<left_wrist right_index<right_wrist left_thumb<left_wrist right_thumb<right_wrist
    left_hip<left_shoulder right_hip<right_shoulder left_knee<left_hip right_knee<right_hip
    left_ankle<left_knee right_ankle<right_knee left_heel<left_ankle right_heel<right_ankle
    left_foot_index<left_heel right_foot_index<right_heel""",
)

SMPL_24 = _skeleton(
    "smpl24",
    """pelvis left_hip<pelvis right_hip<pelvis spine1<pelvis left_knee<left_hip
    right_knee<right_hip spine2<spine1 left_ankle<left_knee right_ankle<right_knee spine3<spine2
    left_foot<left_ankle right_foot<right_ankle neck<spine3 left_collar<spine3
    right_collar<spine3 head<neck left_shoulder<left_collar right_shoulder<right_collar
    left_elbow<left_shoulder right_elbow<right_shoulder left_wrist<left_elbow
    right_wrist<right_elbow left_hand<left_wrist right_hand<right_wrist""",
)

# The body's joints, which SMPL, SMPL-H and SMPL-X share.
SMPL_22 = Skeleton("smpl22", SMPL_24.joints[:22], SMPL_24.parents[:22], SMPL_24.mirror[:-1])

SKELETONS: Mapping[str, Skeleton] = {
    s.name: s
    for s in (
        H36M_17,
        MPI_INF_3DHP_17,
        MPI_INF_3DHP_28,
        HUMANEVA_15,
        COCO_17,
        COCO_18,
        BODY_25,
        HALPE_26,
        MPII_16,
        MEDIAPIPE_33,
        SMPL_24,
        SMPL_22,
    )
}


def get_skeleton(name: str) -> Skeleton:
    """Look a skeleton up by name.

    Raises:
        ConfigError: No skeleton has that name.
    """
    try:
        return SKELETONS[name]
    except KeyError:
        raise ConfigError(f"unknown skeleton '{name}'; {suggest(name, SKELETONS)}") from None
