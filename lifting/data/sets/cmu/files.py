"""The form of ``cmu_h36m17.npz``: reading it, and judging the values in it.

World frame, z up, floor at zero, millimetres; sequences one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lifting.errors import DataError
from lifting.files.checks import misfit
from lifting.files.npz import Array, Kind, read_plain_npz
from lifting.skeleton import H36M_17

PARTS = ("train", "val", "test")
# What the files call the joints of lifting.skeleton.H36M_17, in its order.
FILE_JOINTS = (
    "Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Spine", "Thorax", "Neck/Nose",
    "Head", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
)  # fmt: skip
BONE_TOLERANCE_MM = 5.0  # rounding to millimetres costs at most the root of three
LARGEST_STEP_MM_S = 30000.0
FARTHEST_MM = 32767.0
_bad = misfit(
    "the file is not in the described form: get it again or make it with "
    "`lifting data prepare cmu --source DIR`"
)

_KEYS: dict[str, tuple[Kind, int]] = {
    "positions_mm": ("number", 3),
    "offsets": ("integer", 1),
    "names": ("text", 1),
    "subjects": ("text", 1),
    "actions": ("text", 1),
    "sources": ("text", 1),
    "skeletons": ("text", 1),
    "split": ("text", 1),
    "fps": ("number", 0),
    "joint_names": ("text", 1),
    "parents": ("integer", 1),
    "skeleton_names": ("text", 1),
    "bone_lengths_mm": ("float", 2),
    "split_name": ("text", 0),
}

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class CmuFile:
    """Content of a file, sizes checked. N frames, S sequences, B skeletons.

    Attributes:
        path: The file.
        positions: ``(N, 17, 3)`` as stored (int16 or float), joints in the order of ``h36m17``.
        offsets: ``(S + 1,)``; sequence i is rows ``offsets[i]:offsets[i + 1]``.
        names: Unique names of the sequences.
        subjects: Subject of each sequence.
        actions: Action of each sequence.
        skeleton: ``(S,)`` index of each sequence's bone lengths.
        split: Part of each sequence.
        fps: Frames a second.
        skeleton_names: One a skeleton.
        bone_lengths_mm: ``(B, 17)`` length of the bone from each joint's parent.
        split_name: Rule behind ``split``; ``distributed`` when the file does not say.
    """

    path: Path
    positions: Array
    offsets: Array
    names: tuple[str, ...]
    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    skeleton: Array
    split: tuple[str, ...]
    fps: float
    skeleton_names: tuple[str, ...]
    bone_lengths_mm: FloatArray
    split_name: str

    def frame_skeleton(self) -> Array:
        """Index of the skeleton of every frame, ``(N,)``."""
        return np.repeat(self.skeleton, np.diff(self.offsets))

    def place(self, row: int) -> str:
        """Name of the sequence of a row and the frame in it, for messages."""
        sequence = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return f"sequence {self.names[sequence]}, frame {row - int(self.offsets[sequence])}"


def read_cmu_file(path: Path) -> CmuFile:
    """Read a file and check its names and sizes, not yet its values.

    Args:
        path: A file in the form of ``cmu_h36m17.npz``.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged or of another form.
    """
    arrays = read_plain_npz(path, _KEYS, optional=frozenset({"split_name"}))
    texts = {
        key: tuple(str(text) for text in arrays[key])
        for key in ("names", "subjects", "actions", "sources", "skeletons", "split",
                    "joint_names", "skeleton_names")
    }  # fmt: skip
    _check_sizes(path, arrays, texts)
    order = _joint_order(path, texts["joint_names"], arrays["parents"])
    lookup = {name: i for i, name in enumerate(texts["skeleton_names"])}
    for value in texts["skeletons"]:
        if value not in lookup:
            raise _bad(path, f"skeletons among {sorted(lookup)}", value)
    return CmuFile(
        path=path,
        positions=arrays["positions_mm"][:, order],
        offsets=arrays["offsets"].astype(np.int64),
        names=texts["names"],
        subjects=texts["subjects"],
        actions=texts["actions"],
        skeleton=np.array([lookup[name] for name in texts["skeletons"]], dtype=np.int64),
        split=texts["split"],
        fps=float(arrays["fps"]),
        skeleton_names=texts["skeleton_names"],
        bone_lengths_mm=arrays["bone_lengths_mm"][:, order].astype(np.float64),
        split_name=str(arrays["split_name"]) if "split_name" in arrays else "distributed",
    )


def _check_sizes(path: Path, arrays: dict[str, Array], texts: dict[str, tuple[str, ...]]) -> None:
    joints, count = len(H36M_17), len(texts["names"])
    frames = len(arrays["positions_mm"])
    shape = arrays["positions_mm"].shape
    if shape[1:] != (joints, 3):
        raise _bad(path, f"positions_mm of shape (frames, {joints}, 3)", shape)
    for key in ("subjects", "actions", "sources", "skeletons", "split"):
        if len(texts[key]) != count:
            raise _bad(path, f"one of '{key}' a sequence ({count})", len(texts[key]))
    if len(set(texts["names"])) != count or count == 0:
        raise _bad(path, "unique sequence names", f"{len(set(texts['names']))} of {count}")
    offsets = arrays["offsets"].astype(np.float64)
    if (
        len(offsets) != count + 1
        or offsets[0] != 0
        or offsets[-1] != frames
        or bool((np.diff(offsets) <= 0).any())
    ):
        raise _bad(path, f"{count + 1} rising offsets from 0 to {frames}", offsets[:4].tolist())
    lengths = (len(texts["skeleton_names"]), joints)
    if arrays["bone_lengths_mm"].shape != lengths:
        raise _bad(path, f"bone_lengths_mm of shape {lengths}", arrays["bone_lengths_mm"].shape)
    fps = float(arrays["fps"])
    if not (np.isfinite(fps) and 1 <= fps <= 1000):
        raise _bad(path, "fps from 1 to 1000", fps)
    _check_split(path, texts)


def _check_split(path: Path, texts: dict[str, tuple[str, ...]]) -> None:
    """Parts have known names, and no subject is in two of them."""
    part_of: dict[str, str] = {}
    for subject, part in zip(texts["subjects"], texts["split"], strict=True):
        if part not in PARTS:
            raise _bad(path, f"parts among {', '.join(PARTS)}", part)
        if part_of.setdefault(subject, part) != part:
            raise _bad(
                path, "every subject in one part", f"{subject} in {part_of[subject]}, {part}"
            )


def _joint_order(path: Path, names: tuple[str, ...], parents: Array) -> list[int]:
    """Column of the file for each joint of ``h36m17``; the tree must be the same."""
    if sorted(names) != sorted(FILE_JOINTS) or len(parents) != len(names):
        raise _bad(path, f"the joints {', '.join(FILE_JOINTS)}", ", ".join(names))
    order = [names.index(name) for name in FILE_JOINTS]
    tree = tuple(
        -1 if parents[column] < 0 or parents[column] >= len(names)
        else FILE_JOINTS.index(names[int(parents[column])])
        for column in order
    )  # fmt: skip
    if tree != H36M_17.parents:
        raise _bad(path, f"parents {H36M_17.parents} in the order of {FILE_JOINTS[:3]}...", tree)
    return order


def bone_deviation(file: CmuFile) -> FloatArray:
    """Length of every bone minus its skeleton's, ``(N, 17)``, in the unit of the positions."""
    parents = np.maximum(np.array(H36M_17.parents), 0)
    positions = file.positions.astype(np.float64)
    lengths = np.linalg.norm(positions - positions[:, parents], axis=-1)
    deviation = lengths - file.bone_lengths_mm[file.frame_skeleton()]
    deviation[:, H36M_17.root] = 0
    return deviation


