"""MixSTE: transformer blocks over the joints of a frame and over the frames of a joint, in turn.

Zhang, Tu, Yang, Chen, Yuan: "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose
Estimation in Video", CVPR 2022, arXiv 2203.00859. Methods lift with it, encode a context with it,
or denoise with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import CheckpointError, check_shape
from lifting.files.tensors import State, check_names, strip_prefix
from lifting.nn.dropout import drop_path
from lifting.typing import Pose3D

NORM_EPS = 1e-6
MLP_RATIO = 2


@dataclass(frozen=True)
class MixsteSize:
    """Size and regularisation of the network.

    Attributes:
        frames: Length of a window.
        width: Channels of a joint in a frame.
        layers: Blocks over joints, and as many over frames.
        heads: Attention heads of a block.
        drop_path: Probability with which the last layer's branches are left out for a sequence; it
            rises linearly from none at the first.
        position_std: Spread of the starting features of joints and frames.
        stills: Is trained on single frames, too: attention over frames starts at zero.
    """

    frames: int
    width: int = 512
    layers: int = 8
    heads: int = 8
    drop_path: float = 0.0
    position_std: float = 0.0
    stills: bool = False

    @classmethod
    def of(cls, config: Any, frames: int) -> MixsteSize:
        """What a method's configuration asks for.

        Args:
            config: With the fields of the same names, and ``stills`` as a share.
            frames: Length of a window.
        """
        return cls(
            frames=frames,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            drop_path=config.drop_path,
            position_std=config.position_std,
            stills=config.stills > 0,
        )


class TransformerBlock(nn.Module):
    """Self-attention and a perceptron, each normalised first and around a shortcut.

    Args:
        width: Channels, a multiple of ``heads``.
        heads: Attention heads.
        rate: Probability of leaving out a sub-layer for a whole sequence, in training.
    """

    def __init__(self, width: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads = heads
        self.rate = rate
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.expand = nn.Linear(width, MLP_RATIO * width)
        self.contract = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor, *, attend: bool = True) -> Tensor:
        """Transform ``(sequences, length, width)``, with or without the attention."""
        rate = self.rate if self.training else 0.0
        if attend:
            x = x + drop_path(self._attend(self.attention_norm(x)), rate)
        inner = functional.gelu(self.expand(self.mlp_norm(x)))
        return x + drop_path(self.contract(inner), rate)

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(
            self.qkv(x), "n length (three heads c) -> three n heads length c",
            three=3, heads=self.heads,
        )  # fmt: skip
        mixed = functional.scaled_dot_product_attention(query, key, value)
        merged: Tensor = self.out(rearrange(mixed, "n heads length c -> n length (heads c)"))
        return merged


class Mixste(nn.Module):
    """All frames of a window at once, three channels out a joint.

    Each layer attends over the joints of a frame, then over the frames of a joint. One
    normalisation follows every block over joints, and another every block over frames.

    Args:
        joints: Joints of a pose.
        size: Length of the window, width, depth, heads, stochastic depth.
        inputs: Channels of a joint that come in.

    Source: Zhang et al. 2022, as the released video code of DiffPose and that of D3DP have it.
    """

    def __init__(self, joints: int, size: MixsteSize, inputs: int = 2) -> None:
        super().__init__()
        self.joints = joints
        self.size = size
        self.embed = nn.Linear(inputs, size.width)
        self.joint_position = nn.Parameter(torch.zeros(1, joints, size.width))
        self.frame_position = nn.Parameter(torch.zeros(1, size.frames, size.width))
        if size.position_std > 0:
            nn.init.normal_(self.joint_position, std=size.position_std)
            nn.init.normal_(self.frame_position, std=size.position_std)
        self.over_joints = _blocks(size)
        self.over_frames = _blocks(size)
        if size.stills:
            for block in self.over_frames:
                assert isinstance(block, TransformerBlock)
                nn.init.zeros_(block.out.weight)
                nn.init.zeros_(block.out.bias)
        self.joints_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.frames_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.output_norm = nn.LayerNorm(size.width)
        self.output = nn.Linear(size.width, 3)

    def forward(self, x: Tensor, told: Tensor | None = None, place: int | None = None) -> Pose3D:
        """The answer to ``(batch, frames, joints, inputs)``, ``(batch, frames, joints, 3)``.

        Args:
            x: Windows.
            told: Added once to the features of all frames and joints of a window,
                ``(batch, width)``; None adds nothing.
            place: That of single frames in a window, which are lifted without attention over
                frames; None is for whole windows.

        Raises:
            ShapeError: The window has another length, or the pose other joints.
        """
        answer: Tensor = self.output(self.features(x, told, place))
        return answer

    def features(self, x: Tensor, told: Tensor | None = None, place: int | None = None) -> Tensor:
        """What the answer is read from, ``(batch, frames, joints, width)``; as :meth:`forward`."""
        frames, inputs = self.size.frames, self.embed.in_features
        where: Tensor = self.frame_position
        if place is not None:
            frames, where = 1, where[:, place : place + 1]
        shape = f"batch frames joints {inputs}"
        check_shape("uv" if inputs == 2 else "x", x, shape, frames=frames, joints=self.joints)
        x = self.embed(x.flatten(0, 1)) + self.joint_position
        if told is not None:
            x = x + told.repeat_interleave(frames, dim=0)[:, None]
        for i, (over_joints, over_frames) in enumerate(
            zip(self.over_joints, self.over_frames, strict=True)
        ):
            x = self.joints_norm(over_joints(x))
            x = rearrange(x, "(batch frames) joints c -> (batch joints) frames c", frames=frames)
            if i == 0:
                x = x + where
            x = self.frames_norm(over_frames(x, attend=place is None))
            x = rearrange(
                x, "(batch joints) frames c -> (batch frames) joints c", joints=self.joints
            )
        found: Tensor = self.output_norm(x).unflatten(0, (-1, frames))
        return found


def _blocks(size: MixsteSize) -> nn.ModuleList:
    """One block a layer; stochastic depth rises linearly from none."""
    step = size.drop_path / max(1, size.layers - 1)
    return nn.ModuleList(
        TransformerBlock(size.width, size.heads, i * step) for i in range(size.layers)
    )


MODEL = "model_pos"
"""Key of the weights in the authors' files."""
_STACKS = {"over_joints": "STEblocks", "over_frames": "TTEblocks"}
_POSITIONS = {"joint_position": "Spatial_pos_embed", "frame_position": "Temporal_pos_embed"}
_ENDS = {
    "embed": "Spatial_patch_to_embedding",
    "joints_norm": "Spatial_norm",
    "frames_norm": "Temporal_norm",
    "output_norm": "head.0",
    "output": "head.1",
}
_PARTS = {
    "attention_norm": "norm1",
    "qkv": "attn.qkv",
    "out": "attn.proj",
    "mlp_norm": "norm2",
    "expand": "mlp.fc1",
    "contract": "mlp.fc2",
}


