"""The skeleton as a graph: row-normalised adjacency, its Laplacian, the Chebyshev basis."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.skeleton import Skeleton

ORDER = 2


def adjacency(skeleton: Skeleton) -> Tensor:
    """Row-normalised adjacency with self loops, ``D^-1 (A + I)``, ``(joints, joints)`` float64.

    Rows sum to one, so the matrix is not symmetric.

    Args:
        skeleton: The bones are the undirected edges.

    Source: released code.
    """
    matrix = torch.eye(len(skeleton), dtype=torch.float64)
    parents, children = torch.tensor(skeleton.bones).unbind(-1)
    matrix[parents, children] = 1
    matrix[children, parents] = 1
    return matrix / matrix.sum(dim=1, keepdim=True)


def laplacian(adjacency: Tensor) -> Tensor:
    """Normalised Laplacian ``I - D^-1/2 P D^-1/2`` of a weighted adjacency.

    The degrees of a row-normalised adjacency are one, so this is ``I - P``. It is not rescaled to
    [-1, 1].

    Args:
        adjacency: ``(joints, joints)``, positive row sums.

    Source: released code.
    """
    scale = adjacency.sum(dim=1).rsqrt()
    eye = torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    return eye - scale[:, None] * adjacency * scale


def chebyshev_basis(laplacian: Tensor, order: int = ORDER) -> Tensor:
    """Chebyshev polynomials ``T_0 .. T_order`` of a Laplacian, ``(order + 1, joints, joints)``.

    Args:
        laplacian: ``(joints, joints)``.
        order: Highest degree, at least 1.

    Source: Defferrard et al. 2016, equation 4 (``T_k = 2 L T_(k-1) - T_(k-2)``).
    """
    terms = [torch.eye(len(laplacian), dtype=laplacian.dtype), laplacian]
    for _ in range(order - 1):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    return torch.stack(terms)


def fused_basis(skeleton: Skeleton) -> Tensor:
    """The basis of a skeleton as one matrix, ``((order + 1) joints, joints)`` float32.

    Row ``3 j + k`` is row j of ``T_k``: multiplied with ``(batch, joints, channels)`` features it
    gives, without a copy, the rows ``(batch joints, 3 channels)`` of a graph convolution.

    Args:
        skeleton: The graph.
    """
    basis = chebyshev_basis(laplacian(adjacency(skeleton)))
    return basis.transpose(0, 1).flatten(0, 1).float()  # (joints * 3, joints)
