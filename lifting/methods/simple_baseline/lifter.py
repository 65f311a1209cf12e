"""The simple baseline with weights: one frame at a time."""

from __future__ import annotations

from lifting.batch import PoseBatch, Prediction, answered_frames, root_relative
from lifting.methods.lifter import PoseLifter
from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config
from lifting.methods.simple_baseline.network import SimpleBaseline
from lifting.nn.units import from_network_units, to_network_units
from lifting.typing import Pose3D


class Lifter(PoseLifter):
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
        return Prediction(skeleton=self.skeleton, joints_3d=from_network_units(self.lift(batch)))

    def lift(self, batch: PoseBatch) -> Pose3D:
        """Root-relative metres, ``(batch, targets, joints, 3)``."""
        keypoints = answered_frames(batch.keypoints_2d, self.settings.target)
        answer = self.network(to_network_units(keypoints, batch.camera.size))
        return root_relative(answer, self.skeleton.root)
