"""Random numbers by counter: a pure function of (seed, id, name, position).

A generator with a state would make clip 7 depend on how clips 0 to 6 were made. Here every number
is a hash, so clips can be made in any order and number.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_Words = npt.NDArray[np.uint64]


def _mix(words: _Words) -> _Words:
    """Scramble 64-bit words one to one.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@dataclass(frozen=True)
class Draws:
    """Independent streams of random numbers, one an id.

    Attributes:
        seed: Non-negative; different seeds share no stream.
        ids: ``(n,)`` int64, non-negative.
    """

    seed: int
    ids: Tensor

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers strictly inside (low, high).

        Args:
            name: Which quantity; another name gives independent numbers.
            shape: Numbers an id.
            low: Lower end.
            high: Upper end.

        Returns:
            ``(n, *shape)`` float32.
        """
        return (low + (high - low) * self._unit(name, shape)).float()

    def normal(self, name: str, *shape: int, mean: float = 0.0, sd: float = 1.0) -> Tensor:
        """Normal numbers, ``(n, *shape)`` float32; arguments as in uniform."""
        return (mean + sd * torch.special.ndtri(self._unit(name, shape))).float()

    def _unit(self, name: str, shape: tuple[int, ...]) -> Tensor:
        size = int(np.prod(shape, dtype=np.int64))
        ids = self.ids.numpy().astype(np.uint64)[:, None]
        key = np.uint64(zlib.crc32(name.encode()))
        place = np.arange(size, dtype=np.uint64)[None] + (key << np.uint64(20))
        seed = _mix(np.asarray([self.seed], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        words = _mix(_mix(_mix(seed) ^ ids) ^ place)
        # 52 bits plus a half are exact in double precision and never reach 0 or 1.
        unit = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return torch.from_numpy(unit).reshape(len(self.ids), *shape)
