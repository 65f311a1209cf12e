"""The switches of D3DP. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require

Aggregation = Literal["mean", "median", "best_joint", "best_pose"]


@dataclass
class Config:
    """Configuration of D3DP; the defaults are the released ones.

    The window is ``data.frames`` long, and each of its frames has a learned place.

    Attributes:
        width: Channels of a joint in a frame.
        layers: Blocks over joints, and as many over frames.
        heads: Attention heads of a block.
        drop_path: Probability with which the last layer's branches are left out for a sequence
            in training; it rises linearly from none at the first.
        diffusion_steps: Noise levels.
        signal_scale: Factor on the poses, not on the noise, which sets how noisy a level is.
        clamp: Largest coordinate, metres from the root times ``signal_scale``, of what the
            denoiser sees and of what its answer counts for.
        eta: Share of fresh noise in a sampling step, 0 to 1.
        hypotheses: Sequences that are drawn for an answer.
        sampling_steps: Calls of the denoiser for each, one after the other.
        flip: ``inside`` averages the denoiser's answer with the mirrored one's in every step;
            ``none`` does not. ``flip_test`` averages final answers, which is not the same.
        gradient: ``plain`` is that of the loss, ``released`` that of half its square.
        aggregation: How hypotheses become one answer: their ``mean``, ``median``, each joint of
            the hypothesis that projects it nearest to its keypoint (``best_joint``, JPMA), or the
            hypothesis that projects nearest as a whole (``best_pose``).
        root: Where hypotheses stand when they are projected: at the place that explains the
            keypoints best (``estimated``), which is the answer always; ``truth`` adds, where there
            are labels, the answer that the true place gives (released), which is an oracle's.
        quick_validation: One hypothesis in one step decides about checkpoints (released).
        position_std: Spread of the starting features of joints and frames (released: 0).
        stills: Share of a training batch's windows of which only the middle frame is taken, at a
            place in the window that is drawn, and lifted without what mixes frames, which does
            nothing at the start; a still counts as much as a window (released: none).
    """

    width: int = 512
    layers: int = 8
    heads: int = 8
    drop_path: float = 0.1
    diffusion_steps: int = 1000
    signal_scale: float = 1.0
    clamp: float = 1.1
    eta: float = 1.0
    hypotheses: int = 5
    sampling_steps: int = 5
    flip: Literal["inside", "none"] = "inside"
    gradient: Literal["plain", "released"] = "released"
    aggregation: Aggregation = "best_joint"
    root: Literal["estimated", "truth"] = "estimated"
    quick_validation: bool = True
    position_std: float = 0.0
    stills: float = 0.0

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "hypotheses"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        whole = self.width >= 4 and self.width % 2 == 0 and self.width % self.heads == 0
        require(self, "width", whole, f"even, a multiple of heads={self.heads}, at least 4")
        require(self, "drop_path", 0 <= self.drop_path < 1, "between 0 and below 1")
        require(self, "diffusion_steps", self.diffusion_steps >= 2, "at least 2")
        for name in ("signal_scale", "clamp"):
            require(self, name, getattr(self, name) > 0, "above 0")
        require(self, "eta", 0 <= self.eta <= 1, "between 0 and 1")
        fits = 1 <= self.sampling_steps <= self.diffusion_steps
        require(self, "sampling_steps", fits, f"1 to diffusion_steps={self.diffusion_steps}")
        require(self, "position_std", self.position_std >= 0, "0 or more")
        require(self, "stills", 0 <= self.stills < 1, "between 0 and below 1")
        told = "estimated, unless several hypotheses are projected by method.aggregation"
        require(self, "root", self.root == "estimated" or self.projects, told)

    @property
    def projects(self) -> bool:
        """Whether hypotheses are projected for an answer."""
        return self.hypotheses > 1 and self.aggregation in ("best_joint", "best_pose")
