"""What a batch knows of its 2D poses beside the keypoints: mixtures, weights, lenses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lifting.batch import MIRRORED, PoseBatch
from lifting.data.detections import Detections
from lifting.data.mixtures import confidence_sigma, detection_mixtures, point_mixtures
from lifting.errors import DataError, check_shape
from lifting.geometry.camera import normalize_screen
from lifting.methods.diffpose.aggregate import Evidence
from lifting.methods.diffpose.units import PosePair, from_network_units
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, Pose2D

Source = Literal["degenerate", "confidence", "synthetic", "given"]
Target = Literal["middle", "all"]
MIXTURES = "mixtures"


def answered(values: Tensor, target: Target) -> Tensor:
    """The frames of windows that are targets, of ``(batch, frames, ...)``."""
    half = values.shape[1] // 2
    return values if target == "all" else values[:, half : half + 1]


def projection_evidence(batch: PoseBatch, target: Target) -> Evidence:
    """What hypotheses of a batch are compared with, ``(batch, targets, ...)``.

    Args:
        batch: Single-view windows; where it has no confidence all keypoints weigh the same.
        target: Which frames are answered.
    """
    keypoints = answered(batch.keypoints_2d, target)
    weights = torch.ones_like(keypoints[..., 0])
    if batch.confidence is not None:
        weights = answered(batch.confidence, target)
    return Evidence(keypoints, weights, batch.camera.intrinsics[:, None])


def batch_mixtures(
    batch: PoseBatch, uv: Pose2D, source: Source, target: Target, skeleton: Skeleton
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
        return screen_mixtures(_given(batch, target, skeleton).flatten(0, 1), size)
    keypoints = from_network_units(PosePair(uv.flatten(0, 1)), size).keypoints
    confidence = torch.ones_like(keypoints[..., 0])
    if batch.confidence is not None:
        confidence = answered(batch.confidence, target).flatten(0, 1)
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


def _given(batch: PoseBatch, target: Target, skeleton: Skeleton) -> Tensor:
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
    mixtures = answered(mixtures, target)
    mirrored = batch.extras.get(MIRRORED)
    if mirrored is None:
        return mixtures
    flipped = mirror_mixtures(mixtures, batch.camera.size, skeleton)
    return torch.where(mirrored[:, None, None, None, None], flipped, mixtures)
