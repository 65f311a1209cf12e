"""The switches of GUMLP, the lifting network of UAO. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require


@dataclass
class Config:
    """Configuration of GUMLP and its training; the defaults are the released network.

    What test-time optimisation does with the network is set in the experiment's ``tto`` section.

    Attributes:
        hidden: Width of a joint's features.
        blocks: Blocks of graph convolution and the two perceptrons.
        encoder_hidden: Width between the two linear layers of the encoder.
        channel_hidden: Width at the bottom of the channel perceptron.
        spatial_factor: Widths of the spatial perceptron are the joints times this and times twice
            this.
        head_hidden: Width between the two linear layers of each head.
        channel_dropout: Dropout after each layer of the channel perceptron.
        spatial_dropout: Dropout after each layer of the spatial perceptron.
        drop_path: Probability with which the last block's branches are left out for a sample; it
            rises linearly from 0 at the first block.
        sigma_limits: Smallest and largest log error, natural log of metres, that the network
            answers, by a smooth bound; None sets no limit (released). The root's true position
            is always zero, so without a limit its log error falls as long as training lasts.
        sees: ``frame``, one at a time (released); ``window``, all frames of a window of the data,
            whose middle one is answered.
        input: ``screen``, the whole picture (released); ``person``, relative to the person's
            middle and size in each frame, with confidences; ``turned``, the same, seen by the
            camera turned towards the person.
        hidden_focal: Of ``person`` and ``turned``: share of the training samples whose focal
            length is not told, so that the network also serves pictures of unknown cameras.
    """

    hidden: int = 512
    blocks: int = 3
    encoder_hidden: int = 64
    channel_hidden: int = 256
    spatial_factor: int = 3
    head_hidden: int = 256
    channel_dropout: float = 0.1
    spatial_dropout: float = 0.05
    drop_path: float = 0.2
    sigma_limits: tuple[float, float] | None = None
    sees: Literal["frame", "window"] = "frame"
    input: Literal["screen", "person", "turned"] = "screen"
    hidden_focal: float = 0.5

    def __post_init__(self) -> None:
        for name in (
            "hidden", "blocks", "encoder_hidden", "channel_hidden", "spatial_factor",
            "head_hidden",
        ):  # fmt: skip
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("channel_dropout", "spatial_dropout", "drop_path"):
            require(self, name, 0 <= getattr(self, name) < 1, "between 0 and below 1")
        require(self, "hidden_focal", 0 <= self.hidden_focal <= 1, "from 0 to 1")
        limits = self.sigma_limits
        require(
            self,
            "sigma_limits",
            limits is None or limits[0] < limits[1],
            "null, or a smaller and a larger natural log of metres",
        )
