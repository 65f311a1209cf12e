"""Relative pose of two static cameras from all keypoints they share, wrong ones among them.

The frames of a recording are pooled: seventeen joints of one frame say little, those of many
frames say much. Sets of five pairs give hypotheses, all in one tensor; a score without a hard
threshold chooses some; reweighted least squares on all points refines them. Of the noise only the
largest size is known: score and weight are means over all noises up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import ConfigError, DataError, check_shape
from lifting.geometry.camera import pixels_to_rays, undistort_rays
from lifting.geometry.epipolar import (
    RelativePose,
    eight_point,
    five_point,
    nearest_essential,
    recover_pose,
    sampson_error,
)
from lifting.geometry.rotation import axis_angle_to_matrix, cross_matrix, left_jacobian
from lifting.geometry.solver import solve_least_squares
from lifting.typing import Intrinsics, PerJoint, PerSample, Pose2D

LEAST_POINTS = 8
_BLOCK = 2**19  # errors that are held at a time while hypotheses are scored
_LM_STEPS = 3
_LEAST_SQUARE = torch.finfo(torch.float64).tiny
_TINY = 1e-12  # keeps the eight-point method defined where no pair is within reach


@dataclass(frozen=True)
class RobustOptions:
    """How a relative pose is sought.

    Attributes:
        hypotheses: Sets of five pairs that are tried.
        sigma_max: Largest standard deviation of the keypoints' error that is believed, pixels.
            Pairs that are further off than 3.64 times this have no weight.
        refined: Best hypotheses that are refined.
        rounds: Times that the weights are taken anew.
        pool: Points that hypotheses are scored on at most; the last refinement sees all.
        seed: Of the draws.
    """

    hypotheses: int = 256
    sigma_max: float = 5.0
    refined: int = 8
    rounds: int = 6
    pool: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hypotheses", "sigma_max", "refined", "rounds", "pool"):
            value = getattr(self, name)
            if value <= 0:
                raise ConfigError(f"expected {name} above 0, got {value}")


class RobustPose(NamedTuple):
    """A relative pose and what each pair of keypoints has to do with it.

    Attributes:
        pose: ``(*batch,)`` of poses, translation of unit length.
        error: Sampson distance of every pair, ``(*batch, points)``, pixels of the mean focal
            length; zero where a pair has no weight.
        inlier: ``(*batch, points)`` bool, within reach and with weight.
        score: Mean loss of the pairs, ``(*batch,)``, 0 (all agree) to 1 (none does).
    """

    pose: RelativePose
    error: PerJoint
    inlier: Tensor
    score: PerSample


class _Pairs(NamedTuple):
    """Rays of both views in focal lengths, ``(samples, points, 2)``, and ``(samples, points)``."""

    first: Tensor
    second: Tensor
    weights: Tensor
    focal: Tensor  # (samples,)

    def pick(self, index: Tensor) -> _Pairs:
        wide = index[..., None]
        return _Pairs(
            self.first.take_along_dim(wide, dim=1),
            self.second.take_along_dim(wide, dim=1),
            self.weights.take_along_dim(index, dim=1),
            self.focal,
        )

    def repeat(self, times: int) -> _Pairs:
        return _Pairs(*(values.repeat_interleave(times, dim=0) for values in self))

    def error(self, essential: Tensor) -> Tensor:
        """Signed Sampson distance in pixels, ``(samples, points)``."""
        found = sampson_error(self.first, self.second, essential)
        return found * self.focal[:, None]


@torch.no_grad()
def robust_relative_pose(
    first: Pose2D,
    second: Pose2D,
    first_intrinsics: Intrinsics,
    second_intrinsics: Intrinsics,
    weights: PerJoint | None = None,
    options: RobustOptions | None = None,
) -> RobustPose:
    """Relative pose that most pairs of keypoints agree with.

    Args:
        first: Keypoints of the first view, all frames and joints along one axis,
            ``(*batch, points, 2)``, pixels, finite where they have weight.
        second: The same of the second view.
        first_intrinsics: ``(*batch, 9)``; the lens distortion is taken out.
        second_intrinsics: ``(*batch, 9)``.
        weights: ``(*batch, points)``, not negative, for example the product of the confidences;
            an error is multiplied by its weight. Pairs without weight are not looked at.
        options: How it is sought.

    Raises:
        DataError: Fewer than eight pairs have weight.
        ShapeError: Shapes that do not go together.

    Source: score and weights after MAGSAC and MAGSAC++ (Barath et al. 2019, 2020), which
    marginalise over the unknown noise; hypotheses by Nister's five-point method.
    """
    options = options or RobustOptions()
    check_shape("first", first, "*batch points 2")
    check_shape("second", second, " ".join(map(str, first.shape)))
    batch, points = first.shape[:-2], first.shape[-2]
    pairs = _pairs(first, second, first_intrinsics, second_intrinsics, weights)
    generator = torch.Generator(pairs.first.device).manual_seed(options.seed)
    chance = (pairs.weights > 0).double()
    pool = pairs
    if points > options.pool:
        pool = pairs.pick(_draw(chance, options.pool, generator))
    essential = _hypotheses(pool, options, generator)
    refined = essential.shape[1]
    many = pool.repeat(refined)
    essential = _reweighted(many, essential.flatten(0, 1), options)
    pose, score = _refine(many, essential, options)
    best = score.reshape(-1, refined).argmin(1)
    best = best + refined * torch.arange(len(best), device=best.device)
    pose, score = _refine(pairs, pose.essential()[best], options)
    error = torch.where(pairs.weights > 0, pairs.error(pose.essential()).abs(), 0.0)
    inlier = (pairs.weights > 0) & (error <= REACH * options.sigma_max)
    kept = first.dtype
    return RobustPose(
        RelativePose(
            pose.rotation.to(kept).reshape(*batch, 3, 3),
            pose.translation.to(kept).reshape(*batch, 3),
        ),
        error.to(kept).reshape(*batch, points),
        inlier.reshape(*batch, points),
        score.to(kept).reshape(batch),
    )


def _pairs(
    first: Pose2D,
    second: Pose2D,
    first_intrinsics: Intrinsics,
    second_intrinsics: Intrinsics,
    weights: PerJoint | None,
) -> _Pairs:
    batch, points = first.shape[:-2], first.shape[-2]
    if weights is None:
        weights = torch.ones_like(first[..., 0])
    check_shape("weights", weights, " ".join(map(str, first.shape[:-1])))
    least = int((weights > 0).sum(-1).min()) if weights.numel() else 0
    if least < LEAST_POINTS:
        raise DataError(
            f"expected at least {LEAST_POINTS} pairs of keypoints with weight, got {least}; pool "
            "more frames of the recording, or lower the confidence that is asked for"
        )
    used = (weights > 0)[..., None]
    rays, focal = [], []
    for pixels, given in ((first, first_intrinsics), (second, second_intrinsics)):
        check_shape("intrinsics", given, "*batch 9")
        camera = given.expand(*batch, 9).double()
        seen = pixels_to_rays(torch.where(used, pixels.double(), camera[..., None, 2:4]), camera)
        rays.append(undistort_rays(seen, camera).reshape(-1, points, 2))
        focal.append(camera[..., :2].mean(-1))
    size = ((focal[0] + focal[1]) / 2).reshape(-1)
    return _Pairs(rays[0], rays[1], weights.double().reshape(-1, points), size)


def _draw(chance: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Distinct indices of a row, those with a chance first, ``(rows, count)``."""
    order = torch.rand(chance.shape, generator=generator, dtype=chance.dtype, device=chance.device)
    return (order + chance).topk(count, dim=-1).indices


