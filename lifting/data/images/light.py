"""Lamps of a recording's room, and what they make of a surface's colour."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lifting.data.images.cast import Surface
from lifting.data.procedural.draws import Draws
from lifting.typing import RotationMatrix

_SHININESS = 12.0


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
