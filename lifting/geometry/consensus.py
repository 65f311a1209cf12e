"""Joints from several views of which some are wrong: the point that most views agree on.

Every pair of views proposes a point; the one with the least truncated error in all views wins, and
is solved again from the views that agree with it. Two views have nothing to disagree with but the
epipolar line, and are triangulated as they are.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.geometry.projective import Projection
from lifting.geometry.triangulation import Triangulation, triangulate_least_squares
from lifting.typing import PerJoint, Pose2D, Pose3D


class Consensus(NamedTuple):
    """Points and the views that agree on them.

    Attributes:
        found: Points, NaN and not ``valid`` where no two views have weight.
        agree: ``(*batch, views, joints)`` bool, the view has weight and its error is in reach.
        distance: ``(*batch, views, joints)``, from the keypoints, pixels; zero where a view has no
            weight, infinite behind a camera.
        loss: ``(*batch, joints)``, weighted sum over views of the squared error over the squared
            reach, at most one: about the weight of the views that disagree.
    """

    found: Triangulation
    agree: Tensor
    distance: PerJoint
    loss: PerJoint


@torch.no_grad()
def triangulate_consensus(
    keypoints: Pose2D, projections: Projection, weights: PerJoint, *, reach: float
) -> Consensus:
    """Triangulation that leaves wrong views out.

    Args:
        keypoints: ``(*batch, views, joints, 2)``, without distortion, pixels.
        projections: World in mm to pixels, ``(*batch, views, 3, 4)`` or without the batch.
        weights: ``(*batch, views, joints)``, not negative.
        reach: Error, pixels, from which a view disagrees.

    Raises:
        ShapeError: Shapes that do not go together.
    """
    check_shape("keypoints", keypoints, "*batch views joints 2")
    views = keypoints.shape[-3]
    used = weights > 0
    clean = torch.where(used[..., None], keypoints, 0.0)
    best = triangulate_least_squares(clean, projections, weights)
    error = _errors(best, clean, projections, used)
    if views > 2:
        loss = _loss(error, weights, reach)
        for pair in combinations(range(views), 2):
            own = triangulate_least_squares(
                clean[..., pair, :, :], projections[..., pair, :, :], weights[..., pair, :]
            )
            errors = _errors(own, clean, projections, used)
            tried = _loss(errors, weights, reach)
            better = own.valid & ((tried < loss) | ~best.valid)
            loss = torch.where(better, tried, loss)
            error = torch.where(better[..., None, :], errors, error)
        agree = used & (error <= reach)
        kept = torch.where((agree.sum(-2) >= 2)[..., None, :], agree, used)
        best = triangulate_least_squares(clean, projections, torch.where(kept, weights, 0.0))
        error = _errors(best, clean, projections, used)
    return Consensus(best, used & (error <= reach), error, _loss(error, weights, reach))


def reprojection_distance(points: Pose3D, keypoints: Pose2D, projections: Projection) -> PerJoint:
    """Distance of projected points from keypoints in every view, pixels.

    Args:
        points: ``(*batch, joints, 3)``, world frame, mm.
        keypoints: ``(*batch, views, joints, 2)``, without distortion, pixels.
        projections: ``(*batch, views, 3, 4)`` or without the batch.

    Returns:
        ``(*batch, views, joints)``; infinite for points behind the camera, NaN for NaN.
    """
    seen = points[..., None, :, :] @ projections[..., :3].mT + projections[..., None, :, 3]
    depth = seen[..., 2]
    front = torch.where(depth > 0, depth, 1.0)
    error = (seen[..., :2] / front[..., None] - keypoints).norm(dim=-1)
    return torch.where(depth <= 0, torch.inf, error)


def _errors(
    found: Triangulation, keypoints: Pose2D, projections: Projection, used: Tensor
) -> PerJoint:
    """Distances, zero where a view has no weight and infinite where there is no point."""
    error = reprojection_distance(found.points, keypoints, projections).nan_to_num(nan=torch.inf)
    return torch.where(used, error, 0.0)


def _loss(error: PerJoint, weights: PerJoint, reach: float) -> PerJoint:
    return (weights * (error / reach).square().clamp(max=1)).sum(-2)
