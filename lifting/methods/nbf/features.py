"""Features of kernels by the orientation of their limb, and of background, as running means.

Each kernel has one feature for each of a few coarse orientations of the limb it belongs to, which
say which way it points as far as one view does not show it; the weights of the orientations are a
differentiable function of the limb's direction. The bank holds those features, and those of the
background. No row of it is a parameter. Rows stay of unit length and travel with the checkpoint,
the place of the next background features included.

Source: 3DNBF, arXiv 2308.10123, section 3.2, for the circle in the yz-plane; the released code for
bins of the depth component, and for the bank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ConfigError, check_shape
from lifting.typing import Points3D

LEAST_LENGTH = 1e-6


@dataclass(frozen=True)
class Orientation:
    """Coarse orientations of a limb.

    Attributes:
        kind: ``vmf_yz``, centres evenly on a circle in the yz-plane (paper); ``z_bins3``, in the
            plane, away from the camera, towards it (released).
        count: Orientations; 1 makes the features independent of the pose. Three with
            ``z_bins3``.
        kappa: Concentration of the centres on the circle.
        project: A direction's part in the yz-plane is taken as it is (``soft``, so a limb along x
            is undecided), or made a unit vector (``normalised``, paper).
        sharpness: Slope of the bins' edges.
        threshold: Depth component at which a bin ends.
    """

    kind: Literal["vmf_yz", "z_bins3"] = "vmf_yz"
    count: int = 4
    kappa: float = 4.0
    project: Literal["soft", "normalised"] = "soft"
    sharpness: float = 10.0
    threshold: float = 0.3

    def __post_init__(self) -> None:
        if self.count < 1 or (self.kind == "z_bins3" and self.count != 3):
            raise ConfigError(
                "expected at least 1 orientation, and 3 with z_bins3, got "
                f"{self.count} with {self.kind}; change method.orientations"
            )

    def weights(self, directions: Points3D) -> Tensor:
        """Probabilities of the orientations.

        Args:
            directions: Unit directions of limbs, ``(*batch, 3)``, camera frame.

        Returns:
            ``(*batch, orientations)``; with ``z_bins3`` they add up to one within 0.05 only.
        """
        check_shape("directions", directions, "*batch 3")
        if self.kind == "z_bins3":
            return self._bins(directions[..., 2])
        across = directions[..., 1:]
        if self.project == "normalised":
            across = functional.normalize(across, dim=-1, eps=LEAST_LENGTH)
        return (self.kappa * across @ self.centres(across).T).softmax(dim=-1)

    def labels(self, directions: Points3D) -> Tensor:
        """The orientation a limb has, ``(*batch,)`` int64."""
        if self.kind == "z_bins3":
            z = directions[..., 2]
            return (z > self.threshold).long() + 2 * (z < -self.threshold).long()
        return self.weights(directions).argmax(dim=-1)

    def centres(self, like: Tensor) -> Tensor:
        """Centres on the circle, y and z, ``(orientations, 2)``; the first is straight ahead."""
        angle = torch.arange(self.count, dtype=like.dtype, device=like.device)
        angle = angle * (2 * math.pi / self.count)
        return torch.stack((angle.sin(), angle.cos()), dim=-1)

    def _bins(self, z: Tensor) -> Tensor:
        def rises(value: Tensor) -> Tensor:
            return torch.sigmoid(self.sharpness * value)

        edge = self.threshold
        flat = rises(z + edge) + rises(edge - z) - 1
        return torch.stack((flat, rises(z - edge), rises(-z - edge)), dim=-1)


def expected_features(weights: Tensor, kernel_limb: Tensor, bank: Tensor) -> Tensor:
    """Mean feature of each kernel over the orientations of its limb, not normalised.

    Args:
        weights: Of the orientations, ``(batch, limbs, orientations)``.
        kernel_limb: Limb of each kernel, ``(kernels,)`` int64.
        bank: Features, ``(orientations, kernels, channels)``.

    Returns:
        ``(batch, kernels, channels)``.

    Source: 3DNBF, the expected kernel feature.
    """
    check_shape("bank", bank, "o k c", o=weights.shape[-1], k=len(kernel_limb))
    own = weights[:, kernel_limb]  # (batch, kernels, orientations)
    return torch.einsum("bko,okc->bkc", own.to(bank.dtype), bank)


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
