"""Options of the data set ``keypoint_rig``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.data.describe import READ_AS_IS, About

SUMMARY = "your own recordings: a folder each, with a keypoint file for every camera"


@dataclass
class Config:
    """Own recordings: ``<recording>/<camera>``, a keypoint file or folder for every camera.

    The formats are those of ``lifting predict --keypoints``. Frames belong together by the numbers
    in their names, and by their order where names have none. There is no 3D truth:
    ``data.labels`` must be ``epipolar``, and scores compare with the teacher's labels.

    Attributes:
        cameras: JSON file, relative to the folder, with what is known of each camera, by its name:
            ``image_size`` (width, height) and, where known, ``intrinsics`` (fx, fy, cx, cy and
            optionally five of distortion, pixels), ``rotation`` (3 x 3, world to camera) and
            ``position`` (mm); or a calibration of Pose2Sim, by its ending ``.toml``. None takes
            ``cameras.json`` if it is there.
        image_size: Width and height of all videos, pixels, where neither files say so.
        skeleton: Name of the detector's skeleton; None takes what the files say, else the one that
            fits the positions.
        person: ``largest``, or the number of a track.
        fps: Frames a second of the videos; null where it is not known.
        coordinates: What positions are, as in ``lifting predict``.
        holdout: Share of every recording, its end, that validates and tests instead of training.
        recordings: Names of the recordings to use; empty takes all.
        max_bytes: Largest file or folder of one camera, bytes.
    """

    cameras: str | None = None
    image_size: tuple[int, int] | None = None
    skeleton: str | None = None
    person: str = "largest"
    fps: float | None = None
    coordinates: Literal["auto", "pixels", "unit", "signed"] = "auto"
    holdout: float = 0.2
    recordings: tuple[str, ...] = ()
    max_bytes: int = 1024**3


ABOUT = About(
    files=(("*/*.json",), ("*/*.npz",), ("*/*/*.json",)),
    shown="<recording>/<camera>.json, .npz or folder of JSON files; cameras.json optional",
    page="",
    facts=(
        ("content", "keypoints of one person in two or more synchronised videos of static "
                    "cameras; no 3D truth: a teacher makes the labels "
                    "(data.labels=epipolar)"),
        ("cameras", "cameras.json: image_size; where known intrinsics, rotation, position"),
        ("split", "the end of every recording validates and tests "
                  "(data.keypoint_rig.holdout)"),
        ("preparation", f"needs {READ_AS_IS}"),
        ("terms", "yours"),
    ),
)  # fmt: skip
