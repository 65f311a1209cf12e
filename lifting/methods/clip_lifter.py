"""Methods that answer all frames of a window at once, with weights: input, units, scale.

Source: Zhu et al. 2023 (MotionBERT) and Mehraban et al. 2024 (MotionAGFormer), released codes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lifting.batch import PoseBatch, Prediction, answered_frames, root_relative
from lifting.geometry.camera import normalize_screen, project
from lifting.methods.clip_config import ClipConfig
from lifting.methods.lifter import PoseLifter
from lifting.methods.settings import ModuleSettings
from lifting.nn.clip_loss import limb_lengths
from lifting.nn.units import from_network_units, to_network_units
from lifting.typing import ImageSize, Intrinsics, Pose2D, Pose3D

ORACLE_FACTOR = "oracle_factor"
PINHOLE = 4
"""Intrinsics before the coefficients of distortion."""
BONES_MM = 4149.8
"""Sum of the bones of the typical skeleton of Human3.6M, mm."""


class ClipLifter(PoseLifter):
    """Applies a network to keypoints and confidence of whole windows.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.
    """

    config: ClipConfig
    network: nn.Module
    bones_mm: Tensor

    def __init__(self, config: ClipConfig, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        if config.answer == "image":
            self.register_buffer("bones_mm", torch.tensor(BONES_MM))

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the frames that are targets; all frames of their windows tell."""
        answer = answered_frames(self.estimate(batch), self.settings.target)
        if self.config.answer == "metric":
            return Prediction(
                skeleton=self.skeleton, joints_3d=from_network_units(self._rooted(answer))
            )
        pose = self._rooted(answer)
        bones = limb_lengths(pose, self.skeleton.bones).sum(-1)
        factor = self.bones_mm / bones.clamp(min=torch.finfo(bones.dtype).tiny)
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=pose * factor[..., None, None],
            extras=self._with_true_factor(pose, batch),
        )

    def describe(self) -> dict[str, Any]:
        """What a record shall say: where the length of an image answer comes from."""
        told = super().describe()
        if self.config.answer == "image":
            told["scale"] = "mean size of the people of the training"
        return told

    def estimate(self, batch: PoseBatch, place: int | None = None) -> Pose3D:
        """What the network answers, ``(batch, frames, joints, 3)``, metres or screen units.

        Args:
            batch: Windows.
            place: That of single frames in a window; None is for whole windows.
        """
        answer: Tensor = self.network(self.network_input(batch), place)
        return answer

    def network_input(self, batch: PoseBatch) -> Tensor:
        """Screen units and confidence, ``(batch, frames, joints, 3)``."""
        keypoints = to_network_units(batch.keypoints_2d, batch.camera.size)
        seen = batch.confidence if self.config.confidence else None
        if seen is None:
            seen = torch.ones_like(keypoints[..., 0])
        return torch.cat((keypoints, seen[..., None].to(keypoints)), dim=-1)

    def _rooted(self, answer: Pose3D) -> Pose3D:
        """Relative to the root, whose own place is no part of an answer that already is."""
        root = self.skeleton.root
        if self.config.root == "first_frame":
            return root_relative(answer, root)
        others = torch.arange(len(self.skeleton), device=answer.device) != root
        return answer * others[:, None]

    def _with_true_factor(self, pose: Pose3D, batch: PoseBatch) -> dict[str, Pose3D]:
        """The answer at the true scale of each frame, which reads labels; none without them."""
        if batch.joints_3d is None:
            return {}
        depth = batch.joints_3d[..., self.skeleton.root, 2]
        factor = mm_per_pixel(depth, batch.camera.intrinsics)
        return {ORACLE_FACTOR: from_image(pose, batch.camera.size, factor, self.skeleton.root)}


def mm_per_pixel(depth: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Length that a pixel shows at a depth, mm; the factor of the released evaluation.

    Args:
        depth: ``(batch, frames)``, mm.
        intrinsics: ``(batch, 9)``, pixels.
    """
    return depth / intrinsics[:, :2].mean(-1, keepdim=True)


def to_image(joints_3d: Pose3D, intrinsics: Intrinsics, size: ImageSize, root: int) -> Pose3D:
    """Poses as places in the image of a pinhole, and depths from the root at its scale.

    Args:
        joints_3d: ``(batch, frames, joints, 3)``, camera frame, absolute, mm.
        intrinsics: ``(batch, 9)``, pixels; distortion does not count.
        size: ``(batch, 2)``, pixels.
        root: Index of the root joint.

    Returns:
        Screen units, ``(batch, frames, joints, 3)``.
    """
    pinhole = torch.cat(
        (intrinsics[:, :PINHOLE], torch.zeros_like(intrinsics[:, PINHOLE:])), dim=-1
    )
    pixels = project(joints_3d, pinhole[:, None])
    depth = joints_3d[..., 2]
    factor = mm_per_pixel(depth[..., root], intrinsics)
    from_root = (depth - depth[..., root, None]) / factor[..., None]
    return to_screen(torch.cat((pixels, from_root[..., None]), dim=-1), size)


def to_screen(pose: Pose3D, size: ImageSize) -> Pose3D:
    """Pixels, of depth too, as screen units: x and y from the image's centre, z by its scale.

    Args:
        pose: ``(batch, frames, joints, 3)``, pixels.
        size: ``(batch, 2)``, pixels.
    """
    place: Pose2D = normalize_screen(pose[..., :2], size[:, None])
    return torch.cat((place, pose[..., 2:] * (2 / size[:, None, None, :1])), dim=-1)


def from_image(pose: Pose3D, size: ImageSize, factor: Tensor, root: int) -> Pose3D:
    """Screen units as mm from the root.

    Args:
        pose: ``(batch, frames, joints, 3)``.
        size: ``(batch, 2)``, pixels.
        factor: ``(batch, frames)``, mm a pixel.
        root: Index of the root joint.

    Source: released evaluations; what is off the axis of the camera is as if seen from afar.
    """
    pixels = root_relative(pose, root) * (size[:, None, None, :1] / 2)
    return pixels * factor[..., None, None]
