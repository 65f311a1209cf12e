"""Normal equations of a bundle adjustment: few unknowns of cameras, many of joints.

The joints fall into groups that the images do not couple: single joints, or frames where habits
couple the joints of one. Groups are eliminated by small Cholesky decompositions, all at once,
which leaves a system of the cameras alone (the Schur complement). That solves the problem where
nothing couples groups. Where bones and motion couple frames, it is the preconditioner of conjugate
gradients on the exact equations: what it leaves out is weak beside the images, so that a dozen
steps do, and a step costs no more than two products with the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor

_FALL = 1e-4
"""Part of the first residual at which conjugate gradients end."""
_LOOK = 5  # steps between two looks at the residual, which wait for the device


class Unknowns(NamedTuple):
    """A vector of all unknowns.

    Attributes:
        cameras: ``(unknowns,)``.
        groups: ``(groups, size)``.
    """

    cameras: Tensor
    groups: Tensor

    def dot(self, other: Unknowns) -> Tensor:
        """Inner product, without axes."""
        return (self.cameras * other.cameras).sum() + (self.groups * other.groups).sum()

    def plus(self, factor: Tensor, other: Unknowns) -> Unknowns:
        """``self + factor * other``."""
        return Unknowns(self.cameras + factor * other.cameras, self.groups + factor * other.groups)


class Arrow(NamedTuple):
    """A symmetric matrix whose groups are coupled through the cameras only.

    Attributes:
        cameras: ``(unknowns, unknowns)``.
        coupling: ``(groups, size, unknowns)``.
        blocks: ``(groups, size, size)``.
    """

    cameras: Tensor
    coupling: Tensor
    blocks: Tensor

    def times(self, vector: Unknowns) -> Unknowns:
        """Product with a vector."""
        across = self.coupling.flatten(0, 1)
        return Unknowns(
            self.cameras @ vector.cameras + across.mT @ vector.groups.flatten(),
            (self.blocks @ vector.groups[..., None])[..., 0]
            + (across @ vector.cameras).reshape(vector.groups.shape),
        )

    def damped(self, damping: Tensor) -> Self:
        """The same with a larger diagonal, as Marquardt's."""
        return self._replace(
            cameras=self.cameras + torch.diag(damping * self.cameras.diagonal()),
            blocks=self.blocks
            + torch.diag_embed(damping * self.blocks.diagonal(dim1=-2, dim2=-1)),
        )

    def factorised(self) -> Factorised:
        """Decompositions of the blocks and of the Schur complement of the cameras."""
        lower, _ = torch.linalg.cholesky_ex(self.blocks)
        across = torch.linalg.solve_triangular(lower, self.coupling, upper=False)
        flat = across.flatten(0, 1)
        left = self.cameras - flat.mT @ flat
        scale = left.diagonal().clamp(min=torch.finfo(left.dtype).tiny).rsqrt()
        reduced, _ = torch.linalg.cholesky_ex(scale[:, None] * left * scale)
        return Factorised(lower, across, reduced, scale)


class Factorised(NamedTuple):
    """An arrow matrix ready to be divided by.

    Attributes:
        lower: ``(groups, size, size)``, Cholesky factors L of the blocks.
        across: ``(groups, size, unknowns)``, ``L^-1`` times the coupling.
        reduced: ``(unknowns, unknowns)``, factor of the Schur complement, scaled.
        scale: ``(unknowns,)``, what it is scaled with.
    """

    lower: Tensor
    across: Tensor
    reduced: Tensor
    scale: Tensor

    def solve(self, aim: Unknowns) -> Unknowns:
        """Vector whose product with the matrix is the aim."""
        half = torch.linalg.solve_triangular(self.lower, aim.groups[..., None], upper=False)
        flat = self.across.flatten(0, 1)
        rest = self.scale * (aim.cameras - flat.mT @ half.flatten())
        cameras = self.scale * torch.cholesky_solve(rest[:, None], self.reduced)[:, 0]
        left = half[..., 0] - (flat @ cameras).reshape(aim.groups.shape)
        groups = torch.linalg.solve_triangular(self.lower.mT, left[..., None], upper=True)
        return Unknowns(cameras, groups[..., 0])


def conjugate_gradients(
    times: Callable[[Unknowns], Unknowns], factorised: Factorised, aim: Unknowns, steps: int
) -> Unknowns:
    """Solve ``matrix @ x = aim`` by conjugate gradients with a preconditioner.

    Args:
        times: Product with the matrix, which is symmetric and positive.
        factorised: A matrix near it.
        aim: The right-hand side.
        steps: At most.

    Returns:
        The solution, up to a small part of the residual.

    Source: Hestenes and Stiefel 1952; for bundle adjustment, Agarwal et al., "Bundle adjustment in
    the large", 2010.
    """
    found = factorised.solve(aim)
    residual = aim.plus(-torch.ones_like(aim.groups[0, 0]), times(found))
    moved = factorised.solve(residual)
    direction, size = moved, residual.dot(moved)
    goal = _FALL**2 * aim.dot(found)
    for step in range(steps):
        if step % _LOOK == 0 and not bool(size > goal):
            break
        image = times(direction)
        along = size / direction.dot(image).clamp(min=torch.finfo(size.dtype).tiny)
        found = found.plus(along, direction)
        residual = residual.plus(-along, image)
        moved = factorised.solve(residual)
        following = residual.dot(moved)
        direction = moved.plus(following / size.clamp(min=torch.finfo(size.dtype).tiny), direction)
        size = following
    return found
