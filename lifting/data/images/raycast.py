"""Rays against ellipsoids, exactly, for all pixels of many pictures at once.

Every solid looks only at the pixels of its own bounding box, which follows from the conic that
outlines it; of a body that is a hundredth of all pairs of pixel and solid. The nearest hit of a
pixel is found by one scatter of keys that hold depth and solid.

A picture shows those joints whose own limb is the first that their ray meets.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.body.ellipsoid import EllipsoidSolids, PosedSolids
from lifting.body.ellipsoid_layout import SEGMENTS
from lifting.data.images.crops import crop_pixels
from lifting.geometry.camera import project
from lifting.skeleton import H36M_17
from lifting.typing import Intrinsics, Points3D, Pose2D, Pose3D

_EMPTY = 2**62
_SOLID_BITS = 8
_MARGIN = 1.5  # pixels; a lens bends the sides of a box by less

SEEN, BEHIND_BODY, BEHIND_OBJECT, OUTSIDE = range(4)
_THICKEST_MM = 180.0  # more of the own limb before a joint, and it is seen from the other side
_TRUNK = {
    "hip": ("lower trunk", "seat"),
    "left_hip": ("lower trunk", "seat"),
    "right_hip": ("lower trunk", "seat"),
    "left_shoulder": ("upper trunk",),
    "right_shoulder": ("upper trunk",),
    "thorax": ("neck", "shoulder"),
}


class Shadows(NamedTuple):
    """Extent of each solid's outline in normalised image coordinates, x/z and y/z.

    Attributes:
        low: ``(*batch, solids, 2)``.
        high: ``(*batch, solids, 2)``.
        whole: ``(*batch, solids)`` bool, False for a solid that is not wholly before the camera.
    """

    low: Tensor
    high: Tensor
    whole: Tensor


class Surface(NamedTuple):
    """What the pixels show that a solid covers. H hits.

    Attributes:
        pixel: Index into the pixels of all pictures, picture-major, ``(H,)`` int64, rising.
        solid: ``(H,)`` int64.
        picture: ``(H,)`` int64.
        point: In the solid's own frame: across, depth, along, ``(H, 3)``, mm.
        normal: Outwards, camera frame, unit, ``(H, 3)``.
        towards: To the camera, unit, ``(H, 3)``.
    """

    pixel: Tensor
    solid: Tensor
    picture: Tensor
    point: Points3D
    normal: Points3D
    towards: Points3D


def shadows(solids: PosedSolids) -> Shadows:
    """Bounding boxes of the outlines, from the dual conic ``S - m m^T``.

    Args:
        solids: Camera frame.

    Source: Hartley and Zisserman, "Multiple View Geometry", section 8.3, the contour of a quadric.
    """
    half = solids.axes * solids.radii[..., None, :]
    m = solids.centres
    conic = half @ half.mT - m[..., :, None] * m[..., None, :]
    diagonal = conic.diagonal(dim1=-2, dim2=-1)
    depth = diagonal[..., 2:]
    root = (conic[..., 2, :2].square() - diagonal[..., :2] * depth).clamp(min=0).sqrt()
    middle, reach = conic[..., 2, :2] / depth, (root / depth).abs()
    whole = (depth[..., 0] < 0) & (m[..., 2] > 0)
    return Shadows(middle - reach, middle + reach, whole)


def cast_boxes(solids: PosedSolids, intrinsics: Intrinsics, crop: Tensor, size: int) -> Tensor:
    """Boxes of pixels that hold the solids' outlines, clipped to the picture.

    Args:
        solids: ``(pictures, solids)``, camera frame.
        intrinsics: ``(pictures, 9)``.
        crop: ``(pictures, 3)``, pixels of the full image.
        size: Side of a picture, pixels.

    Returns:
        First column, first row, columns and rows, ``(pictures, solids, 4)`` int64.
    """
    shadow = shadows(solids)
    # Corners and middles of the sides, since a lens makes the sides curved.
    share = torch.tensor(
        ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1)),
        device=crop.device, dtype=crop.dtype,
    )  # fmt: skip
    low, high = shadow.low[..., None, :], shadow.high[..., None, :]
    rays = (low + share * (high - low)).flatten(1, 2)  # (pictures, solids * 8, 2)
    places = crop_pixels(_seen(rays, intrinsics), crop, size).view(*low.shape[:2], -1, 2)
    first = (places.amin(-2) - _MARGIN).floor().clamp(0, size)
    last = (places.amax(-2) + _MARGIN).ceil().clamp(0, size)
    extent = (last - first) * shadow.whole[..., None]
    return torch.cat((first, extent), dim=-1).long()


def _seen(rays: Pose2D, intrinsics: Intrinsics) -> Pose2D:
    return project(torch.cat((rays, torch.ones_like(rays[..., :1])), dim=-1), intrinsics)


def cast(solids: PosedSolids, rays: Tensor, boxes: Tensor) -> Surface:
    """The nearest surface in every pixel.

    Args:
        solids: ``(pictures, solids)``, camera frame, less than 256 solids.
        rays: Normalised image coordinates x/z and y/z of the pixels, ``(pictures, 2, rows,
            columns)``.
        boxes: As ``cast_boxes`` gives them.
    """
    count, _, rows, columns = rays.shape
    places = rays.permute(1, 0, 2, 3).reshape(2, -1)
    owner, pixel = _covered(boxes.flatten(0, 1), boxes.shape[1], rows, columns)
    table = _forms(solids)
    depth = _entry(table.index_select(1, owner), places.index_select(1, pixel))
    key = (depth.view(torch.int32).long() << _SOLID_BITS) | (owner % boxes.shape[1])
    nearest = torch.full((count * rows * columns,), _EMPTY, device=rays.device)
    nearest.scatter_reduce_(0, pixel, torch.where(depth.isfinite(), key, _EMPTY), "amin")
    hit = (nearest < _EMPTY).nonzero()[:, 0]
    found = nearest.index_select(0, hit)
    solid = found & (2**_SOLID_BITS - 1)
    along = (found >> _SOLID_BITS).to(torch.int32).view(torch.float32)
    return _surface(solids, places.index_select(1, hit), hit, solid, along, rows * columns)


def nearest_hits(solids: PosedSolids, rays: Pose2D) -> Tensor:
    """Depth at which rays enter each solid, all pairs.

    Args:
        solids: ``(pictures, solids)``, camera frame.
        rays: x/z and y/z, ``(pictures, rays, 2)``.

    Returns:
        ``(pictures, rays, solids)``, mm, infinite where a ray misses.
    """
    pictures, count, _ = solids.centres.shape
    table = _forms(solids).view(-1, pictures, 1, count)
    x, y = rays.unbind(-1)
    return _entry(table, torch.stack((x, y))[..., None])


def _covered(boxes: Tensor, solids: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Pairs of solid and pixel, box after box: index of the solid, and of the pixel."""
    first_column, first_row, width, height = boxes.unbind(-1)
    sizes = width * height
    owner = torch.repeat_interleave(sizes)
    starts = sizes.cumsum(0) - sizes
    within = torch.arange(len(owner), device=boxes.device) - starts.index_select(0, owner)
    wide = width.index_select(0, owner)
    line = torch.div(within, wide, rounding_mode="floor")
    picture = torch.arange(len(boxes), device=boxes.device) // solids
    origin = picture * (rows * columns) + first_row * columns + first_column
    return owner, origin.index_select(0, owner) + line * columns + (within - line * wide)


