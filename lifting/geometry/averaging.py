"""Rotations averaged in the chordal metric: one from many, and all of a rig from pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import DataError, check_shape
from lifting.geometry.horn import dominant_quaternion
from lifting.geometry.rotation import quaternion_to_matrix
from lifting.typing import RotationMatrix


@torch.no_grad()
def average_rotations(rotations: RotationMatrix, weights: Tensor | None = None) -> RotationMatrix:
    """Rotation with the least weighted sum of squared Frobenius distances to some.

    Args:
        rotations: ``(*batch, rotations, 3, 3)``.
        weights: ``(*batch, rotations)``, not negative; ones if None.

    Returns:
        ``(*batch, 3, 3)``; any of the best where several are equally good.

    Raises:
        ShapeError: Shapes that do not go together.

    Source: Hartley, Trumpf, Dai and Li, "Rotation averaging", 2013, section 5.3.
    """
    check_shape("rotations", rotations, "*batch rotations 3 3")
    if weights is not None:
        check_shape("weights", weights, "*batch rotations", rotations=rotations.shape[-3])
        rotations = rotations * weights[..., None, None]
    return _nearest_rotation(rotations.sum(-3))


@torch.no_grad()
def synchronise_rotations(
    relative: RotationMatrix, pairs: Tensor, cameras: int, weights: Tensor | None = None
) -> RotationMatrix:
    """World-to-camera rotations of a rig from rotations between pairs of its cameras.

    Minimises the weighted sum of ``|R_b - R_ab R_a|^2`` with the constraint that the matrices are
    rotations relaxed to orthogonality of the whole stack, then brings each to a rotation.

    Args:
        relative: R_ab of each pair, from the frame of camera a to that of b, ``(pairs, 3, 3)``.
        pairs: Indices a and b of the cameras, ``(pairs, 2)`` int.
        cameras: How many there are.
        weights: ``(pairs,)``, not negative, for example numbers of inliers; ones if None.

    Returns:
        ``(cameras, 3, 3)``; the first is the identity.

    Raises:
        DataError: The pairs do not connect all cameras.
        ShapeError: Shapes that do not go together.

    Source: Arie-Nachimson et al., "Global motion estimation from point matches", 2012.
    """
    check_shape("relative", relative, "pairs 3 3")
    check_shape("pairs", pairs, "pairs 2", pairs=len(relative))
    weights = torch.ones_like(relative[:, 0, 0]) if weights is None else weights
    check_shape("weights", weights, "pairs", pairs=len(relative))
    strength = weights.double()
    scaled = relative.double() * strength[:, None, None]
    first, second = pairs.unbind(1)
    blocks = torch.zeros(cameras, cameras, 3, 3, dtype=torch.float64, device=relative.device)
    blocks.index_put_((second, first), scaled, accumulate=True)
    blocks.index_put_((first, second), scaled.mT, accumulate=True)
    degree = torch.zeros(cameras, dtype=torch.float64, device=relative.device)
    degree = degree.index_add(0, pairs.flatten(), strength.repeat_interleave(2))
    _check_connected(first, second, strength, cameras)
    root = degree.rsqrt()  # a camera in many pairs must not draw the solution to itself
    blocks = blocks * (root[:, None] * root)[..., None, None]
    stack = blocks.transpose(1, 2).reshape(3 * cameras, 3 * cameras)
    vectors = torch.linalg.eigh(stack).eigenvectors[:, -3:]
    found = vectors.reshape(cameras, 3, 3)
    found = found * torch.linalg.det(found).sum().sign()  # the three vectors may be mirrored
    rotation = _nearest_rotation(found)
    return (rotation @ rotation[0].mT).to(relative.dtype)


def _nearest_rotation(matrix: Tensor) -> RotationMatrix:
    """Rotation R with the largest ``trace(R' matrix)``."""
    flat = matrix.reshape(-1, 3, 3).mT
    size = torch.linalg.matrix_norm(flat)[:, None, None]
    flat = flat / torch.where(size > 0, size, 1.0)
    return quaternion_to_matrix(dominant_quaternion(flat)).reshape(matrix.shape)


def _check_connected(first: Tensor, second: Tensor, weights: Tensor, cameras: int) -> None:
    linked = torch.eye(cameras, dtype=torch.float64, device=weights.device)
    linked[first, second] = linked[second, first] = (weights > 0).double()
    reach = torch.linalg.matrix_power(linked + torch.eye(cameras).to(linked), cameras)
    if not bool((reach > 0).all()):
        raise DataError(
            f"expected pairs that connect all {cameras} cameras, got {len(first)} that do not; "
            "leave out the cameras that share too few keypoints"
        )
