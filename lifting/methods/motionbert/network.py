"""The network of MotionBERT, DSTformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifting.errors import ShapeError, check_shape
from lifting.methods.motionbert.config import Config
from lifting.nn.two_streams import (
    MixerBlock,
    Over,
    SelfAttention,
    StreamFusion,
    start_with_frames_apart,
)
from lifting.typing import Pose3D

NORM_EPS = 1e-6
START_STD = 0.02
OVER: tuple[Over, ...] = ("joints", "frames")


class Layer(nn.Module):
    """A stream over joints, then frames; another over frames, then joints; and their mix.

    Args:
        config: Width, heads, perceptron, fusion.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.joints_first, self.frames_first = (
            nn.ModuleDict({over: _block(config, over) for over in OVER}) for _ in range(2)
        )
        self.fusion = StreamFusion(config.width) if config.fusion else None

    def forward(self, x: Tensor, *, windows: bool = True) -> Tensor:
        """Transform ``(batch, frames, joints, width)``.

        Args:
            x: To transform.
            windows: Attend over the frames.
        """
        a, b = self.joints_first, self.frames_first
        first = a["frames"](a["joints"](x), mix=windows)
        second = b["joints"](b["frames"](x, mix=windows))
        return (first + second) / 2 if self.fusion is None else self.fusion(first, second)


class Dstformer(nn.Module):
    """Lifts all frames of a window at once.

    Args:
        joints: Joints of both poses.
        frames: Frames that have a place in time.
        config: Sizes and fusion.

    Source: Zhu et al. 2023, section 3.1, and released code.
    """

    def __init__(self, joints: int, frames: int, config: Config) -> None:
        super().__init__()
        self.joints, self.frames = joints, frames
        width = config.width
        self.embed = nn.Linear(3, width)
        self.joint_position = nn.Parameter(torch.zeros(1, joints, width))
        self.frame_position = nn.Parameter(torch.zeros(1, frames, 1, width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.represent = nn.Linear(width, config.representation)
        self.head = nn.Linear(config.representation, 3)
        self._start(config)

    def forward(self, keypoints: Tensor, place: int | None = None) -> Pose3D:
        """Lift ``(batch, frames, joints, 3)``, screen units and confidence.

        Args:
            keypoints: Of at most as many frames as have a place.
            place: That of single frames in a window, which are lifted without attention over
                frames; None is for windows.

        Returns:
            Same shape, in the units it is trained for.

        Raises:
            ShapeError: The pose has other joints, or the window more frames than have a place.
        """
        answer: Pose3D = self.head(self.encode(keypoints, place))
        return answer

    def encode(self, keypoints: Tensor, place: int | None = None) -> Tensor:
        """The motion representation, ``(batch, frames, joints, representation)``."""
        check_shape("keypoints", keypoints, "batch frames joints 3", joints=self.joints)
        if place is not None:
            check_shape("keypoints", keypoints, "batch frames joints 3", frames=1)
        frames = keypoints.shape[1]
        if frames > self.frames:
            raise ShapeError(
                f"expected at most {self.frames} frames, got keypoints of shape "
                f"{tuple(keypoints.shape)}; cut shorter windows, or set method.max_frames"
            )
        first = place or 0
        where = self.frame_position[:, first : first + frames]
        x = self.embed(keypoints) + self.joint_position + where
        for layer in self.layers:
            x = layer(x, windows=place is None)
        return torch.tanh(self.represent(self.norm(x)))

    def _start(self, config: Config) -> None:
        """The released starting weights; the cut of the normal is two units away, in no reach."""
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=START_STD)
                nn.init.zeros_(part.bias)
        for part in self.modules():
            if isinstance(part, StreamFusion):
                part.start()
        if config.position_std > 0:
            for place in (self.joint_position, self.frame_position):
                nn.init.trunc_normal_(place, std=config.position_std)
        if config.stills > 0:
            start_with_frames_apart(self)


def _block(config: Config, over: Over) -> MixerBlock:
    attention = SelfAttention(config.width, config.heads, over)
    return MixerBlock(attention, config.width, config.mlp_ratio, eps=NORM_EPS)
