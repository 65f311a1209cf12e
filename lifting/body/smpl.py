"""Bodies of the SMPL family: shape, pose-dependent shape, and linear blend skinning.

The model is a template mesh that is changed by shape coefficients, then by the rotations of the
joints, then carried by the joints. Everything is a differentiable function of plain tensors; the
arrays come from a model file that the user supplies.

The published way to the 17 common joints regresses them from the mesh with a matrix that was
fitted to Human3.6M; without it the tree's own joints stand in, a few centimetres off at hips and
head.

Source: Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015, equations 2 to 11.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lifting.errors import DataError, ShapeError, check_shape
from lifting.geometry.kinematics import PosedChain, pose_chain
from lifting.skeleton import H36M_17, SMPL_22
from lifting.skeleton.convert import remap_joints
from lifting.typing import Points3D, Pose3D, RotationMatrix

FAMILY_BY_JOINTS = {24: "smpl", 52: "smplh", 55: "smplx"}


class PosedBody(NamedTuple):
    """A body after shape, pose and translation.

    Attributes:
        vertices: ``(*batch, vertices, 3)``, mm.
        joints: ``(*batch, joints, 3)``, mm.
        rotations: Rotation of each joint relative to the rest pose, ``(*batch, joints, 3, 3)``.
    """

    vertices: Points3D
    joints: Pose3D
    rotations: RotationMatrix


@dataclass(kw_only=True)
class BodyModel:
    """The arrays of a body model. V vertices, J joints, S shape coefficients, F faces.

    Attributes:
        family: ``smpl``, ``smplh`` or ``smplx``; ``other`` for another number of joints.
        template: Mesh of the mean shape in the rest pose, ``(V, 3)``, mm.
        shape_directions: Change of the mesh with each coefficient, ``(V, 3, S)``, mm.
        pose_directions: Change of the mesh with each entry of ``R - I`` of the joints after the
            root, ``(V, 3, 9 (J - 1))``, mm.
        joint_regressor: Joints from vertices, ``(J, V)``; rows sum to one.
        skinning_weights: How far each joint carries each vertex, ``(V, J)``; rows sum to one.
        parents: Index of each joint's parent, -1 for the root.
        faces: Triangles, ``(F, 3)`` int64.
    """

    family: str
    template: Points3D
    shape_directions: Tensor
    pose_directions: Tensor
    joint_regressor: Tensor
    skinning_weights: Tensor
    parents: tuple[int, ...]
    faces: Tensor

    def __post_init__(self) -> None:
        joints, vertices = len(self.parents), self.template.shape[0]
        check_shape("template", self.template, "v 3")
        check_shape("shape_directions", self.shape_directions, "v 3 s", v=vertices)
        terms = 9 * (joints - 1)
        check_shape("pose_directions", self.pose_directions, "v 3 p", v=vertices, p=terms)
        check_shape("joint_regressor", self.joint_regressor, "j v", j=joints, v=vertices)
        check_shape("skinning_weights", self.skinning_weights, "v j", v=vertices, j=joints)
        check_shape("faces", self.faces, "f 3")
        # The joints of a shape are linear in its coefficients, so the mesh is not needed for them.
        self._rest = self.joint_regressor @ self.template
        self._rest_directions = torch.einsum(
            "jv,vcs->jcs", self.joint_regressor, self.shape_directions
        )

    @property
    def shape_count(self) -> int:
        """Number of shape coefficients."""
        return int(self.shape_directions.shape[-1])

    def to(self, target: torch.device | torch.dtype | str) -> BodyModel:
        """The same model on another device, or in another precision."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            whole = isinstance(target, torch.dtype) and field.name == "faces"
            if isinstance(value, Tensor) and not whole:
                moved[field.name] = value.to(target)
        return replace(self, **moved)

    def joints(self, betas: Tensor) -> Pose3D:
        """Joints in the rest pose of people with the given shape.

        Args:
            betas: ``(*batch, n)``, the first n shape coefficients, n at most ``shape_count``.

        Returns:
            ``(*batch, J, 3)``, mm.

        Raises:
            DataError: More coefficients than the model has.
        """
        directions = self._rest_directions[..., : self._checked_shapes(betas)]
        return self._rest + torch.einsum("jcs,...s->...jc", directions, betas)

    def pose_joints(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedChain:
        """Joints of posed people, without their mesh.

        Args:
            rotations: Each joint in its parent's frame, ``(*batch, J, 3, 3)``.
            betas: ``(*batch, n)``; leading axes broadcast.
            translation: Added to every joint, ``(*batch, 3)``, mm.

        Returns:
            Joints, mm, and their rotations.
        """
        chain = pose_chain(rotations, self.joints(betas), self.parents)
        if translation is None:
            return chain
        return chain._replace(joints=chain.joints + translation[..., None, :])

    def forward(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedBody:
        """Mesh and joints of posed people.

        Args:
            rotations: Each joint in its parent's frame, ``(*batch, J, 3, 3)``.
            betas: ``(*batch, n)``, the first n shape coefficients; leading axes broadcast.
            translation: Added to vertices and joints, ``(*batch, 3)``, mm.

        Returns:
            Vertices, joints and joint rotations.

        Raises:
            DataError: More coefficients than the model has.
            ShapeError: Another number of joints than the model's.

        Source: SMPL, equations 2 to 4 (skinning), 8 (shape), 9 (pose blend shapes), 10 (joints).
        """
        check_shape("rotations", rotations, "*batch joints 3 3", joints=len(self.parents))
        rest_joints = self.joints(betas)
        rest_mesh = self.rest_mesh(rotations, betas)
        chain = pose_chain(rotations, rest_joints, self.parents)
        # A joint carries a resting point x to R x + (p - R r), r and p its own two positions.
        shift = chain.joints - (chain.rotations @ rest_joints[..., None])[..., 0]
        motion = torch.cat((chain.rotations, shift[..., None]), dim=-1).flatten(-2)
        carried = self.skinning_weights @ motion
        carried = carried.reshape(*carried.shape[:-1], 3, 4)
        vertices = (carried[..., :3] @ rest_mesh[..., None])[..., 0] + carried[..., 3]
        if translation is None:
            return PosedBody(vertices, chain.joints, chain.rotations)
        moved = translation[..., None, :]
        return PosedBody(vertices + moved, chain.joints + moved, chain.rotations)

    def rest_mesh(self, rotations: RotationMatrix, betas: Tensor) -> Points3D:
        """Template with the changes of shape and pose, before the joints carry it.

        Args:
            rotations: ``(*batch, J, 3, 3)``.
            betas: ``(*batch, n)``; leading axes broadcast.

        Returns:
            ``(*batch, V, 3)``, mm.
        """
        count = self._checked_shapes(betas)
        shaped = torch.einsum("vcs,...s->...vc", self.shape_directions[..., :count], betas)
        eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        bent = (rotations[..., 1:, :, :] - eye).flatten(-3)
        changed = bent @ self.pose_directions.flatten(0, 1).T
        return self.template + shaped + changed.reshape(*bent.shape[:-1], -1, 3)

    def _checked_shapes(self, betas: Tensor) -> int:
        count = int(betas.shape[-1])
        if count > self.shape_count:
            raise DataError(
                f"expected at most {self.shape_count} shape coefficients, got {count}; cut them, "
                "or read the model file with more (shapes=...)"
            )
        return count


CROWN = 110.0
APPROXIMATE = "17 joints from the SMPL joint tree, 2-5 cm off at hips and head"


def approximate_h36m(joints: Pose3D, crown: float = CROWN) -> Pose3D:
    """Human3.6M's 17 joints from those of SMPL, SMPL-H or SMPL-X.

    The neck-and-nose joint is the middle of SMPL's neck and head; the top of the head lies beyond
    SMPL's head joint, on the line from the neck.

    Args:
        joints: ``(*batch, n, 3)``, the first 22 of which are the body's (they are the same in
            all three families), mm, any frame.
        crown: Distance from SMPL's head joint to the top of the head, mm.

    Returns:
        ``(*batch, 17, 3)``, mm, same frame.

    Raises:
        ShapeError: Fewer than 22 joints.
    """
    body = len(SMPL_22)
    if joints.ndim < 2 or joints.shape[-2] < body or joints.shape[-1] != 3:
        raise ShapeError(
            f"expected joints of shape (*batch n 3) with n at least {body}, got "
            f"{tuple(joints.shape)}; give the joints of an SMPL-family body"
        )
    mapped = remap_joints(joints[..., :body, :], SMPL_22, H36M_17)[0]
    neck, head = joints[..., SMPL_22.index("neck"), :], joints[..., SMPL_22.index("head"), :]
    up = torch.nn.functional.normalize(head - neck, dim=-1)
    top = H36M_17.index("head")
    before, after = mapped[..., :top, :], mapped[..., top + 1 :, :]
    return torch.cat((before, (head + crown * up)[..., None, :], after), dim=-2)
