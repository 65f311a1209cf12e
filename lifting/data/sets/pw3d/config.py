"""Options of the data set ``3dpw``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.data.describe import About, on_terms
from lifting.data.sets import Pictures, exact_by

NAME = "3dpw"
SUMMARY = "3DPW sequence files, outdoors, moving camera, 17 approximate joints"


@dataclass
class Config:
    """3DPW: ``sequenceFiles/{train,validation,test}/*.pkl``, the split of the data set itself.

    Attributes:
        two_d: ``openpose`` are the detections in the files; ``gt`` projects the labels.
        every: Keep every n-th frame of a sequence, as if filmed at 30 / n frames a second.
        joint_regressor: File ``.npy`` of a ``(17, 6890)`` matrix that gives Human3.6M's joints of
            SMPL's mesh, as published numbers use; None approximates them from the joint tree.
        body_model: With a regressor: SMPL model file or folder; None takes LIFTING_SMPL.
    """

    two_d: Literal["openpose", "gt"] = "openpose"
    every: int = 1
    joint_regressor: str | None = None
    body_model: str | None = None


exact = exact_by("pw3d")


def _file_fields(track: str) -> list[dict[str, object]]:
    """Tracks are the persons of a sequence."""
    recording, person = track.split("/")
    return [{"subject": person, "recording": recording, "camera": "0"}]


PICTURES = Pictures(("imageFiles/{recording}/image_{frame:05d}.jpg",), 0, _file_fields)
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
