"""Least squares for many samples at once, each with its own damping and its own acceptance.

Levenberg-Marquardt: ``(J' W J + damping D) step = -J' W r`` with D the diagonal of ``J' W J``, so
that the units of the unknowns do not matter. W is the identity, or what makes sums of lengths out
of sums of squares (:class:`Lengths`). The number of iterations is fixed, and what differs between
samples is a mask: nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from lifting.errors import check_shape
from lifting.typing import PerSample

Residuals = Callable[[Tensor], Tensor]
"""Unknowns ``(samples, unknowns)`` to residuals ``(samples, residuals)``, each row on its own."""

DAMPING = 1e-2
"""Where the damping starts, relative to the diagonal of the normal equations."""
_EASIER, _HARDER = 0.3, 4.0
_ROUNDS = 10
_LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e8


class Model(NamedTuple):
    """Residuals near some unknowns: ``residuals + jacobian @ step``.

    Attributes:
        residuals: ``(samples, residuals)``.
        jacobian: ``(samples, residuals, unknowns)``.
    """

    residuals: Tensor
    jacobian: Tensor


class Box(NamedTuple):
    """Bounds of a step, broadcastable to ``(samples, unknowns)``; zero lies between them.

    Attributes:
        low: Not positive.
        high: Not negative.
    """

    low: Tensor
    high: Tensor


class Lengths(NamedTuple):
    """Residuals taken in groups, whose lengths are to be summed in place of their squares.

    They are minimised by reweighted least squares: a group counts with the reciprocal of its
    length. Below ``floor`` the length is rounded off to a parabola, as Huber's penalty is.

    Attributes:
        member: ``(residuals, groups)``, 1 where a residual belongs to a group, else 0.
        weights: ``(samples, groups)``, not negative.
        floor: Length at which rounding starts, above 0, broadcastable to the weights.

    Source: iteratively reweighted least squares, Weiszfeld 1937; Huber 1964 for the floor.
    """

    member: Tensor
    weights: Tensor
    floor: Tensor | float

    @classmethod
    def of_groups(cls, sizes: list[int], weights: Tensor, floor: Tensor | float) -> Self:
        """Groups that follow one another.

        Args:
            sizes: Residuals of each group.
            weights: ``(samples, groups)``.
            floor: As the attribute.
        """
        group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        member = functional.one_hot(group, len(sizes)).to(weights)
        return cls(member, weights, floor)

    def cost(self, residuals: Tensor) -> PerSample:
        """Weighted sum of the rounded lengths, ``(samples,)``."""
        length = self._lengths(residuals)
        above = self._at_least_floor(length)
        return (self.weights * (length * length / above + above)).sum(-1) / 2

    def factors(self, residuals: Tensor) -> Tensor:
        """Diagonal of W, ``(samples, residuals)``."""
        return (self.weights / self._at_least_floor(self._lengths(residuals))) @ self.member.mT

    def _lengths(self, residuals: Tensor) -> Tensor:
        return (residuals.square() @ self.member).sqrt()

    def _at_least_floor(self, length: Tensor) -> Tensor:
        return length.clamp(min=self.floor)


class LeastSquares(NamedTuple):
    """Where least squares ended.

    Attributes:
        values: ``(samples, unknowns)``, the best that was met.
        cost: ``(samples,)``, there: half the sum of squares, or the sum of lengths.
        start_cost: ``(samples,)``, at the start.
        accepted: ``(samples,)`` int, steps that lowered the cost.
        finite: ``(samples,)`` bool, False where the start has no finite cost; nothing moved there.
    """

    values: Tensor
    cost: PerSample
    start_cost: PerSample
    accepted: PerSample
    finite: PerSample


def linearise(residuals: Residuals, values: Tensor, *, chunk: int | None = None) -> Model:
    """Residuals and their Jacobian by forward differentiation, one pass an unknown.

    Args:
        residuals: Must be differentiable forward and, under ``vmap``, without a branch on values.
        values: ``(samples, unknowns)``.
        chunk: Unknowns that are differentiated at a time; None for all. Bounds the memory.
    """
    unknowns = values.shape[1]
    units = torch.eye(unknowns, dtype=values.dtype, device=values.device)

    def along(unit: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.func.jvp(residuals, (values,), (unit.expand_as(values),))
        return found[0], found[1]

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no forward derivative
        found, slopes = torch.func.vmap(along, out_dims=(0, -1), chunk_size=chunk)(units)
    return Model(found[0], slopes)


def damped_step(
    model: Model,
    damping: PerSample,
    factors: Tensor | None = None,
    box: Box | None = None,
) -> Tensor:
    """Step that lowers the model's cost, the shorter the more it is damped.

    Args:
        model: Residuals near the unknowns.
        damping: ``(samples,)``, above 0.
        factors: Diagonal of W, ``(samples, residuals)``; None for ones.
        box: What the step must stay in; None sets no bound. The best step within it is sought: the
            best of all, cut off at its sides, need not be downhill.

    Returns:
        ``(samples, unknowns)``. Where the equations cannot be solved for lack of precision, the
        steepest descent at this damping; zeros where the model is not finite.

    Source: Levenberg 1944; Marquardt 1963 for the scaling.
    """
    slopes = model.jacobian
    weighted = slopes if factors is None else slopes * factors[..., None]
    normal = weighted.mT @ slopes
    aim = -_times(weighted.mT, model.residuals)
    sound = normal.isfinite().all(-1).all(-1) & aim.isfinite().all(-1)
    normal = torch.where(sound[:, None, None], normal, 0.0)
    aim = torch.where(sound[:, None], aim, 0.0)
    # Unit diagonal: the damping means the same for every unknown, and rounding matters least.
    size = normal.diagonal(dim1=-2, dim2=-1)
    precision = torch.finfo(size.dtype)
    size = torch.maximum(size, precision.eps * size.amax(-1, keepdim=True))
    scale = size.clamp(min=precision.tiny).rsqrt()
    matrix = scale[:, :, None] * normal * scale[:, None, :]
    matrix = matrix + torch.diag_embed(damping[:, None].expand_as(size))
    if box is None:
        return scale * _solve(matrix, scale * aim, damping)
    scaled = Box(*(side.expand_as(size) / scale for side in box))
    return scale * _solve_within(matrix, scale * aim, damping, scaled)


def _solve(matrix: Tensor, aim: Tensor, damping: PerSample) -> Tensor:
    """Solution for positive definite matrices of unit diagonal plus damping."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    broken = (failed != 0) | ~factor.isfinite().all(-1).all(-1)
    identity = torch.eye(aim.shape[1], dtype=aim.dtype, device=aim.device)
    factor = torch.where(broken[:, None, None], identity, factor)
    found = torch.cholesky_solve(aim[..., None], factor)[..., 0]
    # No eigenvalue of a unit diagonal is above the number of unknowns, so this is downhill.
    careful = aim / (aim.shape[1] + damping[:, None])
    return torch.where(broken[:, None], careful, found)


