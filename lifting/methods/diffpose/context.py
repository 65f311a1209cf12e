"""The context encoder of windows (MixSTE), and the one of either form, applied.

Both forms are applied to poses that lie one after another.
"""

from __future__ import annotations

from lifting.batch import flip_pose, root_relative
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.folded import FoldedTrunk
from lifting.methods.diffpose.network import ContextEncoder, Encoded, NetworkSize
from lifting.nn.mixste import Mixste, MixsteSize
from lifting.nn.units import flip_screen
from lifting.skeleton import Skeleton
from lifting.typing import Pose2D


class VideoSize(MixsteSize):
    """Size and regularisation of the encoder; see ``Config`` for the meaning of each."""

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


class VideoContextEncoder(Mixste):
    """MixSTE: lifts all frames of a window at once; the root is not forced to zero.

    It takes ``(batch, frames, joints, 2)``, screen units, and answers in metres.
    """

    def encode(self, uv: Pose2D) -> Encoded:
        """The lifted poses and the features they were read from.

        Args:
            uv: ``(batch, frames, joints, 2)``, screen units.

        Returns:
            Both with the axes ``(batch, frames, joints, channels)``.

        Raises:
            ShapeError: The window has another length, or the pose other joints.
        """
        feature = self.features(uv)
        return Encoded(self.output(feature), feature)


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


def _encode(encoder: Encoder, uv: Pose2D) -> Encoded:
    if isinstance(encoder, VideoContextEncoder):
        windows = uv.reshape(-1, encoder.size.frames, *uv.shape[1:])
        encoded = encoder.encode(windows)
        return Encoded(encoded.pose.flatten(0, 1), encoded.feature.flatten(0, 1))
    return encoder.encode(uv)
