"""The switches of EpipolarPose's network of images. Imports no torch.

The defaults are the published network and recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lifting.methods.settings import require

DEPTHS = (18, 34, 50, 101, 152)
STRIDE = 32
NO_OCCLUDERS, PROCEDURAL = "none", "procedural"
# Keys of the refinement unit when it was a form of this method, and in the method of its own.
_OF_THE_UNIT = {
    "over": "over", "student_epochs": "base_epochs", "refiner_start": "start",
    **{f"refiner_{key}": key for key in ("width", "dropout", "activation", "joints", "lr")},
}  # fmt: skip


@dataclass
class Config:
    """Configuration of EpipolarPose.

    Attributes:
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
    """

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

    def __post_init__(self) -> None:
        require(self, "depth", self.depth in DEPTHS, f"one of {', '.join(map(str, DEPTHS))}")
        for name in ("width", "head_width", "min_joints"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "depth_cells", self.depth_cells >= 2, "at least 2")
        patch = self.patch
        require(
            self,
            "patch",
            patch >= STRIDE and patch % STRIDE == 0,
            f"a multiple of {STRIDE} pixels",
        )
        for name in ("margin", "sigma_px"):
            require(self, name, getattr(self, name) > 0, "above 0")
        for name in ("z_weight", "angle_spread"):
            require(self, name, getattr(self, name) >= 0, "not negative")
        for name in ("scale_spread", "gain_spread"):
            require(self, name, 0 <= getattr(self, name) < 1, "between 0 and below 1")
        for name in ("angle_chance", "min_confidence"):
            require(self, name, 0 <= getattr(self, name) <= 1, "between 0 and 1")
        least, most = self.occluder_count
        require(self, "occluder_count", 0 <= least <= most, "a smaller and a larger number from 0")
        require(
            self,
            "start",
            self.labels == "truth" or self.start is not None,
            "a file with a trained network with method.labels 'online', whose frozen copy labels",
        )

    @staticmethod
    def successor(section: Mapping[str, Any]) -> dict[str, Any]:
        """The method section of today for one of older versions, whose ``form`` was three methods.

        Args:
            section: With its ``name``; returned as it is where it has no ``form``.
        """
        values = dict(section)
        form = values.pop("form", None)
        if form is None:
            return values
        keypoint = dict(values.pop("keypoint", {}))
        unit = {new: values.pop(old) for old, new in _OF_THE_UNIT.items() if old in values}
        if form == "image":
            return values
        if form == "keypoint":
            lifter = keypoint.pop("lifter", "simple_baseline")
            base = {"name": lifter, **keypoint.pop("options", {})}
            return {"name": "epipolar_student", "base": base, **keypoint}
        return {"name": "refinement", **unit, "base": values if form == "refined" else {}}
