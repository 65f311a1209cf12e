"""The switches of EpipolarPose's forms and of the refinement unit. Imports no torch.

The defaults are the published network and recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lifting.errors import ConfigError
from lifting.methods.epipolarpose.keypoint_config import KeypointConfig

DEPTHS = (18, 34, 50, 101, 152)
STRIDE = 32
NO_OCCLUDERS, PROCEDURAL = "none", "procedural"


@dataclass
class Config:
    """Configuration of EpipolarPose.

    Attributes:
        form: ``image``, a network that answers images; ``refined``, the same and the refinement
            unit on top of it, in two stages; ``over``, the refinement unit on top of a trained
            model of any method, which ``over`` names; ``keypoint``, a lifting method as the
            student, for which ``keypoint`` alone counts of what follows.
        keypoint: The lifting student and its losses.
        depth: Layers of the residual network.
        width: Channels of its first layer (published: 64); the others are multiples.
        head_width: Channels of the deconvolutions (published: 256).
        volume: A volume of scores for each joint; else scores in the image and in depth apart,
            which no published model has.
        depth_cells: Cells along the depth (published: 64).
        align: What a cell's position is: its ``edge`` (released) or its ``center``.
        joints: Joints that the network answers: the ``skeleton``'s, or those of ``mpii16``, as the
            published models without 3D labels do; the skeleton's are made of them.
        patch: Side of the network's input, pixels, a multiple of 32 (published: 256).
        margin: Side of the stored pictures over that of the person's box of 2 m.
        channels_last: Keep the channels of features last in memory, as some convolutions like.
        start: File with weights to start from: those of a residual network by torchvision's names,
            the authors', or a checkpoint of this method. What does not fit starts anew.
        labels: What is learnt: the 3D labels of the data (``truth``), which are triangulated ones
            where the data section says so; or the triangulated answers of a frozen copy of the
            network that training started from (``online``), for several views with known cameras.
        loss: ``smooth_l1`` (released), ``l1`` or ``squared``.
        z_weight: Weight of the depth in the loss.
        norm: Divide prediction and label each by its own L1 norm over the batch (released: off).
        scale_spread: Standard deviation of the crop's random scale, limited to one deviation.
        angle_spread: Standard deviation of its random angle, degrees, limited to two.
        angle_chance: Probability of turning it at all.
        gain_spread: Half the range of the random gain of each colour.
        occluders: What is pasted over training images: ``none``, ``procedural`` shapes, or the
            cut-outs in a folder of png files with transparency (published: of Pascal VOC).
        occluder_count: Least and largest number of them.
        triangulation: Of the online labels: ``linear``, reweighted least squares of all views;
            ``released``, its parity form.
        sigma_px: Standard deviation of the 2D joints behind the online labels, pixels of the full
            image; a joint three times as far off in some view has no label.
        min_confidence: Confidence below which a view of a joint is not triangulated from.
        min_joints: Joints with a label that a person needs, else all are left out.
        student_epochs: Epochs of the network where the refinement unit follows.
        over: Checkpoint of the trained model that the refinement unit goes on top of.
        refiner_width: Width of the refinement unit (published: 1024).
        refiner_dropout: Its dropout (published: 0.5).
        refiner_activation: ``relu`` (released) or ``leaky`` (paper).
        refiner_joints: ``published``, the 15 of MPII without the hip, others stay; or ``all``.
        refiner_lr: Learning rate of the unit; it is multiplied by 0.96 every 100,000 steps.
        refiner_start: File with weights of the unit to start from: the authors', or a checkpoint
            of this method.
    """

    form: Literal["image", "refined", "over", "keypoint"] = "image"
    keypoint: KeypointConfig = field(default_factory=KeypointConfig)
    depth: int = 50
    width: int = 64
    head_width: int = 256
    volume: bool = True
    depth_cells: int = 64
    align: Literal["edge", "center"] = "edge"
    joints: Literal["skeleton", "mpii16"] = "skeleton"
    patch: int = 256
    margin: float = 1.0
    channels_last: bool = False
    start: str | None = None
    labels: Literal["truth", "online"] = "truth"
    loss: Literal["smooth_l1", "l1", "squared"] = "smooth_l1"
    z_weight: float = 1.0
    norm: bool = False
    scale_spread: float = 0.25
    angle_spread: float = 30.0
    angle_chance: float = 0.6
    gain_spread: float = 0.2
    occluders: str = NO_OCCLUDERS
    occluder_count: tuple[int, int] = (1, 7)
    triangulation: Literal["linear", "released"] = "linear"
    sigma_px: float = 5.0
    min_confidence: float = 0.3
    min_joints: int = 8
    student_epochs: int = 140
    over: str | None = None
    refiner_width: int = 1024
    refiner_dropout: float = 0.5
    refiner_activation: Literal["relu", "leaky"] = "relu"
    refiner_joints: Literal["published", "all"] = "published"
    refiner_lr: float = 1e-3
    refiner_start: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.keypoint, dict):  # as a checkpoint holds it
            self.keypoint = KeypointConfig(**self.keypoint)
        if self.form == "keypoint":
            self.keypoint.lifter_config()
        self._require("depth", self.depth in DEPTHS, f"one of {', '.join(map(str, DEPTHS))}")
        for name in ("width", "head_width", "min_joints", "student_epochs", "refiner_width"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("depth_cells", self.depth_cells >= 2, "at least 2")
        patch = self.patch
        self._require(
            "patch", patch >= STRIDE and patch % STRIDE == 0, f"a multiple of {STRIDE} pixels"
        )
        for name in ("margin", "sigma_px", "refiner_lr"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("z_weight", "angle_spread"):
            self._require(name, getattr(self, name) >= 0, "not negative")
        for name in ("scale_spread", "gain_spread", "refiner_dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "between 0 and below 1")
        for name in ("angle_chance", "min_confidence"):
            self._require(name, 0 <= getattr(self, name) <= 1, "between 0 and 1")
        least, most = self.occluder_count
        self._require("occluder_count", 0 <= least <= most, "a smaller and a larger number from 0")
        self._require(
            "start",
            self.labels == "truth" or self.start is not None,
            "a file with a trained network with method.labels 'online', whose frozen copy labels",
        )
        self._require(
            "over",
            (self.over is not None) == (self.form == "over"),
            "the checkpoint to refine with method.form 'over', and null with the others",
        )

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ConfigError(
                f"expected method.{name} to be {expected}, got {getattr(self, name)!r}; "
                "change it in the method section"
            )
