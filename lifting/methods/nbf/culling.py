"""Choosing kernels from the pixels inside their shadows, for processors.

A kernel's shadow on the image is bounded exactly; of a body that leaves some forty times fewer
pairs of ray and kernel than there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.methods.nbf.kernels import packed_inverse, pair_hits
from lifting.methods.nbf.selection import Choice, RayGrid, Scene, Selection

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
