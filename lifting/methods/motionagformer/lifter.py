"""MotionAGFormer with weights."""

from __future__ import annotations

from lifting.methods.clip_lifter import ClipLifter
from lifting.methods.motionagformer.config import Config
from lifting.methods.motionagformer.network import MotionAgFormer
from lifting.methods.settings import ModuleSettings


class Lifter(ClipLifter):
    """Applies the network to windows of the length it was built for.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: The released graph of joints is asked for with other than 17 joints.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = MotionAgFormer(self.skeleton, settings.frames, config)
