"""Options of the data set ``3doh50k``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.describe import About, on_terms
from lifting.data.sets import Pictures, always_exact

NAME = "3doh50k"
SUMMARY = "3DOH50K, single images of people behind objects, 17 approximate joints"


@dataclass
class Config:
    """3DOH50K: ``trainset/annots.json`` and ``testset/annots.json``, and the images beside them.

    Attributes:
        holdout: Share of the training images, the last of them, that validates instead of
            training.
        every: Keep every n-th image of a split.
        joint_regressor: File ``.npy`` of a ``(17, 6890)`` matrix that gives Human3.6M's joints of
            SMPL's mesh, as published numbers use; None approximates them from the joint tree.
        body_model: With a regressor: neutral SMPL model file, or its folder; None takes
            LIFTING_SMPL.
        max_bytes: Largest ``annots.json`` that is read; more is taken for a trap.
    """

    holdout: float = 0.05
    every: int = 1
    joint_regressor: str | None = None
    body_model: str | None = None
    max_bytes: int = 1024**3


exact = always_exact


def _file_fields(track: str) -> list[dict[str, object]]:
    """A track is an image, named by its path."""
    folder, _, path = track.partition("/")
    return [{"subject": folder, "recording": path, "camera": "0"}]


PICTURES = Pictures(("{subject}/{recording}",), 0, _file_fields)
ABOUT = About(
    files=tuple((f"train{s}/annots.json", f"test{s}/annots.json") for s in ("set", "")),
    page="https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html",
    facts=(
        ("content", "50,310 training and 1,290 test images, each of a person behind "
                    "objects; SMPL's 24 joints and parameters, a camera each, no detections"),
        ("split", "its own; the last training images validate (data.oh50k.holdout)"),
        ("joints", "from SMPL's, or with a regressor of yours (data.oh50k.joint_regressor)"),
        ("how to get the files", "accept the licence, download and unpack both parts"),
        *on_terms("non-commercial research only"),
    ),
)  # fmt: skip
