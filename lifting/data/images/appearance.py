"""How people look: skin, hair, clothes and their patterns, and the colour of each point of a body.

Left and right share everything, so that no colour tells one side from the other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from lifting.body.ellipsoid import EllipsoidSolids
from lifting.body.ellipsoid_layout import SEGMENTS
from lifting.data.images.raycast import Surface
from lifting.data.images.textures import space_noise
from lifting.data.procedural.draws import Draws

MATERIALS = ("skin", "upper", "lower", "shoes", "hair", "dark")
SKIN, UPPER, LOWER, SHOES, HAIR, DARK = range(len(MATERIALS))
PATTERNS = ("plain", "stripes", "checks", "noise", "blobs")
_ODDS = (0.2, 0.2, 0.2, 0.2, 0.2)
_WAVELENGTH_MM = (40.0, 220.0)
_GRAIN = (0.10, 0.0, 0.0, 0.25, 0.35, 0.0)  # contrast of what is no patterned cloth

_KINDS = ("trunk", "arm", "hand", "leg", "foot", "neck", "head")
# Kind of each segment, the coordinate of the garment at its start, and its sign along the axis.
_ROLE: dict[str, tuple[str, float, float]] = {
    "lower trunk": ("trunk", 0.0, 1.0), "upper trunk": ("trunk", 1.0, 1.0),
    "seat": ("trunk", 0.0, -1.0), "shoulder": ("arm", -1.0, 1.0), "upper arm": ("arm", 0.0, 1.0),
    "forearm": ("arm", 1.0, 1.0), "hand": ("hand", 2.0, 1.0), "thigh": ("leg", 0.0, 1.0),
    "shank": ("leg", 1.0, 1.0), "foot": ("foot", 0.0, 1.0), "neck": ("neck", 0.0, 1.0),
    "head": ("head", 0.0, 1.0),
}  # fmt: skip
_EYE = (0.38, 0.52, 0.13, 0.06)  # beside the middle, height, half width, half height
_MOUTH = (0.22, 0.25, 0.03)  # height, half width, half height
_SHARPNESS = 6.0
_NOISE_CELL = 0.12  # cells a radian of the first wave


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Looks of n pictures, M materials. Colours are 0 to 1.

    Attributes:
        colour: ``(n, M, 3)``.
        accent: Second colour of the pattern, ``(n, M, 3)``.
        contrast: How far the pattern goes towards it, ``(n, M)``.
        pattern: Index into ``PATTERNS``, ``(n, M)`` int64.
        waves: Three wave vectors of the pattern, ``(n, M, 3, 3)``, radians/mm.
        phases: ``(n, M, 3)``, radians.
        sleeve: Where sleeves end: 0 at the shoulder, 1 at the elbow, 2 at the wrist, ``(n,)``.
        trouser: The same of trousers, from the hip, ``(n,)``.
        sock: Where shoes and socks begin, ``(n,)``.
        hem: Where the upper garment ends: 0 at the hip, 1 at the waist, ``(n,)``.
        collar: The same along the neck, ``(n,)``.
        hairline: Height of the hairline, share of the head, ``(n,)``.
        nape: How far forward hair comes at the sides, share of the head's depth, ``(n,)``.
    """

    colour: Tensor
    accent: Tensor
    contrast: Tensor
    pattern: Tensor
    waves: Tensor
    phases: Tensor
    sleeve: Tensor
    trouser: Tensor
    sock: Tensor
    hem: Tensor
    collar: Tensor
    hairline: Tensor
    nape: Tensor

    def to(self, device: torch.device | str) -> Looks:
        """The same looks on another device."""
        return Looks(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def draw_looks(people: Draws, recordings: Draws) -> Looks:
    """Dress the person of every recording.

    Args:
        people: One stream a recording, the same for recordings of one person.
        recordings: One stream a recording.
    """
    count, materials = len(recordings.ids), len(MATERIALS)
    colour = random_colours(recordings, "colour", materials)
    brightness = people.uniform("skin", 1, low=-1.5).exp()
    undertone = torch.tensor((1.0, 0.76, 0.62)) + people.normal("undertone", 3, sd=0.03)
    colour[:, SKIN] = (brightness * undertone).clamp(0.03, 1)
    dye = people.uniform("hair", 1, low=-3.0).exp() * torch.tensor((1.0, 0.8, 0.55))
    dyed = people.uniform("dyed", 1) < 0.1
    colour[:, HAIR] = torch.where(dyed, colour[:, HAIR], dye)
    colour[:, DARK] = 0.04
    contrast = torch.tensor(_GRAIN).repeat(count, 1)
    contrast[:, [UPPER, LOWER]] = recordings.uniform("contrast", 2, high=0.6)
    bounds = torch.tensor(_ODDS).cumsum(0)[:-1]
    pattern = torch.full((count, materials), PATTERNS.index("noise"))
    chosen = torch.bucketize(recordings.uniform("pattern", 2), bounds)
    pattern[:, [UPPER, LOWER]] = chosen
    naked = recordings.uniform("bare", 2)
    return Looks(
        colour=colour,
        accent=random_colours(recordings, "accent", materials),
        contrast=contrast,
        pattern=pattern,
        waves=_waves(recordings, count, materials),
        phases=recordings.uniform("phase", materials, 3, high=2 * torch.pi),
        sleeve=torch.where(naked[:, 0] < 0.1, -1.0, recordings.uniform("sleeve", high=2.3)),
        trouser=recordings.uniform("trouser", low=0.25, high=2.2),
        sock=recordings.uniform("sock", low=1.5, high=2.2),
        hem=recordings.uniform("hem", low=-0.9, high=0.2),
        collar=recordings.uniform("collar", low=-0.3, high=0.6),
        hairline=people.uniform("hairline", low=0.72, high=1.05),
        nape=people.uniform("nape", low=-0.5, high=0.3),
    )


def random_colours(draws: Draws, name: str, *shape: int) -> Tensor:
    """Colours of any hue, mostly not very saturated, from dark to light.

    Args:
        draws: One stream a row.
        name: Which quantity.
        shape: Colours a row.

    Returns:
        ``(n, *shape, 3)``, 0 to 1.
    """
    hue = draws.uniform(f"{name} hue", *shape, 3)
    saturation = draws.uniform(f"{name} saturation", *shape, 1).square()
    value = draws.uniform(f"{name} value", *shape, 1, low=0.06, high=1.0)
    low, high = hue.amin(-1, keepdim=True), hue.amax(-1, keepdim=True)
    vivid = (hue - low) / (high - low)
    return value * (1 - 0.9 * saturation * (1 - vivid))


def _waves(draws: Draws, count: int, materials: int) -> Tensor:
    """Wave vectors: the second perpendicular to the first, so that checks are square."""
    direction = draws.normal("wave direction", materials, 3, 3)
    first = torch.nn.functional.normalize(direction[..., 0, :], dim=-1)
    second = torch.linalg.cross(first, direction[..., 1, :], dim=-1)
    third = direction[..., 2, :]
    unit = torch.nn.functional.normalize(torch.stack((first, second, third), dim=-2), dim=-1)
    low, high = (torch.tensor(bound).log() for bound in _WAVELENGTH_MM)
    exponent = draws.uniform("wave length", materials, 1, 1)
    return unit * (2 * torch.pi / (low + (high - low) * exponent).exp())


class Wardrobe(nn.Module):
    """Materials of the surface of an ``EllipsoidSolids``.

    Args:
        solids: The solids.
    """

    _kind: Tensor
    _base: Tensor
    _sign: Tensor
    _length: Tensor
    _ahead: Tensor
    _size: Tensor

    def __init__(self, solids: EllipsoidSolids) -> None:
        super().__init__()
        roles = [_ROLE[SEGMENTS[i].name] for i in solids.segment.tolist()]
        stops = [SEGMENTS[i].stop for i in solids.segment.tolist()]
        constants = {
            "_kind": torch.tensor([_KINDS.index(kind) for kind, _, _ in roles]),
            "_base": torch.tensor([base for _, base, _ in roles]),
            "_sign": torch.tensor([sign for _, _, sign in roles]),
            "_length": solids.length,
            "_ahead": solids.start * solids.length,
            "_size": torch.tensor(stops, dtype=torch.float32),
        }
        for name, value in constants.items():
            self.register_buffer(name, value.clone(), persistent=False)

    def colours(self, surface: Surface, looks: Looks, lattice: Tensor) -> Tensor:
        """Colour of every hit before light falls on it.

        Args:
            surface: The hits.
            looks: Of the pictures.
            lattice: Noise in space.

        Returns:
            ``(H, 3)``, 0 to 1.
        """
        place = self._place(surface)
        material = self._materials(surface, place, looks)
        row = surface.picture * looks.colour.shape[1] + material
        share = pattern(place, row, looks, lattice)[:, None]
        colour, accent = (c.flatten(0, 1)[row] for c in (looks.colour, looks.accent))
        return torch.lerp(colour, accent, share)

    def _place(self, surface: Surface) -> Tensor:
        """Across, depth and along, from the start of the segment, ``(H, 3)``, mm."""
        ahead = self._ahead[surface.solid]
        return torch.cat((surface.point[:, :2], (surface.point[:, 2] + ahead)[:, None]), dim=-1)

    def _materials(self, surface: Surface, place: Tensor, looks: Looks) -> Tensor:
        solid, picture = surface.solid, surface.picture
        along = place[:, 2] / self._length[solid]
        garment = self._base[solid] + self._sign[solid] * along
        lower = garment < looks.hem[picture]
        leg = torch.where(garment < looks.trouser[picture], LOWER, SKIN)
        of_kind = {
            "trunk": torch.where(lower, LOWER, UPPER),
            "arm": torch.where(garment < looks.sleeve[picture], UPPER, SKIN),
            "hand": torch.full_like(solid, SKIN),
            "leg": torch.where(garment > looks.sock[picture], SHOES, leg),
            "foot": torch.where(place[:, 1] < -0.5 * self._size[solid, 1], DARK, SHOES),
            "neck": torch.where(garment < looks.collar[picture], UPPER, SKIN),
            "head": self._head(place, along, solid, picture, looks),
        }
        choices = torch.stack([of_kind[kind] for kind in _KINDS])
        return choices.gather(0, self._kind[solid][None])[0]

    def _head(
        self, place: Tensor, height: Tensor, solid: Tensor, picture: Tensor, looks: Looks
    ) -> Tensor:
        """Hair behind and on top; eyes and a mouth tell the front."""
        beside, ahead = (place[:, :2] / self._size[solid]).unbind(-1)
        hair = (height > looks.hairline[picture]) | (ahead < looks.nape[picture])
        eye, mouth = _EYE, _MOUTH
        eyes = ((beside.abs() - eye[0]).abs() < eye[2]) & ((height - eye[1]).abs() < eye[3])
        lips = (beside.abs() < mouth[1]) & ((height - mouth[0]).abs() < mouth[2])
        face = torch.where((eyes | lips) & (ahead > 0), DARK, SKIN)
        return torch.where(hair, HAIR, face)


def pattern(place: Tensor, row: Tensor, looks: Looks, lattice: Tensor) -> Tensor:
    """How far a point is from its material's colour to its accent, ``(H,)``, 0 to 1.

    Args:
        place: ``(H, 3)``, mm.
        row: Picture and material as one index, ``(H,)`` int64.
        looks: Of the pictures.
        lattice: Noise in space.
    """
    waves, phases = looks.waves.flatten(0, 1)[row], looks.phases.flatten(0, 1)[row]
    angle = (waves @ place[..., None])[..., 0] + phases  # (H, 3)
    first, second, third = angle.sin().unbind(-1)
    values = {
        "plain": torch.zeros_like(first),
        "stripes": torch.sigmoid(_SHARPNESS * first),
        "checks": torch.sigmoid(_SHARPNESS * first * second),
        "noise": (0.5 + 0.5 * space_noise(lattice, angle * _NOISE_CELL * 3)).clamp(0, 1),
        "blobs": torch.sigmoid(_SHARPNESS * (first + second + third - 0.8)),
    }
    stacked = torch.stack([values[name] for name in PATTERNS])
    kind = looks.pattern.flatten()[row]
    return looks.contrast.flatten()[row] * stacked.gather(0, kind[None])[0]
