"""How far off a joint is expected to be: its head, its loss, its units.

An expected error is the mean distance of a joint from the truth. Where a network states one, it
answers the natural log of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.nn.pose_loss import PoseLoss, mean_of_valid, pose_loss
from lifting.typing import PerJoint, Pose3D

LENGTH_PER_AXIS = math.sqrt(8 / math.pi)
"""Mean length of a 3D Gaussian error over its standard deviation on one axis, 1.596.

An expected error speaks of the former, the scored ``Prediction.sigma`` of the latter."""

LOG_LIMITS = (-6.0, 1.0)
"""Of what a head answers, natural log of metres: 2.5 mm and 2.7 m."""

_HIDDEN = 128


class Lifted(NamedTuple):
    """What a network answers.

    Attributes:
        pose: ``(*batch, joints, 3)``, metres.
        log_error: ``(*batch, joints)``, natural log of the expected error in metres; None where
            the network states none.
    """

    pose: Pose3D
    log_error: PerJoint | None = None


class ErrorHead(nn.Module):
    """States the error of a pose from the features it was read from.

    Gradients do not pass into the features: the pose is learnt as it is without a head.

    Args:
        channels: Features.
        joints: Joints of the pose.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, joints)
        )

    def forward(self, features: Tensor) -> PerJoint:
        """Natural log of metres, ``(samples, joints)``, from ``(samples, channels)``."""
        return bounded(self.layers(features.detach()), *LOG_LIMITS)


def bounded(values: Tensor, low: float, high: float) -> Tensor:
    """Bend values into an interval; near its middle they stay what they are.

    A clamp would pass no gradient outside, and a log error that once left the interval would never
    come back.

    Args:
        values: Any shape.
        low: End of the interval.
        high: Other end.
    """
    half, middle = (high - low) / 2, (high + low) / 2
    return middle + half * torch.tanh((values - middle) / half)


def error_loss(answer: Lifted, target: Pose3D, visible: PerJoint | None) -> Tensor:
    """Mean over valid joints of the error relative to the stated one, plus the log of that.

    Where errors are distributed alike it is least at the log of their mean. The pose gets no
    gradient.

    Args:
        answer: With a log error.
        target: ``(*batch, joints, 3)``, metres, both relative to the root.
        visible: ``(*batch, joints)`` bool, or how much each joint counts; None for all.

    Returns:
        A scalar; zero where no joint is valid.
    """
    assert answer.log_error is not None
    errors = (answer.pose.detach() - target).norm(dim=-1)
    return mean_of_valid(errors * (-answer.log_error).exp() + answer.log_error, visible)


def lift_losses(
    answer: Lifted, target: Pose3D, visible: PerJoint | None, kind: PoseLoss
) -> dict[str, Tensor]:
    """Losses of an answer by name: of its pose and, where it states one, of its expected error.

    Args:
        answer: Root-relative.
        target: ``(*batch, joints, 3)``, root-relative, metres.
        visible: ``(*batch, joints)`` bool, or how much each joint counts; None for all.
        kind: See :func:`lifting.nn.pose_loss.pose_loss`.
    """
    losses = {"pose": pose_loss(answer.pose, target, visible, kind)}
    if answer.log_error is not None:
        losses["expected_error"] = error_loss(answer, target, visible)
    return losses


def axis_deviation(log_error: Tensor) -> Tensor:
    """Standard deviation on one axis of the error whose expected length is stated.

    The scores of an uncertainty read the standard deviation of each coordinate, as if it were
    Gaussian and the same on all three. For the Laplace distribution of the training loss the
    factor would be 3/2 in place of 1.596.

    Args:
        log_error: Natural log of the expected error, ``(*batch, joints)``.

    Returns:
        In the unit of the expected error, same shape.
    """
    return log_error.exp() / LENGTH_PER_AXIS
