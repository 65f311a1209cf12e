"""Which joints a picture shows: those whose own limb is the first that their ray meets."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.body.ellipsoid import EllipsoidSolids, PosedSolids
from lifting.body.ellipsoid_layout import SEGMENTS
from lifting.data.images.cast import nearest_hits
from lifting.skeleton import H36M_17
from lifting.typing import Pose3D

SEEN, BEHIND_BODY, BEHIND_OBJECT, OUTSIDE = range(4)
_THICKEST_MM = 180.0  # more of the own limb before a joint, and it is seen from the other side
_TRUNK = {
    "hip": ("lower trunk", "seat"),
    "left_hip": ("lower trunk", "seat"),
    "right_hip": ("lower trunk", "seat"),
    "left_shoulder": ("upper trunk",),
    "right_shoulder": ("upper trunk",),
    "thorax": ("neck", "shoulder"),
}


def joint_sight(
    solids: EllipsoidSolids,
    posed: PosedSolids,
    joints: Pose3D,
    covered: Tensor,
    inside: Tensor,
) -> Tensor:
    """State of every joint.

    Args:
        solids: The kinds of solids.
        posed: ``(n, solids)``, camera frame.
        joints: ``(n, 17, 3)``, camera frame, mm.
        covered: Joints under an object, ``(n, 17)`` bool.
        inside: Joints within the picture, ``(n, 17)`` bool.

    Returns:
        ``SEEN``, ``BEHIND_BODY``, ``BEHIND_OBJECT`` or ``OUTSIDE``, ``(n, 17)`` uint8. A joint
        that several things hide is outside before it is behind an object, and behind an object
        before it is behind the body.
    """
    depth = joints[..., 2:]
    entry = nearest_hits(posed, joints[..., :2] / depth)  # (n, joints, solids)
    own = own_solids(solids).to(entry.device)
    others = torch.where(own, torch.inf, entry).amin(-1)
    mine = torch.where(own, entry, torch.inf).amin(-1)
    hidden = (others < mine) | (mine < depth[..., 0] - _THICKEST_MM)
    state = torch.where(hidden, BEHIND_BODY, SEEN)
    state = torch.where(covered, BEHIND_OBJECT, state)
    return torch.where(inside, state, OUTSIDE).to(torch.uint8)


def own_solids(solids: EllipsoidSolids) -> Tensor:
    """Solids that a joint lies in, ``(17, solids)`` bool."""
    rows = []
    for joint in H36M_17.joints:
        segments = [joint in (s.joint, s.end) or s.name in _TRUNK.get(joint, ()) for s in SEGMENTS]
        rows.append(torch.tensor(segments)[solids.segment.cpu()])
    return torch.stack(rows)
