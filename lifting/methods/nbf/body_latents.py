"""The latents of fitting: how far a body is turned, bent and moved from where it started.

All are zero at the start but the joints' rotation vectors. A step of one size moves the image of
the body by about the same amount through each of them: places are metres at the root's depth, and
depth is a logarithm.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.body.kernel_body import KernelBody
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.nbf.rotations import BodyPose, rotation_vector
from lifting.tto.contract import Latents

TURN, POSE, PLACE, SHAPE = "turn", "pose", "place", "shape"
MM_PER_METRE = 1000.0


class BodyLatents(NamedTuple):
    """Which joints a body's latents bend.

    Attributes:
        joints: Those that have something hanging on them, without the root.
        fit_shape: Whether the shape coefficients move too.
    """

    joints: tuple[int, ...]
    fit_shape: bool = False

    @classmethod
    def of_body(cls, body: KernelBody, *, fit_shape: bool = False) -> BodyLatents:
        """Of all joints but the root and the ends, whose turn no joint shows."""
        inner = set(body.parents)
        bent = tuple(j for j, p in enumerate(body.parents) if p >= 0 and j in inner)
        return cls(bent, fit_shape)

    def encode(self, start: BodyPose) -> Latents:
        """Latents that decode to the start."""
        rotations = start.rotations
        latents = {
            TURN: rotations.new_zeros(len(rotations), 3),
            POSE: rotation_vector(rotations[:, list(self.joints)]),
            PLACE: rotations.new_zeros(len(rotations), 3),
        }
        if self.fit_shape:
            latents[SHAPE] = start.betas.clone()
        return latents

    def decode(self, latents: Latents, start: BodyPose) -> BodyPose:
        """The body that latents stand for, differentiable.

        Args:
            latents: As ``encode`` gives them; computed on in the precision of the start.
            start: What was encoded.
        """
        latents = {name: value.to(start.rotations) for name, value in latents.items()}
        root = axis_angle_to_matrix(latents[TURN]) @ start.rotations[:, 0]
        bent = axis_angle_to_matrix(latents[POSE])
        index = torch.tensor(self.joints, device=root.device)
        rotations = start.rotations.index_copy(1, index, bent)
        rotations = torch.cat((root[:, None], rotations[:, 1:]), dim=1)
        return BodyPose(
            rotations, latents.get(SHAPE, start.betas), _moved(start.translation, latents[PLACE])
        )


def _moved(root: Tensor, place: Tensor) -> Tensor:
    factor = place[:, 2:].exp()
    across = (root[:, :2] + MM_PER_METRE * place[:, :2]) * factor
    return torch.cat((across, root[:, 2:] * factor), dim=-1)
