"""Options of the data set ``humaneva``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.data.describe import About, on_terms
from lifting.data.sets import exact_by

SUMMARY = "HumanEva-I in the npz form of VideoPose3D, 15 joints, three cameras"


@dataclass
class Config:
    """HumanEva-I: ``data_3d_humaneva15.npz`` and ``data_2d_humaneva15_<two_d>.npz``.

    A 2D file without an ending, ``data_2d_humaneva15.npz``, is ``gt``.

    The recordings of ``Train`` train, those of ``Validate`` test.

    Attributes:
        two_d: Ending of the 2D file, for example ``gt`` or ``detectron_pt_coco``.
        subjects: Subjects to train and test on.
        val_subjects: Subjects whose training recordings validate instead of training; when empty
            ``val_holdout`` says what validates.
        val_holdout: Without ``val_subjects``: every n-th training recording validates instead of
            training; 0 holds none out: every 20th then validates although it is trained on.
        actions: Actions to keep; empty keeps all five.
        cameras: Cameras to keep; empty keeps all three.
        every: Keep every n-th frame of a recording, as if filmed at 60 / n frames a second.
        skeleton: Joints wished for, as ``data.skeleton`` says it for any data set; older files
            say it here.
        drop_corrupt: Leave out S3's walking, whose motion capture is damaged.
    """

    two_d: str = "gt"
    subjects: tuple[str, ...] = ("S1", "S2", "S3")
    val_subjects: tuple[str, ...] = ()
    val_holdout: int = 0
    actions: tuple[str, ...] = ("Walking", "Jog", "Box")
    cameras: tuple[str, ...] = ()
    every: int = 1
    skeleton: Literal["humaneva15", "h36m17"] = "humaneva15"
    drop_corrupt: bool = False


exact = exact_by("humaneva")
ABOUT = About(
    files=(("data_3d_humaneva15.npz", "data_2d_humaneva15*.npz"),),
    page="http://humaneva.is.tue.mpg.de",
    facts=(
        ("content", "3 subjects, 5 actions in pieces, three cameras of 640 x 480, 60 Hz, 15 "
                    "joints; metres, world frame, z up; extrinsics are built in, intrinsics "
                    "estimated"),
        ("split", "Train/S1-S3 train and validate, Validate/S1-S3 test"),
        ("keypoints", "data_2d_humaneva15_<two_d>.npz: gt (also without an ending), "
                      "detectron_pt_coco"),
        ("how to get the files", "register, download, and convert with the scripts of "
                                 "VideoPose3D"),
        *on_terms("registration; research use only"),
    ),
)  # fmt: skip
