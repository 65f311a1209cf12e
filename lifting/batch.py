"""What travels between all rooms: a batch of windows, and a method's answer to it.

Millimetres, pixels, camera frame (x right, y down, z forward), and the joints that each names.
Both are mutable dataclasses: Lightning moves them to a device field by field, and test-time
optimisation writes its result into the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import torch
from torch import Tensor

from lifting.errors import DataError
from lifting.geometry.camera import Camera, flip_intrinsics, flip_pixels
from lifting.skeleton import Skeleton
from lifting.typing import ImageSize, PerJoint, Pose2D, Pose3D

MIRRORED = "mirrored"
"""Extra that tells, ``(batch,)`` bool, whose other extras are those of the mirror image."""


LABEL_WEIGHT = "label_weight"
"""Extra that tells, ``(*batch, frames, joints)``, how much each label counts; 1 where absent."""


GUESSED_LENS = "guessed_lens"
"""Extra that tells, ``(batch,)`` bool, whose intrinsics were guessed from the image's size."""


@dataclass(kw_only=True, slots=True)
class PoseBatch:
    """A batch of windows. ``*batch`` is ``(batch,)`` or ``(batch, views)``.

    Attributes:
        skeleton: Joints of keypoints and labels.
        keypoints_2d: ``(*batch, frames, joints, 2)``, pixels.
        confidence: ``(*batch, frames, joints)``, 0 to 1, zero where a joint was not detected.
        joints_3d: ``(*batch, targets, joints, 3)``, camera frame, absolute, mm; ``targets`` is
            ``frames``, or 1 when only the middle frame is asked for. None for unlabelled input.
        visible: ``(*batch, targets, joints)`` bool, False where the label is not valid.
        image: The middle frame around the person, ``(*batch, 3, height, width)`` uint8, RGB.
        crop: The square that ``image`` shows: centre x, centre y and side, ``(*batch, 3)``, pixels
            of the full image.
        camera: Cameras of the samples.
        subject: ``(batch,)`` int, index into the data's subject names.
        action: ``(batch,)`` int, index into the data's action names.
        sequence: ``(batch,)`` int, index of the sequence and camera a sample comes from.
        frame: ``(batch,)`` int, index of the middle frame within that sequence.
        extras: Tensors that one method's data option adds (for example mixtures), by name.
    """

    skeleton: Skeleton
    keypoints_2d: Pose2D
    camera: Camera
    confidence: PerJoint | None = None
    joints_3d: Pose3D | None = None
    visible: PerJoint | None = None
    image: Tensor | None = None
    crop: Tensor | None = None
    subject: Tensor | None = None
    action: Tensor | None = None
    sequence: Tensor | None = None
    frame: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.keypoints_2d.shape[0])

    def rows(self, index: Tensor | slice) -> PoseBatch:
        """Some of the samples.

        Args:
            index: Indexes the first axis.
        """
        whole = ("skeleton", "extras")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in whole}
        parts = {name: None if value is None else value[index] for name, value in values.items()}
        extras = {name: value[index] for name, value in self.extras.items()}
        return PoseBatch(skeleton=self.skeleton, **parts, extras=extras)  # type: ignore[arg-type]


@dataclass(kw_only=True, slots=True)
class Prediction:
    """A method's answer to a batch.

    Attributes:
        skeleton: Joints of the answer.
        joints_3d: ``(batch, targets, joints, 3)``, camera frame, root-relative, mm.
        sigma: ``(batch, targets, joints)``, expected or standard error, mm.
        hypotheses: ``(batch, hypotheses, targets, joints, 3)``, root-relative, mm.
        trajectory: ``(batch, targets, 3)``, absolute position of the root, mm.
        extras: Further answers by name, each scored beside the main one: poses of the shape of
            ``joints_3d`` (for example a context encoder's own).
    """

    skeleton: Skeleton
    joints_3d: Pose3D
    sigma: PerJoint | None = None
    hypotheses: Tensor | None = None
    trajectory: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)


def collate(samples: Sequence[PoseBatch]) -> PoseBatch:
    """Join batches along their first axis; a field is kept only where all of them have it.

    Args:
        samples: At least one batch; single samples carry a leading axis of one.

    Raises:
        DataError: They have not the same joints.
    """
    first = samples[0]
    if len(samples) == 1:
        return first
    for sample in samples:
        if sample.skeleton != first.skeleton:
            raise DataError(
                f"expected samples of one skeleton, got {first.skeleton.name} and "
                f"{sample.skeleton.name}; convert one of them (data.skeleton) before they meet"
            )
    joined: dict[str, object] = {}
    for f in fields(PoseBatch):
        values = [getattr(s, f.name) for s in samples]
        if f.name == "skeleton":
            joined[f.name] = first.skeleton
        elif f.name == "camera":
            joined[f.name] = _join_cameras(values)
        elif f.name == "extras":
            shared = set.intersection(*(set(v) for v in values))
            joined[f.name] = {k: torch.cat([v[k] for v in values]) for k in sorted(shared)}
        else:
            joined[f.name] = None if any(v is None for v in values) else torch.cat(values)
    return PoseBatch(**joined)  # type: ignore[arg-type]


def _join_cameras(cameras: Sequence[Camera]) -> Camera:
    joined: dict[str, Tensor | None] = {}
    for f in fields(Camera):
        values = [getattr(c, f.name) for c in cameras]
        joined[f.name] = None if any(v is None for v in values) else torch.cat(values)
    return Camera(**joined)  # type: ignore[arg-type]


