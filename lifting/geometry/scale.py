"""Scale of a reconstruction that has none, from the lengths that bones are known to have."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.kinematics import bone_lengths
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D


def scale_from_bones(
    poses: Pose3D,
    reference: PerJoint,
    skeleton: Skeleton,
    weights: PerJoint | None = None,
    *,
    robust: bool = False,
) -> Tensor:
    """Factor that brings the bones of a recording nearest to their reference lengths.

    A bone's length is its median over the frames where it is known.

    Args:
        poses: ``(*batch, frames, joints, 3)``, any unit; NaN for joints that are not known.
        reference: ``(*batch, joints)`` or without the batch, mm; the root's entry is ignored, and
            so are bones whose entry is not above 0.
        skeleton: The tree of the joints.
        weights: ``(*batch, joints)``, of the bones, not negative; ones if None.
        robust: The median ratio in place of least squares; weights only leave bones out then.

    Returns:
        ``(*batch,)``, mm a unit: the least-squares solution of ``factor * length = reference``.
        NaN where no bone is known.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("poses", poses, "*batch frames joints 3", joints=len(skeleton))
    check_shape("reference", reference, "*batch joints", joints=len(skeleton))
    length = bone_lengths(poses, skeleton).nanmedian(dim=-2).values
    used = length.isfinite() & (length > 0) & (reference > 0)
    if weights is not None:
        check_shape("weights", weights, "*batch joints", joints=len(skeleton))
        used = used & (weights > 0)
    if robust:
        ratio = reference / torch.where(used, length, torch.nan)
        return torch.where(used, ratio, torch.nan).nanmedian(dim=-1).values
    share = used.to(length.dtype) if weights is None else torch.where(used, weights, 0.0)
    length = torch.where(used, length, 0.0)
    return (share * length * reference).sum(-1) / (share * length * length).sum(-1)
