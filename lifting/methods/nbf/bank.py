"""What the kernels and the background look like: features learned as running means.

No row is a parameter. Rows stay of unit length and travel with the checkpoint, the place of the
next background features included.

Source: released code of 3DNBF.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import check_shape


class FeatureBank(nn.Module):
    """Features of kernels by orientation, and of background.

    Args:
        orientations: Orientations of a kernel.
        kernels: Number of kernels.
        channels: Length of a feature.
        clutter: Background features that are remembered.
        momentum: Share of a row that an update keeps.
        seed: Of the random unit rows at the start.
    """

    features: Tensor
    clutter: Tensor
    place: Tensor
    seen: Tensor

    def __init__(
        self,
        orientations: int,
        kernels: int,
        channels: int,
        clutter: int = 1024,
        momentum: float = 0.9,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(orientations, kernels, channels, generator=generator)
        background = torch.randn(clutter, channels, generator=generator)
        self.momentum = momentum
        self.register_buffer("features", functional.normalize(rows, dim=-1))
        self.register_buffer("clutter", functional.normalize(background, dim=-1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(orientations, kernels, dtype=torch.int64))

    @torch.no_grad()
    def update(self, observed: Tensor, visible: Tensor, labels: Tensor) -> None:
        """Move the rows that were seen towards the mean of what was seen.

        Call it after the losses of a step were computed, with what all devices saw.

        Args:
            observed: Unit features of kernels, ``(batch, kernels, channels)``.
            visible: ``(batch, kernels)`` bool.
            labels: Orientation of each kernel, ``(batch, kernels)`` int64.
        """
        orientations, kernels, channels = self.features.shape
        check_shape("observed", observed, "batch k c", k=kernels, c=channels)
        row = labels * kernels + torch.arange(kernels, device=labels.device)
        weight = visible.to(self.features.dtype)
        sums = self.features.new_zeros(orientations * kernels, channels)
        # An unseen feature may be anything, also not finite; times zero it would stay so.
        usable = torch.where(visible[..., None], observed.to(sums.dtype), 0.0)
        sums.index_add_(0, row.flatten(), usable.flatten(0, 1))
        counts = sums.new_zeros(len(sums)).index_add_(0, row.flatten(), weight.flatten())
        mean = sums / counts.clamp(min=1)[:, None]
        flat = self.features.flatten(0, 1)
        moved = self.momentum * flat + (1 - self.momentum) * mean
        moved = functional.normalize(moved, dim=-1)
        changed = torch.where((counts > 0)[:, None], moved, flat)
        self.features.copy_(changed.view_as(self.features))
        self.seen += counts.view(orientations, kernels).long()

    @torch.no_grad()
    def remember(self, background: Tensor) -> None:
        """Overwrite the oldest background features.

        Args:
            background: Unit features, ``(samples, channels)``; the last are kept where they are
                more than are remembered.
        """
        background = background[-len(self.clutter) :]
        steps = torch.arange(len(background), device=background.device)
        self.clutter[(self.place + steps) % len(self.clutter)] = background.to(self.clutter.dtype)
        self.place.copy_((self.place + len(background)) % len(self.clutter))

    @torch.no_grad()
    def background(self, count: int = 1, rounds: int = 10) -> Tensor:
        """What background looks like: centres of the remembered features on the sphere.

        Args:
            count: Centres; one is the mean.
            rounds: Rounds of assignment and mean, by cosine.

        Returns:
            ``(count, channels)``, unit.
        """
        rows = self.clutter
        if count == 1:
            return functional.normalize(rows.mean(0, keepdim=True), dim=-1)
        centres = rows[:1]
        for _ in range(count - 1):  # each next one as unlike the others as any
            farthest = (rows @ centres.T).amax(-1).argmin()
            centres = torch.cat((centres, rows[farthest][None]))
        for _ in range(rounds):
            nearest = (rows @ centres.T).argmax(-1)
            sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
            empty = (torch.bincount(nearest, minlength=count) == 0)[:, None]
            centres = torch.where(empty, centres, functional.normalize(sums, dim=-1))
        return centres
