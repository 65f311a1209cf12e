"""What a body made of Gaussian kernels offers, whichever model stands behind it.

Rest frames are y up, x towards the subject's left, z forward. Rotations of joints are relative to
the parent; that of the root turns the whole body into the frame that is wanted, for a camera the
one with y down and z forward. Millimetres.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

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