def model_part(content: Any, path: Path) -> State:
    """Weights of an authors' file by official name, without the prefix ``module.``.

    Args:
        content: What the file holds.
        path: Where it came from, for the message.

    Raises:
        CheckpointError: It is something else.
    """
    weights = content.get(MODEL) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise CheckpointError(
            f"expected a mapping with weights under '{MODEL}' in {path}, got "
            f"{type(content).__name__}; give the authors' checkpoint"
        )
    return strip_prefix(weights)


def import_mixste_state(official: Mapping[str, Tensor], layers: int) -> State:
    """Rename the authors' weights; shapes are the same.

    Args:
        official: Weights by official name, with or without the prefix ``module.``.
        layers: Depth of the network.

    Raises:
        CheckpointError: A weight is missing or unknown, or a value is no tensor.
    """
    given, names = strip_prefix(official), dict(official_names(layers))
    check_names(set(given), set(names.values()))
    return {ours: given[theirs] for ours, theirs in names.items()}


def export_mixste_state(state: Mapping[str, Tensor], layers: int) -> State:
    """Official names of our weights, inverse of :func:`import_mixste_state`."""
    return {theirs: state[ours] for ours, theirs in official_names(layers)}


def official_names(layers: int) -> Iterator[tuple[str, str]]:
    """Our name and the official one of every weight.

    Args:
        layers: Depth of the network.
    """
    yield from _POSITIONS.items()
    for kind in ("weight", "bias"):
        for ours, theirs in _ENDS.items():
            yield f"{ours}.{kind}", f"{theirs}.{kind}"
        for stack, their_stack in _STACKS.items():
            for i in range(layers):
                for ours, theirs in _PARTS.items():
                    yield f"{stack}.{i}.{ours}.{kind}", f"{their_stack}.{i}.{theirs}.{kind}"
