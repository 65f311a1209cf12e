"""2D files in the npz form of VideoPose3D: by subject and recording, one array a camera.

The order of the joints is decided by the first of these that the file's ``metadata`` has: its
lists of left and right joints, its layout name, and else the number of joints alone, where the
data set's own order goes first. Keypoints of another order are converted by joint names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lifting.errors import DataError, suggest
from lifting.files.containers import Array, cut_to, entries, entry, items, numbers, read_object_npz
from lifting.files.npz import DEFAULT_MAX_BYTES
from lifting.skeleton import COCO_17, H36M_17, HUMANEVA_15, MPII_16, Skeleton
from lifting.skeleton.convert import remap_joints
from lifting.typing import PerJoint, Pose2D

LAYOUTS: Mapping[str, Skeleton] = {
    "h36m": H36M_17,
    "coco": COCO_17,
    "mpii": MPII_16,
    "humaneva15": HUMANEVA_15,
}
_CURE = "check which detector made the file"


def keypoint_layout(
    metadata: object, joints: int, candidates: Sequence[Skeleton], where: str
) -> Skeleton:
    """The skeleton whose joint order a 2D file has.

    Args:
        metadata: The file's description of itself, or None.
        joints: Joints of its arrays.
        candidates: Orders that files of the data set have, its own first.
        where: Names the file in messages.

    Raises:
        DataError: The description fits no candidate, or contradicts itself.
    """
    facts = {} if metadata is None else entries(metadata, f"'metadata' of {where}")
    fitting = [s for s in candidates if len(s) == joints]
    if not fitting:
        counts = " or ".join(str(n) for n in sorted({len(s) for s in candidates}))
        raise DataError(f"expected {counts} joints in {where}, got {joints}; {_CURE}")
    by_lists = _by_symmetry(facts.get("keypoints_symmetry"), fitting, where)
    by_name = _by_name(facts.get("layout_name"), where)
    if by_lists is not None and by_name is not None and by_lists is not by_name:
        raise DataError(
            f"expected one joint order in the metadata of {where}, got layout "
            f"'{by_name.name}' with the left and right joints of {by_lists.name}; {_CURE}"
        )
    found = by_lists or by_name or fitting[0]
    if found not in fitting:
        raise DataError(
            f"expected one of {', '.join(s.name for s in fitting)} with {joints} joints in "
            f"{where}, got layout {found.name}; {_CURE}"
        )
    return found


def _by_name(name: object, where: str) -> Skeleton | None:
    if name is None:
        return None
    if not isinstance(name, str) or name not in LAYOUTS:
        raise DataError(
            f"expected a known layout_name in the metadata of {where}, got {name!r:.40}; "
            f"{suggest(f'{name!s:.40}', LAYOUTS)}"
        )
    return LAYOUTS[name]


def _by_symmetry(lists: object, fitting: Sequence[Skeleton], where: str) -> Skeleton | None:
    if lists is None:
        return None
    sides = [items(side, f"keypoints_symmetry of {where}") for side in items(lists, where)]
    if len(sides) != 2 or not all(isinstance(i, int | np.integer) for s in sides for i in s):
        raise DataError(
            f"expected a list of left and one of right joints in keypoints_symmetry of {where}, "
            f"got {len(sides)} lists; {_CURE}"
        )
    left, right = ({int(str(i)) for i in side} for side in sides)
    for skeleton in fitting:
        if left == set(skeleton.left) and right == set(skeleton.right):
            return skeleton
    for skeleton in fitting:
        if left == set(skeleton.right) and right == set(skeleton.left):
            raise DataError(
                f"expected left joints, then right ones in keypoints_symmetry of {where}, got "
                f"those of {skeleton.name} exchanged; its sides are likely swapped, {_CURE}"
            )
    raise DataError(
        f"expected the left and right joints of {' or '.join(s.name for s in fitting)} in "
        f"{where}, got {sorted(left)[:20]} and {sorted(right)[:20]}; {_CURE}"
    )


def read_keypoints(
    array: Array, source: Skeleton, target: Skeleton
) -> tuple[Pose2D, PerJoint | None]:
    """Keypoints of the target skeleton, and the detector's confidence where there is one.

    Args:
        array: ``(frames, joints, 2 or 3)``, pixels and, as third channel, confidence.
        source: Joint order of the array.
        target: Joint order wanted.

    Returns:
        ``(frames, joints, 2)`` pixels, and ``(frames, joints)`` from 0 to 1 (scores beyond are
        clipped) or None.
    """
    values = torch.tensor(array)
    pixels = values[..., :2]
    scores = values[..., 2].clamp(0, 1) if values.shape[-1] == 3 else None
    if source is target:
        return pixels, scores
    converted, least = remap_joints(pixels, source, target, scores)
    return converted, None if scores is None else least


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
