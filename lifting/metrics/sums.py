"""Named sums that add up over batches and over processes.

One reduction of floating sums and one of counts joins all processes, whatever names each of them
has met: a process without samples simply contributes zeros.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, distributed

_Layout = dict[str, tuple[tuple[int, ...], bool]]


class Sums:
    """Float64 sums and int64 counts by name, on one device."""

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}
        self._device = torch.device("cpu")

    @property
    def device(self) -> torch.device:
        """Where the sums are."""
        return self._device

    def add(self, name: str, value: Tensor) -> None:
        """Add to a sum, which begins at zero; integers and flags become int64.

        Args:
            name: Name of the sum.
            value: Of the same shape each time.
        """
        if not value.is_floating_point():
            value = value.long()
        elif value.device.type != "mps":
            value = value.double()
        held = self._values.get(name)
        if held is not None:
            held += value.detach()
        elif torch.is_inference_mode_enabled():
            # Sums begun in inference mode could not be added to outside it.
            with torch.inference_mode(False):
                self._values[name] = value.detach().clone()
        else:
            self._values[name] = value.detach().clone()

    def reset(self) -> None:
        """Forget all sums."""
        self._values.clear()

    def to(self, device: torch.device | str) -> Self:
        """Move the sums; later values must come from the same device."""
        self._device = torch.device(device)
        self._values = {k: v.to(self._device) for k, v in self._values.items()}
        return self

    def totals(self) -> dict[str, Tensor]:
        """Sums over all processes, on the processor; every process must call this.

        Returns:
            By name, each of the shape that was added.
        """
        if distributed.is_available() and distributed.is_initialized():
            values = self._reduced()
        else:
            values = self._values
        return {name: _wide(value.cpu()) for name, value in sorted(values.items())}

    def _reduced(self) -> dict[str, Tensor]:
        local: _Layout = {
            k: (tuple(v.shape), v.is_floating_point()) for k, v in self._values.items()
        }
        gathered: list[_Layout] = [{} for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(gathered, local)
        layout = {k: v for part in gathered for k, v in part.items()}
        reduced: dict[str, Tensor] = {}
        for floating in (True, False):
            names = sorted(k for k, (_, is_float) in layout.items() if is_float == floating)
            if names:
                reduced |= self._reduce(names, layout, floating)
        return reduced

    def _reduce(self, names: list[str], layout: _Layout, floating: bool) -> dict[str, Tensor]:
        wide = torch.float32 if self._device.type == "mps" else torch.float64
        dtype = wide if floating else torch.int64
        parts = []
        for name in names:
            shape = layout[name][0]
            held = self._values.get(name)
            parts.append(torch.zeros(shape, dtype=dtype, device=self._device).flatten()
                         if held is None else held.flatten())  # fmt: skip
        flat = torch.cat(parts)
        distributed.all_reduce(flat)
        split = torch.split(flat, [part.numel() for part in parts])
        return {n: v.reshape(layout[n][0]) for n, v in zip(names, split, strict=True)}


def _wide(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value