def _solve_within(matrix: Tensor, aim: Tensor, damping: PerSample, box: Box) -> Tensor:
    """The same in a box around zero: the best that a few guesses of the active sides give.

    Unknowns that leave the box are held at its side, and let go where they are pushed back.

    Source: primal-dual active sets, Hintermueller, Ito and Kunisch 2002.
    """
    pinned = box.low >= box.high
    low = high = torch.zeros_like(pinned)
    best, least = torch.zeros_like(aim), torch.zeros_like(aim[:, :1])
    for _ in range(_ROUNDS):
        held = pinned | low | high
        fixed = torch.where(low, box.low, torch.where(high, box.high, 0.0))
        rest = torch.where((held[:, :, None] | held[:, None, :]), 0.0, matrix)
        rest = rest + torch.diag_embed(held.to(aim))
        wanted = torch.where(held, 0.0, aim - _times(matrix, fixed))
        step = torch.where(held, fixed, _solve(rest, wanted, damping))
        slope = _times(matrix, step) - aim
        inside = torch.minimum(torch.maximum(step, box.low), box.high)
        cost = (inside * (_times(matrix, inside) / 2 - aim)).sum(-1, keepdim=True)
        best = torch.where(cost < least, inside, best)
        least = torch.minimum(cost, least)
        low = (low & (slope > 0)) | (~held & (step < box.low))
        high = (high & (slope < 0)) | (~held & (step > box.high))
    return best


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def adapted(damping: PerSample, better: PerSample) -> PerSample:
    """Damping after a step: less where the cost fell, more elsewhere.

    Args:
        damping: ``(samples,)``.
        better: ``(samples,)`` bool.
    """
    changed = torch.where(better, _EASIER * damping, _HARDER * damping)
    return changed.clamp(_LEAST_DAMPING, _MOST_DAMPING)


def solve_least_squares(
    residuals: Residuals,
    start: Tensor,
    *,
    iterations: int = 10,
    jacobian: Residuals | None = None,
    lengths: Lengths | None = None,
    bound: Tensor | float | None = None,
    movable: PerSample | None = None,
    damping: float = DAMPING,
) -> LeastSquares:
    """Minimise half the sum of squares, or the sum of lengths, of every sample's residuals.

    Only steps that lower a sample's own cost are taken, so no answer is worse than its start.

    Args:
        residuals: Unknowns to residuals.
        start: ``(samples, unknowns)``.
        iterations: Steps that are tried.
        jacobian: Unknowns to ``(samples, residuals, unknowns)``; by forward differentiation if
            None.
        lengths: Groups whose lengths are summed; squares if None.
        bound: Furthest that an unknown goes from its start, broadcastable to ``start``; None sets
            no bound.
        movable: ``(samples,)`` bool, samples that are solved at all; None for all.
        damping: Where it starts, relative to the diagonal of the normal equations.

    Raises:
        ShapeError: The start, the residuals or the Jacobian have no row a sample.
    """
    check_shape("start", start, "samples unknowns")
    start = start.detach()
    values, found = start, residuals(start).detach()
    check_shape("residuals", found, "samples residuals", samples=len(start))
    cost = start_cost = _cost(found, lengths)
    finite = cost.isfinite() & start.isfinite().all(-1)
    moves = finite if movable is None else finite & movable
    accepted = torch.zeros_like(cost, dtype=torch.int64)
    damped = torch.full_like(cost, damping)
    for _ in range(iterations):
        if jacobian is None:
            model = linearise(residuals, values)
        else:
            model = Model(found, jacobian(values))
            shape = " ".join(map(str, (*found.shape, start.shape[1])))
            check_shape("jacobian", model.jacobian, shape)
        factors = None if lengths is None else lengths.factors(model.residuals)
        box = None if bound is None else Box(start - bound - values, start + bound - values)
        trial = (values + damped_step(model, damped, factors, box)).detach()
        tried = residuals(trial).detach()
        tried_cost = _cost(tried, lengths)
        better = moves & (tried_cost < cost)  # never so for one that is not finite
        values = torch.where(better[:, None], trial, values)
        found = torch.where(better[:, None], tried, found)
        cost = torch.where(better, tried_cost, cost)
        damped = adapted(damped, better)
        accepted = accepted + better
    return LeastSquares(values, cost, start_cost, accepted, finite)


def _cost(residuals: Tensor, lengths: Lengths | None) -> PerSample:
    if lengths is None:
        return residuals.square().sum(-1) / 2
    return lengths.cost(residuals)
