"""D3DP under training."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.methods.base import LiftingModule
from lifting.methods.d3dp.diffusion import noisy
from lifting.methods.d3dp.lifter import Lifter
from lifting.nn.pose_loss import pose_loss
from lifting.nn.units import MM_PER_METRE, to_network_units


class Module(Lifter, LiftingModule):
    """Trains the denoiser at random noise levels; answers by sampling.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Only the middle of a window is the target.
    """

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss over all joints, the root with its true position zero, of shape ``()``."""
        losses = self.losses_with_stills(batch, self.config.stills, self.losses)
        total = self.log_losses(losses, batch)
        return total * total.detach() if self.config.gradient == "released" else total

    def losses(self, batch: PoseBatch, place: int | None) -> dict[str, Tensor]:
        """The loss at random noise levels.

        Args:
            batch: With labels.
            place: That of single frames in a window; None for whole windows.
        """
        target = self.target(batch) / MM_PER_METRE
        uv = to_network_units(batch.keypoints_2d, batch.camera.size)
        level = torch.randint(self.config.diffusion_steps, (len(batch),), device=uv.device)
        predicted = self.denoised_once(uv, target, level, torch.randn_like(target), place)
        weights = self.label_weights(batch)
        return {"pose": pose_loss(predicted, target, weights, "distance")}

    def denoised_once(
        self, uv: Tensor, target: Tensor, level: Tensor, noise: Tensor, place: int | None = None
    ) -> Tensor:
        """The denoiser's answer to labels that were made noisy, metres.

        Args:
            uv: ``(batch, frames, joints, 2)``, screen units.
            target: Root-relative labels, metres, ``(batch, frames, joints, 3)``.
            level: Of the noise, ``(batch,)``.
            noise: Unit noise of the shape of the labels.
            place: That of single frames in a window; None for whole windows.
        """
        share = self.shares.to(target)[level]
        state = noisy(target, noise, share.view(-1, 1, 1, 1), self.bounds)
        answer: Tensor = self.network(uv, state, level, place)
        return answer

    def validation_step(self, batch: PoseBatch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """Predict, by one hypothesis in one step where the configuration says so."""
        if not self.config.quick_validation:
            return super().validation_step(batch, batch_idx)
        self.check_joints(batch)
        return self.answer(batch, self.noise[:1, :1])
