"""Rays through Gaussian kernels: the quantities of a hit, with hand-written gradients.

A ray is ``s d`` with ``d`` of unit length. Everything is computed relative to a reference point
near the body: camera coordinates lose the digits of a distance of millimetres at 40 metres. Any
length unit will do, one for means and the inverse of its square for precisions.

Source: VoGE, arXiv 2205.15401, equations of the ray integral; 3DNBF, arXiv 2308.10123.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lifting.typing import Points3D

_SYMMETRIC = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_CHUNK = 1 << 17
_PAIR_CHUNK = 1 << 19


class Hits(NamedTuple):
    """Where rays meet kernels, each ``(rays, kernels)``.

    Attributes:
        precision: Of the kernel along the ray, one over length squared.
        offset: Depth of the density's maximum, from the ray's foot.
        distance: Squared Mahalanobis distance of the ray from the kernel.
    """

    precision: Tensor
    offset: Tensor
    distance: Tensor


def pack_symmetric(matrices: Tensor) -> Tensor:
    """Six entries of symmetric matrices: 00, 11, 22, 01, 02, 12.

    Args:
        matrices: ``(*batch, 3, 3)``.

    Returns:
        ``(*batch, 6)``.
    """
    entries = [(matrices[..., i, j] + matrices[..., j, i]) / 2 for i, j in _SYMMETRIC]
    return torch.stack(entries, dim=-1)


def packed_inverse(packed: Tensor) -> Tensor:
    """Inverses of packed symmetric matrices, entries first, ``(6, *batch)``."""
    xx, yy, zz, xy, xz, yz = packed
    minors = (yy * zz - yz * yz, xx * zz - xz * xz, xx * yy - xy * xy)
    mixed = (xz * yz - xy * zz, xy * yz - xz * yy, xy * xz - yz * xx)
    determinant = xx * minors[0] + xy * mixed[0] + xz * mixed[1]
    return torch.stack((*minors, *mixed)) / determinant


def widened(packed: Tensor, spread: Tensor) -> Tensor:
    """Precisions of kernels that are blurred alike in all directions, differentiable.

    Args:
        packed: Precisions, ``(*batch, 6)``.
        spread: Standard deviation of the blur, ``(*batch,)``, in the unit of the precisions.
    """
    covariance = packed_inverse(packed.movedim(-1, 0))
    isotropic = torch.tensor((1.0, 1, 1, 0, 0, 0), dtype=packed.dtype, device=packed.device)
    blurred = covariance.movedim(0, -1) + spread.square()[..., None] * isotropic
    return packed_inverse(blurred.movedim(-1, 0)).movedim(0, -1)


def kernel_hits(means: Points3D, packed: Tensor, rays: Tensor, index: Tensor) -> Hits:
    """Hits of chosen kernels, differentiable in the kernels.

    Memory beside inputs and outputs does not grow with the number of rays.

    Args:
        means: ``(kernels, 3)``, relative to a reference point.
        packed: Precisions, ``(kernels, 6)``, as :func:`pack_symmetric` gives them.
        rays: Unit direction, and the foot: the ray's point nearest to its reference point,
            relative to that point, ``(6, rays)``.
        index: Kernels of each ray, ``(rays, chosen)`` int64, -1 for none; a missing kernel gets
            precision 1, offset 0 and an infinite distance.
    """
    return Hits(*_KernelHits.apply(means, packed, rays, index))  # type: ignore[no-untyped-call]


def pair_hits(table: Tensor, rays: Tensor) -> Hits:
    """Hits of pairs of a ray and a kernel; no gradient is kept.

    Args:
        table: Mean and packed precision of each pair's kernel, ``(9, *pairs)``.
        rays: Direction and foot of each pair's ray, ``(6, *pairs)``, or broadcastable to it.
    """
    return _geometry(table, rays).hits


def absorption(offset: Tensor, precision: Tensor, peak: Tensor) -> Tensor:
    """Optical depth in front of each kernel's own maximum, for unit absorptivity.

    It is the sum over the ray's kernels of peak times the part of the density that lies nearer,
    the kernel itself included with one half. The matrices of all pairs are made anew for the
    gradient, in chunks, and never kept.

    Args:
        offset: Depth of each kernel's maximum, ``(rays, kernels)``, any common origin.
        precision: Along the ray, ``(rays, kernels)``.
        peak: Largest density, ``(rays, kernels)``, 0 for a missing kernel.

    Returns:
        ``(rays, kernels)``.

    Source: VoGE, equation of the density aggregation.
    """
    depth: Tensor = _Absorption.apply(offset, precision, peak)  # type: ignore[no-untyped-call]
    return depth


class _Geometry(NamedTuple):
    hits: Hits
    direction: tuple[Tensor, ...]
    towards: tuple[Tensor, ...]
    residual: tuple[Tensor, ...]
    pulled: tuple[Tensor, ...]


def _geometry(table: Tensor, rays: Tensor) -> _Geometry:
    """Hits and the vectors that their gradient needs."""
    mx, my, mz, *packed = table.unbind(0)
    dx, dy, dz, fx, fy, fz = rays.unbind(0)
    towards = _times(packed, (dx, dy, dz))
    precision = dx * towards[0] + dy * towards[1] + dz * towards[2]
    vx, vy, vz = mx - fx, my - fy, mz - fz
    offset = (vx * towards[0] + vy * towards[1] + vz * towards[2]) / precision
    # The difference is formed first: the quadratic form of the whole vector would cancel.
    residual = (vx - offset * dx, vy - offset * dy, vz - offset * dz)
    pulled = _times(packed, residual)
    distance = residual[0] * pulled[0] + residual[1] * pulled[1] + residual[2] * pulled[2]
    hits = Hits(precision, offset, distance)
    return _Geometry(hits, (dx, dy, dz), towards, residual, pulled)


def _times(packed: list[Tensor], vector: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Product of packed symmetric matrices with vectors, component by component."""
    xx, yy, zz, xy, xz, yz = packed
    x, y, z = vector
    return (
        xx * x + xy * y + xz * z,
        xy * x + yy * y + yz * z,
        xz * x + yz * y + zz * z,
    )


