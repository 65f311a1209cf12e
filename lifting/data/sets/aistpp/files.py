"""The annotation files of AIST++, read without running anything in them.

Lengths and axes are the files' own until :func:`decide_world` has told them from the people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from lifting.data.mocap.captured import (
    LENGTHS_MM,
    TURNS,
    FloatArray,
    Up,
    guess_up,
    unit_of,
    z_up_mm,
)
from lifting.data.mocap.lines import read_lines
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import check_file
from lifting.files.containers import entries, entry, numbers
from lifting.files.json_file import as_list, as_table, load_json
from lifting.files.npz import Array
from lifting.files.pickles import read_pickle
from lifting.skeleton import COCO_17

FPS = 60.0
VIEWS = tuple(f"c{i:02d}" for i in range(1, 10))
MAX_BYTES = 256 * 1024**2
_NAME = re.compile(r"g([A-Z]+)_s([A-Z]+)_c(?:All|\d\d)_(d\d+)_m[A-Z]+\d+_ch\d+")
# The height of a standing person's hips over the ankles; no two units fit one height.
_STANDING_MM = (550.0, 1100.0)


class AistName(NamedTuple):
    """What a sequence's name says of the dance."""

    genre: str
    situation: str
    dancer: str


class World(NamedTuple):
    """Unit and vertical axis of the files, and how they were told.

    Attributes:
        unit_mm: Millimetres in one unit.
        up: Vertical axis.
        note: What was found, and whether it is another than the published form's.
    """

    unit_mm: float
    up: Up
    note: str

    def to_mm(self, points: Array) -> FloatArray:
        """Points of the files, ``(*, 3)``, in millimetres with z up."""
        return z_up_mm(points, self.up, self.unit_mm)


class AistCamera(NamedTuple):
    """One camera of a setting.

    Attributes:
        size: Image width and height, pixels.
        intrinsics: ``(9,)`` fx, fy, cx, cy, k1, k2, k3, p1, p2, pixels; the last two belong to
            the ``brown`` model of ``geometry.project``.
        rotation: World to camera, ``(3, 3)``.
        position: Camera centre in the world, ``(3,)``.
    """

    size: FloatArray
    intrinsics: FloatArray
    rotation: FloatArray
    position: FloatArray

    def placed(self, world: World) -> AistCamera:
        """The same camera in the world of :meth:`World.to_mm`."""
        return self._replace(
            rotation=self.rotation @ TURNS[world.up].T, position=world.to_mm(self.position)
        )


