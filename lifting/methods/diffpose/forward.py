"""The forward process: which Gaussian noise leads to, and where the reverse process starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import add_noise
from lifting.methods.diffpose.endpoint import Endpoint, Place
from lifting.methods.diffpose.mixture import (
    Component,
    degenerate_mixture,
    draw_components,
    pick_components,
)
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

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
        self.endpoint = Endpoint(config, skeleton)

    @property
    def is_mixture(self) -> bool:
        """Whether noise leads to the mixture H_K; the ablations have no noise."""
        return self.config.forward_noise == "gmm" and self.config.process == "diffusion"

    @property
    def draws(self) -> bool:
        """Whether there is more than one component to draw from."""
        return self.config.has_components

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

    def place(self, uv: Pose2D, pose: Pose3D | None, draw: Draw) -> Place:
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
            return Place(self.join(torch.zeros_like(uv), pose), scale)
        return Place(uv.new_zeros(*uv.shape[:-1], self.channels), scale)

    def start(
        self, uv: Pose2D, pose: Pose3D, draw: Draw, place: Place, unit: Tensor, share: Tensor
    ) -> Tensor:
        """First state of the reverse process, less the centre.

        Args:
            uv: Detections, ``(batch, joints, 2)``.
            pose: The context encoder's pose, ``(batch, joints, 3)``.
            draw: Components.
            place: Where noise led.
            unit: Unit noise, ``(drawn, 1 or batch, joints, channels)``.
            share: Signal share of the first sampled level; a start at the context pose itself
                keeps its whole signal.

        Returns:
            ``(drawn, batch, joints, channels)``.
        """
        init = self.config.init
        if init == "unit":
            return unit - place.centre
        if init == "mixture":
            end = place if self.is_mixture else self._end(uv, pose, draw)
            return unit * end.scale + (end.centre - place.centre)
        clean, noise = self.join(uv, pose) - place.centre, unit * place.scale
        if init == "context_noise":
            return add_noise(clean, noise, share)
        return clean + (1 - share).sqrt() * noise

    def join(self, uv: Pose2D, xyz: Pose3D) -> Tensor:
        """The channels of the diffused variable."""
        return xyz if self.channels == 3 else torch.cat((uv, xyz), dim=-1)

    def _end(self, uv: Pose2D, pose: Pose3D | None, draw: Draw) -> Place:
        """The drawn component of H_K."""
        end = self.endpoint(uv, pose, draw.component, draw.depth)
        mean, spread = draw.component
        return Place(self.join(mean, end.centre), self.join(spread, end.scale))
