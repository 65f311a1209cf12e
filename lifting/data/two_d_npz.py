"""2D files in the npz form of VideoPose3D: by subject and recording, one array a camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifting.data.keypoint_layout import keypoint_layout
from lifting.errors import DataError
from lifting.files.containers import Array, cut_to, entries, entry, items, numbers, read_object_npz
from lifting.files.npz import DEFAULT_MAX_BYTES
from lifting.skeleton import Skeleton


@dataclass(frozen=True)
class TwoD:
    """A 2D file.

    Attributes:
        path: The file.
        layout: Joint order of its arrays.
        mixtures: Whether it holds mixtures instead of keypoints.
        subjects: By subject and recording, one array a camera, as read.
    """

    path: Path
    layout: Skeleton
    mixtures: bool
    subjects: Mapping[str, Mapping[str, list[object]]]

    def place(self, subject: str, name: str, camera: int) -> str:
        """Names an array in messages."""
        return f"positions_2d/{subject}/{name}/{camera} of {self.path}"

    def view(self, subject: str, name: str, camera: int, frames: int) -> Array:
        """What one camera saw of a recording, cut to the frames that have labels.

        Args:
            subject: Of the recording.
            name: Of the recording.
            camera: Index of the camera.
            frames: Frames that have labels.

        Returns:
            ``(frames, joints, 2 or 3)``, or ``(frames, joints, kernels, 5)`` for mixtures.

        Raises:
            DataError: The array is absent, shorter than the labels, or of another form.
        """
        where, joints = self.place(subject, name, camera), len(self.layout)
        shape = (None, joints, None, 5) if self.mixtures else (None, joints, (2, 3))
        value = numbers(self.subjects[subject][name][camera], where, shape)
        return cut_to(value, frames, where)

    def take(self, subject: str, name: str, camera: int, frames: int) -> Array:
        """The same once, and then forgotten.

        Mixtures of a whole data set fill gigabytes, which are not to be held twice.
        """
        array = self.view(subject, name, camera, frames)
        self.subjects[subject][name][camera] = None
        return array


def read_two_d(
    path: Path,
    wanted: Sequence[tuple[str, str]],
    *,
    cameras: Sequence[str],
    orders: Sequence[Skeleton],
    name_of: Callable[[str], str] = str,
    mixtures: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> TwoD:
    """Keypoints or mixtures of recordings; others in the file are left alone.

    Args:
        path: The file.
        wanted: Subject and name of the recordings, at least one.
        cameras: Names of the cameras that saw each.
        orders: Joint orders that such files have, that of mixtures first.
        name_of: The name by which a recording of the file is known.
        mixtures: Whether mixtures are taken as well.
        max_bytes: Limit of the expanded size of the file.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe, damaged, or lacks a subject, a recording or a camera.
    """
    optional = frozenset({"metadata"})
    content = read_object_npz(path, ("positions_2d", "metadata"), max_bytes, optional)
    whole = f"positions_2d of {path}"
    by_subject = entries(content["positions_2d"], whole)
    kept: dict[str, dict[str, list[object]]] = {}
    for subject in dict.fromkeys(subject for subject, _ in wanted):
        where = f"positions_2d/{subject} of {path}"
        named: dict[str, object] = {}
        for name, value in entries(entry(by_subject, subject, "subject", whole), where).items():
            check_new(name_of(name) in named, name, where)
            named[name_of(name)] = value
        names = [name for other, name in wanted if other == subject]
        kept[subject] = {name: _views(named, name, cameras, where) for name in names}
    first = kept[wanted[0][0]][wanted[0][1]][0]
    axes = first.ndim if isinstance(first, np.ndarray) else 0
    joints = first.shape[1] if isinstance(first, np.ndarray) and axes > 1 else 0
    mixtures = mixtures and axes == 4
    candidates = orders[:1] if mixtures else orders  # mixtures are of the data set's own joints
    layout = keypoint_layout(content.get("metadata"), joints, candidates, str(path))
    return TwoD(path, layout, mixtures, kept)


def check_new(known: bool, name: str, where: str) -> None:
    """Check that a recording was not there already, by another spelling of its name.

    Args:
        known: Whether it was.
        name: As the file has it.
        where: Names its subject in the message.

    Raises:
        DataError: It was.
    """
    if known:
        raise DataError(
            f"expected each recording once in {where}, got '{name}' under two spellings; "
            "get the file again from its source"
        )


def _views(
    named: Mapping[str, object], name: str, cameras: Sequence[str], where: str
) -> list[object]:
    views = items(entry(named, name, "action", where), f"{name} in {where}")
    if len(views) == len(cameras):
        return views
    missing = cameras[len(views) :]
    raise DataError(
        f"expected one array for each of the cameras {', '.join(cameras)} in {name} of {where}"
        f", got {len(views)}"
        + (f": missing camera '{missing[0]}'" if missing else "")
        + "; get the file again from its source"
    )
