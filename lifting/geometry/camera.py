"""Cameras: frames, projection with distortion, screen units, mirroring.

A camera's nine intrinsics are ``fx, fy, cx, cy, k1, k2, k3, p1, p2`` in pixels. The tangential
term follows the toolbox of Human3.6M, as the published results do; ``tangential="brown"`` gives
the standard Brown model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.typing import ImageSize, Intrinsics, Points3D, Pose2D, Pose3D, RotationMatrix

Tangential = Literal["videopose", "brown"]


@dataclass(kw_only=True, slots=True)
class Camera:
    """Cameras of a batch. Mutable, because Lightning refuses to move frozen dataclasses.

    Attributes:
        intrinsics: ``(*batch, 9)``, fx, fy, cx, cy, k1, k2, k3, p1, p2, pixels.
        size: Image width and height, ``(*batch, 2)``, pixels.
        rotation: World to camera, ``(*batch, 3, 3)``; None when extrinsics are unknown.
        position: Camera centre in the world, ``(*batch, 3)``, mm; None when unknown.
    """

    intrinsics: Intrinsics
    size: ImageSize
    rotation: RotationMatrix | None = None
    position: Points3D | None = None

    def __getitem__(
        self, index: Tensor | slice | int | tuple[Tensor | slice | int, ...]
    ) -> Camera:
        """Select cameras along the batch axes, as a tensor index does."""
        return self.map(lambda values: values[index])

    def to(self, device: torch.device | str) -> Camera:
        """The same cameras on another device."""
        return self.map(lambda values: values.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> Camera:
        """Apply a function to every tensor there is."""
        return Camera(
            intrinsics=change(self.intrinsics),
            size=change(self.size),
            rotation=None if self.rotation is None else change(self.rotation),
            position=None if self.position is None else change(self.position),
        )


def world_to_camera(points: Points3D, rotation: RotationMatrix, position: Points3D) -> Points3D:
    """Express world points in the camera frame: ``R (X - C)``.

    Args:
        points: ``(*batch, points, 3)``, world frame, mm.
        rotation: ``(*batch, 3, 3)``, world to camera.
        position: ``(*batch, 3)``, camera centre, mm.

    Returns:
        ``(*batch, points, 3)``, camera frame, mm.
    """
    return (points - position[..., None, :]) @ rotation.transpose(-1, -2)


def camera_to_world(points: Points3D, rotation: RotationMatrix, position: Points3D) -> Points3D:
    """Express camera-frame points in the world: ``R^T X + C``, inverse of world_to_camera."""
    return points @ rotation + position[..., None, :]


def project(
    points: Pose3D,
    intrinsics: Intrinsics,
    *,
    distort: bool = True,
    clamp: bool = True,
    tangential: Tangential = "videopose",
) -> Pose2D:
    """Project camera-frame points to the image.

    Args:
        points: ``(*batch, points, 3)``, camera frame, any length unit.
        intrinsics: ``(*batch, 9)``, pixels (or any screen unit).
        distort: Apply radial and tangential distortion.
        clamp: Limit X/Z and Y/Z to [-1, 1] before distortion, as the released code does; the
            polynomial is meaningless outside.
        tangential: ``videopose`` for the published results, ``brown`` for the standard model.

    Returns:
        ``(*batch, points, 2)``, unit of the intrinsics.

    Raises:
        ShapeError: Wrong last axes.

    Source: Human3.6M toolbox as used by VideoPose3D; Brown 1966 for the option.
    """
    check_shape("points", points, "*batch points 3")
    check_shape("intrinsics", intrinsics, "*batch 9")
    rays = points[..., :2] / points[..., 2:]
    if clamp:
        rays = rays.clamp(-1, 1)
    camera = intrinsics[..., None, :]
    if distort:
        rays = distort_rays(rays, intrinsics, tangential=tangential)
    return rays * camera[..., 0:2] + camera[..., 2:4]


def distort_rays(
    rays: Pose2D, intrinsics: Intrinsics, *, tangential: Tangential = "videopose"
) -> Pose2D:
    """Apply lens distortion to normalised image points.

    Args:
        rays: X/Z and Y/Z, ``(*batch, points, 2)``.
        intrinsics: ``(*batch, 9)``; only the coefficients are read.
        tangential: Which tangential model the coefficients belong to.

    Returns:
        ``(*batch, points, 2)``.
    """
    k, p = intrinsics[..., None, 4:7], intrinsics[..., None, 7:9]
    r2 = (rays * rays).sum(-1, keepdim=True)
    radial = 1 + r2 * (k[..., 0:1] + r2 * (k[..., 1:2] + r2 * k[..., 2:3]))
    if tangential == "videopose":
        return rays * (radial + (p * rays).sum(-1, keepdim=True)) + p * r2
    swapped = p.flip(-1)
    return rays * (radial + 2 * (swapped * rays).sum(-1, keepdim=True)) + swapped * r2


def undistort_rays(
    rays: Pose2D,
    intrinsics: Intrinsics,
    *,
    iterations: int = 8,
    tangential: Tangential = "videopose",
) -> Pose2D:
    """Invert lens distortion by fixed-point iteration.

    Args:
        rays: Distorted normalised image points, ``(*batch, points, 2)``.
        intrinsics: ``(*batch, 9)``.
        iterations: Number of fixed-point steps; 8 reach float32 precision for ordinary lenses.
        tangential: Which tangential model the coefficients belong to.

    Returns:
        ``(*batch, points, 2)``, such that distorting them gives ``rays`` again.
    """
    result = rays
    for _ in range(iterations):
        result = result + rays - distort_rays(result, intrinsics, tangential=tangential)
    return result


def without_tangential(pixels: Pose2D, intrinsics: Intrinsics) -> Pose2D:
    """Pixels as the same lens would show them, had it radial distortion only.

    Brings keypoints of a lens of the Brown model, as calibrations of OpenCV's kind give it, to
    cameras of this module, whose own tangential term is another; see ``radial_only``.

    Args:
        pixels: ``(*batch, points, 2)``.
        intrinsics: ``(*batch, 9)``, whose p1 and p2 are those of the Brown model.

    Returns:
        ``(*batch, points, 2)``, pixels.
    """
    rays = undistort_rays(pixels_to_rays(pixels, intrinsics), intrinsics, tangential="brown")
    camera = intrinsics[..., None, :]
    return distort_rays(rays, radial_only(intrinsics)) * camera[..., 0:2] + camera[..., 2:4]


def radial_only(intrinsics: Intrinsics) -> Intrinsics:
    """Intrinsics ``(*batch, 9)`` with p1 and p2 zero."""
    return torch.cat((intrinsics[..., :7], torch.zeros_like(intrinsics[..., 7:])), dim=-1)


def pixels_to_rays(pixels: Pose2D, intrinsics: Intrinsics) -> Pose2D:
    """Distorted normalised image points ``(u - c) / f`` of pixels, ``(*batch, points, 2)``."""
    camera = intrinsics[..., None, :]
    return (pixels - camera[..., 2:4]) / camera[..., 0:2]


def normalize_screen(pixels: Pose2D, size: ImageSize) -> Pose2D:
    """Pixels to screen units: ``2 u / w - 1`` and ``2 v / w - h / w``.

    Both axes are divided by the width, so the aspect ratio is kept and u is in [-1, 1].

    Args:
        pixels: ``(*batch, points, 2)``.
        size: Width and height, ``(*batch, 2)``, pixels.

    Returns:
        ``(*batch, points, 2)``.

    Source: VideoPose3D; used by DiffPose and UAO.
    """
    width, ratio = size[..., None, 0:1], size[..., None, :] / size[..., None, 0:1]
    return 2 * pixels / width - ratio


def denormalize_screen(points: Pose2D, size: ImageSize) -> Pose2D:
    """Screen units to pixels, inverse of normalize_screen."""
    width, ratio = size[..., None, 0:1], size[..., None, :] / size[..., None, 0:1]
    return (points + ratio) * width / 2


def screen_intrinsics(intrinsics: Intrinsics, size: ImageSize) -> Intrinsics:
    """Intrinsics in screen units; the distortion coefficients do not change.

    Args:
        intrinsics: ``(*batch, 9)``, pixels.
        size: Width and height, ``(*batch, 2)``, pixels.

    Returns:
        ``(*batch, 9)``; projecting with them gives screen units.
    """
    width = size[..., 0:1]
    focal = 2 * intrinsics[..., 0:2] / width
    centre = 2 * intrinsics[..., 2:4] / width - size / width
    return torch.cat((focal, centre, intrinsics[..., 4:]), dim=-1)


def flip_pixels(pixels: Pose2D, size: ImageSize) -> Pose2D:
    """Mirror pixels left to right: ``u -> w - u``, which negates screen units.

    The published pipeline mirrors so; mirroring the pixel grid itself would be ``w - 1 - u``.
    Joints keep their order: exchange left and right by the skeleton.
    """
    sign = pixels.new_tensor((-1.0, 1.0))
    shift = torch.stack((size[..., 0], torch.zeros_like(size[..., 0])), dim=-1)
    return pixels * sign + shift[..., None, :]


def flip_intrinsics(intrinsics: Intrinsics, size: ImageSize) -> Intrinsics:
    """Intrinsics of the mirrored image: cx becomes ``w - cx`` and p1 changes sign."""
    sign = intrinsics.new_tensor((1, 1, -1, 1, 1, 1, 1, -1, 1))
    flipped = intrinsics * sign
    shift = torch.zeros_like(intrinsics)
    shift[..., 2] = size[..., 0]
    return flipped + shift


def reprojection_error(points: Pose3D, pixels: Pose2D, intrinsics: Intrinsics) -> Tensor:
    """Distance in pixels between projected points and observed pixels, ``(*batch, points)``."""
    return (project(points, intrinsics) - pixels).norm(dim=-1)
