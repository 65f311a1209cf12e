"""MotionBERT with weights."""

from __future__ import annotations

from lifting.errors import ConfigError
from lifting.methods.clip_lifter import ClipLifter
from lifting.methods.motionbert.config import Config
from lifting.methods.motionbert.network import Dstformer
from lifting.methods.settings import ModuleSettings


class Lifter(ClipLifter):
    """Applies DSTformer.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Windows are longer than there are places in time.
    """

    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.network = Dstformer(len(self.skeleton), places(config, settings.frames), config)


def places(config: Config, frames: int) -> int:
    """Frames that have a place in time.

    Args:
        config: Says how many, or leaves it to the data.
        frames: Of the data's windows.

    Raises:
        ConfigError: There are fewer than a window has.
    """
    if config.max_frames is None:
        return frames
    if config.max_frames < frames:
        raise ConfigError(
            f"expected windows of at most method.max_frames={config.max_frames} frames, got "
            f"data.frames={frames}; set either to the other, or max_frames to null"
        )
    return config.max_frames
