"""GUMLP's log error in shared units, and what it says of one axis.

Poses and keypoints are converted by :mod:`lifting.nn.units`.
"""

from __future__ import annotations

import math

from torch import Tensor

from lifting.nn.units import MM_PER_METRE
from lifting.tto.contract import LENGTH_PER_AXIS
from lifting.typing import PerJoint


def log_error_in_mm(log_sigma: PerJoint) -> PerJoint:
    """Natural log of the expected error, from metres to mm."""
    return log_sigma + math.log(MM_PER_METRE)


def axis_deviation(log_error: Tensor) -> Tensor:
    """Standard deviation on one axis of the error whose expected length is predicted, mm.

    The network learns the expected distance from the truth; the scores of an uncertainty read the
    standard deviation of each coordinate, as if it were Gaussian and the same on all three. For
    the Laplace distribution of the training loss the factor would be 3/2 in place of 1.596.

    Args:
        log_error: Natural log of the expected error in mm.
    """
    return log_error.exp() / LENGTH_PER_AXIS
