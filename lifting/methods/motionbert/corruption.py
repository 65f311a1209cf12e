"""What pretraining does to keypoints: hides some, disturbs them as a detector would, crops them.

Keypoints are ``(batch, frames, joints, 3)``, screen units and confidence.

Source: Zhu et al. 2023, section 3.2, and released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import CheckpointError
from lifting.files.tensors import load_tensors

KEY_FRAMES = 27
UNIFORM_RANGE = 0.06
SHAKE_STD = 0.002
FEWEST_POINTS = 4


class ConfidenceModel(NamedTuple):
    """Confidence by the distance d of a keypoint from the truth: ``a / (d + a) + b d + noise``.

    Attributes:
        a: Screen units.
        b: One over screen units.
        mean: Of the noise.
        std: Of the noise.
    """

    a: float = 0.028
    b: float = 1.1
    mean: float = -0.0045856964
    std: float = 0.14310569


@dataclass(frozen=True)
class DetectorNoise:
    """Errors of a detector: of each joint's a Gaussian, or else anything within a square.

    Attributes:
        mean: Of the Gaussian, ``(joints, 2)``, screen units.
        std: Of the Gaussian, ``(joints, 2)``, screen units.
        weight: Probability of the Gaussian, ``(joints,)``.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor

    @classmethod
    def read(cls, path: Path, joints: int) -> Self:
        """From the authors' file.

        Args:
            path: Of the file.
            joints: That it is to tell of.

        Raises:
            MissingDataError: No such file.
            CheckpointError: The file is unsafe, damaged, or holds something else.
        """
        content = load_tensors(path)
        found = content if isinstance(content, Mapping) else {}
        shapes = {"mean": (joints, 2), "std": (joints, 2), "weight": (joints,)}
        for name, shape in shapes.items():
            value = found.get(name)
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            if came != shape:
                raise CheckpointError(
                    f"expected a tensor '{name}' of shape {shape} in {path}, got {came}; give the "
                    "authors' synthetic_noise.pth, or set method.noise_file to null"
                )
        return cls(*(found[name].float() for name in shapes))


class NoiseDraws(NamedTuple):
    """Random numbers by which a batch is disturbed.

    Attributes:
        choice: Uniform, ``(batch, key frames, joints, 1)``: Gaussian below its probability.
        gauss: Unit normal, ``(batch, key frames, joints, 2)``.
        uniform: Uniform, same shape.
        shake: Unit normal, ``(frames, joints, 2)``, the same for all of the batch.
        confidence: Unit normal, ``(batch, frames, joints)``.
    """

    choice: Tensor
    gauss: Tensor
    uniform: Tensor
    shake: Tensor
    confidence: Tensor

    @classmethod
    def draw(cls, like: Tensor) -> Self:
        """Fresh numbers for keypoints of a shape and device."""
        batch, frames, joints = like.shape[:3]
        key = (batch, KEY_FRAMES, joints)
        return cls(
            torch.rand(*key, 1, device=like.device),
            torch.randn(*key, 2, device=like.device),
            torch.rand(*key, 2, device=like.device),
            torch.randn(frames, joints, 2, device=like.device),
            torch.randn(batch, frames, joints, device=like.device),
        )


def disturb(
    place: Tensor,
    noise: DetectorNoise,
    draws: NoiseDraws,
    confidence: ConfidenceModel = ConfidenceModel(),  # noqa: B008
) -> Tensor:
    """Keypoints as a detector might have found them, with its confidence.

    Errors are drawn at key frames and lie on straight lines between them.

    Args:
        place: Where the joints are, ``(batch, frames, joints, 2)``, screen units.
        noise: Of the detector.
        draws: Random numbers.
        confidence: Of the detector.

    Returns:
        ``(batch, frames, joints, 3)``.
    """
    mean, std, weight = (v.to(place) for v in (noise.mean, noise.std, noise.weight))
    gaussian = draws.choice < weight[:, None]
    at_keys = torch.where(
        gaussian, mean + std * draws.gauss, UNIFORM_RANGE * (draws.uniform - 0.5)
    )  # (batch, key frames, joints, 2)
    frames = place.shape[1]
    between = functional.interpolate(
        at_keys.flatten(2).transpose(1, 2), size=frames, mode="linear", align_corners=True
    )
    error = between.transpose(1, 2).reshape(place.shape) + SHAKE_STD * draws.shake
    distance = error.norm(dim=-1)
    a, b, centre, spread = confidence
    sure = a / (distance + a) + b * distance + (centre + spread * draws.confidence)
    return torch.cat((place + error, sure.clamp(0, 1)[..., None]), dim=-1)


def hide(
    keypoints: Tensor, joint_draws: Tensor, frame_draws: Tensor, joints: float, frames: float
) -> Tensor:
    """Zeros, also of confidence, where joints or whole frames are hidden.

    Args:
        keypoints: ``(batch, frames, joints, 3)``.
        joint_draws: Uniform, ``(batch, frames, joints, 1)``.
        frame_draws: Uniform, ``(1, frames, 1, 1)``, the same for all of the batch.
        joints: Probability to hide a joint.
        frames: Probability to hide a frame.
    """
    return keypoints * ((joint_draws > joints) & (frame_draws > frames))


def crop_scale(keypoints: Tensor, ratio: Tensor) -> Tensor:
    """Each window in a square of its own around the person, as screen units of that.

    Args:
        keypoints: Of any unit, ``(batch, frames, joints, 3)``.
        ratio: Side of the square over the longer side of the person's box, ``(batch,)``.

    Returns:
        Between -1 and 1; zeros where fewer than four keypoints have a confidence.
    """
    place, seen = keypoints[..., :2], keypoints[..., 2:] != 0
    low = place.masked_fill(~seen, torch.inf).amin((1, 2))
    high = place.masked_fill(~seen, -torch.inf).amax((1, 2))
    side = (high - low).amax(-1) * ratio
    usable = (seen.sum((1, 2, 3)) >= FEWEST_POINTS) & (side > 0) & side.isfinite()
    corner = torch.where(usable[:, None], (low + high - side[:, None]) / 2, 0.0)
    side = torch.where(usable, side, 1.0)[:, None, None, None]
    inside = ((place - corner[:, None, None]) / side - 0.5) * 2
    cropped = torch.cat((inside, keypoints[..., 2:]), dim=-1).clamp(-1, 1)
    return cropped * usable[:, None, None, None]
