"""How a rig is solved. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.errors import ConfigError, suggest

FocalModel = Literal["shared", "each"]
Tangential = Literal["videopose", "brown"]


@dataclass
class TeacherOptions:
    """How cameras and joints are sought, and what is rejected. The defaults suit people on foot.

    Attributes:
        min_confidence: Keypoints below this confidence are not used.
        sigma: Standard deviation of a keypoint's coordinate, pixels; None estimates it from the
            residuals.
        sigma_max: Largest sigma that is believed while cameras are sought, pixels; None takes
            0.5 % of the larger side of the image.
        reject_sigmas: Keypoints further off than this many sigmas have no weight.
        min_angle: Joints whose rays meet under a smaller angle are rejected, degrees.
        min_joints: Frames with fewer accepted joints are dropped.
        pool_frames: Frames, evenly spread, that cameras are estimated from at most.
        hypotheses: Sets of five pairs that are tried for each pair of cameras.
        focal_model: Where intrinsics are unknown: one focal length over the image's larger side
            ``shared`` by all cameras, or one for ``each``.
        focal_guesses: The first guesses of it, over the image's larger side.
        tangential: Tangential model of the lenses' distortion, where it is known.
        repair_swaps: Exchange left and right of a view where that agrees clearly better.
        bones: Weight of the constancy of bone lengths, 1/mm: the reciprocal of the standard
            deviation that is believed. This and the two below hold back noise only: where
            keypoints are exact they change nothing.
        symmetry: Weight of the difference of left and right bones, 1/mm.
        acceleration: Weight of the second difference of joints over frames, 1/mm. The default
            suits 25 to 60 frames a second.
        bone_lengths: Known lengths, mm, by the name of the bone's lower joint; None takes those of
            the population. They give the scale where the cameras do not.
        stature: Height that the population's lengths are scaled to, mm; None for its mean.
        scale_rule: ``least_squares`` of the lengths, or the ``median`` of their ratios.
        shifts: Frames by which synchrony is tried at most; 0 does not try.
        seed: Of the draws.
    """

    min_confidence: float = 0.3
    sigma: float | None = None
    sigma_max: float | None = None
    reject_sigmas: float = 3.0
    min_angle: float = 5.0
    min_joints: int = 8
    pool_frames: int = 300
    hypotheses: int = 128
    focal_model: FocalModel = "shared"
    focal_guesses: tuple[float, ...] = (0.7, 0.9, 1.15, 1.5, 2.0)
    tangential: Tangential = "videopose"
    repair_swaps: bool = True
    bones: float = 0.05
    symmetry: float = 0.02
    acceleration: float = 0.02
    bone_lengths: dict[str, float] | None = None
    stature: float | None = None
    scale_rule: Literal["least_squares", "median"] = "least_squares"
    shifts: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        self.focal_guesses = tuple(self.focal_guesses)  # a list as a configuration holds it
        for name, known in (
            ("focal_model", ("shared", "each")),
            ("tangential", ("videopose", "brown")),
            ("scale_rule", ("least_squares", "median")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"unknown {name} '{value}'; {suggest(value, known)}")
        above = ("sigma", "sigma_max", "reject_sigmas", "min_joints", "pool_frames", "hypotheses")
        for name in (*above, "stature"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"expected {name} above 0, got {value}")
        for name in ("min_confidence", "min_angle", "bones", "symmetry", "acceleration", "shifts"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {name} from 0, got {getattr(self, name)}")
        if not self.focal_guesses or min(self.focal_guesses) <= 0:
            raise ConfigError(
                f"expected focal_guesses above 0, got {self.focal_guesses}; 1.0 is an image as "
                "large as the focal length"
            )
