"""VideoPose3D with weights."""

from __future__ import annotations

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.errors import ConfigError
from lifting.methods.lifter import PoseLifter
from lifting.methods.settings import ModuleSettings
from lifting.methods.videopose3d.config import Config
from lifting.methods.videopose3d.network import TemporalNetwork, repeat_edges
from lifting.nn.units import from_network_units, to_network_units
from lifting.typing import Pose3D


class Lifter(PoseLifter):
    """Applies the temporal network.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: The window's length is not the network's receptive field.
    """

    config: Config

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

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the middle frame of each window, or each frame where all are the targets."""
        return Prediction(skeleton=self.skeleton, joints_3d=from_network_units(self.lift(batch)))

    def lift(self, batch: PoseBatch) -> Pose3D:
        """Root-relative metres, ``(batch, targets, joints, 3)``."""
        keypoints = to_network_units(batch.keypoints_2d, batch.camera.size)
        if self.settings.target == "middle":
            answer = self.network.middle(keypoints)
        else:
            answer = self.network(repeat_edges(keypoints, self.config.receptive_field // 2))
        return root_relative(answer, self.skeleton.root)
