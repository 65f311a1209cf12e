"""The switches of MotionAGFormer. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.clip_config import ClipConfig
from lifting.methods.settings import require

BRANCHES = 4


@dataclass
class Config(ClipConfig):
    """Configuration of MotionAGFormer. Its weights are for windows of ``data.frames`` frames.

    Attributes:
        width: Channels; a multiple of ``heads``.
        layers: Number of layers, each of two streams.
        heads: Attention heads.
        mlp_ratio: Width of a perceptron's hidden layer over ``width``.
        representation: Channels of the motion representation that the pose is read from.
        joint_graph: Neighbours of a joint: ``released``, the table of the released code, in which
            three bones lead one way only, whatever the 17 joints are; or the bones of the
            ``skeleton``, both ways.
        frame_graph: Neighbours of a frame: those most alike by ``similarity`` (released), the next
            ones (``fixed``), or a ``tcn``, convolutions over time in the graph's place.
        neighbours: Frames most alike, itself among them, for ``similarity``.
        links: Next frames, for ``fixed``.
        streams: How attention and graphs are mixed: ``adaptive``, by weights read from both
            (released); their ``mean``; or ``hierarchical``, half of the channels each, attention
            first.
        bare_graphs: Graph mixers without normalisation, perceptron and shortcut around them.
        layer_scale: Start of the factors of all branches; null has no factors.
        qkv_bias: Offsets of queries, keys and values.
        answer: ``metric``, joints relative to the root in metres. ``image`` is the released form,
            screen units: the place of a joint in the image, and its depth from the root by the
            scale of the image at the root. Such an answer has no length of its own: it is given
            the mean size of the people of the training, and beside it, where there are labels,
            scored as ``oracle_factor`` with the true scale of each frame.
        root: Of the answer in training: ``relative`` to each frame's; or of ``image`` answers
            ``first_frame``, a place in the image and a depth from the first frame's root.
        confidence: Read the keypoints' confidence; else all count as seen.
        loss: Weights of the terms.
        stills: Share of a training batch's windows of which only the middle frame is taken, at a
            place in the window that is drawn, and lifted without what mixes frames, which does
            nothing at the start; a still counts as much as a window (released: none).
        position_std: Spread of the starting features of joints (released: 0).
    """

    width: int = 128
    layers: int = 16
    heads: int = 8
    mlp_ratio: float = 4.0
    representation: int = 512
    joint_graph: Literal["released", "skeleton"] = "skeleton"
    frame_graph: Literal["similarity", "fixed", "tcn"] = "similarity"
    neighbours: int = 2
    links: int = 1
    streams: Literal["adaptive", "mean", "hierarchical"] = "adaptive"
    bare_graphs: bool = False
    layer_scale: float | None = 1e-5
    qkv_bias: bool = False
    position_std: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "layers", "heads", "representation", "neighbours", "links"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        holds = not (self.stills and self.bare_graphs)
        require(self, "stills", holds, "0 with bare_graphs, which have no way around them")
        require(self, "position_std", self.position_std >= 0, "0 or more")
        inner = self.inner_width
        holds = self.width % (self.width // inner) == 0 and inner % self.heads == 0
        share = "half of it in each stream, " if inner < self.width else ""
        require(self, "width", holds, f"{share}a multiple of heads={self.heads}")
        require(self, "mlp_ratio", inner * self.mlp_ratio >= 1, "such that a channel is left")
        holds = self.frame_graph != "tcn" or inner % BRANCHES == 0
        require(self, "width", holds, f"in a stream a multiple of the {BRANCHES} branches of tcn")

    @property
    def inner_width(self) -> int:
        """Channels of a stream."""
        return max(1, self.width // 2) if self.streams == "hierarchical" else self.width
