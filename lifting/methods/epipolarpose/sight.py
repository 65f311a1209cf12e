"""Errors of joints that a picture shows, and of those that it hides."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lifting.batch import PoseBatch, root_relative
from lifting.data.images.raycast import BEHIND_BODY, BEHIND_OBJECT, SEEN
from lifting.metrics.sums import Sums
from lifting.skeleton import Skeleton
from lifting.typing import Pose3D

SIGHT = "sight"
"""Extra of rendered pictures, ``(batch, 1, joints)``: which joints are seen."""
KEYS = {
    "seen_mpjpe_mm": SEEN,
    "behind_body_mpjpe_mm": BEHIND_BODY,
    "behind_object_mpjpe_mm": BEHIND_OBJECT,
}


class SightErrors:
    """Mean joint error by what hides a joint, over batches and processes; without the root.

    Args:
        skeleton: Joints of predictions and labels.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self._sums = Sums()

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        self._sums.to(device)
        return self

    def reset(self) -> None:
        """Forget everything."""
        self._sums.reset()

    @torch.no_grad()
    def update(self, joints: Pose3D, batch: PoseBatch) -> None:
        """Add a batch; nothing where its pictures do not tell what they show.

        Args:
            joints: Root-relative, ``(batch, 1, joints, 3)``, mm.
            batch: With labels.
        """
        if batch.joints_3d is None or SIGHT not in batch.extras:
            return
        root = self.skeleton.root
        error = (joints - root_relative(batch.joints_3d, root)).norm(dim=-1)
        counts = torch.ones_like(error, dtype=torch.bool)
        if batch.visible is not None:
            counts = counts & batch.visible
        counts[..., root] = False
        for key, state in KEYS.items():
            chosen = counts & (batch.extras[SIGHT] == state)
            self._sums.add(f"{key}/error", torch.where(chosen, error, 0.0).sum())
            self._sums.add(f"{key}/count", chosen.sum())

    def compute(self) -> dict[str, Tensor]:
        """Mean errors by key, mm; every process must call this. Keys without joints are absent."""
        totals = self._sums.totals()
        return {
            key: (totals[f"{key}/error"] / totals[f"{key}/count"]).to(self._sums.device)
            for key in KEYS
            if f"{key}/count" in totals and totals[f"{key}/count"] > 0
        }
