"""MotionAGFormer under training."""

from __future__ import annotations

from lifting.methods.clip_training import ClipTraining
from lifting.methods.motionagformer.lifter import Lifter


class Module(Lifter, ClipTraining):
    """Trains the network.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: The released graph of joints is asked for with other than 17 joints.
    """
