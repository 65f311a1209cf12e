"""The switches of VideoPose3D. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require


@dataclass
class Config:
    """Configuration of VideoPose3D.

    Attributes:
        filter_widths: Odd width of the convolution of each layer; their product is the length of
            the window (3, 3, 3 is 27 frames).
        channels: Width of the hidden layers.
        dropout: Probability of dropping a hidden value.
        norm_momentum: Momentum of batch normalisation in the first epoch.
        norm_momentum_final: Momentum that it falls to, exponentially, over the training.
        loss: ``distance`` is the published mean per-joint distance, ``squared`` the mean squared
            error; both in metres.
        input: ``screen``, the whole picture (published); ``person``, relative to the person's
            middle and size in each frame, with confidences; ``turned``, the same, seen by the
            camera turned towards the person.
        hidden_focal: Of ``person`` and ``turned``: share of the training samples whose focal
            length is not told, so that the network also serves pictures of unknown cameras.
        expected_error: Also state how far off each joint is expected to be.
    """

    filter_widths: tuple[int, ...] = (3, 3, 3)
    channels: int = 1024
    dropout: float = 0.25
    norm_momentum: float = 0.1
    norm_momentum_final: float = 0.001
    loss: Literal["distance", "squared"] = "distance"
    input: Literal["screen", "person", "turned"] = "screen"
    hidden_focal: float = 0.5
    expected_error: bool = False

    def __post_init__(self) -> None:
        odd = all(width >= 1 and width % 2 == 1 for width in self.filter_widths)
        require(self, "filter_widths", bool(self.filter_widths) and odd, "odd, positive widths")
        require(self, "channels", self.channels >= 1, "at least 1")
        require(self, "dropout", 0 <= self.dropout < 1, "between 0 and below 1")
        require(self, "norm_momentum", 0 < self.norm_momentum <= 1, "above 0, at most 1")
        require(
            self,
            "norm_momentum_final",
            0 < self.norm_momentum_final <= self.norm_momentum,
            f"above 0, at most norm_momentum={self.norm_momentum}",
        )
        require(self, "hidden_focal", 0 <= self.hidden_focal <= 1, "from 0 to 1")

    @property
    def receptive_field(self) -> int:
        """Frames that one answer depends on."""
        return math.prod(self.filter_widths)
