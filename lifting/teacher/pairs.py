"""Relative poses of all pairs of cameras, and the cameras of a rig put together from them.

Each pair is solved from all the keypoints the two share; rotations are put together all at once,
centres one after another.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import DataError
from lifting.geometry.camera import Camera, pixels_to_rays
from lifting.geometry.epipolar import RelativePose
from lifting.geometry.robust import LEAST_POINTS, RobustOptions, robust_relative_pose
from lifting.geometry.rotation import synchronise_rotations
from lifting.geometry.triangulation import projection_matrix
from lifting.geometry.triangulation_consensus import triangulate_consensus
from lifting.teacher.views import Observed, RigViews
from lifting.typing import Intrinsics, PerJoint, Points3D, Pose2D, Pose3D, RotationMatrix

_WIDE = 0.35  # radians; a pair whose rays meet under this angle or more counts in full


class PairPoses(NamedTuple):
    """Pairs of cameras that share enough keypoints, and how they stand to each other.

    Attributes:
        ends: Cameras a and b, ``(pairs, 2)`` int.
        pose: From a to b, ``(pairs,)`` of poses, translation of unit length.
        inliers: Keypoints that agree, ``(pairs,)``.
        angle: Median angle under which the rays of those that agree meet, ``(pairs,)``, radians.
    """

    ends: Tensor
    pose: RelativePose
    inliers: Tensor
    angle: Tensor

    @property
    def strength(self) -> Tensor:
        """Keypoints that agree, fewer where the rays are nearly parallel, ``(pairs,)``."""
        return self.inliers * (self.angle / _WIDE).clamp(1e-3, 1)


def pair_poses(observed: Observed, intrinsics: Intrinsics, options: RobustOptions) -> PairPoses:
    """Robust relative pose of every pair of cameras that shares eight keypoints or more.

    Args:
        observed: Keypoints of the frames that are pooled.
        intrinsics: ``(views, 9)`` without distortion.
        options: How a pose is sought.

    Raises:
        DataError: No pair shares enough keypoints.
    """
    views = len(observed.keypoints)
    points = observed.keypoints.flatten(1, 2)
    weights = observed.confidence.flatten(1, 2)
    every = torch.tensor(list(combinations(range(views), 2)), device=points.device)
    both = (weights > 0)[every].all(1).sum(-1) >= LEAST_POINTS
    index = every[both]
    if len(index) == 0:
        raise DataError(
            f"expected two views that share {LEAST_POINTS} keypoints, got none; the cameras must "
            "see the person at the same time"
        )
    a, b = index.unbind(1)
    weight = weights[a] * weights[b]
    found = robust_relative_pose(
        points[a], points[b], intrinsics[a], intrinsics[b], weight, options
    )
    rays = pixels_to_rays(points, intrinsics)
    angle = _meeting_angle(rays[a], rays[b], found.pose, found.inlier)
    return PairPoses(index, found.pose, found.inlier.sum(-1), angle)


def _meeting_angle(first: Pose2D, second: Pose2D, pose: RelativePose, inlier: Tensor) -> Tensor:
    """Median angle between rays of both cameras, ``(pairs,)``, radians."""
    one = torch.ones_like(first[..., :1])
    a = torch.cat((first, one), dim=-1) @ pose.rotation.mT
    b = torch.cat((second, one), dim=-1)
    across = torch.linalg.cross(a, b, dim=-1).norm(dim=-1)
    angle = torch.atan2(across, (a * b).sum(-1))
    median = torch.where(inlier, angle, torch.nan).nanmedian(-1).values
    return median.nan_to_num(nan=0.0)


_ROUNDS = 5
_TRUSTED = 0.1  # radians that a pair's rotation may be off the others' before it counts for less
_CENTRE_ROUNDS = 8


def assemble(
    observed: Observed, intrinsics: Intrinsics, pairs: PairPoses, views: RigViews, sigma: float
) -> Camera:
    """Cameras in the frame of the first, in units of the distance of the strongest pair.

    Along a maximum spanning tree of the pairs' strength, less of those that contradict the others,
    each next camera is put where the joints that the ones before it agree on are seen along the
    right rays.

    Args:
        observed: Keypoints of the frames that are pooled.
        intrinsics: ``(views, 9)`` without distortion.
        pairs: Relative poses.
        views: For the sizes of images, and names in messages.
        sigma: Deviation of keypoints, pixels.

    Raises:
        DataError: A view shares too few keypoints with the others.
    """
    count = len(observed.keypoints)
    spanning_tree(pairs, pairs.strength, views)  # names the views that stand alone
    spanning_tree(pairs, pairs.strength, views)  # names a view that is not connected
    rotation, trust = consistent_rotations(pairs, count)
    tree = spanning_tree(pairs, pairs.strength * trust, views)
    start = tree[0]
    a, b = pairs.ends[start].tolist()
    # The first two stand as their own pair says, whose direction belongs to its rotation.
    rotation[b] = pairs.pose.rotation[start].to(rotation) @ rotation[a]
    position = torch.zeros(count, 3, dtype=rotation.dtype, device=rotation.device)
    position[b] = -(rotation[b].mT @ pairs.pose.translation[start].to(rotation))
    camera = Camera(
        intrinsics=intrinsics,
        size=views.sizes.to(rotation),
        rotation=rotation,
        position=position,  # filled in below
    )
    placed = [a, b]
    for edge in tree[1:]:
        view = next(v for v in pairs.ends[edge].tolist() if v not in placed)
        joints, seen = _agreed(observed, camera, placed, sigma)
        rays = pixels_to_rays(observed.keypoints[view], intrinsics[view])
        weights = torch.where(seen, observed.confidence[view], 0.0)
        reach = sigma / float(intrinsics[view, :2].mean())
        position[view] = centre_of_rays(joints, rays, weights, rotation[view], reach)
        placed.append(view)
    camera.position = (position - position[0]) @ rotation[0].mT
    camera.rotation = rotation @ rotation[0].mT
    return camera


def spanning_tree(pairs: PairPoses, strength: Tensor, views: RigViews) -> list[int]:
    """Pairs that connect all cameras with the greatest strength, each touching those before it.

    Args:
        pairs: Relative poses.
        strength: ``(pairs,)``.
        views: For their number, and names in messages.

    Raises:
        DataError: They do not connect all.

    Source: Prim 1957.
    """
    index, rank, count = pairs.ends.tolist(), strength.tolist(), len(views.keypoints)
    best = max(range(len(index)), key=rank.__getitem__)
    tree, inside = [best], set(index[best])
    while len(inside) < count:
        open_edges = [e for e, ends in enumerate(index) if len(inside & set(ends)) == 1]
        if not open_edges:
            lonely = ", ".join(views.name(v) for v in range(count) if v not in inside)
            raise DataError(
                f"expected views that share keypoints with the others, got none for {lonely}; "
                "leave it out, or check that it shows the same time"
            )
        edge = max(open_edges, key=rank.__getitem__)
        tree.append(edge)
        inside |= set(index[edge])
    return tree


class Rotations(NamedTuple):
    """Rotations of all cameras.

    Attributes:
        rotation: ``(views, 3, 3)``, from a frame of their own.
        trust: Of each pair, ``(pairs,)``: 1 where it agrees with them, less where it does not.
    """

    rotation: RotationMatrix
    trust: Tensor


def consistent_rotations(pairs: PairPoses, count: int) -> Rotations:
    """Rotations of all cameras; pairs that contradict the others count less.

    Args:
        pairs: Relative poses.
        count: Cameras.
    """
    weights = pairs.strength.double().clamp(min=1e-3)
    relative = pairs.pose.rotation.double()
    a, b = pairs.ends.unbind(1)
    trust = torch.ones_like(weights)
    for _ in range(_ROUNDS):
        rotation = synchronise_rotations(relative, pairs.ends, count, weights * trust)
        gap = torch.linalg.matrix_norm(rotation[b] - relative @ rotation[a]) / 2**0.5
        trust = 1 / (1 + (gap / _TRUSTED).square())
    return Rotations(rotation, trust)


def centre_of_rays(
    joints: Pose3D, rays: Tensor, weights: PerJoint, rotation: RotationMatrix, reach: float
) -> Points3D:
    """Centre of a camera of known rotation, from which joints are seen along given rays.

    Args:
        joints: ``(*batch, 3)``, world frame; not looked at where there is no weight.
        rays: ``(*batch, 2)``, X/Z and Y/Z without distortion.
        weights: ``(*batch)``, not negative.
        rotation: World to camera, ``(3, 3)``.
        reach: Deviation of rays that is expected, focal lengths.

    Returns:
        ``(3,)``, unit of the joints.

    Source: intersection of lines, reweighted by Cauchy's kernel.
    """
    used = weights > 0
    joints = torch.where(used[..., None], joints, 0.0).reshape(-1, 3)
    ray = torch.cat((rays, torch.ones_like(rays[..., :1])), dim=-1).reshape(-1, 3)
    axis = functional.normalize(ray @ rotation, dim=-1)
    base = weights.flatten().double().square()
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    across = eye - axis[:, :, None] * axis[:, None]
    factor = base
    centre = torch.zeros_like(axis[0])
    for step in range(_CENTRE_ROUNDS):
        matrix = (factor[:, None, None] * across).sum(0)
        aim = (factor[:, None] * (across @ joints[..., None])[..., 0]).sum(0)
        centre = torch.linalg.lstsq(matrix, aim[:, None]).solution[:, 0]
        arm = joints - centre
        depth = (arm * axis).sum(-1)
        distance = (across @ arm[..., None])[..., 0].norm(dim=-1)
        far = arm.norm(dim=-1).clamp(min=1e-9)
        # The reach shrinks to what is expected, so that a poor start is not held on to.
        scale = far * reach * max(1.0, 64.0 / 2**step)
        factor = base / far.square() / (1 + (distance / scale).square())
        factor = torch.where(depth > 0, factor, 0.01 * factor)
    return centre


def _agreed(
    observed: Observed, camera: Camera, placed: list[int], sigma: float
) -> tuple[Pose3D, Tensor]:
    """Joints that the cameras placed so far agree on, ``(frames, joints, 3)``, and which."""
    found = triangulate_consensus(
        observed.keypoints[placed].transpose(0, 1),
        projection_matrix(camera)[placed],
        observed.confidence[placed].transpose(0, 1),
        reach=4 * sigma,
    )
    sound = (found.agree & found.found.in_front()).sum(-2) >= 2
    return found.found.points, sound & found.found.valid
