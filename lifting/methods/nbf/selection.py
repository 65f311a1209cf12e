"""Which kernels a ray looks at, and the grid that the rays come from.

Selection is a choice of indices and carries no gradient. It is made in one of two ways, which give
the same answer. Dense: the distance of every ray from every kernel is formed, in chunks, without a
wait for the device. Culled, for processors: only pixels inside a kernel's shadow are looked at,
which is bounded exactly; of a body that leaves forty times fewer pairs of ray and kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import ConfigError, check_shape
from lifting.methods.nbf.kernels import Hits, packed_inverse, pair_hits
from lifting.typing import Points3D

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


_MOST_PAIRS = 1 << 24
_SPARSE = 4
_MARGIN_PX = 0.01


@torch.no_grad()
def select_culled(scene: Scene, grid: RayGrid, choice: Choice) -> Selection | None:
    """Look at the pixels inside each kernel's shadow. Waits for the device.

    Args:
        scene: Kernels and rays.
        grid: The rays once more.
        choice: Which of them.

    Returns:
        The kernels; None where the shadows are too large for it to pay.
    """
    batch, kernels = scene.usable.shape
    corner, size = _shadows(scene, grid, choice.reach)
    area = size[0] * size[1]
    pairs = int(area.sum())
    if pairs > min(_MOST_PAIRS, batch * kernels * grid.rays // _SPARSE):
        return None
    kernel = torch.repeat_interleave(area, output_size=pairs)
    local = torch.arange(pairs, device=area.device) - (area.cumsum(0) - area)[kernel]
    across = size[1][kernel]
    row = torch.div(local, across, rounding_mode="floor")
    pixel = (corner[0][kernel] + row) * grid.width + corner[1][kernel] + local - row * across
    ray = torch.div(kernel, kernels, rounding_mode="floor") * grid.rays + pixel
    hits = pair_hits(scene.table[:, kernel], scene.rays[:, ray])
    depth = scene.foot_depth[ray] + hits.offset
    hit = ((hits.distance <= choice.reach) & (depth > 0)).nonzero()[:, 0]
    distance, depth = hits.distance[hit].clamp(min=0), depth[hit]
    ray, kernel = ray[hit], kernel[hit]
    starts = _starts(ray, batch * grid.rays)
    rank = depth if choice.select == "front" else distance
    if choice.select == "weight":
        rank = _rank_pairs(ray, depth, distance, starts, choice.absorptivity)
    return _first_of_each(ray, kernel, rank, starts, choice.number)


def _starts(ray: Tensor, rays: int) -> Tensor:
    """Where each ray's pairs begin when they are sorted by ray, one entry more than rays."""
    counts = torch.bincount(ray, minlength=rays)
    return torch.cat((counts.new_zeros(1), counts.cumsum(0)))


def _by_ray(ray: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Rays in order and where their pairs were, each ray's by a value of 0 or more."""
    # Bits of floats that are not negative sort as the floats do, so one sort does for both.
    bits = value.float().view(torch.int32).to(torch.int64)
    key, place = ((ray << 32) | bits).sort()
    return key >> 32, place


def _rank_pairs(
    ray: Tensor, depth: Tensor, distance: Tensor, starts: Tensor, absorptivity: float
) -> Tensor:
    """As ``_rank_dense``, of pairs of a ray and a kernel."""
    ordered, place = _by_ray(ray, depth)
    half = distance[place] / 2
    peak = torch.exp(-half)
    total = peak.double().cumsum(0)  # over all rays, where single precision would not do
    before = torch.cat((total.new_zeros(1), total))[starts[ordered]]
    hidden = absorptivity * (total - before - peak / 2)
    return torch.empty_like(depth).index_copy_(0, place, (half + hidden).to(depth.dtype))


def _first_of_each(
    ray: Tensor, kernel: Tensor, rank: Tensor, starts: Tensor, count: int
) -> Selection:
    """The pairs of lowest rank of each ray that has any."""
    ordered, place = _by_ray(ray, rank.clamp(min=0))
    column = torch.arange(len(ray), device=ray.device) - starts[ordered]
    has = starts.diff() > 0
    active = has.nonzero()[:, 0]
    line = has.cumsum(0) - 1
    # Pairs beyond the last place go to a column that is cut off again.
    index = torch.full((len(active), count + 1), -1, dtype=torch.int64, device=ray.device)
    index[line[ordered], column.clamp(max=count)] = kernel[place]
    return Selection(active, index[:, :count].contiguous())


def _shadows(scene: Scene, grid: RayGrid, reach: float) -> tuple[Tensor, Tensor]:
    """Boxes of pixels outside which no ray comes within reach of a kernel.

    Returns:
        First row and column, and number of rows and columns, each ``(2, batch kernels)`` int64.

    The outline of an ellipsoid in the image is a conic; a box around it touches the lines that
    are tangents of the dual quadric ``reach * covariance - mean mean^T``.
    """
    batch, kernels = scene.usable.shape
    usable = scene.usable.flatten()
    x, y, z = (scene.table[:3].view(3, batch, kernels) + scene.reference.T[:, :, None]).flatten(1)
    xx, yy, zz, _, xz, yz = packed_inverse(scene.table[3:]) * reach
    bounds = []
    for side, m, s, mixed in ((0, y, yy, yz), (1, x, xx, xz)):
        size = (grid.height, grid.width)[side]
        focal = grid.focal[:, 1 - side].repeat_interleave(kernels)
        centre = grid.centre[:, 1 - side].repeat_interleave(kernels)
        depth = z * z - zz
        square = s * z * z - 2 * mixed * m * z + zz * m * m - (s * zz - mixed * mixed)
        half = square.clamp(min=0).sqrt() / depth
        middle = (m * z - mixed) / depth
        lowest = focal * (middle - half) + centre - 0.5 - _MARGIN_PX
        highest = focal * (middle + half) + centre - 0.5 + _MARGIN_PX
        whole = depth <= 1e-4 * z * z  # it reaches the camera, so no outline bounds it
        first = torch.where(whole, 0.0, lowest.ceil().clamp(0, size))
        last = torch.where(whole, size - 1.0, highest.floor().clamp(-1, size - 1))
        number = torch.where(usable, last - first + 1, 0.0).nan_to_num(0.0).clamp(min=0)
        bounds.append((first.nan_to_num(0.0).to(torch.int64), number.to(torch.int64)))
    (top, rows), (left, columns) = bounds
    return torch.stack((top, left)), torch.stack((rows, columns))
