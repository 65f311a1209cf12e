"""SMPL as a cloud of Gaussian kernels: some of its vertices, as wide as their share of the skin.

The kernels are posed by the model's own blend shapes and skinning weights. The licensed arrays
come from a file that the user supplies.

Source: 3DNBF, arXiv 2308.10123, section 3.1 (858 kernels on the neutral mesh).
"""

from __future__ import annotations

from typing import Literal

import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor, nn

from lifting.body.joints17 import approximate_h36m
from lifting.body.kernel_body import LIMBS, PosedKernels
from lifting.body.skinning import skin_kernels
from lifting.body.smpl import BodyModel
from lifting.errors import DataError, check_shape
from lifting.geometry.kinematics import PosedChain, pose_chain
from lifting.skeleton import SMPL_24
from lifting.typing import Points3D, RotationMatrix

KERNELS = 858
Spread = Literal["mesh", "released"]
RELEASED_SD = 11.18
"""Standard deviation of every kernel in the released code, mm."""
_HALF_HEIGHT, _FLATNESS = 0.4247, 0.5
_LEAST_SD = 1.0
# First joints of the limbs; what hangs on them belongs to the same limb.
_STARTS = {
    f"{side} {limb}": f"{side}_{joint}"
    for side in ("left", "right")
    for limb, joint in (
        ("thigh", "hip"), ("calf", "knee"), ("upper arm", "shoulder"), ("lower arm", "elbow"),
    )
}  # fmt: skip


