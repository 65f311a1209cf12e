"""Where noise leads: the Gaussian that the forward process contracts to, joint by joint.

The published process ends in a mixture, H_K. Its 2D part comes from the detection's own mixture,
its depth from the context encoder or from the training set; of both one component is drawn for
each joint. The product of the two is a mixture with as many components as pairs, from which this
draws without ever listing them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.depth import Depth, DepthStatistics, lateral_size
from lifting.methods.diffpose.diffusion import add_noise
from lifting.methods.diffpose.mixture import Component
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D


class Place(NamedTuple):
    """A Gaussian of every joint.

    Attributes:
        centre: Mean, ``(*batch, joints, channels)``.
        scale: Standard deviations, same shape.
    """

    centre: Tensor
    scale: Tensor

    def noisy(self, clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
        """State ``mu + sqrt(a) (x_0 - mu) + sqrt(1 - a) e`` of the forward process.

        Args:
            clean: ``(*batch, joints, channels)``.
            noise: e, already scaled, same shape.
            share: Signal share a, broadcastable.

        Source: the paper's forward process, whose mean shift mu is the centre.
        """
        return add_noise(clean - self.centre, noise, share) + self.centre


class Endpoint(nn.Module):
    """The mixture H_K in metres, from the 2D mixture of a detection.

    A distance on the image becomes one in space by the person's size: that of the context pose, or
    the mean of the training set. No camera is needed.

    Args:
        config: Source of the depth, and ``xyz_scale``, which is added to all deviations squared.
        skeleton: Joints.
    """

    def __init__(self, config: Config, skeleton: Skeleton) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.least = config.xyz_scale
        self.statistics = (
            DepthStatistics(skeleton, config.depth_components)
            if config.depth == "statistics"
            else None
        )

    def forward(
        self, uv: Pose2D, context: Pose3D | None, component: Component, uniform: PerJoint | None
    ) -> Place:
        """One Gaussian a joint, ``(*batch, joints, 3)``, metres.

        Args:
            uv: Detections, ``(batch, joints, 2)``, screen units.
            context: The context encoder's pose, ``(batch, joints, 3)``; needed without statistics.
            component: Drawn 2D components, ``(*batch, joints, 2)``.
            uniform: ``(*batch, joints)``, draws the depth; needed with statistics.
        """
        if self.statistics is not None:
            assert uniform is not None
            root = uv[..., self.skeleton.root : self.skeleton.root + 1, :]
            scale = self.statistics.size / lateral_size(uv)
            across = (component.mean - root) * scale
            depth = self.statistics.draw(uniform)
        else:
            assert context is not None
            scale = lateral_size(context[..., :2]) / lateral_size(uv)
            across = context[..., :2] + (component.mean - uv) * scale
            depth = Depth(context[..., 2], torch.zeros_like(context[..., 2]))
        spread = component.spread * scale
        mean = _stack(across, depth.mean)
        return Place(mean, (_stack(spread, depth.deviation).square() + self.least**2).sqrt())


def _stack(across: Pose2D, depth: PerJoint) -> Pose3D:
    """Lateral and depth parts, of which the former may have more batch axes."""
    return torch.cat((across, depth.expand(across.shape[:-1])[..., None]), dim=-1)
