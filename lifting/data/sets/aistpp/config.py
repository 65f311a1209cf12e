"""Options of the data set ``aistpp``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.data.describe import About, on_terms
from lifting.data.sets import exact_by

SUMMARY = "AIST++ annotations, dance before nine cameras, 17 joints of COCO (CC BY 4.0)"


@dataclass
class Config:
    """AIST++: ``keypoints3d``, ``keypoints2d``, ``cameras``, ``splits`` and ``ignore_list.txt``.

    Attributes:
        two_d: ``detected`` are the keypoints of the files; ``gt`` projects the labels.
        split: Which lists of ``splits`` divide the sequences.
        views: Cameras to read, of ``c01`` to ``c09``; empty for all.
        every: Keep every n-th frame, as if filmed at 60 / n frames a second.
    """

    two_d: Literal["detected", "gt"] = "detected"
    split: Literal["pose", "crossmodal"] = "pose"
    views: tuple[str, ...] = ()
    every: int = 1


exact = exact_by("aistpp")
ABOUT = About(
    files=(("keypoints3d/*.pkl", "cameras/mapping.txt", "cameras/*.json", "splits/*.txt"),),
    page="https://google.github.io/aistplusplus_dataset",
    facts=(
        ("content", "1408 sequences of dance, 10 genres, 30 dancers, nine fixed cameras, 60 Hz; "
                    "COCO's 17 joints triangulated from detections (keypoints3d_optim), and the "
                    "detections (keypoints2d, not needed with data.aistpp.two_d=gt)"),
        ("split", "the data set's own lists pose_{train,val,test}.txt, or crossmodal_..."
                  " (data.aistpp.split); what ignore_list.txt names is left out"),
        ("joints", "no hip among them: data.skeleton=h36m17 makes one, the middle of both hips"),
        ("how to get the files", "download and unpack the annotations; videos are not needed"),
        *on_terms("annotations CC BY 4.0 (Google LLC); the videos are another licence"),
    ),
)  # fmt: skip
