"""The switches of MotionBERT. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.methods.clip_config import ClipConfig
from lifting.methods.settings import require


@dataclass
class Config(ClipConfig):
    """Configuration of MotionBERT.

    Attributes:
        width: Channels of the encoder; a multiple of ``heads``.
        depth: Layers, each of two streams.
        heads: Attention heads.
        mlp_ratio: Width of a perceptron's hidden layer over ``width``.
        representation: Channels of the motion representation that the pose is read from.
        max_frames: Frames that have a place in time; shorter windows take the first places. Null
            is the length of the data's windows.
        fusion: Mix the streams by weights read from both (released); else take their mean.
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
        position_std: Spread of the starting features of joints and frames (released: 0.02).
        pretrain_epochs: Epochs of the masked pretraining; 0 skips the stage.
        pretrain_lr: Learning rate of that stage; null takes the optimiser section's.
        mask_joints: Probability that a joint of a frame is hidden in pretraining.
        mask_frames: Probability that a frame of the whole batch is.
        noise_file: The authors' file of errors of a detector (``synthetic_noise.pth``). With it
            pretraining disturbs the projections of the labels by them; null takes the data's own
            keypoints, which have the errors of ``data.noise``.
        from_2d: Epoch of pretraining, counted from 0, from which keypoints without 3D labels are
            learnt from, too: the data's own, which are to be found again in the image. It needs
            ``image`` answers; null learns from labels only.
    """

    width: int = 512
    depth: int = 5
    heads: int = 8
    mlp_ratio: float = 2.0
    representation: int = 512
    max_frames: int | None = None
    fusion: bool = True
    pretrain_epochs: int = 0
    pretrain_lr: float | None = None
    mask_joints: float = 0.05
    mask_frames: float = 0.1
    noise_file: str | None = None
    from_2d: int | None = None
    position_std: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "depth", "heads", "representation"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "width", self.width % self.heads == 0, f"a multiple of heads={self.heads}")
        require(self, "mlp_ratio", self.width * self.mlp_ratio >= 1, "such that a channel is left")
        holds = self.max_frames is None or self.max_frames >= 1
        require(self, "max_frames", holds, "at least 1, or null")
        require(self, "pretrain_epochs", self.pretrain_epochs >= 0, "not negative")
        for name in ("mask_joints", "mask_frames"):
            require(self, name, 0 <= getattr(self, name) < 1, "between 0 and below 1")
        require(self, "position_std", self.position_std >= 0, "0 or more")
        holds = self.from_2d is None or (self.answer == "image" and self.from_2d >= 0)
        require(self, "from_2d", holds, "not negative with method.answer 'image', or null")
