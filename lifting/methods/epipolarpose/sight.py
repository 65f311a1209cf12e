"""Errors of joints that a picture shows, and of those that it hides."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
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


class SightErrors(Callback):
    """Logs the mean joint error of a test by what hides a joint; without the root.

    Args:
        skeleton: Joints of predictions and labels.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self._sums = Sums()

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the last test."""
        self._sums.to(pl_module.device)
        self.reset()

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Prediction,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score what the callbacks before left in the prediction."""
        self.update(outputs.joints_3d, batch)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the test scores."""
        pl_module.log_dict({f"test/{key}": value for key, value in self.compute().items()})

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
