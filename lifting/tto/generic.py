"""The latent of a method that offers none: its own 2D input, in screen units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from lifting.batch import PoseBatch, Prediction
from lifting.geometry.camera import denormalize_screen, normalize_screen
from lifting.tto.contract import LENGTH_PER_AXIS, Decoded, Latents

KEYPOINTS = "keypoints_2d"
LEAST_SIGMA_MM = 10.0


class Predictor(Protocol):
    """Whatever lifts a batch."""

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift a batch, without the mirrored average."""
        ...


class InputLatent:
    """Moves a method's keypoints, and decodes them with the whole method.

    The expected error is the method's own where it gives one, at least 10 mm and constant in the
    latent: for a method that draws several poses it is their spread, which tells nothing below.

    Args:
        predictor: The method.

    Source: released code of the uncertainty-aware optimisation, for its own network.
    """

    lr_scale: Mapping[str, float] = {}

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def encode(self, batch: PoseBatch) -> Latents:
        """The keypoints, screen units, ``(samples, frames, joints, 2)``."""
        return {KEYPOINTS: normalize_screen(batch.keypoints_2d, batch.camera.size[:, None])}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """The method's answer to moved keypoints."""
        pixels = denormalize_screen(latents[KEYPOINTS], batch.camera.size[:, None])
        # A method in half precision takes its keypoints so; the latent itself stays in single.
        moved = replace(batch, keypoints_2d=pixels.to(batch.keypoints_2d.dtype))
        answer = self.predictor.predict(moved)
        log_sigma = None
        if answer.sigma is not None:
            error = LENGTH_PER_AXIS * answer.sigma.detach()
            log_sigma = error.clamp(min=LEAST_SIGMA_MM).log()
        trajectory = answer.trajectory
        root = None if trajectory is None else trajectory[:, :, None]
        return Decoded(pose=answer.joints_3d, log_sigma=log_sigma, root=root)
