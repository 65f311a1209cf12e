"""The switches of FMPose3D. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require


@dataclass
class Config:
    """Configuration of FMPose3D; the defaults are the released network and test.

    Attributes:
        width: Width of a joint's features.
        layers: Blocks (scripts and published weights: 5, the command line's default: 3).
        heads: Attention heads.
        perceptron: Width of a block's perceptron, whatever ``width`` is.
        time_width: Numbers that the time becomes, half of them sines.
        dropout: Dropout in a block's perceptron.
        attention_dropout: Dropout on attention weights.
        projection_dropout: Dropout on the output of the attention.
        drop_path: Probability with which the last block's branches are left out for a sample; it
            rises linearly from 0 at the first block.
        root_target: Where the path of the root joint ends: at its ``absolute`` position in metres
            (released; published weights need it), or at ``zero``. It is no part of the answer.
        steps: Euler steps S from the noise to the pose.
        hypotheses: Draws N of noise for a pose.
        flip: Draw for the mirrored input as well, noise of its own, so that 2 N hypotheses become
            one answer (released). It takes the place of ``flip_test``.
        aggregation: How hypotheses become one answer: ``rpea``, the mean of those of a joint that
            project nearest to the keypoints, weighted by that (released); ``best_joint``, the one
            that projects nearest; ``mean`` (the authors' interface for images).
        kept: Hypotheses of a joint that count in RPEA.
        temperature: Reprojection error over which a weight in RPEA falls to its e-th part, screen
            units; 0.005 is 2.5 pixels of an image of 1000.
        root: Where hypotheses are projected from: ``estimated``, by least squares; ``truth``
            scores the answer by the labelled root as well (released), among the oracles, under
            the name ``oracle_root``.
    """

    width: int = 512
    layers: int = 5
    heads: int = 8
    perceptron: int = 1024
    time_width: int = 32
    dropout: float = 0.1
    attention_dropout: float = 0.2
    projection_dropout: float = 0.25
    drop_path: float = 0.2
    root_target: Literal["absolute", "zero"] = "absolute"
    steps: int = 3
    hypotheses: int = 1
    flip: bool = True
    aggregation: Literal["rpea", "best_joint", "mean"] = "rpea"
    kept: int = 8
    temperature: float = 0.005
    root: Literal["estimated", "truth"] = "estimated"

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "perceptron", "steps", "hypotheses", "kept"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        holds = self.width >= 2 and self.width % self.heads == 0
        require(self, "width", holds, f"at least 2 and a multiple of heads={self.heads}")
        even = self.time_width >= 2 and self.time_width % 2 == 0
        require(self, "time_width", even, "even and at least 2")
        for name in ("dropout", "attention_dropout", "projection_dropout", "drop_path"):
            require(self, name, 0 <= getattr(self, name) < 1, "between 0 and below 1")
        require(self, "temperature", self.temperature > 0, "above 0")
        plain = "'estimated' with a single hypothesis or aggregation 'mean', which project nothing"
        require(self, "root", self.root == "estimated" or self.projects, plain)

    @property
    def drawn(self) -> int:
        """Hypotheses of a pose, those of the mirrored input with them."""
        return 2 * self.hypotheses if self.flip else self.hypotheses

    @property
    def projects(self) -> bool:
        """Whether an answer depends on how hypotheses project."""
        return self.drawn > 1 and self.aggregation != "mean"
