"""Energy guidance: estimated poses are moved towards what was seen, while they are sampled.

The objective is that of test-time optimisation, with the estimated pose itself as what moves: the
root is solved for in closed form and keypoints count by their confidence. No label is read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.methods.diffpose.config import GuidanceConfig
from lifting.methods.diffpose.sampler import Correction
from lifting.nn.hypotheses import WeightedKeypoints
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import Skeleton
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Decoded, Latents, Observations
from lifting.tto.objective import Objective, bone_energy, symmetry_energy
from lifting.typing import ImageSize, PerSample, Pose3D

POSE = "pose"


class Guide:
    """What sampled poses are compared with.

    Args:
        config: Weights of the energies, and how far and when poses move.
        seen: Of the answered frames, ``(batch, targets, ...)``.
        size: Image width and height of each, ``(batch targets, 2)``, pixels.
        skeleton: Joints.
    """

    def __init__(
        self, config: GuidanceConfig, seen: WeightedKeypoints, size: ImageSize, skeleton: Skeleton
    ) -> None:
        self.config = config
        self.seen = seen
        self.size = size
        self.skeleton = skeleton
        self.terms = TtoConfig(
            weight_projection=config.weight_projection,
            weight_anchor=0.0,
        )

    def around(self, context: Pose3D, copies: int) -> Correction:
        """Moves of estimated poses, of which the objective is that of each pose alone.

        Args:
            context: Context poses, whose bone lengths are to be kept, ``(poses, joints, 3)``,
                metres.
            copies: Hypotheses of each, one set after the other.
        """
        with torch.inference_mode(False), torch.no_grad():
            objective = self._objective(context, copies)
        first, last = self.config.first_step, self.config.last_step

        def moves(pose: Pose3D, visited: int) -> Pose3D | None:
            if visited < first or (last is not None and visited > last):
                return None
            with torch.autocast(pose.device.type, enabled=False):
                moved = self._descend(objective, pose.detach().float() * MM_PER_METRE)
            return (moved / MM_PER_METRE).to(pose.dtype)

        return moves

    def _descend(self, objective: Objective, start: Pose3D) -> Pose3D:
        """Moves of ``(poses, joints, 3)``, mm."""
        with torch.inference_mode(False), torch.enable_grad():
            moved = torch.zeros_like(start)
            for _ in range(self.config.moves):
                pose = (start + moved)[:, None].requires_grad_()
                energy = self._energy(objective, pose)
                (gradient,) = torch.autograd.grad(energy.sum(), pose)
                moved = moved - self._step(gradient[:, 0], energy.detach())
        return moved

    def _energy(self, objective: Objective, pose: Pose3D) -> PerSample:
        """What is lowered, ``(poses,)``, for poses ``(poses, 1, joints, 3)``, mm."""
        config = self.config
        energy = objective({POSE: pose}).energy
        centred = pose * objective.around_root
        if config.weight_bone and objective.anchor is not None:
            first = objective.anchor.pose * objective.around_root
            energy = energy + config.weight_bone * bone_energy(centred, first, self.skeleton)
        if config.weight_symmetry:
            energy = energy + config.weight_symmetry * symmetry_energy(centred, self.skeleton)
        return energy

    def _step(self, gradient: Tensor, energy: Tensor) -> Tensor:
        """A step down the gradient, mm.

        The root mean square of its joints is at most ``step_mm``, and at most as far as the energy
        would fall to zero if it were linear: an energy of lengths is as steep beside its minimum
        as far away.
        """
        slope = gradient.square().sum(dim=-1).mean(dim=-1).sqrt()  # of a joint, (poses,)
        least = torch.finfo(slope.dtype).tiny
        reach = energy / (gradient.shape[1] * slope).clamp(min=least)
        length = reach.clamp(max=self.config.step_mm) / slope.clamp(min=least)
        step = length[:, None, None] * gradient
        # A camera that cannot be projected with, or a pose on its plane, moves nothing.
        return torch.where(step.isfinite().all(-1, keepdim=True).all(-2, keepdim=True), step, 0.0)

    def _objective(self, context: Pose3D, copies: int) -> Objective:
        """The objective of all hypotheses, held to the bone lengths of the context poses.

        Everything is repeated, and so no tensor of inference mode, which has no gradient.
        """

        def every(values: Tensor) -> Tensor:
            return values.repeat(copies, *(1 for _ in values.shape[1:]))

        weights = every(self.seen.weights.flatten(0, 1))[:, None]
        valid = weights > 0
        valid = valid & (valid.sum(-1, keepdim=True) >= self.terms.min_keypoints)
        targets = self.seen.keypoints.shape[1]
        camera = self.seen.intrinsics.expand(-1, targets, -1).flatten(0, 1)
        seen = Observations(
            uv=every(self.seen.keypoints.flatten(0, 1))[:, None].float(),
            confidence=weights.float(),
            intrinsics=every(camera).float(),
            size=every(self.size).float(),
            root_gt=None,
            valid=valid,
        )
        objective = Objective(_as_it_is, seen, self.terms, self.skeleton)
        objective.anchor = Decoded(
            every(context.detach().float() * MM_PER_METRE)[:, None], torch.zeros_like(weights)
        )
        return objective


def _as_it_is(latents: Latents) -> Decoded:
    return Decoded(latents[POSE])