def _hypotheses(pool: _Pairs, options: RobustOptions, generator: torch.Generator) -> Tensor:
    """Essential matrices with the best scores, ``(samples, refined, 3, 3)``."""
    samples, points = pool.weights.shape
    chance = (pool.weights > 0).double()[:, None].expand(-1, options.hypotheses, -1)
    index = _draw(chance, 5, generator).flatten(1)  # (samples, hypotheses 5)
    five = pool.pick(index)
    shape = (samples, options.hypotheses, 5, 2)
    found = five_point(five.first.reshape(shape), five.second.reshape(shape))
    matrices, valid = found.matrices.flatten(1, 2), found.valid.flatten(1, 2)
    share = pool.weights.square()
    share = share / share.sum(-1, keepdim=True)
    size = max(1, _BLOCK // (samples * points))
    scores = []
    for block in torch.split(matrices, size, dim=1):
        error = sampson_error(pool.first[:, None], pool.second[:, None], block)
        loss = marginal_loss(error * pool.focal[:, None, None], options.sigma_max)
        scores.append((loss @ share[..., None])[..., 0])
    score = torch.where(valid, torch.cat(scores, dim=1), torch.inf)
    best = score.topk(min(options.refined, score.shape[1]), dim=1, largest=False).indices
    return matrices.take_along_dim(best[..., None, None], dim=1)


def _reweighted(pairs: _Pairs, essential: Tensor, options: RobustOptions) -> Tensor:
    """Better essential matrices by the eight-point method with weights, where it betters them."""
    score = _score(pairs, essential, options)
    for _ in range(2):
        weights = marginal_weight(pairs.error(essential), options.sigma_max)
        fit = eight_point(pairs.first, pairs.second, pairs.weights * weights.sqrt() + _TINY)
        trial = nearest_essential(fit.matrix)
        tried = _score(pairs, trial, options)
        better = tried < score
        essential = torch.where(better[:, None, None], trial, essential)
        score = torch.where(better, tried, score)
    return essential


def _score(pairs: _Pairs, essential: Tensor, options: RobustOptions) -> Tensor:
    share = pairs.weights.square()
    loss = marginal_loss(pairs.error(essential), options.sigma_max)
    return (share * loss).sum(-1) / share.sum(-1)


def _refine(
    pairs: _Pairs, essential: Tensor, options: RobustOptions
) -> tuple[RelativePose, PerSample]:
    """Reweighted least squares over rotation and direction, ``(samples,)`` of poses."""
    weights = pairs.weights * marginal_weight(pairs.error(essential), options.sigma_max)
    pose = recover_pose(essential, pairs.first, pairs.second, weights).pose
    best, least = pose, _score(pairs, pose.essential(), options)
    start = torch.zeros(len(essential), 5, dtype=essential.dtype, device=essential.device)
    for _ in range(options.rounds):
        weights = marginal_weight(pairs.error(pose.essential()), options.sigma_max)
        residuals = partial(_residuals, pairs, pairs.weights * weights.sqrt(), pose)
        slopes = partial(_slopes, pairs, pairs.weights * weights.sqrt(), pose)
        found = solve_least_squares(residuals, start, iterations=_LM_STEPS, jacobian=slopes)
        pose = _moved(pose, found.values)
        score = _score(pairs, pose.essential(), options)
        better = score < least
        best = RelativePose(
            torch.where(better[:, None, None], pose.rotation, best.rotation),
            torch.where(better[:, None], pose.translation, best.translation),
        )
        least = torch.where(better, score, least)
    return best, least


def _residuals(pairs: _Pairs, root: Tensor, pose: RelativePose, step: Tensor) -> Tensor:
    there = _moved(pose, step)
    return root * pairs.error(cross_matrix(there.translation) @ there.rotation)


def _slopes(pairs: _Pairs, root: Tensor, pose: RelativePose, step: Tensor) -> Tensor:
    """Derivatives of the residuals along the unknowns, ``(samples, points, 5)``."""
    there = _moved(pose, step)
    rotation, across = there.rotation, cross_matrix(there.translation)
    turning = cross_matrix(left_jacobian(step[:, :3]).mT) @ rotation[:, None]
    sides = _sides(pose.translation)
    moved = pose.translation + (step[:, 3:, None] * sides).sum(1)
    along = (sides @ there.translation[..., None]) * there.translation[:, None]
    moving = (sides - along) / moved.norm(dim=-1)[:, None, None]
    change = torch.cat(
        (across[:, None] @ turning, cross_matrix(moving) @ rotation[:, None]), dim=1
    )  # of the essential matrix, (samples, 5, 3, 3)
    first, second = (functional.pad(v, (0, 1), value=1.0) for v in (pairs.first, pairs.second))
    essential = across @ rotation
    b, a = first @ essential.mT, second @ essential
    db, da = first[:, None] @ change.mT, second[:, None] @ change
    b0, b1, _ = b.unbind(-1)
    a0, a1, _ = a.unbind(-1)
    error = (second * b).sum(-1)
    square = (a0.square() + a1.square() + (b0.square() + b1.square())).clamp(min=_LEAST_SQUARE)
    inner = (
        a0[:, None] * da[..., 0] + a1[:, None] * da[..., 1]
        + b0[:, None] * db[..., 0] + b1[:, None] * db[..., 1]
    )  # fmt: skip
    slope = (second[:, None] * db).sum(-1) - (error / square)[:, None] * inner
    scale = root * pairs.focal[:, None] * square.rsqrt()
    return (scale[:, None] * slope).mT


def _moved(pose: RelativePose, step: Tensor) -> RelativePose:
    """Poses turned by the first three unknowns, with the direction moved by the last two."""
    one, other = _sides(pose.translation).unbind(1)
    direction = pose.translation
    return RelativePose(
        axis_angle_to_matrix(step[:, :3]) @ pose.rotation,
        functional.normalize(direction + step[:, 3:4] * one + step[:, 4:] * other, dim=-1),
    )


def _sides(direction: Tensor) -> Tensor:
    """Two directions across one, ``(samples, 2, 3)``."""
    axis = functional.one_hot(direction.abs().argmin(-1), 3).to(direction)
    one = torch.linalg.cross(direction, axis, dim=-1)
    return torch.stack((one, torch.linalg.cross(direction, one, dim=-1)), dim=1)


REACH = 3.64
"""Quantile 0.99 of the distribution of errors in four dimensions, in standard deviations."""


def marginal_loss(error: Tensor, sigma_max: float) -> Tensor:
    """Mean of truncated squares over all thresholds up to 3.64 sigma_max, 0 to 1.

    Args:
        error: Distances of any shape.
        sigma_max: Largest standard deviation of the noise that is believed, same unit.
    """
    share = (error.abs() / (REACH * sigma_max)).clamp(max=1)
    return share * (2 - share)


def marginal_weight(error: Tensor, sigma_max: float) -> Tensor:
    """Weight of a squared error, marginal over the noise, one for no error and zero from afar.

    Args:
        error: Distances of any shape.
        sigma_max: Largest standard deviation of the noise that is believed, same unit.

    Source: Barath et al., "MAGSAC++", 2020, equation of the weight for four degrees of freedom.
    """
    square = (error / sigma_max).square() / 2
    end = torch.tensor(REACH**2 / 2, dtype=error.dtype, device=error.device)
    floor = _upper_gamma(end)
    return ((_upper_gamma(square) - floor) / (torch.pi**0.5 / 2 - floor)).clamp(min=0)


def _upper_gamma(x: Tensor) -> Tensor:
    """Upper incomplete gamma function of order 3/2."""
    root = x.sqrt()
    return root * (-x).exp() + torch.pi**0.5 / 2 * torch.erfc(root)
