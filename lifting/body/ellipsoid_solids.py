"""The ellipsoid body as hard ellipsoids, for pictures: two a segment, and spheres at its bends."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.ellipsoid_layout import segment_frame
from lifting.body.ellipsoid_table import SEGMENTS, SHAPES
from lifting.geometry.kinematics import PosedChain
from lifting.skeleton import H36M_17
from lifting.typing import Points3D, RotationMatrix

PLACES = (0.25, 0.75)
_SHARE, _TRUNK_SHARE, _EXTRA_MM = 0.45, 0.6, 10.0  # the trunk's overlap more, so that it is smooth
_BENDS = ("shank", "forearm", "upper arm")
"""Segments at whose start a sphere closes the gap to the segment before."""


class PosedSolids(NamedTuple):
    """Ellipsoids where their joints carried them. P solids.

    Attributes:
        centres: ``(*batch, P, 3)``, mm.
        axes: Directions of the semi-axes as columns: across, depth, along the segment,
            ``(*batch, P, 3, 3)``.
        radii: Semi-axes in that order, ``(*batch, P, 3)``, mm.
    """

    centres: Points3D
    axes: RotationMatrix
    radii: Points3D


class EllipsoidSolids(nn.Module):
    """Solid shape of an ``EllipsoidBody``.

    Attributes:
        segment: Index into ``SEGMENTS`` of each solid, ``(P,)`` int64.
        part: Joint that carries it, ``(P,)`` int64.
        start: Distance of its centre from the segment's start as a share of the length, ``(P,)``.
        length: Length of its segment in the mean shape, ``(P,)``, mm.

    Source: the project's specification of 3DNBF's procedural images, section 15.1.
    """

    segment: Tensor
    part: Tensor
    start: Tensor
    length: Tensor
    _axis: Tensor
    _frame: Tensor
    _across: Tensor
    _along: Tensor
    _shape_length: Tensor
    _shape_thickness: Tensor

    def __init__(self) -> None:
        super().__init__()
        rows = [row for index in range(len(SEGMENTS)) for row in _solids(index)]
        segment = torch.tensor([row[0] for row in rows])
        axes = torch.tensor([SEGMENTS[row[0]].axis for row in rows], dtype=torch.float32)
        frames = [segment_frame(axis) for axis in axes]
        lengths = [SHAPES.index(SEGMENTS[row[0]].length) for row in rows]
        thickness = [SHAPES.index(SEGMENTS[row[0]].thickness) for row in rows]
        radii = torch.tensor([row[2] for row in rows], dtype=torch.float32)
        constants = {
            "segment": segment,
            "part": torch.tensor([H36M_17.index(SEGMENTS[row[0]].joint) for row in rows]),
            "start": torch.tensor([row[1] for row in rows]),
            "length": axes.norm(dim=-1),
            "_axis": axes,
            "_frame": torch.stack([torch.stack((c, d, a), dim=-1) for a, c, d in frames]),
            "_across": radii[:, :2],
            "_along": radii[:, 2],
            "_shape_length": torch.tensor(lengths),
            "_shape_thickness": torch.tensor(thickness),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def __len__(self) -> int:
        return len(self.part)

    def forward(self, body: EllipsoidBody, chain: PosedChain, betas: Tensor) -> PosedSolids:
        """Ellipsoids of posed people.

        Args:
            body: The body that was posed.
            chain: Its joints and rotations, as ``body.joints`` gives them.
            betas: ``(*batch, 14)``.
        """
        scales = body.scales(betas)
        length = scales[..., self._shape_length]  # (*batch, P)
        thickness = scales[..., self._shape_thickness, None]
        rotations = chain.rotations.index_select(-3, self.part)
        offset = self._axis * (self.start * length)[..., None]
        centres = (
            chain.joints.index_select(-2, self.part) + (rotations @ offset[..., None])[..., 0]
        )
        # A sphere at a bend keeps its size along the limb; an ellipsoid grows with the limb.
        bend = self.start == 0
        along = self._along * torch.where(bend, thickness[..., 0], length)
        radii = torch.cat((self._across * thickness, along[..., None]), dim=-1)
        return PosedSolids(centres, rotations @ self._frame, radii)


def _solids(index: int) -> list[tuple[int, float, tuple[float, float, float]]]:
    """Solids of a segment: segment, place, semi-axes across, in depth and along."""
    segment = SEGMENTS[index]
    length = math.hypot(*segment.axis)
    share = _TRUNK_SHARE if segment.name.endswith("trunk") else _SHARE
    pairs = list(zip(segment.start, segment.stop, strict=True))
    rows = []
    for place in PLACES:
        across, depth = (a + place * (b - a) for a, b in pairs)
        rows.append((index, place, (across, depth, share * length + _EXTRA_MM)))
    if segment.name in _BENDS:
        radius = max(segment.start)
        rows.append((index, 0.0, (radius, radius, radius)))
    return rows
