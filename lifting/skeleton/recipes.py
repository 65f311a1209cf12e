"""Which joints of two sets are the same, and what a set without a joint has instead.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from lifting.errors import ConfigError, suggest
from lifting.skeleton.sets import SKELETONS, Skeleton

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
_NECK_UP = _middle("neck", "head")


def _trunk(hip: Recipe, thorax: Recipe) -> dict[str, tuple[Recipe, ...]]:
    return {"hip": (hip,), "thorax": (thorax,), "spine": (_mix((0.5, hip), (0.5, thorax)),)}


def _with_top(hip: Recipe, thorax: Recipe, *face: Recipe) -> dict[str, tuple[Recipe, ...]]:
    """Trunk of a set that has the top of the head, and the point at the face in between."""
    return {**_trunk(hip, thorax), "neck": (*face, _NECK_UP)}


# Joints that are not named have the same name in both sets and are the same joint.
_COCO = ({**_trunk(_HIPS, _NECK_BASE), **_FACE}, "spine thorax neck head")
_BODY_25B = (
    _with_top(_HIPS, _mix((2 / 3, _SHOULDERS), (1 / 3, {"neck": 1.0})), _NOSE),
    "spine thorax neck",
)
_HALPE = (_with_top({"hip": 1.0}, {"neck": 1.0}, _NOSE), "spine thorax neck")
_FOURTEEN = (_with_top(_HIPS, {"neck": 1.0}), "spine thorax neck")


def _with_neck(hip: Recipe) -> tuple[dict[str, tuple[Recipe, ...]], str]:
    """Sets with a neck and a face."""
    return {**_trunk(hip, {"neck": 1.0}), **_FACE}, "spine thorax neck head"


# To Human3.6M's seventeen, and few others: what is mixed, and which joints are only near it.
CONVERSIONS: Mapping[tuple[str, str], tuple[Mapping[str, tuple[Recipe, ...]], str]] = {
    **{
        (name, "h36m17"): _COCO
        for name in ("coco17", "coco23", "body23", "wholebody133", "goliath308")
    },
    **{(name, "h36m17"): _with_neck(_HIPS) for name in ("coco18", "coco17neck", "openpose134")},
    **{(name, "h36m17"): _with_neck({"mid_hip": 1.0}) for name in ("body25", "body19")},
    **{(name, "h36m17"): _with_neck({"hip": 1.0}) for name in ("coco25", "panoptic19")},
    **{(name, "h36m17"): _BODY_25B for name in ("body25b", "body135")},
    **{(name, "h36m17"): _HALPE for name in ("halpe26", "halpe68", "halpe136")},
    **{(name, "h36m17"): _FOURTEEN for name in ("crowdpose14", "aic14", "lsp14")},
    ("posetrack17", "h36m17"): (
        _with_top(_HIPS, _mix((0.5, _SHOULDERS), (0.5, {"neck": 1.0})), _NOSE),
        "spine thorax neck",
    ),
    ("mpi15", "h36m17"): (
        {**_with_top(_HIPS, {"neck": 1.0}), "spine": ({"chest": 1.0},)},
        "spine thorax neck",
    ),
    ("jhmdb15", "h36m17"): (
        {**_with_top(_HIPS, {"neck": 1.0}), "spine": ({"belly": 1.0},)},
        "spine thorax neck head",
    ),
    ("panoptic15", "h36m17"): (
        {
            **_trunk({"hip": 1.0}, {"neck": 1.0}),
            "neck": (_NOSE,),
            "head": (_mix((2, _NOSE), (-1, {"neck": 1.0})),),
        },
        "spine thorax neck head",
    ),
    ("h36m16", "h36m17"): ({"neck": (_middle("thorax", "head"),)}, "neck"),
    ("humaneva20", "h36m17"): (
        {
            **_trunk(_HIPS, {"torso_proximal": 1.0}),
            "neck": (_middle("head_proximal", "head"),),
            **{
                f"{side}_{joint}": ({f"{side}_{joint}": 1.0}, {f"{side}_{below}": 1.0})
                for side in ("left", "right")
                for joint, below in (("elbow", "forearm"), ("knee", "shank"))
            },
        },
        "spine neck",
    ),
    ("kinect25", "h36m17"): (
        {
            "hip": ({"spine_base": 1.0},),
            "spine": ({"spine_mid": 1.0},),
            "thorax": ({"spine_shoulder": 1.0},),
            "neck": ({"head": 1.0},),
            "head": (_mix((2, {"head": 1.0}), (-1, {"neck": 1.0})),),
        },
        "spine thorax neck head",
    ),
    ("mediapipe33", "h36m17"): ({**_trunk(_HIPS, _SHOULDERS), **_FACE}, "spine thorax neck head"),
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
