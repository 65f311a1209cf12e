"""A freely usable body: 17 joints that carry Gaussian kernels along limbs and torso.

For pictures it is hard ellipsoids, two a segment, and spheres at its bends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.body.ellipsoid_layout import (
    LENGTH_SD,
    LENGTHS,
    REST_OFFSETS,
    SEGMENTS,
    SHAPES,
    THICKNESS_SD,
    Detail,
    bone_shapes,
    kernel_layout,
    segment_frame,
)
from lifting.body.kernel_body import (
    LIMBS,
    PosedKernels,
    SkinnedKernels,
    carry_kernels,
    skin_kernels,
)
from lifting.errors import check_shape
from lifting.geometry.kinematics import PosedChain, ancestor_matrix, pose_chain
from lifting.skeleton import H36M_17
from lifting.typing import Points3D, Pose3D, RotationMatrix


class EllipsoidBody(nn.Module):
    """Human3.6M's 17 joints with Gaussian kernels that follow them; a ``KernelBody``.

    Shape coefficients are standard normal for ordinary people; each multiplies lengths or
    thicknesses by ``exp(sd * beta)``, see ``SHAPES``. Left and right share them.

    Args:
        detail: ``standard`` (406 kernels) or ``light`` (119).
        blend: Share kernels near a joint between the two segments that meet there; otherwise each
            follows one joint.

    Raises:
        ConfigError: The detail is not known.

    Source: the project's specification of 3DNBF's body, section 14.3.
    """

    shape_count: int = len(SHAPES)
    parents: tuple[int, ...] = H36M_17.parents
    mirror: tuple[int, ...] = H36M_17.flip_index
    limb: Tensor
    part: Tensor
    adjacency: Tensor
    _offsets: Tensor
    _ancestors: Tensor
    _bone: Tensor
    _limb_joints: Tensor
    _axial: Tensor
    _radial: Tensor
    _axes: Tensor
    _spreads: Tensor
    _length: Tensor
    _thickness: Tensor
    _weights: Tensor | None
    _scale_sd: Tensor

    def __init__(self, detail: Detail = "standard", *, blend: bool = False) -> None:
        super().__init__()
        layout = kernel_layout(detail)
        offsets = torch.tensor([REST_OFFSETS[name] for name in H36M_17.joints])
        spread = [LENGTH_SD if i < LENGTHS else THICKNESS_SD for i in range(len(SHAPES))]
        ends = [(H36M_17.index(a), H36M_17.index(b)) for _, a, b in LIMBS]
        constants = {
            "limb": layout.limb,
            "part": layout.joint,
            "adjacency": layout.adjacency,
            "_offsets": offsets,
            "_ancestors": ancestor_matrix(H36M_17, offsets),
            "_bone": torch.tensor(bone_shapes()),
            "_limb_joints": torch.tensor(ends),
            "_axial": layout.axial,
            "_radial": layout.radial,
            "_axes": layout.axes,
            "_spreads": layout.spreads,
            "_length": layout.length,
            "_thickness": layout.thickness,
            "_weights": layout.weights if blend else None,
            "_scale_sd": torch.tensor(spread),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def kernel_count(self) -> int:
        """Number of kernels."""
        return len(self.part)

    def scales(self, betas: Tensor) -> Tensor:
        """Factors of lengths and thicknesses.

        Args:
            betas: ``(*batch, 14)``, in the order of ``SHAPES``.

        Returns:
            ``(*batch, 14)``, 1 for the mean shape.

        Raises:
            ShapeError: Another number of coefficients.
        """
        check_shape("betas", betas, "*batch shapes", shapes=self.shape_count)
        return (betas * self._scale_sd).exp()

    def rest_joints(self, betas: Tensor) -> Pose3D:
        """Joints in the rest pose, the root at the origin, ``(*batch, 17, 3)``, mm."""
        factors = self.scales(betas)[..., self._bone, None]
        return self._ancestors @ (self._offsets * factors)

    def joints(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedChain:
        """Joints of posed people, without their kernels.

        Args:
            rotations: Each joint in its parent's frame, ``(*batch, 17, 3, 3)``.
            betas: ``(*batch, 14)``; leading axes broadcast.
            translation: Position of the root, ``(*batch, 3)``, mm.

        Returns:
            Joints, mm, and their rotations relative to the rest pose.

        Raises:
            ShapeError: Another number of joints or coefficients.
        """
        return _moved(pose_chain(rotations, self.rest_joints(betas), self.parents), translation)

    def kernels(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedKernels:
        """Kernels and joints of posed people; arguments as in ``joints``."""
        scales = self.scales(betas)
        rest = self._ancestors @ (self._offsets * scales[..., self._bone, None])
        chain = _moved(pose_chain(rotations, rest, self.parents), translation)
        skinned = self._skin(chain, rest, scales)
        ends = chain.joints[..., self._limb_joints, :]  # (*batch, 9, 2, 3)
        limbs = nn.functional.normalize(ends[..., 1, :] - ends[..., 0, :], dim=-1)
        return PosedKernels(*skinned, chain.joints, chain.joints, chain.rotations, limbs)

    forward = kernels

    def _skin(self, chain: PosedChain, rest: Pose3D, scales: Tensor) -> SkinnedKernels:
        length, thickness = scales[..., self._length, None], scales[..., self._thickness, None]
        offsets = self._axial * length + self._radial * thickness
        spreads = self._spreads * torch.cat((length, thickness, thickness), dim=-1)
        if self._weights is None:
            return carry_kernels(offsets, self._axes, spreads, self.part, chain)
        half = self._axes / spreads[..., None, :]
        means = rest.index_select(-2, self.part) + offsets
        return skin_kernels(means, half @ half.mT, self._weights, chain, rest)


def _moved(chain: PosedChain, translation: Points3D | None) -> PosedChain:
    if translation is None:
        return chain
    return chain._replace(joints=chain.joints + translation[..., None, :])


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
