"""What sampling gives: hypotheses, and the pose that they were sampled around."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lifting.typing import PerJoint, Pose3D


class Samples(NamedTuple):
    """Hypotheses of each pose, root-relative; metres out of the network.

    Attributes:
        context: The context encoder's pose, ``(*batch, joints, 3)``.
        hypotheses: ``(hypotheses, *batch, joints, 3)``.
    """

    context: Pose3D
    hypotheses: Tensor

    def spread(self) -> PerJoint:
        """Standard deviation of one axis over at least two hypotheses, ``(*batch, joints)``."""
        return self.hypotheses.var(dim=0).mean(dim=-1).sqrt()
