"""How people look: skin and hair of a person, clothes and their patterns of a recording.

Left and right share everything, so that no colour tells one side from the other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lifting.data.procedural.draws import Draws

MATERIALS = ("skin", "upper", "lower", "shoes", "hair", "dark")
SKIN, UPPER, LOWER, SHOES, HAIR, DARK = range(len(MATERIALS))
PATTERNS = ("plain", "stripes", "checks", "noise", "blobs")
_ODDS = (0.2, 0.2, 0.2, 0.2, 0.2)
_WAVELENGTH_MM = (40.0, 220.0)
_GRAIN = (0.10, 0.0, 0.0, 0.25, 0.35, 0.0)  # contrast of what is no patterned cloth


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
