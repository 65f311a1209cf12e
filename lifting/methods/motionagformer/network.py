"""The network of MotionAGFormer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifting.errors import check_shape
from lifting.methods.motionagformer.config import Config
from lifting.methods.motionagformer.graph import (
    GraphMixer,
    TemporalConvolutions,
    frame_adjacency,
    joint_adjacency,
)
from lifting.nn.two_streams import (
    MixerBlock,
    Over,
    SelfAttention,
    StreamFusion,
    start_with_frames_apart,
)
from lifting.skeleton import Skeleton
from lifting.typing import Pose3D

NORM_EPS = 1e-5


class Layer(nn.Module):
    """Attention over joints, then frames, beside graphs of joints, then frames; and their mix.

    Args:
        skeleton: Graph of the joints.
        frames: Frames of a window.
        config: The switches.
    """

    def __init__(self, skeleton: Skeleton, frames: int, config: Config) -> None:
        super().__init__()
        self.config = config
        width, scale = config.inner_width, config.layer_scale

        def block(mixer: nn.Module) -> MixerBlock:
            return MixerBlock(mixer, width, config.mlp_ratio, eps=NORM_EPS, scale=scale)

        orders: tuple[Over, ...] = ("joints", "frames")
        attention = {
            over: SelfAttention(width, config.heads, over, bias=config.qkv_bias) for over in orders
        }
        graphs = {
            "joints": _joint_mixer(skeleton, config),
            "frames": _frame_mixer(frames, config),
        }
        if not config.bare_graphs:
            graphs = {over: block(mixer) for over, mixer in graphs.items()}
        self.attention = nn.ModuleDict({k: block(mixer) for k, mixer in attention.items()})
        self.graph = nn.ModuleDict(graphs)
        if config.stills > 0:
            start_with_frames_apart(self)
        self.fusion = StreamFusion(width) if config.streams == "adaptive" else None

    def forward(self, x: Tensor, *, windows: bool = True) -> Tensor:
        """Transform ``(batch, frames, joints, width)``.

        Args:
            x: To transform.
            windows: Mix the frames.
        """
        if self.config.streams == "hierarchical":
            first, second = x.chunk(2, dim=-1)
            seen = _stream(self.attention, first, windows)
            return torch.cat((seen, _stream(self.graph, second + seen, windows)), dim=-1)
        a, b = _stream(self.attention, x, windows), _stream(self.graph, x, windows)
        return (a + b) / 2 if self.fusion is None else self.fusion(a, b)


class MotionAgFormer(nn.Module):
    """Lifts all frames of a window of one length at once.

    Args:
        skeleton: Joints of both poses.
        frames: Frames of a window; batch normalisation has a weight for each.
        config: The switches.

    Source: Mehraban et al. 2024, section 3, and released code.
    """

    def __init__(self, skeleton: Skeleton, frames: int, config: Config) -> None:
        super().__init__()
        self.joints, self.frames = len(skeleton), frames
        width = config.width
        self.embed = nn.Linear(3, width)
        self.joint_position = nn.Parameter(torch.zeros(1, self.joints, width))
        if config.position_std > 0:
            nn.init.normal_(self.joint_position, std=config.position_std)
        self.layers = nn.ModuleList(Layer(skeleton, frames, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.represent = nn.Linear(width, config.representation)
        self.head = nn.Linear(config.representation, 3)

    def forward(self, keypoints: Tensor, place: int | None = None) -> Pose3D:
        """Lift ``(batch, frames, joints, 3)``, screen units and confidence.

        Args:
            keypoints: Of whole windows, or of single frames.
            place: That of single frames in a window, which are lifted without what mixes frames;
                None is for whole windows.

        Returns:
            Same shape, in the units it is trained for.

        Raises:
            ShapeError: The pose has other joints, or the window another length.
        """
        answer: Pose3D = self.head(self.encode(keypoints, place))
        return answer

    def encode(self, keypoints: Tensor, place: int | None = None) -> Tensor:
        """The motion representation, ``(batch, frames, joints, representation)``."""
        sizes = {"frames": self.frames if place is None else 1, "joints": self.joints}
        check_shape("keypoints", keypoints, "batch frames joints 3", **sizes)
        x = self.embed(keypoints) + self.joint_position
        for layer in self.layers:
            x = layer(x, windows=place is None)
        return torch.tanh(self.represent(self.norm(x)))


def _stream(blocks: nn.ModuleDict, x: Tensor, windows: bool) -> Tensor:
    for over, block in blocks.items():
        x = block(x) if windows or over == "joints" else block(x, mix=False)
    return x


def _joint_mixer(skeleton: Skeleton, config: Config) -> nn.Module:
    adjacency = joint_adjacency(skeleton, released=config.joint_graph == "released")
    return GraphMixer(config.inner_width, len(skeleton), "joints", adjacency)


def _frame_mixer(frames: int, config: Config) -> nn.Module:
    if config.frame_graph == "tcn":
        return TemporalConvolutions(config.inner_width)
    if config.frame_graph == "fixed":
        links = frame_adjacency(frames, config.links)
        return GraphMixer(config.inner_width, frames, "frames", links)
    return GraphMixer(config.inner_width, frames, "frames", None, config.neighbours)