def _forms(solids: PosedSolids) -> Tensor:
    """What makes the solids unit spheres: matrix A row by row and A times centre, ``(12, n)``."""
    matrix = solids.axes.mT / solids.radii[..., :, None]
    centre = (matrix @ solids.centres[..., None])[..., 0]
    return torch.cat((matrix.flatten(-2), centre), dim=-1).flatten(0, -2).T.contiguous()


def _entry(table: Tensor, ray: Tensor) -> Tensor:
    """Depth z at which rays (x, y, 1) enter unit spheres, infinite where they miss.

    The distance of a ray from the centre is taken from a cross product: the difference of squares
    would lose the digits of a body far away.

    Args:
        table: ``(12, *pairs)``, see ``_forms``.
        ray: ``(2, *pairs)``, broadcastable.
    """
    a, b, c, d, e, f, g, h, i, u, v, w = table
    x, y = ray
    p, q, r = a * x + b * y + c, d * x + e * y + f, g * x + h * y + i
    square = p * p + q * q + r * r
    apart = (q * w - r * v).square() + (r * u - p * w).square() + (p * v - q * u).square()
    middle = (p * u + q * v + r * w) / square
    inside = square - apart
    entry = middle - inside.clamp(min=0).sqrt() / square
    return torch.where((inside > 0) & (entry > 0), entry, torch.inf)


def _surface(
    solids: PosedSolids, ray: Tensor, pixel: Tensor, solid: Tensor, depth: Tensor, area: int
) -> Surface:
    picture = pixel // area
    row = picture * solids.centres.shape[1] + solid
    centre = solids.centres.flatten(0, 1).index_select(0, row)
    axes = solids.axes.flatten(0, 1).index_select(0, row)
    radii = solids.radii.flatten(0, 1).index_select(0, row)
    beam = torch.stack((ray[0], ray[1], torch.ones_like(depth)), dim=-1)
    point = ((beam * depth[:, None] - centre)[:, None] @ axes)[:, 0]
    normal = (axes @ (point / radii.square())[..., None])[..., 0]
    unit = torch.nn.functional.normalize
    return Surface(pixel, solid, picture, point, unit(normal, dim=-1), -unit(beam, dim=-1))


def joint_sight(
    solids: EllipsoidSolids,
    posed: PosedSolids,
    joints: Pose3D,
    covered: Tensor,
    inside: Tensor,
) -> Tensor:
    """State of every joint.

    Args:
        solids: The kinds of solids.
        posed: ``(n, solids)``, camera frame.
        joints: ``(n, 17, 3)``, camera frame, mm.
        covered: Joints under an object, ``(n, 17)`` bool.
        inside: Joints within the picture, ``(n, 17)`` bool.

    Returns:
        ``SEEN``, ``BEHIND_BODY``, ``BEHIND_OBJECT`` or ``OUTSIDE``, ``(n, 17)`` uint8. A joint
        that several things hide is outside before it is behind an object, and behind an object
        before it is behind the body.
    """
    depth = joints[..., 2:]
    entry = nearest_hits(posed, joints[..., :2] / depth)  # (n, joints, solids)
    own = own_solids(solids).to(entry.device)
    others = torch.where(own, torch.inf, entry).amin(-1)
    mine = torch.where(own, entry, torch.inf).amin(-1)
    hidden = (others < mine) | (mine < depth[..., 0] - _THICKEST_MM)
    state = torch.where(hidden, BEHIND_BODY, SEEN)
    state = torch.where(covered, BEHIND_OBJECT, state)
    return torch.where(inside, state, OUTSIDE).to(torch.uint8)


def own_solids(solids: EllipsoidSolids) -> Tensor:
    """Solids that a joint lies in, ``(17, solids)`` bool."""
    rows = []
    for joint in H36M_17.joints:
        segments = [joint in (s.joint, s.end) or s.name in _TRUNK.get(joint, ()) for s in SEGMENTS]
        rows.append(torch.tensor(segments)[solids.segment.cpu()])
    return torch.stack(rows)
