"""The 17 common joints from the joint tree of an SMPL-family body, approximately.

The published way regresses them from the mesh with a matrix that was fitted to Human3.6M; without
it the tree's own joints stand in, a few centimetres off at hips and head.
"""

from __future__ import annotations

import torch

from lifting.errors import ShapeError
from lifting.skeleton import H36M_17, SMPL_22
from lifting.skeleton.convert import remap_joints
from lifting.typing import Pose3D

CROWN = 110.0
APPROXIMATE = "17 joints from the SMPL joint tree, 2-5 cm off at hips and head"


def approximate_h36m(joints: Pose3D, crown: float = CROWN) -> Pose3D:
    """Human3.6M's 17 joints from those of SMPL, SMPL-H or SMPL-X.

    The neck-and-nose joint is the middle of SMPL's neck and head; the top of the head lies beyond
    SMPL's head joint, on the line from the neck.

    Args:
        joints: ``(*batch, n, 3)``, the first 22 of which are the body's (they are the same in
            all three families), mm, any frame.
        crown: Distance from SMPL's head joint to the top of the head, mm.

    Returns:
        ``(*batch, 17, 3)``, mm, same frame.

    Raises:
        ShapeError: Fewer than 22 joints.
    """
    body = len(SMPL_22)
    if joints.ndim < 2 or joints.shape[-2] < body or joints.shape[-1] != 3:
        raise ShapeError(
            f"expected joints of shape (*batch n 3) with n at least {body}, got "
            f"{tuple(joints.shape)}; give the joints of an SMPL-family body"
        )
    mapped = remap_joints(joints[..., :body, :], SMPL_22, H36M_17)[0]
    neck, head = joints[..., SMPL_22.index("neck"), :], joints[..., SMPL_22.index("head"), :]
    up = torch.nn.functional.normalize(head - neck, dim=-1)
    top = H36M_17.index("head")
    before, after = mapped[..., :top, :], mapped[..., top + 1 :, :]
    return torch.cat((before, (head + crown * up)[..., None, :], after), dim=-2)