def _chunks(rays: int, chosen: int, size: int = _CHUNK) -> list[slice]:
    step = max(1, size // max(1, chosen))
    return [slice(i, i + step) for i in range(0, rays, step)]


class _KernelHits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, packed: Tensor, rays: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        table = torch.cat((means, packed), dim=1).T.contiguous()
        out = [means.new_empty(index.shape) for _ in range(3)]
        for part in _chunks(*index.shape):
            found = _geometry(*_gathered(table, rays, index, part)).hits
            missing = index[part] < 0
            for values, fill, target in zip(found, (1.0, 0.0, math.inf), out, strict=True):
                target[part] = values.masked_fill_(missing, fill)
        ctx.save_for_backward(table, rays, index)
        return out[0], out[1], out[2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        table, rays, index = ctx.saved_tensors
        total = torch.zeros_like(table)
        for part in _chunks(*index.shape):
            near = _geometry(*_gathered(table, rays, index, part))
            there = index[part] >= 0
            to_precision, to_offset, to_distance = (
                torch.where(there, slope[part], 0.0) for slope in slopes
            )
            flat = index[part].clamp(min=0).flatten()
            grads = _hit_gradients(near, to_precision, to_offset, to_distance)
            for row, values in zip(total, grads, strict=True):
                row.scatter_add_(0, flat, torch.where(there, values, 0.0).flatten())
        return total[:3].T, total[3:].T, None, None


def _gathered(table: Tensor, rays: Tensor, index: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """Kernels and rays of a chunk, component first."""
    chosen = index[part]
    flat = chosen.clamp(min=0).flatten()
    return table.index_select(1, flat).view(-1, *chosen.shape), rays[:, part, None]


def _hit_gradients(
    near: _Geometry, to_precision: Tensor, to_offset: Tensor, to_distance: Tensor
) -> list[Tensor]:
    """Gradients of the nine numbers of each kernel.

    The distance does not change with the offset to first order, since that minimises it.
    """
    d, r = near.direction, near.residual
    along = to_offset / near.hits.precision
    double = 2 * to_distance
    to_means = [
        double * pulled + along * towards
        for pulled, towards in zip(near.pulled, near.towards, strict=True)
    ]
    to_packed = []
    for i, j in _SYMMETRIC:
        twice = 1 if i == j else 2
        slope = to_distance * (r[i] * r[j]) + to_precision * (d[i] * d[j])
        mixed = d[i] * r[j] if i == j else (d[i] * r[j] + d[j] * r[i]) / 2
        to_packed.append(twice * (slope + along * mixed))
    return to_means + to_packed


class _Absorption(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, offset: Tensor, precision: Tensor, peak: Tensor) -> Tensor:
        depth = torch.empty_like(peak)
        for part in _chunks(len(peak), peak.shape[1] ** 2, _PAIR_CHUNK):
            steps = _steps(offset[part], precision[part]).erf_()
            ahead = torch.bmm(steps, peak[part, :, None])[..., 0]
            depth[part] = (ahead + peak[part].sum(1, keepdim=True)) / 2
        ctx.save_for_backward(offset, precision, peak)
        return depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        offset, precision, peak = ctx.saved_tensors
        to_offset, to_precision, to_peak = (torch.empty_like(peak) for _ in range(3))
        for part in _chunks(len(peak), peak.shape[1] ** 2, _PAIR_CHUNK):
            g, q = slope[part], peak[part]
            scale = (precision[part] / 2).sqrt()
            steps = _steps(offset[part], precision[part])
            bell = (steps * steps).neg_().exp_().mul_(1 / math.sqrt(math.pi))
            weighted = torch.bmm(g[:, None], bell * steps)[:, 0]
            share = torch.bmm(bell, (q * scale)[..., None])[..., 0]
            back = torch.bmm(g[:, None], bell)[:, 0]
            to_offset[part] = g * share - q * scale * back
            to_precision[part] = q * weighted / (2 * precision[part])
            sums = torch.bmm(g[:, None], steps.erf_())[:, 0]
            to_peak[part] = (sums + g.sum(1, keepdim=True)) / 2
        return to_offset, to_precision, to_peak


def _steps(offset: Tensor, precision: Tensor) -> Tensor:
    """Argument of the error function, ``(rays, seen from, kernels)``."""
    scale = (precision / 2).sqrt()
    return (offset[:, :, None] - offset[:, None, :]).mul_(scale[:, None])
