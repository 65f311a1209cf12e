"""2D Gaussian mixtures, one a joint, ``(batch, joints, components, 5)``, and those of a batch.

The last axis is weight, mean u, mean v, deviation u, deviation v, in screen units.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.batch import MIRRORED, PoseBatch, answered_frames
from lifting.data.detections import Detections
from lifting.data.mixtures import confidence_sigma, detection_mixtures, point_mixtures
from lifting.errors import DataError, check_shape
from lifting.geometry.camera import denormalize_screen, normalize_screen
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, PerJoint, Pose2D

Source = Literal["degenerate", "confidence", "synthetic", "given"]
Target = Literal["middle", "all"]
MIXTURES = "mixtures"


class Component(NamedTuple):
    """One selected component of every joint.

    Attributes:
        mean: ``(*batch, joints, 2)``, screen units.
        spread: Standard deviations, ``(*batch, joints, 2)``, screen units.
    """

    mean: Pose2D
    spread: Pose2D


def degenerate_mixture(uv: Pose2D, spread: float) -> Tensor:
    """Mixture of a single component at each detection, ``(batch, joints, 1, 5)``.

    Args:
        uv: ``(batch, joints, 2)``, screen units.
        spread: Standard deviation, screen units.

    Source: what users found in the released mixture files, whose weights are (1, 0, 0).
    """
    weight = torch.ones_like(uv[..., :1])
    return torch.cat((weight, uv, torch.full_like(uv, spread)), dim=-1)[..., None, :]


def draw_components(mixture: Tensor, uniform: PerJoint) -> Tensor:
    """Index of one component a joint, by its weight, ``(*batch, joints)`` int64.

    Args:
        mixture: ``(*batch, joints, components, 5)``; weights need not sum to one exactly.
        uniform: ``(*batch, joints)``, uniform in [0, 1): the only randomness.
    """
    check_shape("mixture", mixture, "*batch joints components 5")
    return draw_index(mixture[..., 0], uniform)


def draw_index(weights: Tensor, uniform: Tensor) -> Tensor:
    """Index drawn by weight, of the shape of ``uniform``, int64.

    Args:
        weights: ``(*batch, components)``, not negative.
        uniform: ``(*batch,)``, uniform in [0, 1).
    """
    edges = weights.cumsum(dim=-1)
    level = uniform[..., None] * edges[..., -1:]
    return (level >= edges).sum(dim=-1).clamp(max=weights.shape[-1] - 1)


def pick_components(mixture: Tensor, index: Tensor) -> Component:
    """The named components.

    Args:
        mixture: ``(*batch, joints, components, 5)``.
        index: ``(*batch, joints)`` int64.
    """
    check_shape("mixture", mixture, "*batch joints components 5")
    index = index[..., None, None].expand(*index.shape, 1, 5)
    chosen = mixture.gather(-2, index).squeeze(-2)  # (batch, joints, 5)
    return Component(chosen[..., 1:3], chosen[..., 3:5])


def batch_mixtures(
    batch: PoseBatch,
    uv: Pose2D,
    source: Source,
    target: Target,
    skeleton: Skeleton,
) -> Tensor | None:
    """2D mixtures of the target frames, ``(batch targets, joints, components, 5)``, screen units.

    Args:
        batch: Gives confidence, image sizes and, for ``given``, the mixtures.
        uv: Detections, ``(batch, targets, joints, 2)``, screen units; around them mixtures are
            made.
        source: As the configuration says; ``degenerate`` has None.
        target: Which frames are answered.
        skeleton: Joints.

    Raises:
        DataError: Mixtures are to be given and the batch has none.
    """
    if source == "degenerate":
        return None
    size = batch.camera.size.repeat_interleave(uv.shape[1], dim=0)
    if source == "given":
        return screen_mixtures(_given_mixtures(batch, target, skeleton).flatten(0, 1), size)
    keypoints = denormalize_screen(uv.flatten(0, 1), size)
    confidence = torch.ones_like(keypoints[..., 0])
    if batch.confidence is not None:
        confidence = answered_frames(batch.confidence, target).flatten(0, 1)
    sigma = confidence_sigma(keypoints, confidence)
    found = Detections(keypoints, confidence, sigma, torch.zeros_like(sigma, dtype=torch.bool))
    width = size[:, 0]
    if source == "confidence":
        return screen_mixtures(point_mixtures(found, width), size)
    made = detection_mixtures(found, skeleton, width, partner=True, generator=None)
    return screen_mixtures(made, size)


def screen_mixtures(mixtures: Tensor, size: ImageSize) -> Tensor:
    """Mixtures with their means in screen units instead of pixels.

    Args:
        mixtures: ``(batch, joints, components, 5)``; the spreads are in screen units already.
        size: Image width and height, ``(batch, 2)``, pixels.
    """
    weight, mean, spread = mixtures[..., :1], mixtures[..., 1:3], mixtures[..., 3:]
    return torch.cat((weight, normalize_screen(mean, size[:, None]), spread), dim=-1)


def mirror_mixtures(mixtures: Tensor, size: ImageSize, skeleton: Skeleton) -> Tensor:
    """Mixtures of the mirrored image, in which left and right are exchanged.

    Args:
        mixtures: ``(batch, frames, joints, components, 5)``, means in pixels.
        size: Image width and height, ``(batch, 2)``, pixels.
        skeleton: Gives the symmetry of the joints.
    """
    index = torch.tensor(skeleton.flip_index, device=mixtures.device)
    turned = mixtures.index_select(2, index)
    u = size[:, 0, None, None, None] - turned[..., 1]
    return torch.cat((turned[..., :1], u[..., None], turned[..., 2:]), dim=-1)


def _given_mixtures(batch: PoseBatch, target: Target, skeleton: Skeleton) -> Tensor:
    """The data's mixtures of the target frames, mirrored where the sample is."""
    mixtures = batch.extras.get(MIXTURES)
    if mixtures is None:
        raise DataError(
            "expected 2D mixtures in the batch for method.mixture=given, got none; make them with "
            "`lifting data mixtures` and give the file as data.mixtures, or set method.mixture to "
            "confidence or synthetic"
        )
    joints = len(skeleton)
    check_shape("mixtures", mixtures, "batch frames joints components 5", joints=joints)
    mixtures = answered_frames(mixtures, target)
    mirrored = batch.extras.get(MIRRORED)
    if mirrored is None:
        return mixtures
    flipped = mirror_mixtures(mixtures, batch.camera.size, skeleton)
    return torch.where(mirrored[:, None, None, None, None], flipped, mixtures)
