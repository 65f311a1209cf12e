"""Depths of the training set: where a joint can be when nothing but its 2D place is known."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.batch import flip_pose
from lifting.data.mixtures import fit_gaussians, start_by_rank
from lifting.methods.diffpose.mixture import draw_index
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

SAMPLES = 10_000
ITERATIONS = 60
LEAST_VARIANCE = 1e-4
LEAST_SIZE = 1e-3


class Depth(NamedTuple):
    """Depth of every joint behind the root.

    Attributes:
        mean: ``(*batch, joints)``, metres.
        deviation: ``(*batch, joints)``, metres.
    """

    mean: PerJoint
    deviation: PerJoint


class DepthStatistics(nn.Module):
    """A Gaussian mixture of each joint's depth, and the size of people across the image.

    Until it is fitted, all joints have the root's depth, with a deviation of a quarter metre.

    Args:
        skeleton: Joints.
        components: Gaussians of each joint.
    """

    weight: Tensor
    mean: Tensor
    deviation: Tensor
    size: Tensor

    def __init__(self, skeleton: Skeleton, components: int) -> None:
        super().__init__()
        self.skeleton = skeleton
        shape = (len(skeleton), components)
        self.register_buffer("weight", torch.full(shape, 1 / components))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.full(shape, 0.25))
        self.register_buffer("size", torch.tensor(0.4))

    def fit(self, poses: Pose3D, visible: PerJoint | None = None) -> None:
        """Take the statistics of some poses and of their mirror images.

        Args:
            poses: ``(samples, joints, 3)``, root-relative, metres; of more than 10,000 every n-th
                is looked at.
            visible: ``(samples, joints)`` bool; poses with a joint whose label is not valid are
                left out. None when all are.

        Source: the paper names the depth distribution of the training set; that it is a mixture
            fitted by expectation maximisation is our form.
        """
        if visible is not None:
            poses = poses[visible.all(dim=-1).to(poses.device)]
        poses = poses[:: max(1, len(poses) // SAMPLES)]
        poses = torch.cat((poses, flip_pose(poses, self.skeleton)))
        depth = poses[..., 2].t()[..., None]  # joints samples 1
        share = torch.full_like(depth[..., 0], 1 / depth.shape[1])
        start = start_by_rank(depth, self.weight.shape[1])
        fitted = fit_gaussians(depth, share, start, ITERATIONS, LEAST_VARIANCE)
        self.weight.copy_(fitted.weight)
        self.mean.copy_(fitted.mean[..., 0])
        self.deviation.copy_(fitted.variance[..., 0].sqrt())
        self.size.copy_(lateral_size(poses[..., :2]).mean())

    def draw(self, uniform: PerJoint) -> Depth:
        """One Gaussian a joint, by its weight.

        Args:
            uniform: ``(*batch, joints)``, uniform in [0, 1).
        """
        index = draw_index(self.weight, uniform)[..., None]
        return Depth(*(_pick(values, index) for values in (self.mean, self.deviation)))


def lateral_size(points: Pose2D) -> Tensor:
    """Root of the mean square distance of the points from their mean, ``(*batch, 1, 1)``."""
    centred = points - points.mean(dim=-2, keepdim=True)
    square = centred.square().sum(dim=-1, keepdim=True).mean(dim=-2, keepdim=True)
    return square.clamp(min=LEAST_SIZE**2).sqrt()


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Of ``(joints, components)`` those of ``(*batch, joints, 1)``."""
    return values.expand(*index.shape[:-1], -1).gather(-1, index)[..., 0]
