"""Which kernels a ray looks at, and the grid that the rays come from.

Selection is a choice of indices and carries no gradient. Here the distance of every ray from
every kernel is formed, in chunks, without a wait for the device; ``culling`` gives the same answer
from fewer pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import ConfigError, check_shape
from lifting.methods.nbf.kernels import Hits
from lifting.typing import Intrinsics, Points3D

Select = Literal["weight", "top", "front"]
FRONT_DISTANCE = 46.0
_DENSE_CHUNK = 1 << 21


@dataclass
class RayGrid:
    """Rays through the centres of a grid of pixels.

    Attributes:
        height: Rows.
        width: Columns.
        focal: ``(batch, 2)``, pixels of this grid.
        centre: Principal point, ``(batch, 2)``, pixels of this grid; the first pixel's centre is
            at (0.5, 0.5).
    """

    height: int
    width: int
    focal: Tensor
    centre: Tensor

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ConfigError(
                f"expected a grid of at least one pixel, got {self.height} x {self.width}; give "
                "the size of the feature map"
            )
        check_shape("focal", self.focal, "batch 2")
        check_shape("centre", self.centre, "batch 2", batch=len(self.focal))

    @classmethod
    def of_camera(cls, intrinsics: Intrinsics, height: int, width: int, stride: float) -> RayGrid:
        """The grid of a feature map; lens distortion is not looked at.

        Args:
            intrinsics: Of the image, ``(batch, 9)``, pixels.
            height: Rows of the map.
            width: Columns of the map.
            stride: Pixels of the image to a pixel of the map.
        """
        return cls(height, width, intrinsics[:, 0:2] / stride, intrinsics[:, 2:4] / stride)

    def to(self, like: Tensor) -> RayGrid:
        """The same rays on the device and in the precision of a tensor."""
        return replace(self, focal=self.focal.to(like), centre=self.centre.to(like))

    @property
    def rays(self) -> int:
        """Rays of a sample."""
        return self.height * self.width

    def directions(self) -> Points3D:
        """Unit directions, ``(batch, rays, 3)``, camera frame, rows first."""
        dtype, device = self.focal.dtype, self.focal.device
        row = torch.arange(self.height, dtype=dtype, device=device) + 0.5
        column = torch.arange(self.width, dtype=dtype, device=device) + 0.5
        y, x = torch.meshgrid(row, column, indexing="ij")
        pixels = torch.stack((x, y), dim=-1).flatten(0, 1)
        slopes = (pixels - self.centre[:, None]) / self.focal[:, None]
        ones = torch.ones_like(slopes[..., :1])
        return functional.normalize(torch.cat((slopes, ones), dim=-1), dim=-1)


class Scene(NamedTuple):
    """Kernels and rays of a batch, laid flat, relative to each sample's reference point.

    Attributes:
        table: Mean and packed precision, ``(9, batch kernels)``.
        rays: Direction and foot, ``(6, batch rays)``.
        foot_depth: Depth of each ray's foot, ``(batch rays,)``.
        reference: ``(batch, 3)``.
        usable: ``(batch, kernels)`` bool, False for a kernel that is behind or degenerate.
    """

    table: Tensor
    rays: Tensor
    foot_depth: Tensor
    reference: Points3D
    usable: Tensor


class Choice(NamedTuple):
    """How kernels are chosen.

    Attributes:
        number: Kernels of a ray, at most the number there are.
        select: By weight, peak or depth.
        reach: Squared distance up to which a ray hits a kernel.
        absorptivity: Optical depth of a ray through the middle of one kernel.
    """

    number: int
    select: Select
    reach: float
    absorptivity: float


class Selection(NamedTuple):
    """Kernels of the rays that have any.

    Attributes:
        rays: Indices of those rays among ``batch rays``, ``(active,)``; None for all.
        kernel: Kernels among ``batch kernels``, ``(active, chosen)`` int64, -1 for none; by
            falling weight or peak, or by rising depth.
    """

    rays: Tensor | None
    kernel: Tensor


@torch.no_grad()
def select_dense(scene: Scene, choice: Choice) -> Selection:
    """Look at every ray and every kernel.

    Args:
        scene: Kernels and rays.
        choice: Which of them.
    """
    batch, kernels = scene.usable.shape
    rays = scene.rays.view(6, batch, -1)
    table = scene.table.view(9, batch, kernels)
    foot_depth = scene.foot_depth.view(batch, -1)
    first = torch.arange(batch, device=rays.device)[:, None, None] * kernels
    parts = []
    step = max(1, _DENSE_CHUNK // (batch * kernels))
    for i in range(0, rays.shape[2], step):
        hits = _all_hits(table, rays[:, :, i : i + step])
        depth = foot_depth[:, i : i + step, None] + hits.offset
        hit = (hits.distance <= choice.reach) & (depth > 0) & scene.usable[:, None]
        distance = torch.where(hit, hits.distance, math.inf)
        key = torch.where(hit, depth, math.inf) if choice.select == "front" else distance
        if choice.select == "weight":
            key = torch.where(hit, _rank_dense(depth, distance, choice.absorptivity), math.inf)
        values, index = key.topk(choice.number, dim=-1, largest=False)
        parts.append(torch.where(values < math.inf, index + first, -1))
    return Selection(None, torch.cat(parts, dim=1).flatten(0, 1))


def _rank_dense(depth: Tensor, distance: Tensor, absorptivity: float) -> Tensor:
    """Falls as the weight rises that each kernel would have, were all in front of it points."""
    order = depth.nan_to_num(math.inf).argsort(-1)
    peak = torch.exp(-distance / 2).gather(-1, order)
    hidden = absorptivity * (peak.cumsum(-1) - peak / 2)
    rank = distance.gather(-1, order) / 2 + hidden
    return torch.empty_like(rank).scatter_(-1, order, rank)


def _all_hits(table: Tensor, rays: Tensor) -> Hits:
    """Hits of all pairs, ``(batch, rays, kernels)``, from matrix products alone."""
    means, packed = table[:3], table[3:]
    twice = packed * packed.new_tensor((1, 1, 1, 2, 2, 2))[:, None, None]
    flat = twice.movedim(0, 1)  # (batch, 6, kernels)
    d, foot = rays[:3], rays[3:]
    pulled = torch.stack(_packed_times(packed, means), dim=1)  # (batch, 3, kernels)
    own = (means * pulled.movedim(1, 0)).sum(0)[:, None]
    precision = _products(d, d) @ flat
    across = _products(foot, d) @ flat
    square = _products(foot, foot) @ flat
    towards = d.movedim(0, -1) @ pulled - across
    offset = towards / precision
    distance = square - 2 * (foot.movedim(0, -1) @ pulled) + own - towards * offset
    return Hits(precision, offset, distance.clamp(min=0).nan_to_num(math.inf))


def _packed_times(packed: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    xx, yy, zz, xy, xz, yz = packed
    return (
        xx * v[0] + xy * v[1] + xz * v[2],
        xy * v[0] + yy * v[1] + yz * v[2],
        xz * v[0] + yz * v[1] + zz * v[2],
    )


def _products(a: Tensor, b: Tensor) -> Tensor:
    """The six products that a packed matrix is contracted with, ``(batch, rays, 6)``."""
    mixed = [(a[i] * b[j] + a[j] * b[i]) / 2 for i, j in ((0, 1), (0, 2), (1, 2))]
    return torch.stack((*(a[i] * b[i] for i in range(3)), *mixed), dim=-1)
