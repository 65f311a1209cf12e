"""The context encoder of windows (MixSTE), and the one of either form, applied.

MixSTE has transformer blocks over the joints and over the frames, in turn. Both forms are applied
to poses that lie one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lifting.batch import flip_pose, root_relative
from lifting.errors import check_shape
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.folded import FoldedTrunk
from lifting.methods.diffpose.network import ContextEncoder, Encoded, NetworkSize
from lifting.nn.dropout import drop_path
from lifting.skeleton import Skeleton
from lifting.typing import Pose2D, Pose3D

NORM_EPS = 1e-6
MLP_RATIO = 2


@dataclass(frozen=True)
class VideoSize:
    """Size and regularisation of the encoder; see ``Config`` for the meaning of each."""

    frames: int
    width: int = 512
    layers: int = 8
    heads: int = 8
    drop_path: float = 0.0

    @classmethod
    def of(cls, config: Config, frames: int) -> VideoSize:
        """The size a configuration asks for, on windows of ``frames`` frames."""
        return cls(
            frames,
            config.context_width,
            config.context_layers,
            config.context_heads,
            config.context_drop_path,
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

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(sequences, length, width)``."""
        rate = self.rate if self.training else 0.0
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


class VideoContextEncoder(nn.Module):
    """MixSTE: lifts all frames of a window at once; the root is not forced to zero.

    Each layer attends over the joints of a frame, then over the frames of a joint. One
    normalisation follows every block over joints, and another every block over frames.

    Args:
        joints: Joints of both poses.
        size: Length of the window, width, depth, heads, stochastic depth.

    Source: Zhang et al. 2022 (MixSTE), as the released video code of DiffPose has it: no dropout,
    no stochastic depth.
    """

    def __init__(self, joints: int, size: VideoSize) -> None:
        super().__init__()
        self.joints = joints
        self.size = size
        self.embed = nn.Linear(2, size.width)
        self.joint_position = nn.Parameter(torch.zeros(1, joints, size.width))
        self.frame_position = nn.Parameter(torch.zeros(1, size.frames, size.width))
        self.over_joints = _blocks(size)
        self.over_frames = _blocks(size)
        self.joints_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.frames_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.output_norm = nn.LayerNorm(size.width)
        self.output = nn.Linear(size.width, 3)

    def forward(self, uv: Pose2D) -> Pose3D:
        """Lift ``(batch, frames, joints, 2)``, screen units, to ``(batch, frames, joints, 3)``.

        Returns:
            Metres.

        Raises:
            ShapeError: The window has another length, or the pose other joints.
        """
        return self.encode(uv).pose

    def encode(self, uv: Pose2D) -> Encoded:
        """The lifted poses and the features they were read from; arguments as :meth:`forward`.

        Returns:
            Both with the axes ``(batch, frames, joints, channels)``.
        """
        frames = self.size.frames
        check_shape("uv", uv, "batch frames joints 2", frames=frames, joints=self.joints)
        x = self.embed(uv.flatten(0, 1)) + self.joint_position
        for i, (over_joints, over_frames) in enumerate(
            zip(self.over_joints, self.over_frames, strict=True)
        ):
            x = self.joints_norm(over_joints(x))
            x = rearrange(x, "(batch frames) joints c -> (batch joints) frames c", frames=frames)
            if i == 0:
                x = x + self.frame_position
            x = self.frames_norm(over_frames(x))
            x = rearrange(
                x, "(batch joints) frames c -> (batch frames) joints c", joints=self.joints
            )
        feature = self.output_norm(x).unflatten(0, (-1, frames))
        return Encoded(self.output(feature), feature)


def _blocks(size: VideoSize) -> nn.ModuleList:
    """One block a layer; stochastic depth rises linearly from none."""
    step = size.drop_path / max(1, size.layers - 1)
    return nn.ModuleList(
        TransformerBlock(size.width, size.heads, i * step) for i in range(size.layers)
    )


AnyContextEncoder = ContextEncoder | VideoContextEncoder
Encoder = AnyContextEncoder | FoldedTrunk


def build_context(config: Config, skeleton: Skeleton, frames: int) -> AnyContextEncoder:
    """The context encoder that a configuration asks for.

    Args:
        config: The switches.
        skeleton: Joints of both poses.
        frames: Length of a window, for the video form.
    """
    if config.context == "mixste":
        return VideoContextEncoder(len(skeleton), VideoSize.of(config, frames))
    encoder = ContextEncoder(skeleton, NetworkSize.of(config))
    if config.shared_init:
        encoder.share_initial_weights()
    return encoder


def encode_poses(encoder: Encoder, uv: Pose2D, skeleton: Skeleton, *, flip: bool) -> Encoded:
    """Root-relative poses of a context encoder and their features, ``(batch, joints, channels)``.

    Args:
        encoder: Of either form, the former folded or not.
        uv: ``(batch, joints, 2)``, screen units; for the video form whole windows.
        skeleton: Gives root and symmetry.
        flip: Average the pose with the mirrored input's, mirrored back.

    Source: released video code for the average.
    """
    pose, feature = _encode(encoder, uv)
    if flip:
        mirrored = _encode(encoder, flip_screen(uv, skeleton)).pose
        pose = (pose + flip_pose(mirrored, skeleton)) / 2
    return Encoded(root_relative(pose, skeleton.root), feature)


def flip_screen(uv: Pose2D, skeleton: Skeleton) -> Pose2D:
    """Mirror keypoints: negate u and exchange left and right. An involution.

    Args:
        uv: ``(*batch, joints, 2)``, screen units.
        skeleton: Gives the symmetry of the joints.
    """
    index = torch.tensor(skeleton.flip_index, device=uv.device)
    return uv.index_select(-2, index) * uv.new_tensor((-1.0, 1.0))


def _encode(encoder: Encoder, uv: Pose2D) -> Encoded:
    if isinstance(encoder, VideoContextEncoder):
        windows = uv.reshape(-1, encoder.size.frames, *uv.shape[1:])
        encoded = encoder.encode(windows)
        return Encoded(encoded.pose.flatten(0, 1), encoded.feature.flatten(0, 1))
    return encoder.encode(uv)
