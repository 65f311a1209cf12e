"""The predicted log error: the likelihood that teaches it, and its units.

Poses and keypoints are converted by :mod:`lifting.nn.units`.
"""

from __future__ import annotations

import math

from torch import Tensor

from lifting.nn.units import MM_PER_METRE
from lifting.tto.contract import LENGTH_PER_AXIS
from lifting.typing import PerJoint, Pose3D


def uncertainty_loss(
    predicted: Pose3D, log_sigma: PerJoint, target: Pose3D, visible: PerJoint | None = None
) -> Tensor:
    """Mean over joints of the error relative to its expected size, plus that size's log.

    Where errors are distributed alike, the best log error is the log of their mean, so its
    exponential is the expected error. A joint that is hit exactly gets the gradient zero.

    Args:
        predicted: ``(*batch, joints, 3)``, metres.
        log_sigma: ``(*batch, joints)``, natural log of metres.
        target: ``(*batch, joints, 3)``, metres.
        visible: ``(*batch, joints)`` bool, False where a label does not count, or how much each
            counts; None for all.

    Returns:
        A scalar; zero where no label counts.

    Source: released code. The paper calls it a Gaussian likelihood; with the unsquared error it is
    that of a Laplace distribution, but for the constant factor of ``log_sigma``.
    """
    values = joint_losses(predicted, log_sigma, target)
    if visible is None:
        return values.mean()
    weights = visible.to(values)
    return (values * weights).sum() / weights.sum().clamp(min=1)


def joint_losses(predicted: Pose3D, log_sigma: PerJoint, target: Pose3D) -> PerJoint:
    """The terms of :func:`uncertainty_loss` before their mean, ``(*batch, joints)``."""
    errors = (predicted - target).norm(dim=-1)
    return errors * (-log_sigma).exp() + log_sigma


def log_error_in_mm(log_sigma: PerJoint) -> PerJoint:
    """Natural log of the expected error, from metres to mm."""
    return log_sigma + math.log(MM_PER_METRE)


def axis_deviation(log_error: Tensor) -> Tensor:
    """Standard deviation on one axis of the error whose expected length is predicted, mm.

    The network learns the expected distance from the truth; the scores of an uncertainty read the
    standard deviation of each coordinate, as if it were Gaussian and the same on all three. For
    the Laplace distribution of the training loss the factor would be 3/2 in place of 1.596.

    Args:
        log_error: Natural log of the expected error in mm, ``(*batch, joints)``.
    """
    return log_error.exp() / LENGTH_PER_AXIS
