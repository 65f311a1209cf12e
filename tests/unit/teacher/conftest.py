"""Virtual rigs with a known answer: a person who walks about, seen by static cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from lifting.data.procedural.generator import generate_motion
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.rotation import look_at
from lifting.skeleton import H36M_17
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solve import solve_rig
from lifting.teacher.views import RigViews

QUICK = TeacherOptions(hypotheses=24, pool_frames=40)
BENT = (-0.2, 0.24, -0.002, -0.001, -0.0015)


@dataclass(frozen=True)
class Filmed:
    """A rig and the truth.

    Attributes:
        views: All that is known of it.
        joints: ``(frames, joints, 3)``, world frame, mm, float64.
        camera: ``(views,)``.
    """

    views: RigViews
    joints: torch.Tensor
    camera: Camera

    def intrinsics_only(self) -> RigViews:
        return replace(self.views, rotation=None, centre=None)

    def sizes_only(self) -> RigViews:
        return replace(self.intrinsics_only(), intrinsics=None)


def motion(frames, seed=0, fps=25.0):
    """Joints of a person who moves, ``(frames, 17, 3)``, mm, about the origin."""
    joints = generate_motion(1, frames, seed=seed, fps=fps).joints_3d.double()
    return joints - joints[:, 0].mean(0) * torch.tensor([1.0, 1.0, 0.0])


def ring(views=4, *, distance=4500.0, lens=BENT, first=0.4):
    """Cameras around the origin, 70 degrees apart, at different heights."""
    angle = first + math.radians(70) * torch.arange(views, dtype=torch.float64)
    height = 1300.0 + 250 * torch.arange(views, dtype=torch.float64)
    position = torch.stack((distance * angle.cos(), distance * angle.sin(), height), dim=-1)
    target = torch.tensor([0.0, 0.0, 900.0], dtype=torch.float64).expand_as(position)
    numbers = torch.tensor([1145.0, 1145.0, 500.0, 500.0, *lens], dtype=torch.float64)
    return Camera(
        intrinsics=numbers.repeat(views, 1),
        size=torch.full((views, 2), 1000.0, dtype=torch.float64),
        rotation=look_at(position, target),
        position=position,
    )


def see(camera, joints):
    """Keypoints ``(views, frames, joints, 2)``, pixels."""
    flat = joints.flatten(0, 1).expand(len(camera.size), -1, -1)
    local = world_to_camera(flat, camera.rotation, camera.position)
    return project(local, camera.intrinsics).reshape(-1, *joints.shape[:2], 2)


def film(joints, camera, noise=0.0, seed=1):
    """Keypoints with noise, and all that is known of the cameras."""
    draw = torch.Generator().manual_seed(seed)
    keypoints = see(camera, joints)
    keypoints = keypoints + noise * torch.randn(keypoints.shape, generator=draw).double()
    views = RigViews(
        keypoints=keypoints,
        confidence=torch.full(keypoints.shape[:3], 0.9, dtype=torch.float64),
        sizes=camera.size,
        skeleton=H36M_17,
        intrinsics=camera.intrinsics,
        rotation=camera.rotation,
        centre=camera.position,
        names=tuple(f"camera {'abcd'[v]}" for v in range(len(camera.size))),
    )
    return Filmed(views, joints, camera)


def similarity(found, truth):
    """Points after the best similarity, and its scale."""
    a, b = found - found.mean(0), truth - truth.mean(0)
    u, s, vt = torch.linalg.svd(b.mT @ a)
    sign = torch.ones(3, dtype=a.dtype)
    sign[2] = torch.linalg.det(u @ vt).sign()
    scale = (s * sign).sum() / a.square().sum()
    return scale * a @ (u * sign @ vt).mT + truth.mean(0), float(scale)


@pytest.fixture(scope="session")
def rig():
    """The functions of this file."""
    return SimpleNamespace(
        film=film, motion=motion, ring=ring, see=see, similarity=similarity, quick=QUICK
    )


@pytest.fixture(scope="session")
def exact():
    return film(motion(60), ring())


@pytest.fixture(scope="session")
def noisy():
    return film(motion(60), ring(), noise=2.0)


@pytest.fixture(scope="session")
def solved(noisy):
    """The noisy rig with known intrinsics, solved."""
    return solve_rig(noisy.intrinsics_only(), QUICK)
