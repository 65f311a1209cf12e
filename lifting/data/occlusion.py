"""Which joints a camera sees through another part of the body, and bodies seen in profile."""

from __future__ import annotations

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, PerSample, Pose2D, Pose3D

_FRAMES = 512  # frames at a time, so that every intermediate stays in the processor's cache


def hidden_joints(
    keypoints_2d: Pose2D,
    joints_3d: Pose3D,
    skeleton: Skeleton,
    reach: PerSample,
    *,
    gap: float = 100.0,
) -> PerJoint:
    """Joints behind another segment: near it in the image, and clearly farther away.

    The segments are the bones and the two sides of the trunk, shoulder to hip. A limb does not
    hide its own joints, nor the trunk and the head theirs, nor a segment its ends.

    Args:
        keypoints_2d: Exact projections, ``(frames, joints, 2)``, pixels.
        joints_3d: ``(frames, joints, 3)``, camera frame, mm; only the depth is read.
        skeleton: Joints, with shoulders and hips on both sides.
        reach: How near in the image counts as covered, ``(frames,)``, pixels.
        gap: How much nearer to the camera the segment must be, mm.

    Returns:
        ``(frames, joints)`` bool.
    """
    frames, joints = check_pose(keypoints_2d, joints_3d, skeleton)
    starts, ends, may_hide = _segments(skeleton, keypoints_2d.device)
    result = torch.empty(joints, frames, dtype=torch.bool, device=keypoints_2d.device)
    for first in range(0, frames, _FRAMES):
        part = slice(first, first + _FRAMES)
        u, v = keypoints_2d[part].permute(2, 1, 0).contiguous()  # joints frames
        z = joints_3d[part, :, 2].T.contiguous()
        du, dv, dz = u[ends] - u[starts], v[ends] - v[starts], z[ends] - z[starts]
        # (segments, joints, frames): foot of the joint on the segment, from its start
        to_u, to_v = u - u[starts, None], v - v[starts, None]
        length = (du * du + dv * dv).clamp_(min=1e-6)
        along = (to_u * du[:, None]).addcmul_(to_v, dv[:, None]).div_(length[:, None])
        along.clamp_(0, 1)
        to_u.addcmul_(along, du[:, None], value=-1)
        to_v.addcmul_(along, dv[:, None], value=-1)
        near = to_u.square_().addcmul_(to_v, to_v) < reach[part].square()
        depth = torch.addcmul(z[starts, None], along, dz[:, None])
        behind = depth < z - gap
        result[:, part] = (near & behind & may_hide[:, :, None]).any(0)
    return result.T.contiguous()


def in_profile(joints_3d: Pose3D, skeleton: Skeleton, *, degrees: float = 20.0) -> PerSample:
    """Frames in which the camera looks along the body's left-right axis.

    Args:
        joints_3d: ``(frames, joints, 3)``, camera frame, mm.
        skeleton: Joints, with shoulders and hips on both sides.
        degrees: Greatest angle between the axis and the line of sight.

    Returns:
        ``(frames,)`` bool.
    """
    ends = [
        [skeleton.index(f"{side}_{name}") for name in ("hip", "shoulder")]
        for side in ("left", "right")
    ]
    across = (joints_3d[:, ends[0]] - joints_3d[:, ends[1]]).sum(1)
    sight = joints_3d[:, skeleton.root]
    cosine = torch.cosine_similarity(across, sight, dim=-1)
    limit = torch.tensor(degrees).deg2rad().cos().to(cosine)
    return cosine.abs() > limit


def check_pose(keypoints_2d: Pose2D, joints_3d: Pose3D, skeleton: Skeleton) -> tuple[int, int]:
    """Check a 2D pose against its 3D pose; frames and joints."""
    joints = len(skeleton)
    check_shape("keypoints_2d", keypoints_2d, "frames joints 2", joints=joints)
    frames = int(keypoints_2d.shape[0])
    check_shape("joints_3d", joints_3d, "frames joints 3", frames=frames, joints=joints)
    return frames, joints


def _segments(skeleton: Skeleton, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Starts and ends of the segments, ``(segments,)``, and whom each may hide."""
    sides = [
        (skeleton.index(f"{side}_shoulder"), skeleton.index(f"{side}_hip"))
        for side in ("left", "right")
    ]
    segments = torch.tensor([*skeleton.bones, *sides], device=device)
    starts, ends = segments.unbind(-1)
    limb = torch.tensor([_limb(name) for name in skeleton.joints], device=device)
    owner = limb[ends]
    owner[-len(sides) :] = 0
    other = owner[:, None] != limb
    at_end = torch.arange(len(skeleton), device=device) == segments[:, :, None]
    return starts, ends, other & ~at_end.any(1)


def _limb(joint: str) -> int:
    """Number of the limb that a joint belongs to; 0 is trunk and head."""
    side, _, name = joint.partition("_")
    if side not in ("left", "right"):
        return 0
    return 1 + 2 * (side == "right") + (name in ("hip", "knee", "ankle"))
