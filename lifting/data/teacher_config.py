"""The teacher of a data section: from which views and cameras its labels are made. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from lifting.teacher.options import FocalModel, TeacherOptions

Labels = Literal["truth", "epipolar"]
KnownCameras = Literal["given", "intrinsics", "sizes"]


@dataclass
class TeacherConfig:
    """Labels triangulated from the keypoints of several views, where ``labels`` is ``epipolar``.

    Every recording is a rig of its own. What follows ``validation`` are the options of
    :class:`lifting.teacher.options.TeacherOptions`, where they are described.

    Attributes:
        cameras: What the teacher is told of the cameras: all that the data hold (``given``), their
            ``intrinsics``, or the ``sizes`` of the images only. The rest is estimated, and so is
            the scale where the places of the cameras are: by the lengths of people's bones.
        views: Names of the views to use, the last part of a track's name; empty takes all.
        held_out: Name of a view that neither makes labels nor is trained on.
        accept: Least verdict on a rig: ``low`` leaves out the unusable ones only.
        validation: Labels of the validation split: the teacher's (``labels``), so that no 3D truth
            chooses a checkpoint; or the ``truth``, where there is one.
    """

    cameras: KnownCameras = "given"
    views: tuple[str, ...] = ()
    held_out: str | None = None
    accept: Literal["good", "low"] = "low"
    validation: Literal["labels", "truth"] = "labels"
    min_confidence: float = TeacherOptions.min_confidence
    sigma: float | None = TeacherOptions.sigma
    sigma_max: float | None = TeacherOptions.sigma_max
    reject_sigmas: float = TeacherOptions.reject_sigmas
    min_angle: float = TeacherOptions.min_angle
    min_joints: int = TeacherOptions.min_joints
    pool_frames: int = TeacherOptions.pool_frames
    hypotheses: int = TeacherOptions.hypotheses
    focal_model: FocalModel = TeacherOptions.focal_model
    focal_guesses: tuple[float, ...] = TeacherOptions.focal_guesses
    repair_swaps: bool = TeacherOptions.repair_swaps
    bones: float = TeacherOptions.bones
    symmetry: float = TeacherOptions.symmetry
    acceleration: float = TeacherOptions.acceleration
    bone_lengths: dict[str, float] | None = None
    stature: float | None = TeacherOptions.stature
    scale_rule: Literal["least_squares", "median"] = TeacherOptions.scale_rule
    shifts: int = TeacherOptions.shifts
    seed: int = TeacherOptions.seed

    def options(self) -> TeacherOptions:
        """How a rig is solved.

        Raises:
            ConfigError: A number is out of range.
        """
        own = ("cameras", "views", "held_out", "accept", "validation")
        values = {k: v for k, v in asdict(self).items() if k not in own}
        return TeacherOptions(**{**values, "focal_guesses": tuple(values["focal_guesses"])})
