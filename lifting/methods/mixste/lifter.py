"""MixSTE with weights."""

from __future__ import annotations

import torch

from lifting.batch import PoseBatch, Prediction, answered_frames
from lifting.methods.lifter import PoseLifter
from lifting.methods.mixste.config import Config
from lifting.methods.settings import ModuleSettings
from lifting.nn.mixste import Mixste, MixsteSize
from lifting.nn.units import from_network_units, to_network_units
from lifting.typing import Pose3D


class Lifter(PoseLifter):
    """Applies the network to whole windows.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        size = MixsteSize.of(config, settings.frames)
        self.network = Mixste(len(self.skeleton), size)

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift each window; of one whose middle is the target only that frame is answered."""
        pose = from_network_units(self.lift(batch))
        # Relative to the root without subtracting it, whose own place is near zero (released).
        others = torch.ones(len(self.skeleton), 1, device=pose.device, dtype=pose.dtype)
        others[self.skeleton.root] = 0
        return Prediction(skeleton=self.skeleton, joints_3d=pose * others)

    def lift(self, batch: PoseBatch, place: int | None = None) -> Pose3D:
        """The network's own poses, metres, ``(batch, targets, joints, 3)``.

        Args:
            batch: Windows.
            place: That of single frames in a window; None is for whole windows.

        Raises:
            ShapeError: The windows have another length than the network's.
        """
        keypoints = to_network_units(batch.keypoints_2d, batch.camera.size)
        return answered_frames(self.network(keypoints, place=place), self.settings.target)
