"""VideoPose3D under training and prediction."""

from __future__ import annotations

from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.errors import ConfigError
from lifting.methods.base import LiftingModule
from lifting.methods.settings import ModuleSettings
from lifting.methods.videopose3d.config import Config
from lifting.methods.videopose3d.network import TemporalNetwork, repeat_edges
from lifting.nn.pose_loss import pose_loss
from lifting.nn.units import MM_PER_METRE, from_network_units, to_network_units
from lifting.typing import Pose3D


class Module(LiftingModule):
    """Trains and applies the temporal network.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: The window's length is not the network's receptive field.
    """

    config: Config

    length_matters = True  # the momentum of its normalisation

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        field = config.receptive_field
        if settings.target == "middle" and settings.frames != field:
            raise ConfigError(
                f"expected windows of {field} frames, the product of method.filter_widths="
                f"{tuple(config.filter_widths)}, got data.frames={settings.frames}; "
                f"set data.frames to {field}"
            )
        self.network = TemporalNetwork(len(self.skeleton), config)

    def on_train_epoch_start(self) -> None:
        """Lower the momentum of batch normalisation, exponentially over the epochs."""
        epochs = self.trainer.estimated_stepping_batches / self.steps_per_epoch
        self.network.set_norm_momentum(norm_momentum(self.config, self.current_epoch / epochs))

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, in metres, of shape ``()``."""
        target = self.target(batch) / MM_PER_METRE
        loss = pose_loss(self._lift(batch), target, self.label_weights(batch), self.config.loss)
        return self.log_losses({"pose": loss}, batch)

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the middle frame of each window, or each frame where all are the targets."""
        return Prediction(skeleton=self.skeleton, joints_3d=from_network_units(self._lift(batch)))

    def _lift(self, batch: PoseBatch) -> Pose3D:
        keypoints = to_network_units(batch.keypoints_2d, batch.camera.size)
        if self.settings.target == "middle":
            answer = self.network.middle(keypoints)
        else:
            answer = self.network(repeat_edges(keypoints, self.config.receptive_field // 2))
        return root_relative(answer, self.skeleton.root)


def norm_momentum(config: Config, done: float) -> float:
    """Momentum of batch normalisation after a part of the training.

    Args:
        config: First and last value.
        done: Part of the epochs that are over, 0 to 1.

    Source: Pavllo et al. 2019, section 5 (exponential schedule from 0.1 to 0.001).
    """
    ratio = config.norm_momentum_final / config.norm_momentum
    return float(config.norm_momentum * ratio**done)
