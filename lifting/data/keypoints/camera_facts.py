"""What a user knows of the cameras of a rig, and which camera a keypoint file belongs to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lifting.geometry.camera import Tangential

FOLDER_ENDING = "_json"
"""What Pose2Sim adds to the name of a video for the folder of its keypoints."""

_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_JOINING = re.compile(r"(?<![0-9])[_-]|[_-](?![0-9])")


@dataclass(frozen=True)
class CameraFacts:
    """What is known of one camera; None where it is not.

    Attributes:
        image_size: Width and height, pixels.
        intrinsics: fx, fy, cx, cy and optionally k1, k2, k3, p1, p2 of distortion, pixels.
        rotation: World to camera, three rows.
        position: Centre in the world, mm.
        tangential: Model that p1 and p2 belong to.
        section: Second name of the camera, the section's of a calibration.
    """

    image_size: tuple[float, ...] | None = None
    intrinsics: tuple[float, ...] | None = None
    rotation: tuple[tuple[float, ...], ...] | None = None
    position: tuple[float, ...] | None = None
    tangential: Tangential = "videopose"
    section: str | None = None


def plain_name(name: str) -> str:
    """A camera's name for comparison: ``cam_01``, ``Cam-1`` and ``cam01_json`` are one.

    Case, the zeros a number begins with, ``_`` and ``-`` (but between two numbers), and the ending
    of Pose2Sim's folders do not count.
    """
    folded = name.casefold().removesuffix(FOLDER_ENDING)
    return _JOINING.sub("", _ZEROS.sub("", folded)) or folded


def by_name(cameras: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """Names of cameras by the names of the keypoint files they belong to.

    A name that is the same counts first, then one that :func:`plain_name` makes the same, where
    it does so for one file and one camera only. Cameras without a file, and files without a
    camera, are left out.

    Args:
        cameras: Names in the file of cameras.
        names: Names of the keypoint files.
    """
    cameras = list(cameras)
    found = {name: name for name in names if name in cameras}
    left = _single(name for name in cameras if name not in found)
    files = _single(name for name in names if name not in found)
    return found | {files[plain]: left[plain] for plain in files if plain in left}


def _single(names: Iterable[str]) -> dict[str, str]:
    """Names by their plain form, without those that share one."""
    plain = {name: plain_name(name) for name in names}
    count = Counter(plain.values())
    return {short: name for name, short in plain.items() if count[short] == 1}
