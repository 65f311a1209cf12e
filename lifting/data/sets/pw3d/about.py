"""3DPW in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

ABOUT = About(
    files=(("sequenceFiles/train/*.pkl", "sequenceFiles/validation/*.pkl",
            "sequenceFiles/test/*.pkl"),),
    page="https://virtualhumans.mpi-inf.mpg.de/3DPW",
    facts=(
        ("content", "60 outdoor sequences of one or two persons, one moving camera of 1080 x "
                    "1920, 30 Hz; SMPL's 24 joints in metres and OpenPose's 18"),
        ("split", "the data set's own: 24 train, 12 validation, 24 test"),
        ("joints", "approximated from SMPL's, or regressed from its mesh with a model and a "
                   "regressor of yours (data.pw3d.joint_regressor)"),
        ("how to get the files", "accept the licence, download and unpack sequenceFiles.zip"),
        *on_terms("non-commercial research only"),
    ),
)  # fmt: skip
