"""Latents by name as rows of one matrix, which is what the optimisers move."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lifting.errors import DataError, check_shape
from lifting.tto.contract import Latents


class FlatLatents:
    """Latents by name as rows of one matrix.

    Args:
        latents: The start; every tensor has the samples first.
        lr: Learning rate.
        lr_scale: Its factor by name, 1 for a missing name.

    Attributes:
        values: ``(samples, size)``, the start, single precision.
        rates: ``(size,)``, learning rate of each column.

    Raises:
        DataError: No latent, or one that is no floating-point tensor of all samples.
    """

    def __init__(self, latents: Latents, lr: float, lr_scale: Mapping[str, float]) -> None:
        _check_latents(latents)
        self.shapes = {name: value.shape[1:] for name, value in latents.items()}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.sizes = sizes
        # Latents and their steps need single precision: a step is below the resolution of half.
        self.values = torch.cat([v.detach().float().flatten(1) for v in latents.values()], dim=1)
        rates = [lr * lr_scale.get(name, 1.0) for name in self.shapes]
        self.rates = torch.tensor(rates, device=self.values.device).repeat_interleave(
            torch.tensor(sizes, device=self.values.device)
        )

    def unpack(self, values: Tensor) -> Latents:
        """Latents by name, of rows such as ``values``."""
        parts = torch.split(values, self.sizes, dim=1)
        return {
            name: part.reshape(len(values), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def _check_latents(latents: Latents) -> None:
    if not latents:
        raise DataError("expected latents to optimise, got none; let `encode` return at least one")
    samples = next(iter(latents.values())).shape[0]
    for name, value in latents.items():
        check_shape(f"latent '{name}'", value.flatten(1), "samples size", samples=samples)
        if not value.is_floating_point():
            raise DataError(
                f"expected latent '{name}' to be of floating point, got {value.dtype}; optimise "
                "numbers only, and keep the rest in the batch"
            )
