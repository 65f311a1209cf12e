"""From the camera to the crop and back: boxes, affine maps, and the network's coordinates.

A joint is known in five frames: the camera (mm), the image (x and y in pixels, z in mm relative to
the root), the patch (pixels of the network's input; z in the same unit, zero at the root), the
normalised crop (nominally -0.5 to 0.5), and the stored picture that the patch is cut from. All
functions are batched and differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.camera import pixels_to_rays, project, undistort_rays
from lifting.typing import ImageSize, Intrinsics, Points2D, Points3D, Pose3D

BOX_MM = 2000.0
"""Side of the square around the root, in the plane of the root."""
PATCH = 256
"""Side of the published network's input, pixels."""

Affine = Annotated[Tensor, "*batch 2 3"]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Part of an image that the network sees.

    Attributes:
        centre: ``(*batch, 2)``, pixels.
        size: Width and height of the person's box, ``(*batch, 2)``, pixels.
        scale: Sides of the crop over those of the box, ``(*batch,)``.
        angle: By which the crop is turned, ``(*batch,)``, radians.
    """

    centre: Points2D
    size: ImageSize
    scale: Tensor
    angle: Tensor

    @classmethod
    def plain(cls, centre: Points2D, size: ImageSize) -> Crop:
        """The box itself."""
        one = torch.ones_like(centre[..., 0])
        return cls(centre=centre, size=size, scale=one, angle=torch.zeros_like(one))


def person_box(root: Points3D, intrinsics: Intrinsics) -> Crop:
    """Box of 2 m around the root, in the plane of the root.

    Args:
        root: ``(*batch, 3)``, camera frame, mm.
        intrinsics: ``(*batch, 9)``, pixels; the lens distortion is left out.

    Source: EpipolarPose, released code.
    """
    half = root.new_tensor((BOX_MM / 2, BOX_MM / 2, 0.0))
    corners = torch.stack((root - half, root + half), dim=-2)
    pixels = project(corners, intrinsics, distort=False, clamp=False)
    return Crop.plain(pixels.mean(-2), pixels[..., 1, :] - pixels[..., 0, :])


def root_depth(crop: Crop, intrinsics: Intrinsics) -> Tensor:
    """Depth at which 2 m fill the box, ``(*batch,)``, mm; inverse of :func:`person_box`."""
    focal, size = (values.prod(-1).sqrt() for values in (intrinsics[..., :2], crop.size))
    return BOX_MM * focal / size


def image_to_patch(crop: Crop, patch: int = PATCH, *, rounded: bool = False) -> Affine:
    """Affine map from pixels of the image to those of the patch, ``(*batch, 2, 3)``.

    Args:
        crop: Part of the image.
        patch: Side of the patch, pixels.
        rounded: Round the three points that determine the map to single precision, as the released
            code does.
    """
    return invert_affine(patch_to_image(crop, patch, rounded=rounded))


def patch_to_image(crop: Crop, patch: int = PATCH, *, rounded: bool = False) -> Affine:
    """Affine map from pixels of the patch to those of the image, as :func:`image_to_patch`.

    The centre of the box goes with that of the patch, the middles of the patch's lower and right
    side with the box's, scaled and turned.
    """
    half = crop.size * crop.scale[..., None] / 2
    cosine, sine = torch.cos(crop.angle), torch.sin(crop.angle)
    right = torch.stack((half[..., 0] * cosine, half[..., 0] * sine), dim=-1)
    down = torch.stack((-half[..., 1] * sine, half[..., 1] * cosine), dim=-1)
    centre = crop.centre
    if rounded:
        points = (centre, centre + right, centre + down)
        centre, right, down = (point.float().to(centre.dtype) for point in points)
        right, down = right - centre, down - centre
    columns = torch.stack((right, down), dim=-1) / (patch / 2)
    shift = centre - columns.sum(-1) * (patch / 2)
    return torch.cat((columns, shift[..., None]), dim=-1)


def image_to_picture(square: Points3D, pixels: int) -> Affine:
    """Affine map from pixels of the image to those of a stored square part of it.

    Args:
        square: Centre x, centre y and side of the part, ``(*batch, 3)``, pixels of the image.
        pixels: Side of the stored picture.

    Returns:
        ``(*batch, 2, 3)``.
    """
    factor = pixels / square[..., 2]
    zero = torch.zeros_like(factor)
    shift = pixels / 2 - square[..., :2] * factor[..., None]
    rows = ((factor, zero, shift[..., 0]), (zero, factor, shift[..., 1]))
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def invert_affine(affine: Affine) -> Affine:
    """The inverse map, ``(*batch, 2, 3)``."""
    (a, b), (c, d) = (affine[..., row, :2].unbind(-1) for row in (0, 1))
    turned = torch.stack((torch.stack((d, -b), dim=-1), torch.stack((-c, a), dim=-1)), dim=-2)
    inverse = turned / (a * d - b * c)[..., None, None]
    return torch.cat((inverse, -inverse @ affine[..., 2:]), dim=-1)


def compose_affine(outer: Affine, inner: Affine) -> Affine:
    """The map that does the inner one first, ``(*batch, 2, 3)``."""
    linear = outer[..., :2] @ inner
    return torch.cat((linear[..., :2], linear[..., 2:] + outer[..., 2:]), dim=-1)


def apply_affine(affine: Affine, points: Tensor) -> Tensor:
    """Points through the map, ``(*batch, points, 2)``."""
    return points @ affine[..., :2].mT + affine[..., None, :, 2]


def camera_to_image(joints: Pose3D, intrinsics: Intrinsics, root: int) -> Pose3D:
    """Pixels, and depth relative to the root.

    Args:
        joints: ``(*batch, joints, 3)``, camera frame, absolute, mm.
        intrinsics: ``(*batch, 9)``, pixels.
        root: Index of the joint that depths are relative to.

    Returns:
        x and y in pixels, with the lens distortion, z in mm, ``(*batch, joints, 3)``.
    """
    pixels = project(joints, intrinsics)
    depth = joints[..., 2:] - joints[..., root : root + 1, 2:]
    return torch.cat((pixels, depth), dim=-1)


def image_to_camera(joints: Pose3D, intrinsics: Intrinsics, depth: Tensor) -> Pose3D:
    """Inverse of :func:`camera_to_image`, given how far away the root is.

    Args:
        joints: x and y in pixels, z in mm relative to the root, ``(*batch, joints, 3)``.
        intrinsics: ``(*batch, 9)``, pixels.
        depth: Of the root, ``(*batch,)``, mm.

    Returns:
        ``(*batch, joints, 3)``, camera frame, absolute, mm.
    """
    z = joints[..., 2:] + depth[..., None, None]
    rays = undistort_rays(pixels_to_rays(joints[..., :2], intrinsics), intrinsics)
    return torch.cat((rays * z, z), dim=-1)


def image_to_normalised(
    joints: Pose3D, crop: Crop, patch: int = PATCH, *, rounded: bool = False
) -> Pose3D:
    """The network's coordinates of joints in the image.

    Args:
        joints: x and y in pixels, z in mm relative to the root, ``(*batch, joints, 3)``.
        crop: Part of the image.
        patch: Side of the patch, pixels.
        rounded: As for :func:`image_to_patch`.

    Returns:
        ``(*batch, joints, 3)``; depth in units of 2 m times the scale of the crop.

    Source: EpipolarPose, released code.
    """
    check_shape("joints", joints, "*batch joints 3")
    seen = apply_affine(image_to_patch(crop, patch, rounded=rounded), joints[..., :2])
    depth = joints[..., 2:] / (BOX_MM * crop.scale[..., None, None])
    return torch.cat((seen / patch - 0.5, depth), dim=-1)


def normalised_to_image(
    joints: Pose3D, crop: Crop, patch: int = PATCH, *, rounded: bool = False
) -> Pose3D:
    """Inverse of :func:`image_to_normalised`."""
    check_shape("joints", joints, "*batch joints 3")
    seen = (joints[..., :2] + 0.5) * patch
    pixels = apply_affine(patch_to_image(crop, patch, rounded=rounded), seen)
    return torch.cat((pixels, joints[..., 2:] * (BOX_MM * crop.scale[..., None, None])), dim=-1)


def normalised_to_patch(joints: Pose3D, patch: int = PATCH) -> Pose3D:
    """Pixels of the patch; depth in the same unit, zero at the root."""
    return joints * patch + joints.new_tensor((patch / 2, patch / 2, 0.0))
