"""The ellipsoid body's table, and its kernels: rings of Gaussians just under every segment's skin.

The table holds rest joints, segments with their radii, and shape coefficients. Radii agree with
ordinary adult circumferences. Body frame: x left, y up, z forward; T-pose; stature about 1.72 m;
millimetres. The rings give the front, the back and the sides of a limb kernels of their own, as a
mesh has vertices.

Source: the project's specification of 3DNBF's body, sections 14.3 and 15.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.kernel_body import LIMBS
from lifting.errors import ConfigError, suggest
from lifting.skeleton import H36M_17

SHAPES = (
    "hip width", "thigh", "shank", "foot", "lower trunk", "upper trunk", "neck and head",
    "shoulder width", "upper arm", "forearm and hand",
    "trunk thickness", "arm thickness", "leg thickness", "head thickness",
)  # fmt: skip
LENGTHS = 10
"""Shape coefficients that change lengths; the others change thickness."""
LENGTH_SD, THICKNESS_SD = 0.06, 0.12

REST_OFFSETS: dict[str, tuple[float, float, float]] = {
    "hip": (0.0, 0.0, 0.0),
    "left_hip": (130.0, -20.0, 0.0), "right_hip": (-130.0, -20.0, 0.0),
    "left_knee": (0.0, -430.0, 0.0), "right_knee": (0.0, -430.0, 0.0),
    "left_ankle": (0.0, -430.0, 0.0), "right_ankle": (0.0, -430.0, 0.0),
    "spine": (0.0, 235.0, 0.0), "thorax": (0.0, 255.0, 0.0),
    "neck": (0.0, 115.0, 20.0), "head": (0.0, 115.0, 0.0),
    "left_shoulder": (150.0, -30.0, 0.0), "right_shoulder": (-150.0, -30.0, 0.0),
    "left_elbow": (285.0, 0.0, 0.0), "right_elbow": (-285.0, 0.0, 0.0),
    "left_wrist": (250.0, 0.0, 0.0), "right_wrist": (-250.0, 0.0, 0.0),
}  # fmt: skip
"""Offset of each joint from its parent."""
BONE_SHAPE: dict[str, str] = {
    "hip": "hip width", "knee": "thigh", "ankle": "shank", "spine": "lower trunk",
    "thorax": "upper trunk", "neck": "neck and head", "head": "neck and head",
    "shoulder": "shoulder width", "elbow": "upper arm", "wrist": "forearm and hand",
}  # fmt: skip
"""Shape coefficient of the bone that ends at a joint, by the joint's name without its side."""


@dataclass(frozen=True)
class Segment:
    """A piece of a limb, from its joint along an axis.

    Attributes:
        name: Name without the side.
        joint: Joint that it starts at and that carries it.
        end: Joint that it leads to, or the offset of its end from its start, mm.
        rings: Rings of kernels along the axis.
        around: Kernels of a ring.
        start: Semi-axes across and in depth at the start, mm.
        stop: The same at the end.
        limb: Limb of ``LIMBS``.
        length: Shape coefficient of its length.
        thickness: Shape coefficient of its radii.
    """

    name: str
    joint: str
    end: str | tuple[float, float, float]
    rings: int
    around: int
    start: tuple[float, float]
    stop: tuple[float, float]
    limb: str
    length: str
    thickness: str

    @property
    def axis(self) -> tuple[float, float, float]:
        """From start to end in the rest pose of the mean shape, mm."""
        return REST_OFFSETS[self.end] if isinstance(self.end, str) else self.end


def _segments() -> tuple[Segment, ...]:
    trunk, head, legs, arms = (f"{word} thickness" for word in ("trunk", "head", "leg", "arm"))
    middle = [
        Segment("lower trunk", "hip", "spine", 3, 10, (165, 115), (140, 105), "torso",
                "lower trunk", trunk),
        Segment("upper trunk", "spine", "thorax", 4, 10, (140, 105), (165, 115), "torso",
                "upper trunk", trunk),
        Segment("seat", "hip", (0, -90, 0), 1, 8, (165, 115), (150, 110), "torso",
                "lower trunk", trunk),
        Segment("neck", "thorax", "neck", 2, 6, (58, 58), (55, 58), "torso",
                "neck and head", head),
        Segment("head", "neck", "head", 3, 8, (68, 90), (75, 95), "torso",
                "neck and head", head),
    ]  # fmt: skip
    for side, out in (("left", 1.0), ("right", -1.0)):
        middle += [
            Segment("shoulder", "thorax", f"{side}_shoulder", 2, 6, (65, 65), (55, 55), "torso",
                    "shoulder width", trunk),
            Segment("upper arm", f"{side}_shoulder", f"{side}_elbow", 4, 6, (50, 50), (42, 42),
                    f"{side} upper arm", "upper arm", arms),
            Segment("forearm", f"{side}_elbow", f"{side}_wrist", 4, 6, (42, 42), (28, 30),
                    f"{side} lower arm", "forearm and hand", arms),
            Segment("hand", f"{side}_wrist", (170 * out, 0, 0), 2, 4, (20, 42), (15, 35),
                    f"{side} lower arm", "forearm and hand", arms),
            Segment("thigh", f"{side}_hip", f"{side}_knee", 5, 8, (88, 88), (60, 60),
                    f"{side} thigh", "thigh", legs),
            Segment("shank", f"{side}_knee", f"{side}_ankle", 5, 6, (58, 60), (38, 40),
                    f"{side} calf", "shank", legs),
            Segment("foot", f"{side}_ankle", (0, -45, 200), 2, 4, (45, 40), (45, 25),
                    f"{side} calf", "foot", legs),
        ]  # fmt: skip
    return tuple(middle)


SEGMENTS = _segments()


def rest_joints() -> Tensor:
    """Rest positions of the 17 joints of the mean shape, ``(17, 3)`` float64, mm."""
    places = torch.zeros(len(H36M_17), 3, dtype=torch.float64)
    for joint in H36M_17.depth_order:
        parent = H36M_17.parents[joint]
        offset = torch.tensor(REST_OFFSETS[H36M_17.joints[joint]], dtype=torch.float64)
        places[joint] = offset + (places[parent] if parent >= 0 else 0.0)
    return places


def bone_shapes() -> list[int]:
    """Shape coefficient of the bone that ends at each joint."""
    words = [joint.removeprefix("left_").removeprefix("right_") for joint in H36M_17.joints]
    return [SHAPES.index(BONE_SHAPE[word]) for word in words]


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
