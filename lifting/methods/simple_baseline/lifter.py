"""The simple baseline with weights: one frame at a time."""

from __future__ import annotations

from lifting.batch import PoseBatch, Prediction, answered
from lifting.methods.lifter import SeeingLifter
from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config
from lifting.methods.simple_baseline.network import SimpleBaseline
from lifting.nn.expected_error import Lifted


class Lifter(SeeingLifter):
    """Applies the simple baseline.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = SimpleBaseline(len(self.skeleton), config)

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift the middle frame of each window, or each frame where all are the targets."""
        return self.prediction(self.lift(batch))

    def lift(self, batch: PoseBatch) -> Lifted:
        """Root-relative poses, ``(batch, targets, joints, 3)``."""
        seen = self.see(answered(batch, self.settings.target))
        return self.in_camera(self.network(seen), seen)
