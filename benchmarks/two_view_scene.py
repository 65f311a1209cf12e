"""People filmed by two cameras, with noise and gross errors, and the error of a relative pose."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from lifting.data.procedural.generator import generate_motion
from lifting.geometry.alignment import align
from lifting.geometry.camera import pixels_to_rays, project, world_to_camera
from lifting.geometry.epipolar import RelativePose
from lifting.geometry.rotation import look_at
from lifting.geometry.triangulation import triangulate_dlt
from lifting.metrics.functional.position import mpjpe
from lifting.typing import Intrinsics, Points2D, Pose3D, RotationMatrix

_CLIPS, _FRAMES = 128, 50
_DISTANCE_MM, _APART, _HEIGHT_MM = 5000.0, math.radians(65), (1400.0, 1800.0)
_AIM = (0.0, 0.0, 900.0)
_ROOM_MM = 800.0
_LENSES = ((1145.0, 1143.5, 512.5, 515.4), (1148.0, 1145.5, 513.5, 514.4))
_GROSS_SHARE, _GROSS_PX = 0.05, 40.0


class Recording(NamedTuple):
    """Frames of people in two views.

    Attributes:
        joints: ``(frames, 17, 3)``, world frame, mm.
        keypoints: ``(2, frames, 17, 2)``, pixels, gross errors among them.
        intrinsics: ``(2, 9)``.
        rotation: From the first camera's frame to the second's, ``(3, 3)``.
    """

    joints: Pose3D
    keypoints: Tensor
    intrinsics: Intrinsics
    rotation: RotationMatrix

    def rays(self) -> Points2D:
        """Rays of all keypoints of the views, ``(2, frames 17, 2)``."""
        return pixels_to_rays(self.keypoints.flatten(1, 2), self.intrinsics)


class PoseError(NamedTuple):
    """Rotation error, degrees, and PA-MPJPE, mm, of the people triangulated with a pose."""

    degrees: float
    millimetres: float


def people() -> Pose3D:
    """Poses to draw from, roots above the origin, ``(clips, frames, 17, 3)``, mm."""
    motion = generate_motion(_CLIPS, _FRAMES, seed=0, skeleton="h36m")
    joints = motion.joints_3d.double().view(_CLIPS, _FRAMES, -1, 3)
    middle = joints[:, :, motion.skeleton.root, None] * torch.tensor([1.0, 1.0, 0.0])
    return joints - middle


def record(poses: Pose3D, frames: int, noise: float, generator: Generator) -> Recording:
    """People of different clips on a square of 1.6 m, and two cameras at a random azimuth.

    Five of a hundred pairs of keypoints are gross errors: noise of 40 px in both views.

    Args:
        poses: What ``people`` returns.
        frames: How many, at most the clips.
        noise: Standard deviation of a coordinate, pixels.
        generator: Of all draws.
    """
    uniform = partial(torch.rand, generator=generator, dtype=torch.float64)
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    clip = torch.randperm(len(poses), generator=generator)[:frames]
    frame = torch.randint(poses.shape[1], (frames,), generator=generator)
    place = _ROOM_MM * (2 * uniform(frames, 1, 3) - 1) * torch.tensor([1.0, 1.0, 0.0])
    joints = poses[clip, frame] + place
    angle = 2 * math.pi * uniform(1) + torch.tensor([0.0, _APART], dtype=torch.float64)
    low, high = _HEIGHT_MM
    height = low + (high - low) * uniform(2)
    ground = _DISTANCE_MM * torch.stack((angle.cos(), angle.sin()), dim=-1)
    position = torch.cat((ground, height[:, None]), dim=-1)
    rotation = look_at(position, torch.tensor(_AIM, dtype=torch.float64).expand(2, 3))
    lens = torch.nn.functional.pad(torch.tensor(_LENSES, dtype=torch.float64), (0, 5))
    local = world_to_camera(joints.expand(2, -1, -1, -1), rotation[:, None], position[:, None])
    keypoints = project(local, lens[:, None]) + noise * normal(2, frames, 17, 2)
    gross = uniform(frames, 17, 1) < _GROSS_SHARE
    keypoints = keypoints + gross * _GROSS_PX * normal(2, frames, 17, 2)
    return Recording(joints, keypoints, lens, rotation[1] @ rotation[0].mT)


def pose_error(pose: RelativePose, recording: Recording) -> PoseError:
    """How far a relative pose is off, and the people triangulated with it.

    Args:
        pose: One pose.
        recording: All its keypoints are triangulated, wrong ones too, by the plain direct linear
            transform.
    """
    first = torch.eye(3, 4, dtype=torch.float64)
    second = torch.cat((pose.rotation, pose.translation[:, None]), dim=1)
    rays = recording.rays().view(2, *recording.joints.shape[:2], 2).transpose(0, 1)
    found = triangulate_dlt(rays, torch.stack((first, second)), normalise=False).points
    aligned = align(found, recording.joints)
    return PoseError(
        rotation_degrees(pose.rotation, recording.rotation),
        float(mpjpe(aligned, recording.joints)),
    )


def rotation_degrees(rotation: RotationMatrix, wanted: RotationMatrix) -> float:
    """Angle between two rotations, ``(3, 3)`` each."""
    cosine = ((rotation * wanted).sum() - 1) / 2
    return float(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))))
