"""Kernels of the ellipsoid body: rings of Gaussians just under the skin of every segment.

So the front, the back and the sides of a limb have kernels of their own, as a mesh has vertices.

Source: the project's specification of 3DNBF's body, section 14.3.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.ellipsoid_table import SEGMENTS, SHAPES, Segment, rest_joints
from lifting.body.kernel_body import LIMBS
from lifting.errors import ConfigError, suggest
from lifting.skeleton import H36M_17

Detail = Literal["standard", "light"]
DETAILS: tuple[Detail, ...] = ("standard", "light")
# Kernels lie 30 % below the skin, and neighbours meet at half their height.
_DEPTH, _HALF_HEIGHT, _FLATNESS = 0.70, 1 / (2 * math.sqrt(2 * math.log(2))), 0.30
_NEAR_MM = 60.0
_BLENDED = 0.15  # share of a segment in which the neighbouring joint carries too


class KernelLayout(NamedTuple):
    """Kernels of the mean shape in the rest pose, relative to the joint that carries them.

    Attributes:
        joint: ``(K,)`` int64.
        limb: Index into ``LIMBS``, ``(K,)`` int64.
        axial: Part of the offset that lengths scale, ``(K, 3)``, mm.
        radial: Part of the offset that thickness scales, ``(K, 3)``, mm.
        axes: Principal axes as columns: along the segment, around it, outwards, ``(K, 3, 3)``.
        spreads: Standard deviations along them, ``(K, 3)``, mm.
        length: Shape coefficient of the axial part, ``(K,)`` int64.
        thickness: Shape coefficient of the radial part, ``(K,)`` int64.
        adjacency: ``(K, K)`` bool.
        weights: Blended skinning weights, ``(K, 17)``.
    """

    joint: Tensor
    limb: Tensor
    axial: Tensor
    radial: Tensor
    axes: Tensor
    spreads: Tensor
    length: Tensor
    thickness: Tensor
    adjacency: Tensor
    weights: Tensor


class _Rings(NamedTuple):
    """Kernels of one segment, or of all: float64, one row a kernel.

    Attributes:
        segment: Index into ``SEGMENTS``.
        ring: Counted from the segment's start.
        place: Share of the axis before it, 0 to 1.
        angle: About the axis, radians.
        step: Angle between neighbours in the ring.
        axial: As in the layout.
        radial: As in the layout.
        axes: As in the layout.
        spreads: As in the layout.
    """

    segment: Tensor
    ring: Tensor
    place: Tensor
    angle: Tensor
    step: Tensor
    axial: Tensor
    radial: Tensor
    axes: Tensor
    spreads: Tensor


def kernel_layout(detail: Detail = "standard") -> KernelLayout:
    """Place the kernels.

    Args:
        detail: ``standard`` has 406 kernels; ``light`` has 119, half as many rings of half as
            many kernels, for quick trials.

    Raises:
        ConfigError: The detail is not known.
    """
    if detail not in DETAILS:
        raise ConfigError(f"unknown body detail '{detail}'; {suggest(detail, DETAILS)}")
    parts = [_rings(index, segment, detail) for index, segment in enumerate(SEGMENTS)]
    rings = _Rings(*(torch.cat(column) for column in zip(*parts, strict=True)))
    limbs = [name for name, _, _ in LIMBS]
    of_segments = (
        [H36M_17.index(s.joint) for s in SEGMENTS],
        [limbs.index(s.limb) for s in SEGMENTS],
        [SHAPES.index(s.length) for s in SEGMENTS],
        [SHAPES.index(s.thickness) for s in SEGMENTS],
    )
    joint, limb, length, thickness = (torch.tensor(row)[rings.segment] for row in of_segments)
    return KernelLayout(
        joint=joint,
        limb=limb,
        axial=rings.axial.float(),
        radial=rings.radial.float(),
        axes=rings.axes.float(),
        spreads=rings.spreads.float(),
        length=length,
        thickness=thickness,
        adjacency=_adjacency(rings, rest_joints()[joint] + rings.axial + rings.radial),
        weights=_blended_weights(rings, joint).float(),
    )


def segment_frame(axis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit axis of a segment, and the directions in which its two semi-axes are given.

    Args:
        axis: ``(3,)``, body frame.

    Returns:
        Along, across and depth, ``(3,)`` each; across is along times depth.
    """
    along = functional.normalize(axis, dim=0)
    seed = torch.zeros_like(axis)
    seed[1 if abs(float(along[2])) > 0.8 else 2] = 1
    depth = functional.normalize(seed - (seed @ along) * along, dim=0)
    return along, torch.linalg.cross(along, depth), depth


