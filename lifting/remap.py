"""Joints of one skeleton from those of another, by name.

Each target joint is a linear combination of source joints. Where a joint may be missing, a second
combination can stand in. Joints of the same name map to themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from lifting.errors import ConfigError, check_shape, suggest
from lifting.skeleton import Skeleton, get_skeleton
from lifting.typing import PerJoint

Recipe = Mapping[str, float]


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


RECIPES: Mapping[tuple[str, str], Mapping[str, tuple[Recipe, ...]]] = {
    ("coco17", "h36m17"): {**_trunk(_HIPS, _NECK_BASE), **_FACE},
    ("coco18", "h36m17"): {**_trunk(_HIPS, {"neck": 1.0}), **_FACE},
    ("body25", "h36m17"): {**_trunk({"mid_hip": 1.0}, {"neck": 1.0}), **_FACE},
    ("mediapipe33", "h36m17"): {**_trunk(_HIPS, _SHOULDERS), **_FACE},
    ("halpe26", "h36m17"): {**_trunk({"hip": 1.0}, {"neck": 1.0}), "neck": (_NOSE,)},
    ("mpii16", "h36m17"): _trunk({"pelvis": 1.0}, {"thorax": 1.0}),
    ("mpi17", "h36m17"): {
        "hip": ({"pelvis": 1.0},),
        "thorax": ({"neck": 1.0},),
        "neck": ({"head": 1.0},),
        "head": ({"head_top": 1.0},),
    },
    ("mpi28", "mpi17"): {},
    ("smpl22", "h36m17"): {
        "hip": ({"pelvis": 1.0},),
        "spine": ({"spine2": 1.0},),
        "thorax": ({"neck": 1.0},),
        "neck": (_middle("neck", "head"),),
    },
    ("humaneva15", "h36m17"): {
        **_trunk({"pelvis": 1.0}, {"thorax": 1.0}),
        "neck": (_middle("thorax", "head"),),
    },
}


def remap_joints(
    values: Tensor,
    source: Skeleton,
    target: Skeleton,
    confidence: PerJoint | None = None,
) -> tuple[Tensor, PerJoint]:
    """Joints of the target skeleton from those of the source.

    Args:
        values: Positions, ``(*batch, source joints, channels)``, any unit and frame.
        source: Skeleton of ``values``.
        target: Skeleton asked for.
        confidence: ``(*batch, source joints)``, zero where a joint is missing; None means that
            all are there.

    Returns:
        Positions ``(*batch, target joints, channels)`` and confidences ``(*batch, target
        joints)``, the least of those a joint was made from.

    Raises:
        ConfigError: No conversion between the two skeletons is known.
        ShapeError: ``values`` has not the joints of the source.
    """
    check_shape("values", values, "*batch joints channels", joints=len(source))
    if confidence is None:
        confidence = torch.ones(values.shape[:-1], dtype=values.dtype, device=values.device)
    check_shape("confidence", confidence, "*batch joints", joints=len(source))
    first, second = (m.to(values) for m in _matrices(source.name, target.name))
    floor_first, floor_second = _least(confidence, first), _least(confidence, second)
    stand_in = (floor_first <= 0) & (floor_second > 0)
    mapped = torch.where(stand_in[..., None], second @ values, first @ values)
    return mapped, torch.where(stand_in, floor_second, floor_first)


def _least(confidence: PerJoint, matrix: Tensor) -> PerJoint:
    """Least confidence among the joints that a row of the matrix reads."""
    read = matrix != 0
    return torch.where(read, confidence[..., None, :], torch.inf).amin(-1)


@cache
def _matrices(source: str, target: str) -> tuple[Tensor, Tensor]:
    """First and stand-in combination of every target joint, ``(target, source)`` each."""
    a, b = get_skeleton(source), get_skeleton(target)
    if source == target:
        return torch.eye(len(a)), torch.eye(len(a))
    recipes = RECIPES.get((source, target))
    if recipes is None:
        known = [f"{s} to {t}" for s, t in RECIPES]
        raise ConfigError(
            f"expected a known conversion of joints, got {source} to {target}; "
            f"{suggest(f'{source} to {target}', known)}"
        )
    pair = torch.zeros(2, len(b), len(a))
    for row, joint in enumerate(b.joints):
        options = recipes.get(joint, ({joint: 1.0},))
        for matrix, recipe in zip(pair, (options[0], options[-1]), strict=True):
            for name, share in recipe.items():
                matrix[row, a.index(name)] = share
    return pair[0], pair[1]
