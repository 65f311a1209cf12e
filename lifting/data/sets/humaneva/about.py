"""HumanEva-I in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

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
