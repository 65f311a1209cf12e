"""The simple baseline under training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.methods.simple_baseline.lifter import Lifter
from lifting.nn.expected_error import lift_losses
from lifting.nn.units import MM_PER_METRE


class Module(Lifter, LiftingModule):
    """Trains and applies the simple baseline, one frame at a time.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.
    """

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, in metres, of shape ``()``."""
        target, weights = self.target(batch) / MM_PER_METRE, self.label_weights(batch)
        return self.log_losses(
            lift_losses(self.lift(batch), target, weights, self.config.loss), batch
        )

    def on_train_batch_end(self, outputs: Any, batch: PoseBatch, batch_idx: int) -> None:
        """Enforce the limit on the weights' norm."""
        if self.config.max_norm:
            self.network.limit_norms(self.config.max_norm)
