"""Hypotheses, and how they become one answer: plain averages, or by how well each projects.

A hypothesis is root-relative. Before it is projected it is put where it explains the keypoints
best, by least squares; the released code of later methods takes the labelled root instead.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.batch import PoseBatch, answered_frames
from lifting.geometry.camera import pixels_to_rays, project, undistort_rays
from lifting.geometry.root import NEAREST_MM, solve_root
from lifting.typing import Intrinsics, PerJoint, Points3D, Pose2D, Pose3D

Projected = Literal["best_joint", "best_pose", "posterior"]
Aggregation = Literal["mean", "median", "best_joint", "best_pose", "posterior"]


class WeightedKeypoints(NamedTuple):
    """What hypotheses are compared with.

    Attributes:
        keypoints: ``(*batch, joints, 2)``, pixels.
        weights: ``(*batch, joints)``, not negative.
        intrinsics: ``(*batch, 9)``, pixels.
    """

    keypoints: Pose2D
    weights: PerJoint
    intrinsics: Intrinsics


def spread(hypotheses: Tensor) -> PerJoint:
    """Standard deviation of one axis over at least two hypotheses, ``(*batch, joints)``.

    Args:
        hypotheses: ``(hypotheses, *batch, joints, 3)``.
    """
    return hypotheses.var(dim=0).mean(dim=-1).sqrt()


def weighted_keypoints(batch: PoseBatch, target: Literal["middle", "all"]) -> WeightedKeypoints:
    """What hypotheses of a batch are compared with, ``(batch, targets, ...)``.

    Args:
        batch: Single-view windows; where it has no confidence all keypoints weigh the same.
        target: Which frames are answered.
    """
    keypoints = answered_frames(batch.keypoints_2d, target)
    weights = torch.ones_like(keypoints[..., 0])
    if batch.confidence is not None:
        weights = answered_frames(batch.confidence, target)
    return WeightedKeypoints(keypoints, weights, batch.camera.intrinsics[:, None])


class Posterior(NamedTuple):
    """How the posterior mean weighs hypotheses.

    Attributes:
        sharpness: Alpha of the weights ``exp(-alpha error)``, 1 / pixel.
        kept: Hypotheses of least error that count; 0 is all.
    """

    sharpness: float
    kept: int


def average(hypotheses: Tensor, how: Literal["mean", "median"]) -> Pose3D:
    """Mean or median by coordinate, ``(*batch, joints, 3)``.

    Args:
        hypotheses: ``(hypotheses, *batch, joints, 3)``.
        how: Which.
    """
    if how == "mean":
        return hypotheses.mean(dim=0)
    # The lower middle, as torch.median gives it, by an operation that ONNX has.
    return hypotheses.sort(dim=0).values[(len(hypotheses) - 1) // 2]


def by_projection(
    hypotheses: Tensor, how: Projected, errors: Tensor, weights: PerJoint, posterior: Posterior
) -> Pose3D:
    """One pose of those hypotheses that project nearest to the keypoints, ``(*batch, joints, 3)``.

    Args:
        hypotheses: ``(hypotheses, *batch, joints, 3)``.
        how: ``best_joint`` takes each joint from the hypothesis that projects it best,
            ``best_pose`` the hypothesis of least weighted mean error, ``posterior`` the mean of
            each joint, weighted by its error.
        errors: Of :func:`projection_errors`.
        weights: Of the joints in the mean error of a pose, ``(*batch, joints)``.
        posterior: Read for that answer only.

    Source: Shan et al. 2023 (D3DP) for the first two, under the names J-Agg and P-Agg; FMPose3D
        (2026) for the last.
    """
    if how == "posterior":
        share = posterior_shares(errors, posterior)[..., None]
        return (share * hypotheses).sum(dim=0)
    if how == "best_pose":
        errors = (errors * weights).sum(dim=-1, keepdim=True).expand_as(errors)
    chosen = errors.argmin(dim=0, keepdim=True)[..., None]
    return hypotheses.gather(0, chosen.expand(1, *hypotheses.shape[1:]))[0]


def posterior_shares(errors: Tensor, posterior: Posterior) -> Tensor:
    """Weights of the hypotheses of each joint, which sum to one, of the shape of ``errors``.

    Args:
        errors: ``(hypotheses, *batch, joints)``, pixels.
        posterior: Sharpness and number.
    """
    score = -posterior.sharpness * errors
    if 0 < posterior.kept < len(errors):
        least = score.topk(posterior.kept, dim=0).values[-1]
        score = score.masked_fill(score < least, -torch.inf)
    return score.softmax(dim=0)


def projection_errors(
    hypotheses: Tensor, seen: WeightedKeypoints, root: Points3D | None = None
) -> Tensor:
    """Distance of projected joints from their keypoints, ``(hypotheses, *batch, joints)``, pixels.

    Args:
        hypotheses: ``(hypotheses, *batch, joints, 3)``, root-relative, mm.
        seen: Keypoints and camera.
        root: ``(*batch, 3)``, mm, if known; None solves for it by hypothesis.
    """
    camera = seen.intrinsics
    if root is None:
        rays = undistort_rays(pixels_to_rays(seen.keypoints, camera), camera)
        root = solve_root(hypotheses, rays, seen.weights)
    placed = hypotheses + root[..., None, :]
    placed = torch.cat((placed[..., :2], placed[..., 2:].clamp(min=NEAREST_MM)), dim=-1)
    return (project(placed, camera) - seen.keypoints).norm(dim=-1)