def verify_values(file: CmuFile) -> None:
    """Check that the positions are those of a moving body.

    Args:
        file: Content of a file.

    Raises:
        DataError: A value is not finite or too far away, a bone has not its skeleton's length,
            or a joint jumps; the message names the sequence, the frame and the joint.
    """
    positions = file.positions.astype(np.float64)
    if not np.isfinite(file.bone_lengths_mm).all():
        raise _bad(file.path, "finite bone_lengths_mm", "values that are not finite")
    wild = np.logical_not((np.abs(positions) <= FARTHEST_MM).all(axis=-1))
    _refuse(file, wild, positions, f"finite positions within {FARTHEST_MM:g} mm")
    deviation = bone_deviation(file)
    _refuse(file, np.abs(deviation) > BONE_TOLERANCE_MM, deviation,
            f"bones within {BONE_TOLERANCE_MM:g} mm of their skeleton's length")  # fmt: skip
    speed = np.zeros(positions.shape[:2])
    speed[1:] = np.linalg.norm(np.diff(positions, axis=0), axis=-1) * file.fps
    speed[file.offsets[:-1]] = 0
    _refuse(file, speed > LARGEST_STEP_MM_S, speed, f"joints below {LARGEST_STEP_MM_S:g} mm/s")


def _refuse(file: CmuFile, wrong: Array, values: FloatArray, expected: str) -> None:
    """Raise for the first frame and joint that is flagged, ``wrong`` being ``(N, 17)``."""
    if not wrong.any():
        return
    row, joint = (int(i) for i in np.argwhere(wrong)[0])
    found = np.round(values[row, joint], 1).tolist()
    raise DataError(
        f"expected {expected} in {file.path}, got {found} at {file.place(row)}, joint "
        f"{FILE_JOINTS[joint]} ({int(wrong.sum())} such values); the file is damaged or in "
        "another unit: see `lifting data check cmu`"
    )
