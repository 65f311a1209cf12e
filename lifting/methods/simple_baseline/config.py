"""The switches of the simple baseline. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require


@dataclass
class Config:
    """Configuration of the simple baseline.

    Attributes:
        channels: Width of the hidden layers.
        blocks: Residual blocks, of two linear layers each.
        dropout: Probability of dropping a hidden value.
        max_norm: Largest Euclidean norm of the weights into one unit, enforced after each step;
            0 is off.
        loss: ``distance`` is the mean per-joint distance, ``squared`` the published mean squared
            error; both in metres.
        input: ``screen``, the whole picture (published, but for its standardisation); ``person``,
            relative to the person's middle and size, with confidences; ``turned``, the same, seen
            by the camera turned towards the person.
        hidden_focal: Of ``person`` and ``turned``: share of the training samples whose focal
            length is not told, so that the network also serves pictures of unknown cameras.
        expected_error: Also state how far off each joint is expected to be.
    """

    channels: int = 1024
    blocks: int = 2
    dropout: float = 0.5
    max_norm: float = 0.0
    loss: Literal["distance", "squared"] = "distance"
    input: Literal["screen", "person", "turned"] = "screen"
    hidden_focal: float = 0.5
    expected_error: bool = False

    def __post_init__(self) -> None:
        require(self, "channels", self.channels >= 1, "at least 1")
        require(self, "blocks", self.blocks >= 0, "not negative")
        require(self, "dropout", 0 <= self.dropout < 1, "between 0 and below 1")
        require(self, "max_norm", self.max_norm >= 0, "not negative")
        require(self, "hidden_focal", 0 <= self.hidden_focal <= 1, "from 0 to 1")
