"""VideoPose3D under training."""

from __future__ import annotations

from torch import Tensor

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.methods.videopose3d.config import Config
from lifting.methods.videopose3d.lifter import Lifter
from lifting.nn.expected_error import lift_losses
from lifting.nn.units import MM_PER_METRE


class Module(Lifter, LiftingModule):
    """Trains and applies the temporal network.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: The window's length is not the network's receptive field.
    """

    length_matters = True  # the momentum of its normalisation

    def on_train_epoch_start(self) -> None:
        """Lower the momentum of batch normalisation, exponentially over the epochs."""
        epochs = self.trainer.estimated_stepping_batches / self.steps_per_epoch
        self.network.set_norm_momentum(norm_momentum(self.config, self.current_epoch / epochs))

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, in metres, of shape ``()``."""
        target, weights = self.target(batch) / MM_PER_METRE, self.label_weights(batch)
        return self.log_losses(
            lift_losses(self.lift(batch), target, weights, self.config.loss), batch
        )


def norm_momentum(config: Config, done: float) -> float:
    """Momentum of batch normalisation after a part of the training.

    Args:
        config: First and last value.
        done: Part of the epochs that are over, 0 to 1.

    Source: Pavllo et al. 2019, section 5 (exponential schedule from 0.1 to 0.001).
    """
    ratio = config.norm_momentum_final / config.norm_momentum
    return float(config.norm_momentum * ratio**done)
