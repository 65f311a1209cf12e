"""Options of the data set ``aistpp``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