def parse_name(name: str) -> AistName:
    """Parts of a sequence's name, such as ``gBR_sBM_cAll_d04_mBR0_ch01``.

    Raises:
        DataError: It is not of this form.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise DataError(
            f"expected a sequence name such as gBR_sBM_cAll_d04_mBR0_ch01, got '{name:.60}'; "
            "keep the names of the published files"
        )
    return AistName(*match.groups())


def read_keypoints3d(path: Path) -> Array:
    """The joints optimised over time, ``(T, 17, 3)`` float32, file units; NaN where absent.

    Args:
        path: A pickle of ``keypoints3d/``.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, unsafe, or of another form.
    """
    joints = _numbers(path, _pickle(path), "keypoints3d_optim", (None, len(COCO_17), 3))
    joints[np.isnan(joints).any(axis=-1)] = np.nan
    return joints


def read_keypoints2d(path: Path, frames: int) -> Array:
    """The detections of all cameras, ``(9, T, 17, 3)``: pixels and score; zero where absent.

    Args:
        path: A pickle of ``keypoints2d/``.
        frames: How many the joints of the sequence have.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, unsafe, of the form for several people, of another length, or
            not of 60 frames a second.
    """
    content = _pickle(path)
    points = content.get("keypoints2d")
    if "bboxes" in content or (isinstance(points, np.ndarray) and points.shape[-2:-1] == (133,)):
        raise DataError(
            f"expected one dancer's 17 joints in {path}, got the newer form for several people "
            "with 133 points (it has 'bboxes'), which is not read; use the keypoints2d of the "
            "first release, whose files have 'det_scores'"
        )
    seen = _numbers(path, content, "keypoints2d", (len(VIEWS), frames, len(COCO_17), 3))
    if "timestamps" in content and frames > 1:
        step = float(np.median(np.diff(_numbers(path, content, "timestamps", (frames,)))))
        if not any(abs(step * FPS / t - 1) < 0.02 for t in (1, 1e3, 1e6)):
            raise DataError(
                f"expected timestamps of {FPS:g} frames a second in {path}, got steps of "
                f"{step:.6g}; use the published file"
            )
    seen[np.isnan(seen).any(axis=-1)] = 0
    return seen


def decide_world(poses: Iterable[Array]) -> World:
    """Tell the unit by the height of standing hips and the vertical axis by the heads.

    Args:
        poses: Joints of some sequences, as :func:`read_keypoints3d` gives them.

    Raises:
        DataError: The people in them do not tell.
    """
    joints = np.concatenate(list(poses)).astype(np.float64)
    up, why = guess_up(joints, COCO_17.joints)
    (hips, ankles) = (
        joints[:, [COCO_17.index(f"{side}_{part}") for side in ("left", "right")]].mean(axis=1)
        for part in ("hip", "ankle")
    )
    heights = (hips - ankles) @ TURNS[up or "z"][2]
    heights = heights[np.isfinite(heights)]
    height = float(np.percentile(heights, 95)) if len(heights) else 0.0
    unit = unit_of(height, _STANDING_MM)
    if up is None or unit is None:
        raise DataError(
            f"expected AIST++ joints that stand (hips 55 to 110 cm over the ankles) along one of "
            f"{', '.join(TURNS)}, got hips {height:.4g} over them, and {why}; check that "
            "keypoints3d is complete and as published"
        )
    other = "" if (unit, up) == ("cm", "y") else ", though the published files are in cm, y up"
    note = f"read in {unit} with {up} up{other}: hips stand {height:.4g} over the ankles, {why}"
    return World(LENGTHS_MM[unit], up, note)


def find_settings(folder: Path, sequences: Sequence[str]) -> dict[str, Path]:
    """File of each sequence's cameras, by ``mapping.txt``.

    Args:
        folder: ``cameras/``.
        sequences: Their names.

    Raises:
        MissingDataError: The mapping or a setting's file is not in the folder.
        DataError: The mapping lacks a sequence, or names no plain file.
    """
    lines = read_lines(folder / "mapping.txt", MAX_BYTES)
    mapping = {line.words[0]: " ".join(line.words[1:]) for line in lines}
    found = {}
    for sequence in sequences:
        setting = mapping.get(sequence, "")
        if not re.fullmatch(r"\w+", setting):
            raise DataError(
                f"expected a camera setting of {sequence} in {folder / 'mapping.txt'}, got "
                f"'{setting:.60}'; get the file again"
            )
        found[sequence] = folder / f"{setting}.json"
        if not found[sequence].is_file():
            raise MissingDataError(
                f"expected the cameras of {sequence} in {found[sequence]}, found none; get "
                "cameras/ complete"
            )
    return found


def read_setting(path: Path) -> tuple[AistCamera, ...]:
    """The nine cameras of a setting, ``c01`` first, in the files' unit and axes.

    Args:
        path: A JSON file of ``cameras/``.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, or a camera is missing or of another form.
    """
    listed = [as_table(path, camera, "a camera") for camera in as_list(
        path, load_json(path), "the cameras")]  # fmt: skip
    by_name = {str(camera.get("name")): camera for camera in listed}
    if tuple(sorted(by_name)) != VIEWS or len(listed) != len(VIEWS):
        raise DataError(
            f"expected the cameras {', '.join(VIEWS)} in {path}, got "
            f"{', '.join(list(by_name)[:10])[:100]}; get the file again"
        )
    return tuple(_camera(path, name, by_name[name]) for name in VIEWS)


def read_names(path: Path) -> tuple[str, ...]:
    """Names of sequences, one a line: a split or the list of those to leave out.

    Raises:
        MissingDataError: There is no such file.
        DataError: A line is no sequence name.
    """
    names = tuple(" ".join(line.words) for line in read_lines(path, MAX_BYTES))
    for name in names:
        parse_name(name)
    return names


def _pickle(path: Path) -> dict[str, object]:
    check_file(path, MAX_BYTES, cure="get the set complete")
    return entries(read_pickle(path.read_bytes(), str(path)), str(path))


def _numbers(
    path: Path, content: Mapping[str, object], name: str, shape: tuple[int | None, ...]
) -> Array:
    """A new array of numbers or NaN."""
    value, missing = entry(content, name, "array", str(path)), None
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        missing = np.isnan(value)
        value = np.where(missing, 0, value)
    array = numbers(value, f"{path}/{name}", shape).copy()
    if missing is not None:
        array[missing] = np.nan
    return array


def _camera(path: Path, name: str, told: Mapping[str, object]) -> AistCamera:
    def given(key: str, *shape: int) -> FloatArray:
        try:
            value = np.asarray(told.get(key), dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            value = np.zeros(0)
        return numbers(value, f"'{key}' of camera {name} in {path}", shape).astype(np.float64)

    size, matrix = given("size", 2), given("matrix", 3, 3)
    k1, k2, p1, p2, k3 = given("distortions", 5)
    (fx, skew, cx), (zero, fy, cy), last = matrix
    if not (min(*size, fx, fy) > 0 and skew == zero == 0 and last.tolist() == [0, 0, 1]):
        raise DataError(
            f"expected an image and a matrix [fx 0 cx; 0 fy cy; 0 0 1] without skew of camera "
            f"{name} in {path}, got {matrix.tolist()} for {size.tolist()}; get it again"
        )
    rotation = Rotation.from_rotvec(given("rotation", 3)).as_matrix()
    intrinsics = np.array([fx, fy, cx, cy, k1, k2, k3, p1, p2])
    return AistCamera(size, intrinsics, rotation, -rotation.T @ given("translation", 3))
