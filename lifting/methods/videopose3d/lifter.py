"""VideoPose3D with weights."""

from __future__ import annotations

from lifting.batch import PoseBatch, Prediction, answered_frames
from lifting.errors import ConfigError
from lifting.methods.lifter import SeeingLifter
from lifting.methods.settings import ModuleSettings
from lifting.methods.videopose3d.config import Config
from lifting.methods.videopose3d.network import TemporalNetwork, repeat_edges
from lifting.nn.expected_error import Lifted
from lifting.nn.inputs import Seen


class Lifter(SeeingLifter):
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
        return self.prediction(self.lift(batch))

    def lift(self, batch: PoseBatch) -> Lifted:
        """Root-relative poses, ``(batch, targets, joints, 3)``."""
        seen = self.see(batch)
        if self.settings.target == "middle":
            answer = self.network.middle(seen)
        else:
            edge = self.config.receptive_field // 2
            whole = None if seen.whole is None else repeat_edges(seen.whole, edge)
            answer = self.network(Seen(repeat_edges(seen.joints, edge), whole))
        if seen.turn is not None:
            seen = seen._replace(turn=answered_frames(seen.turn, self.settings.target))
        return self.in_camera(answer, seen)
