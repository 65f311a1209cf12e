"""Virtual rigs: four cameras around a person who has only been motion-captured.

``h36m`` draws one of the seven real rigs of Human3.6M, ``random`` perturbs that arrangement, and
``wild`` leaves it: any side, 2 to 8 m away, phone-like images.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from lifting.data.config import Rig
from lifting.data.sets.h36m.cameras import EXTRINSICS, h36m_cameras
from lifting.errors import ConfigError, suggest
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.rotation import look_at

VIEWS = 4
MARGIN = 0.1
_AZIMUTH = (70.0, -70.0, 110.0, -115.0)
_DISTANCE = (5400.0, 5400.0, 5400.0, 4150.0)
_CANDIDATES = 64


def sample_rigs(rig: Rig, count: int, *, seed: int) -> Camera:
    """Draw rigs of four cameras that look at a person near the world's origin.

    Args:
        rig: ``h36m``, ``random`` or ``wild``.
        count: Number of rigs, at least 1.
        seed: The same seed gives the same rigs.

    Returns:
        Cameras with leading axes ``(count, 4)``; world z up, floor at zero; pixels and mm.

    Raises:
        ConfigError: The rig is unknown, or the count is not positive.
    """
    makers = {"h36m": _real_rigs, "random": _random_rigs, "wild": _wild_rigs}
    if rig not in makers:
        raise ConfigError(f"unknown rig '{rig}'; {suggest(rig, makers)}")
    if count < 1:
        raise ConfigError(f"expected at least one rig, got count={count}; ask for 1 or more")
    generator = Generator().manual_seed(seed)
    return makers[rig](count, generator)


def out_of_view(points: Tensor, camera: Camera, *, nearest: float = 300.0) -> Tensor:
    """Which points a camera cannot film: behind or too near, or well outside the image.

    A point counts as outside when it is off the image by more than a tenth of the image's size,
    or when its ray is so wide that projection would clamp it.

    Args:
        points: ``(*batch, points, 3)``, camera frame, mm.
        camera: Cameras of the batch.
        nearest: Least depth, mm.

    Returns:
        ``(*batch, points)`` bool.
    """
    size = camera.size[..., None, :]
    depth = points[..., 2:]
    pixels = project(points, camera.intrinsics)
    outside = (pixels < -MARGIN * size) | (pixels > (1 + MARGIN) * size)
    wide = points[..., :2].abs() > depth
    return (outside | wide).any(-1) | (depth[..., 0] < nearest)


def _real_rigs(count: int, generator: Generator) -> Camera:
    real = h36m_cameras()
    chosen = torch.randint(len(EXTRINSICS), (count,), generator=generator)
    return real[chosen[:, None] * VIEWS + torch.arange(VIEWS)]


def _random_rigs(count: int, generator: Generator) -> Camera:
    def normal(mean: object, spread: float, *last: int) -> Tensor:
        noise = torch.randn(count, VIEWS, *last, generator=generator)
        return torch.as_tensor(mean) + spread * noise

    position = _around(
        normal(_AZIMUTH, 8.0).deg2rad(), normal(_DISTANCE, 150.0), normal(1560.0, 50.0)
    )
    target = normal((0.0, 0.0, 600.0), 150.0, 3)
    roll = normal(0.0, 2.0).deg2rad()
    focal = normal(1146.0, 5.0, 1).expand(-1, -1, 2)
    spread = torch.tensor((0.01, 0.02, 0.006))
    radial = torch.tensor((-0.2, 0.24, -0.002)) + spread * normal(0.0, 1.0, 3)
    parts = (focal, normal(510.0, 10.0, 2), radial, normal(0.0, 0.0015, 2))
    return Camera(
        intrinsics=torch.cat(parts, dim=-1),
        size=torch.full((count, VIEWS, 2), 1000.0),
        rotation=look_at(position, target, roll),
        position=position,
    )


def _wild_rigs(count: int, generator: Generator) -> Camera:
    """Cameras anywhere around, of which the first candidate that frames a person is taken."""
    shape = (count, VIEWS, _CANDIDATES)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    azimuth, distance = uniform(-math.pi, math.pi), uniform(2000.0, 8000.0)
    position = _around(azimuth, distance, uniform(300.0, 3000.0))
    target = torch.tensor((0.0, 0.0, 900.0)) + 150.0 * torch.randn(*shape, 3, generator=generator)
    roll = torch.randn(shape, generator=generator).mul(3.0).deg2rad()
    portrait = uniform(0.0, 1.0) < 0.5
    width = torch.where(portrait, 1080.0, 1920.0)
    size = torch.stack((width, 3000.0 - width), dim=-1)
    focal = (width * uniform(0.8, 2.2))[..., None].expand(*shape, 2)
    centre = size / 2 + 10.0 * torch.randn(*shape, 2, generator=generator)
    lens = torch.zeros(*shape, 5)
    lens[..., 0] = uniform(-0.1, 0.05)
    candidates = Camera(
        intrinsics=torch.cat((focal, centre, lens), dim=-1),
        size=size,
        rotation=look_at(position, target, roll),
        position=position,
    )
    best = _missed_share(candidates).argmin(dim=-1)
    rows, views = torch.arange(count)[:, None], torch.arange(VIEWS)
    return candidates[rows, views, best]


def _missed_share(camera: Camera) -> Tensor:
    """Share of a standing person's bounding column that is out of view, ``(*batch,)``."""
    assert camera.rotation is not None
    assert camera.position is not None
    angle = torch.arange(8) * (math.pi / 4)
    ring = torch.stack((angle.cos() * 600.0, angle.sin() * 600.0), dim=-1)
    heights = torch.tensor((0.0, 1900.0))
    column = torch.cat((ring.repeat(2, 1), heights.repeat_interleave(8)[:, None]), dim=-1)
    seen = world_to_camera(column, camera.rotation, camera.position)
    return out_of_view(seen, camera).float().mean(-1)


def _around(azimuth: Tensor, distance: Tensor, height: Tensor) -> Tensor:
    """Camera centres from azimuth (radians), horizontal distance and height (mm)."""
    return torch.stack((distance * azimuth.cos(), distance * azimuth.sin(), height), dim=-1)
