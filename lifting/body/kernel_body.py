"""What a body made of Gaussian kernels offers, and how joints carry kernels.

Rest frames are y up, x towards the subject's left, z forward. Rotations of joints are relative to
the parent; that of the root turns the whole body into the frame that is wanted, for a camera the
one with y down and z forward. Millimetres.

Means and precisions are carried by linear blend skinning. Blending is done on inverse covariances:
a convex combination of positive definite matrices is positive definite, so nothing has to be
repaired afterwards.

Source: 3DNBF, arXiv 2308.10123, section 3.1. With column vectors a precision turns as ``R P R^T``;
write-ups that print ``R^T P R`` mean row vectors.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.kinematics import PosedChain
from lifting.typing import Points3D, Pose3D, RotationMatrix

LIMBS: tuple[tuple[str, str, str], ...] = (
    ("torso", "hip", "thorax"),
    ("left lower arm", "left_elbow", "left_wrist"),
    ("left upper arm", "left_shoulder", "left_elbow"),
    ("left thigh", "left_hip", "left_knee"),
    ("left calf", "left_knee", "left_ankle"),
    ("right lower arm", "right_elbow", "right_wrist"),
    ("right upper arm", "right_shoulder", "right_elbow"),
    ("right thigh", "right_hip", "right_knee"),
    ("right calf", "right_knee", "right_ankle"),
)
"""The nine limbs: name, and the joints from and to which their direction points."""


class PosedKernels(NamedTuple):
    """A body after shape, pose and translation. K kernels, J joints of the model.

    Attributes:
        means: ``(*batch, K, 3)``, mm.
        precisions: Inverse covariances, ``(*batch, K, 3, 3)``, 1/mm^2.
        joints: Of the model, ``(*batch, J, 3)``, mm.
        joints_17: Human3.6M's 17, ``(*batch, 17, 3)``, mm.
        rotations: Of each joint relative to the rest pose, ``(*batch, J, 3, 3)``.
        limbs: Unit direction of each limb of ``LIMBS``, ``(*batch, 9, 3)``.
    """

    means: Points3D
    precisions: RotationMatrix
    joints: Pose3D
    joints_17: Pose3D
    rotations: RotationMatrix
    limbs: Points3D


class KernelBody(Protocol):
    """A body whose kernels follow its pose. K kernels, J joints.

    Attributes:
        shape_count: Number of shape coefficients.
        parents: Index of each joint's parent, -1 for the root.
        mirror: Permutation of the joints that exchanges left and right.
        limb: Limb of each kernel, index into ``LIMBS``, ``(K,)`` int64.
        part: Joint that carries each kernel, for part segmentation, ``(K,)`` int64.
        adjacency: Neighbours on the surface, ``(K, K)`` bool, symmetric, False on the diagonal.
    """

    shape_count: int
    parents: tuple[int, ...]
    mirror: tuple[int, ...]
    limb: Tensor
    part: Tensor
    adjacency: Tensor

    def joints(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedChain:
        """Joints of posed people, without their kernels.

        Args:
            rotations: Each joint in its parent's frame, ``(*batch, J, 3, 3)``.
            betas: Shape coefficients, ``(*batch, shape_count)``; leading axes broadcast.
            translation: Added to every point, ``(*batch, 3)``, mm.
        """
        ...

    def kernels(
        self, rotations: RotationMatrix, betas: Tensor, translation: Points3D | None = None
    ) -> PosedKernels:
        """Kernels and joints of posed people; arguments as in ``joints``."""
        ...


class SkinnedKernels(NamedTuple):
    """Kernels where their joints carried them.

    Attributes:
        means: ``(*batch, kernels, 3)``, unit of the joints.
        precisions: ``(*batch, kernels, 3, 3)``, one over its square.
    """

    means: Points3D
    precisions: RotationMatrix


def skin_kernels(
    means: Points3D,
    precisions: RotationMatrix,
    weights: Tensor,
    chain: PosedChain,
    rest_joints: Pose3D,
) -> SkinnedKernels:
    """Carry kernels by several joints each.

    Args:
        means: In the rest pose, ``(*batch, kernels, 3)``; leading axes broadcast.
        precisions: In the rest pose, ``(*batch, kernels, 3, 3)``.
        weights: How far each joint carries each kernel, ``(kernels, joints)``; rows sum to one.
        chain: Posed joints and their rotations.
        rest_joints: ``(*batch, joints, 3)``.

    Raises:
        ShapeError: The numbers of kernels or joints differ.
    """
    check_shape("weights", weights, "kernels joints", joints=chain.joints.shape[-2])
    check_shape("means", means, "*batch kernels 3", kernels=len(weights))
    check_shape("precisions", precisions, "*batch kernels 3 3", kernels=len(weights))
    rotations = chain.rotations
    # A joint carries a resting point x to R x + (p - R r), r and p its own two positions.
    shift = chain.joints - (rotations @ rest_joints[..., None])[..., 0]
    motion = weights @ torch.cat((rotations.flatten(-2), shift), dim=-1)
    turn = motion[..., :9].reshape(*motion.shape[:-1], 3, 3)
    carried = (turn @ means[..., None])[..., 0] + motion[..., 9:]
    # R P R^T is linear in P, so its blend is that of the 9 x 9 matrices R x R.
    pairs = rotations[..., :, None, :, None] * rotations[..., None, :, None, :]
    blend = weights @ pairs.flatten(-4)
    blend = blend.reshape(*blend.shape[:-1], 9, 9)
    turned = (blend @ precisions.flatten(-2)[..., None])[..., 0]
    return SkinnedKernels(carried, turned.reshape(*turned.shape[:-1], 3, 3))


def carry_kernels(
    offsets: Points3D,
    axes: RotationMatrix,
    spreads: Points3D,
    owner: Tensor,
    chain: PosedChain,
) -> SkinnedKernels:
    """Carry kernels by one joint each, which costs a gather instead of sums over joints.

    Args:
        offsets: Mean minus joint in the rest pose, ``(*batch, kernels, 3)``.
        axes: Principal axes as columns, in the rest pose, ``(kernels, 3, 3)``.
        spreads: Standard deviations along them, ``(*batch, kernels, 3)``.
        owner: Joint that carries each kernel, ``(kernels,)`` int64.
        chain: Posed joints and their rotations.
    """
    rotations = chain.rotations.index_select(-3, owner)
    means = (rotations @ offsets[..., None])[..., 0] + chain.joints.index_select(-2, owner)
    # Halves of the precision, so that the product is symmetric to the bit.
    half = (rotations @ axes) / spreads[..., None, :]
    return SkinnedKernels(means, half @ half.mT)