def answered_frames(values: Tensor, target: Literal["middle", "all"]) -> Tensor:
    """The frames of windows that a method answers, ``(batch, targets, ...)``.

    Args:
        values: ``(batch, frames, ...)``.
        target: The middle frame, or all of them.
    """
    half = values.shape[1] // 2
    return values if target == "all" else values[:, half : half + 1]


def answered(batch: PoseBatch, target: Literal["middle", "all"]) -> PoseBatch:
    """The frames that a method answers, as windows of their own; labels are those of the batch.

    Args:
        batch: Of windows.
        target: The middle frame, or all of them.
    """
    confidence = batch.confidence
    return replace(
        batch,
        keypoints_2d=answered_frames(batch.keypoints_2d, target),
        confidence=None if confidence is None else answered_frames(confidence, target),
    )


def stills(batch: PoseBatch) -> PoseBatch:
    """The middle frames of windows, with their labels, as windows of one frame."""
    labels = batch.joints_3d, batch.visible
    joints_3d, visible = (None if v is None else answered_frames(v, "middle") for v in labels)
    return replace(answered(batch, "middle"), joints_3d=joints_3d, visible=visible)


def root_relative(pose: Pose3D, root: int) -> Pose3D:
    """Subtract the root joint, leaving exact zeros there.

    Args:
        pose: ``(*batch, joints, 3)``.
        root: Index of the root joint.
    """
    return pose - pose[..., root : root + 1, :]


def label_weights(batch: PoseBatch, skeleton: Skeleton) -> PerJoint | None:
    """How much each label of a batch counts: zero where it is not valid, else its weight.

    Args:
        batch: With or without ``visible`` and the extra ``LABEL_WEIGHT``.
        skeleton: Exchanges left and right of the weights where the batch was mirrored.

    Returns:
        ``(*batch, targets, joints)``; None where all count alike.
    """
    weights, visible = batch.extras.get(LABEL_WEIGHT), batch.visible
    if weights is None:
        return visible
    targets = weights.shape[-2] if batch.joints_3d is None else batch.joints_3d.shape[-3]
    if targets == 1:
        weights = weights[..., weights.shape[-2] // 2, None, :]
    if MIRRORED in batch.extras:
        mirrored = batch.extras[MIRRORED]
        mirrored = mirrored.view(*mirrored.shape, *(1,) * (weights.ndim - mirrored.ndim))
        weights = torch.where(mirrored, flip_per_joint(weights, skeleton), weights)
    return weights if visible is None else weights * visible


def flip_pose(pose: Pose3D, skeleton: Skeleton) -> Pose3D:
    """Mirror a camera-frame pose: negate x and exchange left and right. An involution."""
    index = torch.tensor(skeleton.flip_index, device=pose.device)
    return pose.index_select(-2, index) * pose.new_tensor((-1.0, 1.0, 1.0))


def flip_per_joint(values: PerJoint, skeleton: Skeleton) -> PerJoint:
    """Exchange left and right in per-joint values, ``(*batch, joints)``."""
    return values.index_select(-1, torch.tensor(skeleton.flip_index, device=values.device))


def flip_crop(crop: Tensor, size: ImageSize) -> Tensor:
    """The square that shows the same of a mirrored image.

    Args:
        crop: Centre x, centre y and side, ``(*batch, 3)``, pixels.
        size: Width and height of the full image, ``(*batch, 2)``, pixels.
    """
    return torch.cat((size[..., :1] - crop[..., :1], crop[..., 1:]), dim=-1)


def flip_batch(batch: PoseBatch, skeleton: Skeleton) -> PoseBatch:
    """Mirror a batch: image, labels, intrinsics, and left with right.

    Extrinsics are dropped, since no rigid camera sees a mirrored world; extras are kept as they
    are, and ``MIRRORED`` beside them tells the method, which alone knows how to flip them.

    Args:
        batch: The batch to mirror, which is left as it is.
        skeleton: Gives the symmetry of the joints.
    """
    index = torch.tensor(skeleton.flip_index, device=batch.keypoints_2d.device)
    size = batch.camera.size
    per_frame = size[..., None, :]
    return PoseBatch(
        skeleton=batch.skeleton,
        keypoints_2d=flip_pixels(batch.keypoints_2d, per_frame).index_select(-2, index),
        camera=Camera(intrinsics=flip_intrinsics(batch.camera.intrinsics, size), size=size),
        confidence=_select(batch.confidence, index),
        joints_3d=None if batch.joints_3d is None else flip_pose(batch.joints_3d, skeleton),
        visible=_select(batch.visible, index),
        image=None if batch.image is None else batch.image.flip(-1),
        crop=None if batch.crop is None else flip_crop(batch.crop, size),
        subject=batch.subject,
        action=batch.action,
        sequence=batch.sequence,
        frame=batch.frame,
        extras=_turned(batch.extras, batch.keypoints_2d.shape[0], index.device),
    )


def _turned(extras: dict[str, Tensor], size: int, device: torch.device) -> dict[str, Tensor]:
    """The same extras, marked as those of the other side."""
    if not extras:
        return extras
    before = extras.get(MIRRORED, torch.zeros(size, dtype=torch.bool, device=device))
    return {**extras, MIRRORED: ~before}


def _select(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values.index_select(-1, index)
