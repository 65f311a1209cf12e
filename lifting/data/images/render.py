"""Pictures of posed people, rendered in chunks: geometry, clothes, light, scenery, sensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.ellipsoid import EllipsoidBody, EllipsoidSolids, PosedSolids
from lifting.data.images.appearance import Wardrobe, draw_looks
from lifting.data.images.crops import crop_pixels, crop_rays
from lifting.data.images.raycast import Surface, cast, cast_boxes
from lifting.data.images.scenery import (
    Shapes,
    draw_backdrops,
    draw_occluders,
    paint,
    paint_backdrop,
)
from lifting.data.images.textures import noise_runs, sensor_noise, space_lattice
from lifting.data.procedural.draws import Draws
from lifting.geometry.camera import Camera, project
from lifting.geometry.kinematics import PosedChain
from lifting.typing import Points3D, RotationMatrix

_SHININESS = 12.0

RENDER_VERSION = 1
ANTIALIAS = 2
OCCLUDED = 128
"""Bit of a part map that tells that an object stands before what the other bits name."""
_CHUNK_PIXELS = 1 << 17


class Lamps(NamedTuple):
    """Lamps of n pictures, far away.

    Attributes:
        direction: From the surface to each lamp, unit, ``(n, lamps, 3)``.
        strength: ``(n, lamps)``, 0 for a lamp that is off.
        ambient: Light from everywhere, ``(n,)``.
        gloss: Strength of highlights, ``(n,)``.
    """

    direction: Tensor
    strength: Tensor
    ambient: Tensor
    gloss: Tensor


def draw_lamps(draws: Draws) -> Lamps:
    """One or two lamps above a room, in its world frame (z up).

    Args:
        draws: One stream a recording.
    """
    azimuth = draws.uniform("lamp azimuth", 2, high=2 * torch.pi)
    height = draws.uniform("lamp height", 2, low=0.1, high=1.0)
    flat = (1 - height.square()).sqrt()
    direction = torch.stack((flat * azimuth.cos(), flat * azimuth.sin(), height), dim=-1)
    strength = draws.uniform("lamp strength", 2, low=0.3, high=0.7)
    second = draws.uniform("second lamp") < 0.6
    strength[:, 1] = torch.where(second, strength[:, 1], 0.0)
    ambient = draws.uniform("ambient", low=0.3, high=0.5)
    return Lamps(direction, strength, ambient, draws.uniform("gloss", high=0.12))


def turn_lamps(lamps: Lamps, rotation: RotationMatrix) -> Lamps:
    """The lamps in the frame of cameras, and on their device.

    Args:
        lamps: In the world.
        rotation: World to camera, ``(n, 3, 3)``.
    """
    moved = Lamps(*(value.to(rotation.device) for value in lamps))
    return moved._replace(direction=moved.direction @ rotation.mT)


def shade(colour: Tensor, surface: Surface, lamps: Lamps) -> Tensor:
    """Light on a surface: ambient, Lambert's law for every lamp, and a weak highlight.

    Ambient light is dimmed where the surface turns away from the camera, in place of the light
    that neighbouring limbs would take.

    Args:
        colour: ``(H, 3)``.
        surface: The hits.
        lamps: Of the pictures, camera frame.

    Returns:
        ``(H, 3)``.
    """
    normal, picture = surface.normal, surface.picture
    facing = (normal * surface.towards).sum(-1).clamp(0, 1)
    light = lamps.ambient[picture] * (0.7 + 0.3 * facing)
    highlight = torch.zeros_like(light)
    for lamp in range(lamps.strength.shape[1]):
        direction = lamps.direction[picture, lamp]
        strength = lamps.strength[picture, lamp]
        light = light + strength * (normal * direction).sum(-1).clamp(min=0)
        half = torch.nn.functional.normalize(direction + surface.towards, dim=-1)
        peak = (normal * half).sum(-1).clamp(min=0) ** _SHININESS
        highlight = highlight + strength * peak
    return colour * light[:, None] + (lamps.gloss[picture] * highlight)[:, None]


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """What n pictures show. One row a picture.

    Attributes:
        rotations: Joints in their parents' frames, the root's in the camera's, ``(n, 17, 3, 3)``.
        betas: ``(n, 14)``.
        translation: Root in the camera frame, ``(n, 3)``, mm.
        camera: Cameras with extrinsics.
        crop: ``(n, 3)``, pixels of the full image.
        person: Number of the person, ``(n,)`` int64.
        recording: Number of the recording, ``(n,)`` int64.
        view: Number of the recording's view, ``(n,)`` int64.
        picture: Number of the picture, ``(n,)`` int64.
    """

    rotations: RotationMatrix
    betas: Tensor
    translation: Points3D
    camera: Camera
    crop: Tensor
    person: Tensor
    recording: Tensor
    view: Tensor
    picture: Tensor

    def __len__(self) -> int:
        return len(self.crop)

    def rows(self, rows: slice) -> Sitting:
        """Some of the pictures."""
        return Sitting(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, device: torch.device | str) -> Sitting:
        """What geometry needs on another device; the numbers stay, since they are drawn with."""
        moved = {
            f.name: getattr(self, f.name).to(device)
            for f in fields(self)
            if f.name in ("rotations", "betas", "translation", "camera", "crop")
        }
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in moved}
        return Sitting(**moved, **kept)


class Pictures(NamedTuple):
    """Rendered pictures.

    Attributes:
        image: ``(n, 3, size, size)`` uint8, RGB.
        parts: Part of the body, counted from 1, 0 for the background, plus ``OCCLUDED`` under an
            object, ``(n, size, size)`` uint8.
    """

    image: Tensor
    parts: Tensor


@dataclass(kw_only=True)
class Studio:
    """Renders pictures of one seed.

    Attributes:
        seed: Of all that is drawn: people, clothes, lamps, scenery, noise.
        size: Side of a picture, pixels.
        occluders: Probability that objects stand before a person.
        device: Where to render.
    """

    seed: int
    size: int
    occluders: float
    device: torch.device | str = "cpu"
    body: EllipsoidBody = field(init=False)
    solids: EllipsoidSolids = field(init=False)

    def __post_init__(self) -> None:
        self.body = EllipsoidBody("light").to(self.device)
        self.solids = EllipsoidSolids().to(self.device)
        self._wardrobe = Wardrobe(self.solids).to(self.device)
        self._lattice = space_lattice(self.seed).to(self.device)
        self._noise = sensor_noise(self.seed).to(self.device)

    def shoot(self, sitting: Sitting) -> Iterator[Pictures]:
        """Render pictures, some at a time, in order."""
        chunk = max(1, _CHUNK_PIXELS // self.size**2)
        for first in range(0, len(sitting), chunk):
            yield self.render(sitting.rows(slice(first, first + chunk)))

    def pose(self, sitting: Sitting) -> tuple[PosedChain, PosedSolids]:
        """Joints and solids of the people, camera frame, mm."""
        chain = self.body.joints(sitting.rotations, sitting.betas, sitting.translation)
        return chain, self.solids(self.body, chain, sitting.betas)

    def objects(self, sitting: Sitting, chain: PosedChain) -> Shapes:
        """Objects that stand before the people."""
        pixels = project(chain.joints, sitting.camera.intrinsics)
        joints = crop_pixels(pixels, sitting.crop, 1).cpu()
        return draw_occluders(Draws(self.seed, sitting.picture), joints, self.occluders)

    def render(self, sitting: Sitting) -> Pictures:
        """Render pictures all at once."""
        sitting = sitting.to(self.device)
        chain, posed = self.pose(sitting)
        fine = ANTIALIAS * self.size
        intrinsics = sitting.camera.intrinsics
        boxes = cast_boxes(posed, intrinsics, sitting.crop, fine)
        surface = cast(posed, crop_rays(sitting.crop, intrinsics, fine), boxes)
        body, cover, parts = self._body(surface, sitting)
        canvas, covered = self._scene(sitting, body, cover, self.objects(sitting, chain))
        return Pictures(self._sense(canvas, sitting), parts | (covered > 0.5).byte() * OCCLUDED)

    def _body(self, surface: Surface, sitting: Sitting) -> tuple[Tensor, Tensor, Tensor]:
        """Premultiplied colour, coverage and part map of the people."""
        looks = draw_looks(
            Draws(self.seed, sitting.person), Draws(self.seed, sitting.recording)
        ).to(self.device)
        assert sitting.camera.rotation is not None
        drawn = draw_lamps(Draws(self.seed, sitting.recording))
        lamps = turn_lamps(drawn, sitting.camera.rotation)
        plain = self._wardrobe.colours(surface, looks, self._lattice)
        lit = shade(plain, surface, lamps)
        count, fine = len(sitting), ANTIALIAS * self.size
        layers = lit.new_zeros(4, count * fine * fine)
        layers[:3, surface.pixel] = lit.T
        layers[3, surface.pixel] = 1
        small = functional.avg_pool2d(layers.view(4, count, fine, fine), ANTIALIAS)
        part = torch.zeros(count * fine * fine, device=self.device)
        part[surface.pixel] = (self.solids.part[surface.solid] + 1).float()
        # Where several parts share a pixel the highest number wins, which is as good as any.
        part = functional.max_pool2d(part.view(count, fine, fine), ANTIALIAS)
        inside = small[3] >= 0.5
        return small[:3].transpose(0, 1), small[3], torch.where(inside, part, 0.0).byte()

    def _scene(
        self, sitting: Sitting, body: Tensor, cover: Tensor, objects: Shapes
    ) -> tuple[Tensor, Tensor]:
        """The people between background and objects; and where objects are."""
        backdrop = draw_backdrops(Draws(self.seed, sitting.view)).to(self.device)
        canvas, noise = paint_backdrop(backdrop, self.size)
        paint(canvas, backdrop.clutter, noise[-1])
        canvas = canvas * (1 - cover[:, None]) + body
        covered = paint(canvas, objects.to(self.device), noise[-2])
        return canvas, covered

    def _sense(self, canvas: Tensor, sitting: Sitting) -> Tensor:
        """Blur, exposure, gamma, noise and rounding of a camera."""
        draws = Draws(self.seed, sitting.picture)
        count = len(canvas)

        def drawn(name: str, low: float, high: float) -> Tensor:
            return draws.uniform(name, 1, 1, 1, low=low, high=high).to(self.device)

        blur = drawn("blur", 0.0, 0.25)
        wide = functional.pad(canvas, (1, 1, 1, 1), mode="replicate")
        across = (1 - 2 * blur) * wide[..., 1:-1] + blur * (wide[..., :-2] + wide[..., 2:])
        sharp = (1 - 2 * blur) * across[..., 1:-1, :]
        canvas = sharp + blur * (across[..., :-2, :] + across[..., 2:, :])
        exposed = (canvas * drawn("gain", 0.7, 1.25)).clamp(1e-4, 1)
        seen = exposed ** drawn("gamma", 0.7, 1.2)
        start = draws.uniform("noise start").to(self.device)
        runs = noise_runs(self._noise, start, canvas[0].numel())
        seen = seen + drawn("noise", 0.0, 0.03) * runs.view(count, *canvas.shape[1:])
        return (seen.clamp(0, 1) * 255).round().byte()