class SmplKernels(nn.Module):
    """An SMPL model as a ``KernelBody``.

    Args:
        model: SMPL with 24 joints.
        count: Kernels, at most the number of vertices.
        spread: ``mesh``, as wide as the distance to the neighbours and half as deep; or
            ``released``, spheres of one size.

    Attributes:
        vertices: The vertices that are kernels, ``(K,)`` int64: those furthest from one another,
            beginning with vertex 0.

    Raises:
        DataError: Another number of joints, or fewer vertices than kernels.
    """

    parents: tuple[int, ...] = SMPL_24.parents
    mirror: tuple[int, ...] = SMPL_24.flip_index
    vertices: Tensor
    limb: Tensor
    part: Tensor
    adjacency: Tensor
    _template: Tensor
    _shapes: Tensor
    _poses: Tensor
    _weights: Tensor
    _rest: Tensor
    _rest_shapes: Tensor
    _precisions: Tensor

    def __init__(self, model: BodyModel, count: int = KERNELS, spread: Spread = "mesh") -> None:
        super().__init__()
        if model.parents != SMPL_24.parents:
            raise DataError(
                f"expected SMPL with the tree of its 24 joints, got {model.family} with "
                f"{len(model.parents)}; give a model file of SMPL"
            )
        if not 0 < count <= len(model.template):
            raise DataError(
                f"expected between 1 and {len(model.template)} kernels, which is the number of "
                f"vertices, got {count}; ask for fewer"
            )
        self.shape_count = model.shape_count
        chosen = furthest_points(model.template, count)
        part = model.skinning_weights[chosen].argmax(1)
        adjacency = _adjacency(model, chosen)
        constants = {
            "vertices": chosen,
            "part": part,
            "limb": torch.tensor(_limbs())[part],
            "adjacency": adjacency,
            "_template": model.template[chosen],
            "_shapes": model.shape_directions[chosen],
            "_poses": model.pose_directions[chosen],
            "_weights": model.skinning_weights[chosen],
            "_rest": model.joint_regressor @ model.template,
            "_rest_shapes": torch.einsum(
                "jv,vcs->jcs", model.joint_regressor, model.shape_directions
            ),
            "_precisions": _precisions(model, chosen, adjacency, spread),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def kernel_count(self) -> int:
        """Number of kernels."""
        return len(self.part)

    def joints(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedChain:
        """Joints of posed people, without their kernels.

        Args:
            rotations: Each joint in its parent's frame, ``(*batch, 24, 3, 3)``.
            betas: ``(*batch, shape_count)``; leading axes broadcast.
            translation: Added to every point, ``(*batch, 3)``, mm.

        Raises:
            ShapeError: Another number of joints or coefficients.
        """
        chain = pose_chain(rotations, self._rest_joints(betas), self.parents)
        return chain if translation is None else _moved(chain, translation)

    def kernels(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedKernels:
        """Kernels and joints of posed people; arguments as in ``joints``.

        The 17 joints are approximate, see ``joints17.APPROXIMATE``.
        """
        rest = self._rest_joints(betas)
        chain = pose_chain(rotations, rest, self.parents)
        eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        bent = (rotations[..., 1:, :, :] - eye).flatten(-3)
        points = self._template + torch.einsum("kcs,...s->...kc", self._shapes, betas)
        points = points + torch.einsum("kcp,...p->...kc", self._poses, bent)
        skinned = skin_kernels(points, self._precisions, self._weights, chain, rest)
        means = skinned.means
        if translation is not None:
            chain, means = _moved(chain, translation), means + translation[..., None, :]
        seventeen = approximate_h36m(chain.joints)
        limbs = _directions(chain.joints)
        return PosedKernels(
            means, skinned.precisions, chain.joints, seventeen, chain.rotations, limbs
        )

    forward = kernels

    def _rest_joints(self, betas: Tensor) -> Points3D:
        check_shape("betas", betas, "*batch shapes", shapes=self.shape_count)
        return self._rest + torch.einsum("jcs,...s->...jc", self._rest_shapes, betas)


def _moved(chain: PosedChain, translation: Points3D) -> PosedChain:
    return chain._replace(joints=chain.joints + translation[..., None, :])


def furthest_points(points: Points3D, count: int) -> Tensor:
    """Points that are far from one another: each is the furthest from those before it.

    Args:
        points: ``(n, 3)``.
        count: How many, at most n.

    Returns:
        ``(count,)`` int64, beginning with point 0.
    """
    chosen = torch.zeros(count, dtype=torch.int64)
    distance = (points - points[0]).square().sum(-1)
    for i in range(1, count):
        chosen[i] = distance.argmax()
        distance = torch.minimum(distance, (points - points[chosen[i]]).square().sum(-1))
    return chosen


def _limbs() -> list[int]:
    """Limb of each joint of SMPL."""
    names = [name for name, _, _ in LIMBS]
    starts = {joint: names.index(limb) for limb, joint in _STARTS.items()}
    found: list[int] = []
    for joint, parent in zip(SMPL_24.joints, SMPL_24.parents, strict=True):
        found.append(starts.get(joint, found[parent] if parent >= 0 else names.index("torso")))
    return found


def _directions(joints: Points3D) -> Points3D:
    """Unit directions of the limbs; the torso points from between the hips to the neck."""

    def at(name: str) -> Points3D:
        if name == "hip":
            return (at("left_hip") + at("right_hip")) / 2
        return joints[..., SMPL_24.index("neck" if name == "thorax" else name), :]

    ends = [at(end) - at(start) for _, start, end in LIMBS]
    return nn.functional.normalize(torch.stack(ends, dim=-2), dim=-1)


def _adjacency(model: BodyModel, chosen: Tensor) -> Tensor:
    """Kernels whose parts of the mesh touch; a vertex belongs to the nearest along edges."""
    faces = model.faces.long()
    first, second = faces.flatten(), faces.roll(1, dims=1).flatten()
    points = model.template.double()
    length = (points[first] - points[second]).norm(dim=-1).clamp(min=1e-6)
    size = len(points)
    edges = torch.stack((torch.cat((first, second)), torch.cat((second, first))), dim=1)
    unique, place = torch.unique(edges, dim=0, return_inverse=True)
    lengths = torch.zeros(len(unique), dtype=torch.float64)
    lengths[place] = torch.cat((length, length))
    graph = csr_array((lengths.numpy(), unique.T.numpy()), shape=(size, size))
    _, _, sources = dijkstra(
        graph, indices=chosen.numpy(), min_only=True, return_predecessors=True
    )
    reached = torch.from_numpy(sources.astype("int64"))
    order = torch.full((size + 1,), -1, dtype=torch.int64)  # last entry: what no edge reaches
    order[chosen] = torch.arange(len(chosen))
    cell = order[torch.where(reached >= 0, reached, size)]
    a, b = cell[first], cell[second]
    apart = (a != b) & (a >= 0) & (b >= 0)
    adjacency = torch.zeros(len(chosen), len(chosen), dtype=torch.bool)
    adjacency[a[apart], b[apart]] = True
    return adjacency | adjacency.T


def _precisions(
    model: BodyModel, chosen: Tensor, adjacency: Tensor, spread: Spread
) -> RotationMatrix:
    """Inverse covariances in the rest pose: wide along the skin, flat across it."""
    points = model.template[chosen]
    eye = torch.eye(3).to(points)
    if spread == "released":
        return (eye / RELEASED_SD**2).expand(len(chosen), 3, 3).clone()
    distance = torch.cdist(points, points) * adjacency
    neighbours = adjacency.sum(1)
    along = _HALF_HEIGHT * distance.sum(1) / neighbours.clamp(min=1)
    # A kernel without neighbours lies on a piece of mesh of its own.
    along = torch.where(neighbours > 0, along, RELEASED_SD).clamp(min=_LEAST_SD)
    normal = _normals(model)[chosen]
    outwards = normal[:, :, None] * normal[:, None, :]
    flat = (1 / (_FLATNESS * along).square() - 1 / along.square())[:, None, None]
    return eye / along.square()[:, None, None] + flat * outwards


def _normals(model: BodyModel) -> Points3D:
    """Unit normals of the vertices, faces weighted by area; zero where there is no face."""
    faces, points = model.faces.long(), model.template
    corner = points[faces]  # (faces, 3, 3)
    area = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0], dim=-1)
    total = torch.zeros_like(points)
    for i in range(3):
        total.index_add_(0, faces[:, i], area)
    return nn.functional.normalize(total, dim=-1)
