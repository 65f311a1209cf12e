"""Joint order of a 2D file, from what the file says of itself, and its conversion.

The order is decided by the first of these that the file's ``metadata`` has: its lists of left and
right joints, its layout name, and else the number of joints alone, where the data set's own order
goes first. Keypoints of another order are converted by joint names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from lifting.errors import DataError, suggest
from lifting.files.containers import Array, entries, items
from lifting.skeleton import COCO_17, H36M_17, HUMANEVA_15, MPII_16, Skeleton
from lifting.skeleton.convert import remap_joints
from lifting.typing import PerJoint, Pose2D

LAYOUTS: Mapping[str, Skeleton] = {
    "h36m": H36M_17,
    "coco": COCO_17,
    "mpii": MPII_16,
    "humaneva15": HUMANEVA_15,
}
_CURE = "check which detector made the file"


def keypoint_layout(
    metadata: object, joints: int, candidates: Sequence[Skeleton], where: str
) -> Skeleton:
    """The skeleton whose joint order a 2D file has.

    Args:
        metadata: The file's description of itself, or None.
        joints: Joints of its arrays.
        candidates: Orders that files of the data set have, its own first.
        where: Names the file in messages.

    Raises:
        DataError: The description fits no candidate, or contradicts itself.
    """
    facts = {} if metadata is None else entries(metadata, f"'metadata' of {where}")
    fitting = [s for s in candidates if len(s) == joints]
    if not fitting:
        counts = " or ".join(str(n) for n in sorted({len(s) for s in candidates}))
        raise DataError(f"expected {counts} joints in {where}, got {joints}; {_CURE}")
    by_lists = _by_symmetry(facts.get("keypoints_symmetry"), fitting, where)
    by_name = _by_name(facts.get("layout_name"), where)
    if by_lists is not None and by_name is not None and by_lists is not by_name:
        raise DataError(
            f"expected one joint order in the metadata of {where}, got layout "
            f"'{by_name.name}' with the left and right joints of {by_lists.name}; {_CURE}"
        )
    found = by_lists or by_name or fitting[0]
    if found not in fitting:
        raise DataError(
            f"expected one of {', '.join(s.name for s in fitting)} with {joints} joints in "
            f"{where}, got layout {found.name}; {_CURE}"
        )
    return found


def _by_name(name: object, where: str) -> Skeleton | None:
    if name is None:
        return None
    if not isinstance(name, str) or name not in LAYOUTS:
        raise DataError(
            f"expected a known layout_name in the metadata of {where}, got {name!r:.40}; "
            f"{suggest(f'{name!s:.40}', LAYOUTS)}"
        )
    return LAYOUTS[name]


def _by_symmetry(lists: object, fitting: Sequence[Skeleton], where: str) -> Skeleton | None:
    if lists is None:
        return None
    sides = [items(side, f"keypoints_symmetry of {where}") for side in items(lists, where)]
    if len(sides) != 2 or not all(isinstance(i, int | np.integer) for s in sides for i in s):
        raise DataError(
            f"expected a list of left and one of right joints in keypoints_symmetry of {where}, "
            f"got {len(sides)} lists; {_CURE}"
        )
    left, right = ({int(str(i)) for i in side} for side in sides)
    for skeleton in fitting:
        if left == set(skeleton.left) and right == set(skeleton.right):
            return skeleton
    for skeleton in fitting:
        if left == set(skeleton.right) and right == set(skeleton.left):
            raise DataError(
                f"expected left joints, then right ones in keypoints_symmetry of {where}, got "
                f"those of {skeleton.name} exchanged; its sides are likely swapped, {_CURE}"
            )
    raise DataError(
        f"expected the left and right joints of {' or '.join(s.name for s in fitting)} in "
        f"{where}, got {sorted(left)[:20]} and {sorted(right)[:20]}; {_CURE}"
    )


def read_keypoints(
    array: Array, source: Skeleton, target: Skeleton
) -> tuple[Pose2D, PerJoint | None]:
    """Keypoints of the target skeleton, and the detector's confidence where there is one.

    Args:
        array: ``(frames, joints, 2 or 3)``, pixels and, as third channel, confidence.
        source: Joint order of the array.
        target: Joint order wanted.

    Returns:
        ``(frames, joints, 2)`` pixels, and ``(frames, joints)`` from 0 to 1 (scores beyond are
        clipped) or None.
    """
    values = torch.tensor(array)
    pixels = values[..., :2]
    scores = values[..., 2].clamp(0, 1) if values.shape[-1] == 3 else None
    if source is target:
        return pixels, scores
    converted, least = remap_joints(pixels, source, target, scores)
    return converted, None if scores is None else least
