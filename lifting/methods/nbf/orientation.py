"""Which way a limb points, as far as one view does not show it.

Each kernel has one feature for each of a few coarse orientations of the limb it belongs to; the
weights of the orientations are a differentiable function of the limb's direction.

Source: 3DNBF, arXiv 2308.10123, section 3.2, for the circle in the yz-plane; the released code for
bins of the depth component.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
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
