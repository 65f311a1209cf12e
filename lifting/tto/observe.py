"""What was seen, checked: keypoints, cameras, and what is missing of them; and mirrored copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.batch import PoseBatch, collate, flip_batch
from lifting.errors import DataError, ShapeError
from lifting.geometry.camera import Camera
from lifting.skeleton import Skeleton
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Observations
from lifting.typing import Intrinsics, PerJoint, Pose2D

FOCAL_GUESS = 1.2
"""A guessed focal length over the larger side of the image."""


class Scene(NamedTuple):
    """A batch made ready for optimisation.

    Attributes:
        batch: What the method sees: finite keypoints, a camera, no labels.
        observations: What its answer is compared with.
    """

    batch: PoseBatch
    observations: Observations

    def rows(self, index: Tensor) -> Scene:
        """Some samples, by their indices, ``(chosen,)``."""
        return Scene(self.batch.rows(index), self.observations.rows(index))


def observe(batch: PoseBatch, skeleton: Skeleton, config: TtoConfig, targets: int) -> Scene:
    """Check a batch and take apart what is seen and what is known.

    Keypoints that are not finite are put at the mean of the others, so that the method's answer is
    finite, and are not compared with.

    Args:
        batch: Single-view windows.
        skeleton: Joints of the keypoints.
        config: Which keypoints count, and what stands in for an unknown focal length.
        targets: Frames that the method answers: all of a window, or the middle one.

    Raises:
        DataError: No camera, an image without a size, or no labels for the root rule ``gt``.
        ShapeError: The answered frames are neither all nor one.
    """
    keypoints = _own(batch.keypoints_2d).float()
    finite = keypoints.isfinite().all(-1)
    confidence = torch.ones_like(keypoints[..., 0])
    if batch.confidence is not None:
        confidence = _own(batch.confidence).float().nan_to_num(0.0).clamp(0, 1)
    filled = _fill(keypoints, finite, batch.camera.size.float())
    valid = finite & (confidence > 0)
    valid = valid & (valid.sum(-1, keepdim=True) >= config.min_keypoints)
    frames = _answered(keypoints.shape[1], targets)
    camera = batch.camera.map(_own)
    camera = replace(camera, intrinsics=_focal(camera, config))
    observations = Observations(
        uv=filled[:, frames],
        confidence=confidence[:, frames],
        intrinsics=camera.intrinsics.float(),
        size=camera.size.float(),
        root_gt=_true_root(batch, skeleton) if config.root == "gt" else None,
        valid=valid[:, frames],
    )
    seen = replace(
        batch,
        keypoints_2d=filled.to(batch.keypoints_2d.dtype),
        confidence=None if batch.confidence is None else _own(batch.confidence),
        camera=camera,
        joints_3d=None,
        visible=None,
        extras={name: _own(value) for name, value in batch.extras.items()},
    )
    return Scene(seen, observations)


def with_mirrored(scene: Scene, skeleton: Skeleton) -> Scene:
    """The samples and behind them their mirrored copies, which explain the same keypoints.

    Answers to the copies must be mirrored back before they are compared.
    """
    mirrored = flip_batch(scene.batch, skeleton)
    both = collate([replace(scene.batch, camera=_lens(scene.batch.camera)), mirrored])
    doubled = (
        None if value is None else torch.cat((value, value)) for value in scene.observations
    )
    return Scene(both, Observations(*doubled))  # type: ignore[arg-type]


def _lens(camera: Camera) -> Camera:
    """The camera without its place in the world, which a mirrored one does not have."""
    return Camera(intrinsics=camera.intrinsics, size=camera.size)


def _answered(frames: int, targets: int) -> slice:
    if targets == frames:
        return slice(None)
    if targets == 1:
        return slice(frames // 2, frames // 2 + 1)
    raise ShapeError(
        f"expected a method that answers all {frames} frames of a window or the middle one, got "
        f"an answer of {targets} frames; optimise windows of that length"
    )


def _fill(keypoints: Pose2D, finite: PerJoint, size: Tensor) -> Pose2D:
    """Keypoints with the frame's mean, or the image's centre, where they are not finite."""
    known = torch.where(finite[..., None], keypoints, 0.0)
    count = finite.sum(-1, keepdim=True)[..., None]
    middle = known.sum(-2, keepdim=True) / count.clamp(min=1)
    middle = torch.where(count > 0, middle, size[:, None, None] / 2)
    return torch.where(finite[..., None], keypoints, middle)


def _focal(camera: Camera, config: TtoConfig) -> Intrinsics:
    """Intrinsics that can be projected with."""
    size, intrinsics = camera.size, camera.intrinsics
    if not bool((size.isfinite() & (size > 0)).all()):
        raise DataError(
            f"expected image sizes above 0, got {_first_bad(size, lambda v: v > 0)}; give the "
            "width and height that the keypoints were found in"
        )
    sound = intrinsics.isfinite().all(-1, keepdim=True) & (intrinsics[..., :2] > 0).all(
        -1, keepdim=True
    )
    if config.camera == "orthographic":
        return torch.where(sound, intrinsics, _guess(size))
    if config.focal == "given" and not bool(sound.all()):
        raise DataError(
            "expected intrinsics with a focal length above 0 for every sample, got "
            f"{_first_bad(intrinsics, lambda v: v[..., :1] > 0)}; give the camera's fx, fy, cx, "
            "cy (for own keypoints `--intrinsics`), or set tto.focal=guess, or "
            "tto.camera=orthographic"
        )
    return torch.where(sound, intrinsics, _guess(size))


def _guess(size: Tensor) -> Intrinsics:
    """A lens without distortion whose axis goes through the image's centre."""
    focal = FOCAL_GUESS * size.amax(-1, keepdim=True)
    rest = torch.zeros_like(focal).expand(*focal.shape[:-1], 5)
    return torch.cat((focal, focal, size / 2, rest), dim=-1)


def _true_root(batch: PoseBatch, skeleton: Skeleton) -> Tensor:
    if batch.joints_3d is None:
        raise DataError(
            "expected labels for tto.root=gt, got a batch without them; set tto.root=solve, which "
            "needs none"
        )
    root = skeleton.root
    return _own(batch.joints_3d)[..., root : root + 1, :].float()


def _first_bad(values: Tensor, good: Callable[[Tensor], Tensor]) -> list[float]:
    sound = good(values).all(-1) & values.isfinite().all(-1)
    found: list[float] = values[~sound][:1].flatten().tolist()
    return found


def _own(values: Tensor) -> Tensor:
    """The tensor, or a copy where it was made in inference mode, which no gradient may enter."""
    return values.clone() if values.is_inference() else values
