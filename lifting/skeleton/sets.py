"""Named skeletons: joints, tree and mirror symmetry.

A skeleton is a fact about a data set, so it is written by joint name; index lists are derived.
Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lifting.errors import ConfigError, suggest


class Skeleton:
    """A tree of named joints with left/right symmetry. Immutable.

    Two skeletons are equal when their content is, whatever they are called. It is a plain class,
    because what travels in a batch is copied field by field: Lightning refuses frozen dataclasses
    there and copies mutable ones. Checkpoints and caches hold :meth:`plain` values.

    Args:
        name: What people call it, for example ``h36m17``.
        joints: Joint names in the order of the arrays.
        parents: Index of each joint's parent, -1 for the root.
        mirror: Pairs (left, right) of joint names.

    Attributes:
        root: Index of the root joint.
        left: Indices of the left joints, in the order of ``right``.
        right: Indices of the right joints, in the order of ``left``.
        flip_index: Permutation that exchanges left and right:
            ``mirrored = pose[..., flip_index, :]``.
        bones: Pairs (parent, child), in the order of the child.
        depth_order: Joint indices such that a parent always comes before its children.

    Raises:
        ConfigError: There is not one parent a joint and one root, a joint is there twice, the
            tree has a circle, or a mirror pair names no joint.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[tuple[str, str], ...]
    root: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    flip_index: tuple[int, ...]
    bones: tuple[tuple[int, int], ...]
    depth_order: tuple[int, ...]

    def __init__(
        self,
        name: str,
        joints: tuple[str, ...],
        parents: tuple[int, ...],
        mirror: tuple[tuple[str, str], ...],
    ) -> None:
        if len(joints) != len(parents):
            raise ConfigError(
                f"expected one parent a joint in skeleton {name}, got {len(joints)} "
                f"joints and {len(parents)} parents"
            )
        if parents.count(-1) != 1:
            raise ConfigError(f"expected one root in skeleton {name}, got {parents}")
        if len(set(joints)) != len(joints):
            raise ConfigError(f"expected each joint once in skeleton {name}, got {joints}")
        # Written past the lock of __setattr__; from here on nothing changes.
        own = self.__dict__
        own.update(name=name, joints=joints, parents=parents, mirror=mirror)
        own["root"] = parents.index(-1)
        own["left"] = tuple(self.index(pair[0]) for pair in mirror)
        own["right"] = tuple(self.index(pair[1]) for pair in mirror)
        own["bones"] = tuple((p, c) for c, p in enumerate(parents) if p >= 0)
        flip, order = list(range(len(joints))), [self.root]
        for a, b in zip(self.left, self.right, strict=True):
            flip[a], flip[b] = b, a
        children: dict[int, list[int]] = {}
        for child, parent in enumerate(parents):
            children.setdefault(parent, []).append(child)
        for joint in order:
            order.extend(children.get(joint, ()))
        own.update(flip_index=tuple(flip), depth_order=tuple(order))
        if len(order) != len(joints):
            raise ConfigError(
                f"expected a tree without a circle in skeleton {name}, got {parents}"
            )

    @classmethod
    def of(cls, given: str | Mapping[str, Any]) -> Skeleton:
        """A skeleton of the registry by name, or one from its :meth:`plain` values.

        Raises:
            ConfigError: The name is unknown, or the values are not those of a skeleton.
        """
        if isinstance(given, str):
            return get_skeleton(given)
        try:
            return cls(
                str(given["name"]),
                tuple(str(joint) for joint in given["joints"]),
                tuple(int(parent) for parent in given["parents"]),
                tuple((str(a), str(b)) for a, b in given["mirror"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"expected name, joints, parents and mirror of a skeleton, got {given!r:.120}; "
                "the file is damaged or of another program"
            ) from error

    def plain(self) -> dict[str, Any]:
        """Name, joints, parents and mirror pairs as plain values, for :meth:`of`."""
        return {
            "name": self.name,
            "joints": self.joints,
            "parents": self.parents,
            "mirror": self.mirror,
        }

    @property
    def has_hip(self) -> bool:
        """Whether the root is the middle of the hips; only to such a root are poses relative."""
        root = self.joints[self.root]
        middle = self.flip_index[self.root] == self.root
        return middle and not _HIP_WORDS.isdisjoint(root.lower().split("_"))

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

    def _content(self) -> tuple[object, ...]:
        return self.joints, self.parents, self.mirror

    def __len__(self) -> int:
        return len(self.joints)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Skeleton):
            return NotImplemented
        return self is other or self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        return f"Skeleton({self.name}, {len(self)} joints)"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a skeleton does not change: {name} of {self.name}")

    def __deepcopy__(self, memo: dict[int, object]) -> Skeleton:
        return self

    def __reduce__(self) -> tuple[type[Skeleton], tuple[object, ...]]:
        return Skeleton, (self.name, *self._content())


_HIP_WORDS = frozenset({"hip", "hips", "pelvis"})


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

# Sets of detectors. Trees are those of neighbours in the image, for drawing and for telling sets
# of one number of joints apart (:mod:`lifting.data.keypoints.plausibility`); where a set has no
# middle joint to begin with, the nose or the neck is the root.
_FEET = """left_big_toe<left_ankle left_small_toe<left_big_toe left_heel<left_ankle
    right_big_toe<right_ankle right_small_toe<right_big_toe right_heel<right_ankle"""
_ARMS = """left_elbow<left_shoulder right_elbow<right_shoulder left_wrist<left_elbow
    right_wrist<right_elbow"""
_LEGS = "left_knee<left_hip right_knee<right_hip left_ankle<left_knee right_ankle<right_knee"
_COCO_LIMBS = f"{_ARMS} left_hip<left_shoulder right_hip<right_shoulder {_LEGS}"
_COCO = f"""nose left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye
    left_shoulder<nose right_shoulder<nose {_COCO_LIMBS}"""
_COCO_WITH_NECK = f"""nose<neck left_eye<nose right_eye<nose left_ear<left_eye
    right_ear<right_eye left_shoulder<neck right_shoulder<neck {_ARMS} left_hip<neck right_hip<neck
    {_LEGS} neck"""
_BODY_25B = f"""nose left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye
    left_shoulder<neck right_shoulder<neck {_COCO_LIMBS} neck<nose head<nose {_FEET}"""
_PANOPTIC = """neck nose<neck hip<neck left_shoulder<neck left_elbow<left_shoulder
    left_wrist<left_elbow left_hip<hip left_knee<left_hip left_ankle<left_knee right_shoulder<neck
    right_elbow<right_shoulder right_wrist<right_elbow right_hip<hip right_knee<right_hip
    right_ankle<right_knee"""


def _tree_of(skeleton: Skeleton) -> str:
    """The words that a set was made from, to begin a longer one with."""
    return " ".join(
        joint if parent < 0 else f"{joint}<{skeleton.joints[parent]}"
        for joint, parent in zip(skeleton.joints, skeleton.parents, strict=True)
    )


def _hand(side: str, *, wrist: bool = True) -> str:
    """A hand of 21 joints: the wrist, then four each of thumb, index, middle, ring, little finger.

    Without the wrist the 20 others keep their numbers and begin at that of the body.
    """
    start = f"{side}_hand_0" if wrist else f"{side}_wrist"
    words = [f"{start}<{side}_wrist"] if wrist else []
    for joint in range(1, 21):
        parent = start if joint % 4 == 1 else f"{side}_hand_{joint - 1}"
        words.append(f"{side}_hand_{joint}<{parent}")
    return " ".join(words)


def _face_names() -> list[str]:
    """The 68 points of a face in their order, from the person's right to the left.

    Points of the middle line are ``face_N`` by their place. Of a mirror pair both bear the place
    of the right one: ``right_face_0`` is the first of the jaw line and ``left_face_0`` the last.
    """
    pairs = [
        *((i, 16 - i) for i in range(8)),  # jaw
        *((17 + i, 26 - i) for i in range(5)),  # brows
        (31, 35), (32, 34),  # nostrils
        *((36 + i, 45 - i) for i in range(4)), (40, 47), (41, 46),  # eyes
        (48, 54), (49, 53), (50, 52), (59, 55), (58, 56),  # outer lips
        (60, 64), (61, 63), (67, 65),  # inner lips
    ]  # fmt: skip
    names = [f"face_{i}" for i in range(68)]
    for right, left in pairs:
        names[right], names[left] = f"right_face_{right}", f"left_face_{right}"
    return names


_FACE_68 = " ".join(f"{name}<nose" for name in _face_names())
_FACE_70 = f"{_FACE_68} right_face_68<nose left_face_68<nose"
_HANDS = f"{_hand('left')} {_hand('right')}"
_HANDS_20 = f"{_hand('left', wrist=False)} {_hand('right', wrist=False)}"
_BODY_19 = _tree_of(BODY_25).partition(" left_big_toe")[0]


def _numbered(stem: str, count: int, parent: str) -> str:
    return " ".join(f"{stem}_{i}<{parent}" for i in range(count))


# Sapiens' order; the wrists follow the fingers, whose order within a hand is not used.
_GOLIATH = f"""nose left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye
    left_shoulder<neck right_shoulder<neck left_elbow<left_shoulder right_elbow<right_shoulder
    left_hip<left_shoulder right_hip<right_shoulder left_knee<left_hip right_knee<right_hip
    left_ankle<left_knee right_ankle<right_knee {_FEET}
    {_numbered("right_finger", 20, "right_wrist")} right_wrist<right_elbow
    {_numbered("left_finger", 20, "left_wrist")} left_wrist<left_elbow
    {_numbered("arm_detail", 6, "neck")} neck<nose {_numbered("face", 238, "nose")}"""

_DETECTORS = {
    "coco23": f"{_COCO} {_FEET}",
    # COCO with a neck behind, as some programs hand it on before they sort it into coco18.
    "coco17neck": _COCO_WITH_NECK,
    "coco25": f"""nose<neck left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye neck
    left_shoulder<neck right_shoulder<neck left_elbow<left_shoulder right_elbow<right_shoulder
    left_wrist<left_elbow right_wrist<right_elbow left_hip<hip right_hip<hip hip<neck
    left_knee<left_hip right_knee<right_hip left_ankle<left_knee right_ankle<right_knee {_FEET}""",
    "body25b": _BODY_25B,
    "body19": _BODY_19,
    "body23": f"""nose right_shoulder<nose right_elbow<right_shoulder right_wrist<right_elbow
    left_shoulder<nose left_elbow<left_shoulder left_wrist<left_elbow right_hip<right_shoulder
    right_knee<right_hip right_ankle<right_knee left_hip<left_shoulder left_knee<left_hip
    left_ankle<left_knee right_eye<nose left_eye<nose right_ear<right_eye left_ear<left_eye
    {_FEET}""",
    "mpi15": """head<neck neck<chest right_shoulder<neck right_elbow<right_shoulder
    right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow
    right_hip<chest right_knee<right_hip right_ankle<right_knee left_hip<chest left_knee<left_hip
    left_ankle<left_knee chest""",
    "lsp14": """right_ankle<right_knee right_knee<right_hip right_hip<neck left_hip<neck
    left_knee<left_hip left_ankle<left_knee right_wrist<right_elbow right_elbow<right_shoulder
    right_shoulder<neck left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow neck
    head<neck""",
    "crowdpose14": """left_shoulder<neck right_shoulder<neck left_elbow<left_shoulder
    right_elbow<right_shoulder left_wrist<left_elbow right_wrist<right_elbow left_hip<neck
    right_hip<neck left_knee<left_hip right_knee<right_hip left_ankle<left_knee
    right_ankle<right_knee head<neck neck""",
    "aic14": """right_shoulder<neck right_elbow<right_shoulder right_wrist<right_elbow
    left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow right_hip<neck
    right_knee<right_hip right_ankle<right_knee left_hip<neck left_knee<left_hip
    left_ankle<left_knee head<neck neck""",
    "jhmdb15": """neck<belly belly head<neck right_shoulder<neck left_shoulder<neck right_hip<belly
    left_hip<belly right_elbow<right_shoulder left_elbow<left_shoulder right_knee<right_hip
    left_knee<left_hip right_wrist<right_elbow left_wrist<left_elbow right_ankle<right_knee
    left_ankle<left_knee""",
    # Both shoulders hang on the neck, so that the tree is its own mirror image.
    "posetrack17": f"""nose<neck neck head<nose left_ear<nose right_ear<nose left_shoulder<neck
    right_shoulder<neck {_COCO_LIMBS}""",
    "h36m16": """hip right_hip<hip right_knee<right_hip right_ankle<right_knee left_hip<hip
    left_knee<left_hip left_ankle<left_knee spine<hip thorax<spine head<thorax
    left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow right_shoulder<thorax
    right_elbow<right_shoulder right_wrist<right_elbow""",
    # Both ends of every part; a forearm begins at the elbow as a shank does at the knee.
    "humaneva20": """torso_proximal torso_distal<torso_proximal left_shoulder<torso_proximal
    left_elbow<left_shoulder left_forearm<left_elbow left_wrist<left_forearm
    right_shoulder<torso_proximal right_elbow<right_shoulder right_forearm<right_elbow
    right_wrist<right_forearm left_hip<torso_distal left_knee<left_hip left_shank<left_knee
    left_ankle<left_shank right_hip<torso_distal right_knee<right_hip right_shank<right_knee
    right_ankle<right_shank head_proximal<torso_proximal head<head_proximal""",
    "panoptic15": _PANOPTIC,
    "panoptic19": f"""{_PANOPTIC} left_eye<nose left_ear<left_eye right_eye<nose
    right_ear<right_eye""",
    "kinect25": """spine_base spine_mid<spine_base neck<spine_shoulder head<neck
    left_shoulder<spine_shoulder left_elbow<left_shoulder left_wrist<left_elbow
    left_hand<left_wrist right_shoulder<spine_shoulder right_elbow<right_shoulder
    right_wrist<right_elbow right_hand<right_wrist left_hip<spine_base left_knee<left_hip
    left_ankle<left_knee left_foot<left_ankle right_hip<spine_base right_knee<right_hip
    right_ankle<right_knee right_foot<right_ankle spine_shoulder<spine_mid left_hand_tip<left_hand
    left_thumb<left_hand right_hand_tip<right_hand right_thumb<right_hand""",
    "halpe68": f"{_tree_of(HALPE_26)} {_HANDS}",
    "halpe136": f"{_tree_of(HALPE_26)} {_FACE_68} {_HANDS}",
    "wholebody133": f"{_COCO} {_FEET} {_FACE_68} {_HANDS}",
    "openpose134": f"{_tree_of(COCO_18)} {_FEET} {_FACE_68} {_HANDS}",
    "body135": f"{_BODY_25B} {_HANDS_20} {_FACE_70}",
    "goliath308": _GOLIATH,
}

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
        *(_skeleton(name, tree) for name, tree in _DETECTORS.items()),
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


def sets_of(joints: int) -> tuple[Skeleton, ...]:
    """All known sets of that many joints."""
    return tuple(s for s in SKELETONS.values() if len(s) == joints)


# Other words for a joint; they count only where every joint of a set is named.
_SAME_JOINT: Mapping[str, frozenset[str]] = {
    "hip": frozenset({"root", "pelvis", "mid_hip"}),
    "pelvis": frozenset({"root", "hip"}),
    "left_ankle": frozenset({"left_foot"}),
    "right_ankle": frozenset({"right_foot"}),
    "neck": frozenset({"neck_base", "upper_neck", "head_bottom"}),
    "head": frozenset({"head_top", "top_head"}),
}


def set_of_names(names: Sequence[str]) -> Skeleton | None:
    """The known set whose joints have these names, in this order; None where there is none.

    Args:
        names: As files write them, such as ``Left Hip`` and ``left-hip`` for ``left_hip``, or
            ``root`` for ``hip``.
    """
    words = tuple(re.sub(r"[ -]", "_", name.strip().lower()) for name in names)
    exact = next((s for s in sets_of(len(words)) if s.joints == words), None)
    return exact or next((s for s in sets_of(len(words)) if _is_named(s.joints, words)), None)


def _is_named(joints: Sequence[str], words: Sequence[str]) -> bool:
    return all(
        word == joint or word in _SAME_JOINT.get(joint, ())
        for joint, word in zip(joints, words, strict=True)
    )
