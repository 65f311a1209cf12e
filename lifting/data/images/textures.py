"""Random textures: grids drawn large for pictures, and noise in space for surfaces."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from lifting.data.procedural.draws import Draws
from lifting.data.sampler import stream

CELLS = (4, 8, 16, 32)
_LATTICE = 32
_OCTAVES = 3
_NOISE = 1 << 20


def draw_grids(draws: Draws, name: str) -> tuple[Tensor, ...]:
    """Grids of uniform numbers between -1 and 1, one of each size in ``CELLS``.

    Args:
        draws: One stream a picture.
        name: Which quantity.

    Returns:
        ``(n, cells, cells)`` of each size.
    """
    return tuple(draws.uniform(f"{name} {c}", c, c, low=-1.0) for c in CELLS)


def enlarge(grid: Tensor, size: int) -> Tensor:
    """A grid drawn smoothly over a picture, ``(n, cells, cells)`` to ``(n, size, size)``."""
    weights = _bicubic(grid.shape[-1], size).to(grid)
    return weights @ grid @ weights.T


@lru_cache(maxsize=64)
def _bicubic(cells: int, size: int) -> Tensor:
    """Weights of bicubic enlargement along one axis, ``(size, cells)``."""
    unit = torch.eye(cells)[None, None]
    return functional.interpolate(unit, (size, cells), mode="bicubic")[0, 0]


def space_lattice(seed: int) -> Tensor:
    """Random numbers between -1 and 1 on a cube that repeats, for ``space_noise``."""
    cube = 2 * torch.rand(_LATTICE, _LATTICE, _LATTICE, generator=stream(seed, _LATTICE)) - 1
    for axis in range(3):
        cube = torch.cat((cube, cube.narrow(axis, 0, 1)), dim=axis)
    return cube


def space_noise(lattice: Tensor, points: Tensor) -> Tensor:
    """Three octaves of smooth noise.

    Args:
        lattice: From ``space_lattice``.
        points: ``(n, 3)``, in cells of the first octave.

    Returns:
        ``(n,)``, about -1 to 1.
    """
    total = torch.zeros_like(points[:, 0])
    for octave in range(_OCTAVES):
        place = (points * 2**octave).remainder(_LATTICE) * (2 / _LATTICE) - 1
        grid = place.view(1, 1, 1, -1, 3)
        found = functional.grid_sample(lattice[None, None], grid, align_corners=True)
        total = total + 0.5**octave * found.view(-1)
    return total


def sensor_noise(seed: int) -> Tensor:
    """Standard normal numbers, from which a picture takes a run that starts anywhere."""
    return torch.randn(_NOISE, generator=stream(seed, _NOISE))


def noise_runs(numbers: Tensor, start: Tensor, length: int) -> Tensor:
    """Runs of consecutive numbers, around the end to the beginning.

    Args:
        numbers: ``(m,)``.
        start: Where each run begins, 0 to 1, ``(n,)``.
        length: Of a run.

    Returns:
        ``(n, length)``.
    """
    first = (start * len(numbers)).long()[:, None]
    steps = torch.arange(length, device=numbers.device)
    return numbers[(first + steps) % len(numbers)]