def _rings(index: int, segment: Segment, detail: Detail) -> _Rings:
    rings, around = segment.rings, segment.around
    if detail == "light":
        rings, around = max(1, math.ceil(rings / 2)), max(3, around // 2)
    axis = torch.tensor(segment.axis, dtype=torch.float64)
    along, across, depth = segment_frame(axis)
    ring = torch.arange(rings).repeat_interleave(around)
    place = (ring.double() + 0.5) / rings
    step = 2 * math.pi / around
    angle = step * (torch.arange(around).repeat(rings) + 0.5 * (ring % 2).double())
    start, stop = (torch.tensor(r, dtype=torch.float64) for r in (segment.start, segment.stop))
    radii = torch.lerp(start, stop, place[:, None])  # (kernels, 2)
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    slope = -radii[:, :1] * sine * across + radii[:, 1:] * cosine * depth
    tangent = functional.normalize(slope, dim=-1)
    axes = (along.expand_as(tangent), tangent)
    spreads = (
        (_HALF_HEIGHT * axis.norm() / rings).expand(len(ring)),
        _HALF_HEIGHT * step * _DEPTH * slope.norm(dim=-1),
        _FLATNESS * radii.amin(-1),
    )
    return _Rings(
        segment=torch.full_like(ring, index),
        ring=ring,
        place=place,
        angle=angle,
        step=torch.full_like(angle, step),
        axial=place[:, None] * axis,
        radial=_DEPTH * (radii[:, :1] * cosine * across + radii[:, 1:] * sine * depth),
        axes=torch.stack((*axes, torch.linalg.cross(axes[1], axes[0])), dim=-1),
        spreads=torch.stack(spreads, dim=-1),
    )


def _adjacency(rings: _Rings, means: Tensor) -> Tensor:
    """Neighbours in a ring, in neighbouring rings, and near one another in joined segments."""
    same = rings.segment[:, None] == rings.segment
    nearby = (rings.ring[:, None] - rings.ring).abs() <= 1
    turn = (rings.angle[:, None] - rings.angle + math.pi).remainder(2 * math.pi) - math.pi
    within = same & nearby & (turn.abs() <= rings.step[:, None] + 1e-9)
    close = torch.cdist(means, means) < _NEAR_MM
    joined = _joined_segments()[rings.segment][:, rings.segment]
    return (within | (joined & close)).fill_diagonal_(False)


def _joined_segments() -> Tensor:
    """Which segments meet at a joint, or start at a joint and its parent."""
    ends = [s.end if isinstance(s.end, str) else "" for s in SEGMENTS]
    found = torch.zeros(len(SEGMENTS), len(SEGMENTS), dtype=torch.bool)
    for i, first in enumerate(SEGMENTS):
        for j, second in enumerate(SEGMENTS):
            parent = H36M_17.parents[H36M_17.index(second.joint)]
            above = first.joint == H36M_17.joints[parent] if parent >= 0 else False
            meets = first.joint == second.joint or ends[i] == second.joint or above
            if i != j and meets:
                found[i, j] = found[j, i] = True
    return found


def _blended_weights(rings: _Rings, joint: Tensor) -> Tensor:
    """Weights that pass half of a kernel to the neighbouring joint where segments meet."""
    count = len(joint)
    parents = torch.tensor(H36M_17.parents)[joint]
    ends = [H36M_17.index(s.end) if isinstance(s.end, str) else -1 for s in SEGMENTS]
    child = torch.tensor(ends)[rings.segment]
    weights = torch.zeros(count, len(H36M_17), dtype=torch.float64)
    rows = torch.arange(count)
    weights[rows, joint] = 1
    for neighbour, distance in ((parents, rings.place), (child, 1 - rings.place)):
        share = 0.5 * (1 - distance / _BLENDED).clamp(min=0) * (neighbour >= 0)
        weights[rows, joint] -= share
        weights[rows, neighbour.clamp(min=0)] += share
    return weights
