"""Left and right that a detector exchanged in some views, put right where the views agree better.

A pair of mirrored joints is exchanged in the one view that betters the agreement of all views
most, again until nothing betters it clearly. Where exchanging the other views would do as well
(always so with two), the frames around decide which side the joint belongs to.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.geometry.camera import Camera
from lifting.geometry.triangulation import Projection, projection_matrix, triangulate_least_squares
from lifting.geometry.triangulation_consensus import triangulate_consensus
from lifting.skeleton import Skeleton
from lifting.teacher.views import Observed
from lifting.typing import Pose2D

_REACH = 4.0  # sigmas within which a view agrees
_BETTER = 0.5  # part of the loss that an exchange must leave at most
_GAIN = 0.5  # loss, in views that disagree, that it must take away


class Repaired(NamedTuple):
    """Keypoints after the exchanges.

    Attributes:
        observed: The keypoints.
        swapped: ``(views, frames, joints)`` bool, joints that were exchanged with their mirror.
    """

    observed: Observed
    swapped: Tensor


class _Pairs(NamedTuple):
    """Doubtful pairs of joints: ``(rows, views, 2, 2)`` and ``(rows, views, 2)``, left first."""

    keypoints: Pose2D
    weights: Tensor

    def exchanged(self, views: Tensor) -> _Pairs:
        """Left and right exchanged where ``views``, ``(rows, views)`` bool."""
        return _Pairs(
            torch.where(views[..., None, None], self.keypoints.flip(2), self.keypoints),
            torch.where(views[..., None], self.weights.flip(2), self.weights),
        )


@torch.no_grad()
def repair_swaps(observed: Observed, camera: Camera, skeleton: Skeleton, sigma: float) -> Repaired:
    """Exchange left and right of single views where the views then agree clearly better.

    Args:
        observed: Keypoints.
        camera: ``(views,)`` with extrinsics.
        skeleton: The joints.
        sigma: Deviation of keypoints, pixels.
    """
    keypoints, confidence = observed
    views, frames, joints = confidence.shape
    swapped = torch.zeros(views, frames, joints, dtype=torch.bool, device=keypoints.device)
    sides = torch.tensor((skeleton.left, skeleton.right), device=keypoints.device)  # (2, pairs)
    if sides.numel() == 0:
        return Repaired(observed, swapped)
    matrices = projection_matrix(camera)
    # (frames, pairs, views, 2 sides, 2) and without the last axis
    pixels = keypoints[:, :, sides.mT].permute(1, 2, 0, 3, 4)
    weights = confidence[:, :, sides.mT].permute(1, 2, 0, 3)
    reach = _REACH * sigma
    all_pairs = _Pairs(pixels.flatten(0, 1), weights.flatten(0, 1))
    loss = _loss(all_pairs, matrices, reach)
    doubtful = ((loss > _GAIN) & _has_both(all_pairs)).nonzero()[:, 0]
    exchange = torch.zeros(frames * sides.shape[1], views, dtype=torch.bool, device=loss.device)
    if len(doubtful):
        pairs = _Pairs(all_pairs.keypoints[doubtful], all_pairs.weights[doubtful])
        exchange[doubtful] = _best_exchange(pairs, loss[doubtful], matrices, reach)
        exchange = _continued(all_pairs, exchange, matrices, (frames, sides.shape[1]))
    flips = exchange.reshape(frames, -1, views).permute(2, 0, 1)
    swapped[:, :, sides[0]] = flips
    swapped[:, :, sides[1]] = flips
    mirror = torch.tensor(skeleton.flip_index, device=keypoints.device)
    return Repaired(
        Observed(
            torch.where(swapped[..., None], keypoints[:, :, mirror], keypoints),
            torch.where(swapped, confidence[:, :, mirror], confidence),
        ),
        swapped,
    )


def _has_both(pairs: _Pairs) -> Tensor:
    """Two views or more see both sides, ``(rows,)``."""
    return (pairs.weights > 0).all(-1).sum(-1) >= 2


def _loss(pairs: _Pairs, matrices: Projection, reach: float) -> Tensor:
    """Loss of both sides, ``(rows,)``: about the number of views that disagree."""
    weights = (pairs.weights > 0).to(pairs.weights)
    return triangulate_consensus(pairs.keypoints, matrices, weights, reach=reach).loss.sum(-1)


def _best_exchange(pairs: _Pairs, loss: Tensor, matrices: Projection, reach: float) -> Tensor:
    """Views to exchange, ``(rows, views)``: the best single one, again while that is better."""
    rows, views = pairs.weights.shape[:2]
    exchange = torch.zeros(rows, views, dtype=torch.bool, device=loss.device)
    both = (pairs.weights > 0).any(-1)
    first = loss
    single = torch.eye(views, dtype=torch.bool, device=loss.device)
    for _ in range(max(1, views // 2)):
        tried = torch.stack(
            [_loss(pairs.exchanged(exchange ^ one), matrices, reach) for one in single], dim=1
        )
        tried = torch.where(both & ~exchange, tried, torch.inf)
        least, view = tried.min(1)
        better = least < loss
        exchange = torch.where(better[:, None], exchange ^ single[view], exchange)
        loss = torch.where(better, least, loss)
    clear = (loss < _BETTER * first) & (first - loss > _GAIN)
    return exchange & clear[:, None]


def _continued(
    pairs: _Pairs, exchange: Tensor, matrices: Projection, shape: tuple[int, int]
) -> Tensor:
    """The complement of an exchange that is as good as it, where the frames around say so."""
    frames, count = shape
    seen = (pairs.weights > 0).all(-1)
    tied = exchange.any(-1) & (2 * (exchange & seen).sum(-1) == seen.sum(-1))
    mended = pairs.exchanged(exchange)
    weights = (mended.weights > 0).to(mended.weights)
    found = triangulate_least_squares(mended.keypoints, matrices, weights)
    across = (found.points[:, 0] - found.points[:, 1]).reshape(frames, count, 3)
    sure = (~tied & found.valid.all(-1)).reshape(frames, count)
    agreement = (across * _interpolated(across, sure)).sum(-1)
    other = tied & (agreement < 0).flatten()
    return torch.where(other[:, None], seen & ~exchange, exchange)


def _interpolated(values: Tensor, sure: Tensor) -> Tensor:
    """Values ``(frames, pairs, 3)`` between the nearest sure frames, NaN where there are none."""
    frames = len(values)
    time = torch.arange(frames, device=values.device)[:, None].expand_as(sure)
    before = torch.where(sure, time, -1).cummax(0).values
    after = torch.where(sure, time, frames).flip(0).cummin(0).values.flip(0)
    total, share = torch.zeros_like(values), torch.zeros_like(values[..., :1])
    for index, known in ((before, before >= 0), (after, after < frames)):
        near = known / (1.0 + (index - time).abs())
        own = values.take_along_dim(index.clamp(0, frames - 1)[..., None], dim=0)
        total = total + torch.where(known[..., None], near[..., None] * own, 0.0)
        share = share + near[..., None]
    return total / share
