"""The method without Lightning: from a batch of pictures to a loss, or to poses.

Places are computed in float32 also under autocast, which is for the network alone: half the digits
would move a joint by pixels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Generator, Tensor, nn

from lifting.batch import PoseBatch, label_weights
from lifting.errors import ConfigError, DataError, check_shape
from lifting.geometry.camera import Camera
from lifting.methods.epipolarpose.augment import (
    OccluderBank,
    cut_patches,
    draw_augmentation,
    draw_occlusion,
    folder_bank,
    network_input,
    paste,
    procedural_bank,
)
from lifting.methods.epipolarpose.config import NO_OCCLUDERS, PROCEDURAL, Config
from lifting.methods.epipolarpose.crop import (
    Crop,
    compose_affine,
    image_to_camera,
    image_to_picture,
    normalised_to_image,
    patch_to_image,
    root_depth,
)
from lifting.methods.epipolarpose.labels import crop_labels, joint_loss, label_views
from lifting.methods.epipolarpose.network import PoseNetwork
from lifting.methods.lifter import refused_skeleton
from lifting.skeleton import H36M_17, MPII_16, Skeleton
from lifting.skeleton.convert import remap_joints
from lifting.typing import PerJoint, Pose3D

ROUNDING = 0.01


class Seen(NamedTuple):
    """Pictures of people, all views of the batch one after the other.

    Attributes:
        pictures: ``(people, 3, side, side)``, 0 to 255.
        square: What they show of the full image, ``(people, 3)``.
        box: The person's box.
        camera: ``(people,)``.
    """

    pictures: Tensor
    square: Tensor
    box: Crop
    camera: Camera


class Student(nn.Module):
    """A network that answers images, what it learns from, and the frozen copy that labels.

    Args:
        config: The switches.
        skeleton: Joints of labels and answers.

    Raises:
        ConfigError: Its joints cannot be made of those of the network.
    """

    def __init__(self, config: Config, skeleton: Skeleton) -> None:
        super().__init__()
        self.config, self.skeleton = config, skeleton
        self.head = MPII_16 if config.joints == MPII_16.name else skeleton
        if skeleton not in (self.head, H36M_17):
            raise refused_skeleton(
                f"the skeleton {H36M_17.name} or {MPII_16.name} with method.joints=mpii16",
                skeleton,
            )
        self.rows = head_rows(self.head, skeleton)
        self.network = PoseNetwork(len(self.head), config)
        self.frozen = PoseNetwork(len(self.head), config) if config.labels == "online" else None
        self.bank: OccluderBank | None = None
        if config.channels_last:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the copy that labels stays in evaluation mode."""
        super().train(mode)
        if self.frozen is not None:
            self.frozen.requires_grad_(False).eval()
        return self

    def begin(self, generator: Generator) -> None:
        """Make ready for a training: freeze a copy of the network, fetch the occluders.

        Args:
            generator: Draws procedural occluders, on the CPU.

        Raises:
            DataError: The folder of occluders is missing or holds something else.
        """
        if self.frozen is not None:
            self.frozen.load_state_dict(self.network.state_dict())
            self.train(self.training)
        name = self.config.occluders
        if name == PROCEDURAL:
            self.bank = procedural_bank(generator)
        elif name != NO_OCCLUDERS:
            self.bank = folder_bank(Path(name))

    def loss(self, batch: PoseBatch, generator: Generator) -> Tensor:
        """Distance of the answers to randomly changed crops from their labels.

        Args:
            batch: Pictures, of one view or of several; labels unless they are made here.
            generator: Source of the random numbers, on the CPU.

        Raises:
            DataError: Pictures, labels, views or camera places are missing.
        """
        config, seen = self.config, self.see(batch)
        joints, weights = self._labels(batch, seen)
        drawn = draw_augmentation(len(seen.pictures), config, generator)
        scale, angle, gain = (value.to(seen.square) for value in drawn)
        crop = replace(seen.box, scale=scale, angle=angle)
        patches = self._patches(seen, crop)
        with _exact(seen.pictures):
            if self.bank is not None:
                occlusion = draw_occlusion(
                    len(patches), len(self.bank), config.occluder_count, generator
                )
                moved = (value.to(patches.device) for value in occlusion)
                patches = paste(patches, self.bank, type(occlusion)(*moved))
            labels = crop_labels(
                joints,
                seen.camera.intrinsics,
                crop,
                self.head.root,
                weights,
                z_weight=config.z_weight,
                patch=config.patch,
            )
        found = self.network(self._input(patches, gain))
        return joint_loss(found, labels, config.loss, norm=config.norm)

    def locate(self, batch: PoseBatch) -> Pose3D:
        """The network's own coordinates, ``(people, joints, 3)``, of the boxes as they are."""
        seen = self.see(batch)
        return self.network(self._input(self._patches(seen, seen.box)))

    def pose(self, normalised: Pose3D, batch: PoseBatch) -> Pose3D:
        """Poses of the skeleton in front of the camera.

        The box stands in for the root's depth, so that a box made by labels makes it an oracle's.

        Args:
            normalised: What :meth:`locate` gave, perhaps moved.
            batch: For cameras and boxes.

        Returns:
            ``(people, joints, 3)``, camera frame, absolute, mm.

        Source: EpipolarPose, released code, which reads the true root depth.
        """
        seen = self.see(batch)
        intrinsics = seen.camera.intrinsics
        with _exact(seen.pictures):
            image = normalised_to_image(normalised, seen.box, self.config.patch)
            joints = image_to_camera(image, intrinsics, root_depth(seen.box, intrinsics))
            if self.head == self.skeleton:
                return joints
            return remap_joints(joints, self.head, self.skeleton)[0]

    def see(self, batch: PoseBatch) -> Seen:
        """Pictures and boxes of a batch, its views one after the other.

        Raises:
            DataError: The batch has none.
            ShapeError: They are of another form.
        """
        if batch.image is None or batch.crop is None:
            raise DataError(
                "expected pictures in the batch, got keypoints only; use data with images, or a "
                "method that lifts keypoints"
            )
        pictures = batch.image.reshape(-1, *batch.image.shape[-3:])
        check_shape("image", pictures, "people 3 side side")
        square = batch.crop.reshape(-1, 3)
        check_shape("crop", square, "people 3", people=len(pictures))
        camera = batch.camera
        if camera.intrinsics.ndim > 2:
            camera = camera.map(lambda value: value.flatten(0, 1))
        side = square[:, 2:].expand(-1, 2) / self.config.margin
        return Seen(pictures, square, Crop.plain(square[:, :2], side), camera)

    @torch.no_grad()
    def check_margin(self, batch: PoseBatch) -> None:
        """Compare ``method.margin`` with labelled pictures whose squares follow the root's depth.

        Nothing is said of squares that do not, as those around detections.

        Raises:
            ConfigError: The pictures have another margin throughout.
        """
        if batch.joints_3d is None:
            return
        seen = self.see(batch)
        joints = batch.joints_3d.reshape(len(seen.pictures), -1, len(self.skeleton), 3)
        found = joints[:, 0, self.skeleton.root, 2] / root_depth(seen.box, seen.camera.intrinsics)
        spread, middle = torch.std_mean(found, correction=0)
        if bool(((found - 1).abs() > ROUNDING).all() & (spread < ROUNDING * middle)):
            raise ConfigError(
                f"expected pictures whose side is {self.config.margin:g} times the person's box, "
                f"got {self.config.margin * float(middle):.3g} times; set method.margin to that"
            )

    def _patches(self, seen: Seen, crop: Crop) -> Tensor:
        patch = self.config.patch
        with _exact(seen.pictures):
            to_picture = image_to_picture(seen.square, seen.pictures.shape[-1])
            affine = compose_affine(to_picture, patch_to_image(crop, patch))
            return cut_patches(seen.pictures, affine, patch)

    def _input(self, patches: Tensor, gain: Tensor | None = None) -> Tensor:
        images = network_input(patches, gain)
        if self.config.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def _labels(self, batch: PoseBatch, seen: Seen) -> tuple[Pose3D, PerJoint]:
        """Joints of the head in the camera frame, mm, and their weights, ``(people, ...)``."""
        if self.frozen is not None:
            return self._labels_of_views(batch, seen, self.frozen)
        if batch.joints_3d is None:
            raise DataError(
                "expected 3D labels in the batch, got none; use labelled data, or several views "
                "with method.labels=online"
            )
        joints = batch.joints_3d.flatten(0, -3)
        check_shape("joints_3d", joints, "people joints 3", people=len(seen.pictures))
        weights = torch.ones_like(joints[..., 0])
        given = label_weights(batch, self.skeleton)
        if given is not None:
            weights = weights * given.flatten(0, -2)
        rows = torch.tensor(self.rows, device=joints.device)
        return joints.index_select(1, rows), weights.index_select(1, rows)

    @torch.no_grad()
    def _labels_of_views(
        self, batch: PoseBatch, seen: Seen, frozen: PoseNetwork
    ) -> tuple[Pose3D, PerJoint]:
        assert batch.image is not None
        if batch.image.ndim < 5 or batch.image.shape[1] < 2:
            raise DataError(
                "expected two or more synchronised views of each person for method.labels=online, "
                f"got pictures {tuple(batch.image.shape)}; use data with views, or labels made "
                "beforehand"
            )
        views = batch.image.shape[:2]
        found = frozen.locate(self._input(self._patches(seen, seen.box)))
        with _exact(seen.pictures):
            image = normalised_to_image(found.joints, seen.box, self.config.patch)
            labels = label_views(
                image[..., :2].reshape(*views, -1, 2),
                found.confidence.reshape(*views, -1),
                batch.camera,
                self.head.root,
                self.config,
            )
        weights = labels.weights[:, None].expand(*views, -1)
        return labels.joints.flatten(0, 1), weights.flatten(0, 1)


def _exact(like: Tensor) -> AbstractContextManager[object]:
    return torch.autocast(like.device.type, enabled=False)


def head_rows(head: Skeleton, skeleton: Skeleton) -> tuple[int, ...]:
    """Index in the skeleton of each of the head's joints, the roots with each other.

    Raises:
        ConfigError: The skeleton lacks a joint of the head.
    """
    return tuple(
        skeleton.root if j == head.root else skeleton.index(name)
        for j, name in enumerate(head.joints)
    )
