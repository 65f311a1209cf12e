"""Named skeletons: joints, tree, mirror symmetry, and which joints of two sets are the same.

A skeleton is a fact about a data set, so it is written by joint name; index lists are derived.
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

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
        for joint in order:
            order.extend(c for c, p in enumerate(parents) if p == joint)
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


Recipe = Mapping[str, float]
"""Joints of the source and what each contributes; the weights sum to one."""


class Conversion(NamedTuple):
    """How the joints of one set give those of another.

    Attributes:
        recipes: By joint of the target: the recipe, and where joints of it may be missing, a
            second one that stands in.
        approximate: Joints of the target that are only near what the recipe gives. As 2D input
            they are used as they are; as 3D labels they do not count. The mean of both hips is
            the hip by definition.
    """

    recipes: Mapping[str, tuple[Recipe, ...]]
    approximate: frozenset[str] = frozenset()

    def renames(self) -> dict[str, str] | None:
        """Joint of the source by joint of the target; None where joints are mixed or left out."""
        names = {
            joint: next(iter(options[0]))
            for joint, options in self.recipes.items()
            if len(options) == 1 and list(options[0].values()) == [1.0]
        }
        pure = len(names) == len(self.recipes) == len(set(names.values()))
        return names if pure else None


def _middle(*joints: str) -> dict[str, float]:
    return {joint: 1 / len(joints) for joint in joints}


def _mix(*terms: tuple[float, Recipe]) -> dict[str, float]:
    total: dict[str, float] = {}
    for weight, recipe in terms:
        for joint, share in recipe.items():
            total[joint] = total.get(joint, 0.0) + weight * share
    return {joint: share for joint, share in total.items() if share}


_HIPS, _SHOULDERS = _middle("left_hip", "right_hip"), _middle("left_shoulder", "right_shoulder")
_NOSE, _EYES, _EARS = (
    {"nose": 1.0},
    _middle("left_eye", "right_eye"),
    _middle("left_ear", "right_ear"),
)
# The top of the head lies from the ears as far as the eyes lie from the nose; with the ears
# hidden, the nose is mirrored over the eye line.
_CROWN = (_mix((1, _EARS), (1, _EYES), (-1, _NOSE)), _mix((2, _EYES), (-1, _NOSE)))
# Human3.6M's thorax is at the base of the neck, above the line of COCO's shoulders.
_NECK_BASE = _mix((2 / 3, _SHOULDERS), (1 / 3, _NOSE))
_FACE: dict[str, tuple[Recipe, ...]] = {"neck": (_NOSE,), "head": _CROWN}


def _trunk(hip: Recipe, thorax: Recipe) -> dict[str, tuple[Recipe, ...]]:
    return {"hip": (hip,), "thorax": (thorax,), "spine": (_mix((0.5, hip), (0.5, thorax)),)}


# Joints that are not named have the same name in both sets and are the same joint.
CONVERSIONS: Mapping[tuple[str, str], tuple[Mapping[str, tuple[Recipe, ...]], str]] = {
    ("coco17", "h36m17"): ({**_trunk(_HIPS, _NECK_BASE), **_FACE}, "spine thorax neck head"),
    ("coco18", "h36m17"): ({**_trunk(_HIPS, {"neck": 1.0}), **_FACE}, "spine thorax neck head"),
    ("body25", "h36m17"): (
        {**_trunk({"mid_hip": 1.0}, {"neck": 1.0}), **_FACE},
        "spine thorax neck head",
    ),
    ("mediapipe33", "h36m17"): ({**_trunk(_HIPS, _SHOULDERS), **_FACE}, "spine thorax neck head"),
    ("halpe26", "h36m17"): (
        {**_trunk({"hip": 1.0}, {"neck": 1.0}), "neck": (_NOSE,)},
        "spine thorax neck",
    ),
    ("mpii16", "h36m17"): (_trunk({"pelvis": 1.0}, {"thorax": 1.0}), "spine neck"),
    ("mpi17", "h36m17"): (
        {
            "hip": ({"pelvis": 1.0},),
            "thorax": ({"neck": 1.0},),
            "neck": ({"head": 1.0},),
            "head": ({"head_top": 1.0},),
        },
        "",
    ),
    ("mpi28", "mpi17"): ({}, ""),
    ("h36m17", "humaneva15"): ({"pelvis": ({"hip": 1.0},)}, ""),
    ("smpl22", "h36m17"): (
        {
            "hip": ({"pelvis": 1.0},),
            "spine": ({"spine2": 1.0},),
            "thorax": ({"neck": 1.0},),
            "neck": (_middle("neck", "head"),),
        },
        "spine thorax neck head",
    ),
    ("humaneva15", "h36m17"): (
        {**_trunk({"pelvis": 1.0}, {"thorax": 1.0}), "neck": (_middle("thorax", "head"),)},
        "spine neck",
    ),
}
_BY_CONTENT = {(SKELETONS[a], SKELETONS[b]): found for (a, b), found in CONVERSIONS.items()}


@cache
def conversion(source: Skeleton, target: Skeleton) -> Conversion:
    """How joints of the source give those of the target.

    Joints of one name in two sets are the same only where a recipe says so. Pure renamings work
    both ways, and before or behind another recipe.

    Raises:
        ConfigError: No recipe leads from one to the other.
    """
    found = None if source == target else _stated(source, target)
    if source == target:
        found = Conversion({joint: ({joint: 1.0},) for joint in target.joints})
    if found is None:
        for middle in SKELETONS.values():
            first, then = _stated(source, middle), _stated(middle, target)
            names = None if first is None or then is None else then.renames()
            if first is not None and names is not None:
                found = Conversion(
                    {joint: first.recipes[name] for joint, name in names.items()},
                    frozenset(joint for joint, name in names.items() if name in first.approximate),
                )
                break
    if found is None:
        known = [f"{a} to {b}" for a, b in CONVERSIONS]
        raise ConfigError(
            f"expected a known conversion of joints, got {source.name} to {target.name}; "
            f"{suggest(f'{source.name} to {target.name}', known)}"
        )
    return found


def _stated(source: Skeleton, target: Skeleton) -> Conversion | None:
    """A recipe of the table, or the inverse of a renaming there."""
    if (source, target) in _BY_CONTENT:
        special, approximate = _BY_CONTENT[source, target]
        recipes = {joint: special.get(joint, ({joint: 1.0},)) for joint in target.joints}
        return Conversion(recipes, frozenset(approximate.split()))
    if (target, source) not in _BY_CONTENT:
        return None
    back = _stated(target, source)
    names = None if back is None else back.renames()
    if names is None or len(names) != len(target):
        return None
    ours = {name: joint for joint, name in names.items()}
    return Conversion({joint: ({ours[joint]: 1.0},) for joint in target.joints})
