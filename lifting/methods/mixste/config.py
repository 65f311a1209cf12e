"""The switches of MixSTE. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require


@dataclass
class Config:
    """Configuration of MixSTE; the sizes are the released ones.

    The window is ``data.frames`` long, and each of its frames has a learned place.

    Attributes:
        width: Channels of a joint in a frame.
        layers: Blocks over joints, and as many over frames.
        heads: Attention heads of a block.
        drop_path: Probability with which the last layer's branches are left out for a sequence;
            it rises linearly from none at the first.
        loss: ``distance`` is the mean per-joint distance, ``squared`` the mean squared error; both
            in metres.
        velocity: Weight of the mean distance of velocities from one frame to the next, metres;
            0 is off (released: 2, beside the distance weighted by joint).
        position_std: Spread of the starting features of joints and frames (released: 0).
        stills: Share of a training batch's windows of which only the middle frame is taken, at a
            place in the window that is drawn, and lifted without what mixes frames, which does
            nothing at the start; a still counts as much as a window (released: none).
    """

    width: int = 512
    layers: int = 8
    heads: int = 8
    drop_path: float = 0.0
    loss: Literal["distance", "squared"] = "distance"
    velocity: float = 0.0
    position_std: float = 0.0
    stills: float = 0.0

    def __post_init__(self) -> None:
        require(self, "layers", self.layers >= 1, "at least 1")
        require(self, "heads", self.heads >= 1, "at least 1")
        whole = self.width >= 1 and self.width % self.heads == 0
        require(self, "width", whole, f"a multiple of heads={self.heads}")
        require(self, "drop_path", 0 <= self.drop_path < 1, "between 0 and below 1")
        require(self, "velocity", self.velocity >= 0, "0 or more")
        require(self, "position_std", self.position_std >= 0, "0 or more")
        require(self, "stills", 0 <= self.stills < 1, "between 0 and below 1")
