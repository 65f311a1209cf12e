"""Distance between poses as a training loss, over valid joints only."""

from __future__ import annotations

from typing import Literal

import torch

from lifting.typing import PerJoint, Pose3D

PoseLoss = Literal["distance", "squared"]


def pose_loss(
    predicted: Pose3D, target: Pose3D, visible: PerJoint | None, kind: PoseLoss
) -> torch.Tensor:
    """Mean over valid joints of the distance, or of the squared error of a coordinate.

    Args:
        predicted: ``(*batch, joints, 3)``, any length unit.
        target: Same shape and unit.
        visible: ``(*batch, joints)`` bool, or how much each joint counts; None when all are valid.
        kind: ``distance`` is the mean per-joint Euclidean distance; ``squared`` the mean squared
            error of a coordinate.

    Returns:
        A scalar, in the unit or its square; zero where no joint is valid.
    """
    difference = predicted - target
    errors = difference.norm(dim=-1) if kind == "distance" else difference.square().mean(dim=-1)
    return mean_of_valid(errors, visible)


def mean_of_valid(values: PerJoint, visible: PerJoint | None) -> torch.Tensor:
    """Mean over the joints whose labels are valid, a scalar; zero where none is.

    Args:
        values: ``(*batch, joints)``.
        visible: ``(*batch, joints)`` bool, or how much each joint counts; None when all are.
    """
    if visible is None:
        return values.mean()
    weights = visible.to(values)
    return (values * weights).sum() / weights.sum().clamp(min=1)
