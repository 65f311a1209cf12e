"""What a point of the body's surface is made of, and the colour it has."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifting.body.ellipsoid import EllipsoidSolids
from lifting.body.ellipsoid_layout import SEGMENTS
from lifting.data.images.cast import Surface
from lifting.data.images.looks import DARK, HAIR, LOWER, PATTERNS, SHOES, SKIN, UPPER, Looks
from lifting.data.images.noise import space_noise

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
