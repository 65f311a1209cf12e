"""Options of the data set ``3dpw``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
