"""The forward process: which Gaussian noise leads to, and where the reverse process starts.

The published process ends in a mixture, H_K. Its 2D part comes from the detection's own mixture,
its depth from the context encoder or from the training set; of both one component is drawn for
each joint. The product of the two is a mixture with as many components as pairs, from which this
draws without ever listing them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.batch import flip_pose
from lifting.data.mixtures import fit_gaussians, start_by_rank
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import add_noise
from lifting.methods.diffpose.mixture import (
    Component,
    degenerate_mixture,
    draw_components,
    draw_index,
    pick_components,
)
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


class NoiseEnd(NamedTuple):
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


class PoseMixture(nn.Module):
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
    ) -> NoiseEnd:
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
        return NoiseEnd(mean, (_stack(spread, depth.deviation).square() + self.least**2).sqrt())


def _stack(across: Pose2D, depth: PerJoint) -> Pose3D:
    """Lateral and depth parts, of which the former may have more batch axes."""
    return torch.cat((across, depth.expand(across.shape[:-1])[..., None]), dim=-1)


DRAWS = 2


class Draw(NamedTuple):
    """What was drawn for each joint.

    Attributes:
        component: Of the 2D mixture, ``(*batch, joints, 2)``.
        depth: Uniform number for its depth, ``(*batch, joints)``; None where nothing is drawn.
    """

    component: Component
    depth: PerJoint | None


class Forward(nn.Module):
    """The forward process of a configuration, in the channels of the diffused variable.

    Args:
        config: The switches.
        skeleton: Joints.
    """

    def __init__(self, config: Config, skeleton: Skeleton) -> None:
        super().__init__()
        self.config = config
        self.channels = 5 if config.representation == "uvxyz" else 3
        self.endpoint = PoseMixture(config, skeleton)

    @property
    def is_mixture(self) -> bool:
        """Whether noise leads to the mixture H_K; the ablations have no noise."""
        return self.config.forward_noise == "gmm" and self.config.process == "diffusion"

    @property
    def needs_context(self) -> bool:
        """Whether the process contracts to something made of the context pose."""
        if self.is_mixture:
            return self.config.depth == "context"
        return self.config.centre == "context"

    def draw(self, uv: Pose2D, mixture: Tensor | None, uniform: Tensor | None) -> Draw:
        """One component a joint of the 2D evidence, and what draws its depth.

        Args:
            uv: Detections, ``(batch, joints, 2)``, screen units.
            mixture: ``(batch, joints, components, 5)``; None is a single one at each detection.
            uniform: ``(2, *batch, joints)``, in [0, 1); None takes the first component.
        """
        if mixture is None:
            mixture = degenerate_mixture(uv, self.config.uv_scale)
        if uniform is None:
            index = draw_components(mixture, torch.zeros_like(uv[..., 0]))
            return Draw(pick_components(mixture, index), None)
        mixture = mixture.expand(*uniform.shape[1:], *mixture.shape[-2:])
        index = draw_components(mixture, uniform[0])
        return Draw(pick_components(mixture, index), uniform[1])

    def noise_end(self, uv: Pose2D, pose: Pose3D | None, draw: Draw) -> NoiseEnd:
        """Where noise leads, ``(*batch, joints, channels)``.

        Args:
            uv: Detections, ``(batch, joints, 2)``.
            pose: The context encoder's pose, where it is needed.
            draw: Components.
        """
        if self.is_mixture:
            return self._end(uv, pose, draw)
        spread = draw.component.spread
        xyz = torch.full_like(spread[..., :1], self.config.xyz_scale)
        scale = self.join(spread, xyz.expand(*xyz.shape[:-1], 3))
        if self.config.forward_noise == "gaussian":
            scale = torch.ones_like(scale)
        if self.config.centre == "context" and pose is not None:
            return NoiseEnd(self.join(torch.zeros_like(uv), pose), scale)
        return NoiseEnd(uv.new_zeros(*uv.shape[:-1], self.channels), scale)

    def start(
        self, uv: Pose2D, pose: Pose3D, draw: Draw, end: NoiseEnd, unit: Tensor, share: Tensor
    ) -> Tensor:
        """First state of the reverse process, less the centre.

        Args:
            uv: Detections, ``(batch, joints, 2)``.
            pose: The context encoder's pose, ``(batch, joints, 3)``.
            draw: Components.
            end: Where noise led.
            unit: Unit noise, ``(drawn, 1 or batch, joints, channels)``.
            share: Signal share of the first sampled level; a start at the context pose itself
                keeps its whole signal.

        Returns:
            ``(drawn, batch, joints, channels)``.
        """
        init = self.config.init
        if init == "unit":
            return unit - end.centre
        if init == "mixture":
            start = end if self.is_mixture else self._end(uv, pose, draw)
            return unit * start.scale + (start.centre - end.centre)
        clean, noise = self.join(uv, pose) - end.centre, unit * end.scale
        if init == "context_noise":
            return add_noise(clean, noise, share)
        return clean + (1 - share).sqrt() * noise

    def join(self, uv: Pose2D, xyz: Pose3D) -> Tensor:
        """The channels of the diffused variable."""
        return xyz if self.channels == 3 else torch.cat((uv, xyz), dim=-1)

    def _end(self, uv: Pose2D, pose: Pose3D | None, draw: Draw) -> NoiseEnd:
        """The drawn component of H_K."""
        end = self.endpoint(uv, pose, draw.component, draw.depth)
        mean, spread = draw.component
        return NoiseEnd(self.join(mean, end.centre), self.join(spread, end.scale))
