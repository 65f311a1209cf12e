"""The files of MPI-INF-3DHP as they are distributed: MATLAB arrays and a calibration text.

Training sequences are ``S1..S8/Seq1,Seq2`` with 28 joints in 14 cameras, test sequences ``TS1`` to
``TS6`` with the 17 that the published scores use. MATLAB files are parsed in a child process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lifting.data.files import Array
from lifting.data.sandboxed import read_mat
from lifting.data.sets.mpi_inf_3dhp.npz_files import View
from lifting.data.units import check_unit
from lifting.errors import DataError, MissingDataError
from lifting.skeleton import MPI_INF_3DHP_17, MPI_INF_3DHP_28
from lifting.skeleton.convert import remap_joints

Annotation = Literal["annot3", "univ_annot3"]

ANNOTATIONS = "annot.mat"
CALIBRATION = "camera.calibration"
TEST_ANNOTATIONS = "annot_data.mat"
TEST_FOLDERS = ("mpi_inf_3dhp_test_set", "test", "")
# Frames and frame rate of the training sequences, frames and valid frames of the test sequences.
TRAIN_FRAMES: Mapping[str, tuple[int, int]] = {
    "S1/Seq1": (6416, 25), "S1/Seq2": (12430, 50), "S2/Seq1": (6502, 25), "S2/Seq2": (6081, 25),
    "S3/Seq1": (12488, 50), "S3/Seq2": (12283, 50), "S4/Seq1": (6171, 25), "S4/Seq2": (6675, 25),
    "S5/Seq1": (12820, 50), "S5/Seq2": (12312, 50), "S6/Seq1": (6188, 25), "S6/Seq2": (6145, 25),
    "S7/Seq1": (6239, 25), "S7/Seq2": (6320, 25), "S8/Seq1": (6468, 25), "S8/Seq2": (6054, 25),
}  # fmt: skip
TEST_FRAMES: Mapping[str, tuple[int, int]] = {
    "TS1": (6151, 603), "TS2": (6080, 540), "TS3": (5838, 505), "TS4": (6007, 553),
    "TS5": (320, 276), "TS6": (492, 452),
}  # fmt: skip
_TEXT_BYTES = 1_000_000
_CAMERAS = 14


@dataclass(frozen=True)
class Home:
    """The folder of a sequence.

    Attributes:
        subject: For example ``S1``; of the test, the sequence.
        sequence: ``Seq1``, or ``TS1``.
        folder: Where its files are.
    """

    subject: str
    sequence: str
    folder: Path


@dataclass(frozen=True)
class Calibration:
    """One camera of a calibration text.

    Attributes:
        intrinsics: fx, fy, cx, cy, pixels.
        rotation: World to camera, ``(3, 3)``.
        position: Centre in the world, ``(3,)``, mm.
        size: Width and height, pixels.
        distorted: Whether the text names radial terms, which the annotations do without.
    """

    intrinsics: tuple[float, float, float, float]
    rotation: Array
    position: Array
    size: tuple[float, float]
    distorted: bool


def find_train(folders: Sequence[Path], subjects: Sequence[str]) -> list[Home]:
    """Folders of the training sequences of some subjects.

    Args:
        folders: Where to look, first choice first.
        subjects: Which subjects; each has at least one sequence.

    Raises:
        MissingDataError: A subject has no sequence.
    """
    homes: list[Home] = []
    for subject in subjects:
        found = [
            Home(subject, sequence, folder / subject / sequence)
            for folder in folders
            for sequence in ("Seq1", "Seq2")
            if (folder / subject / sequence / ANNOTATIONS).is_file()
        ]
        if not found:
            raise _missing(f"{subject}/Seq1/{ANNOTATIONS}", folders)
        homes += {home.sequence: home for home in reversed(found)}.values()
    return sorted(homes, key=lambda home: (subjects.index(home.subject), home.sequence))


def find_test(folders: Sequence[Path], sequences: Sequence[str]) -> list[Home]:
    """Folders of test sequences.

    Raises:
        MissingDataError: A sequence is not there.
    """
    homes = []
    for sequence in sequences:
        places = [f / sub / sequence for f in folders for sub in TEST_FOLDERS]
        found = [place for place in places if (place / TEST_ANNOTATIONS).is_file()]
        if not found:
            raise _missing(f"{sequence}/{TEST_ANNOTATIONS}", folders)
        homes.append(Home(sequence, sequence, found[0]))
    return homes


def _missing(name: str, folders: Sequence[Path]) -> MissingDataError:
    looked = " or ".join(map(str, folders)) or "any folder (set LIFTING_DATA or data.root)"
    return MissingDataError(
        f"expected {name} of MPI-INF-3DHP, not found in {looked}; download the data set from "
        "vcai.mpi-inf.mpg.de/3dhp-dataset after accepting its terms, or give the npz form"
    )


def read_train_home(home: Home, cameras: Sequence[str], annotation: Annotation) -> list[View]:
    """One training sequence in some cameras.

    Args:
        home: Its folder.
        cameras: Which; empty for all 14.
        annotation: Which 3D labels.

    Raises:
        DataError: The file is damaged, unsafe, or lacks a camera.
    """
    path = home.folder / ANNOTATIONS
    names = cameras or tuple(str(i) for i in range(_CAMERAS))
    wanted = [f"{key}[{camera}]" for camera in names for key in ("annot2", annotation)]
    arrays = read_mat(path, dict.fromkeys(wanted, 2))
    views = []
    for camera in names:
        labels = _joints(path, f"{annotation}[{camera}]", arrays, 3)
        pixels = _joints(path, f"annot2[{camera}]", arrays, 2)
        if len(labels) != len(pixels):
            raise _malformed(
                path,
                f"as many 2D as 3D frames in camera {camera}",
                f"{len(pixels)}, {len(labels)}",
            )
        views.append(View(home.subject, home.sequence, camera, labels, pixels))
    check_unit((v.joints for v in views), MPI_INF_3DHP_17, "mm", str(path))
    return views


def _joints(path: Path, name: str, arrays: Mapping[str, Array], channels: int) -> Array:
    """The 17 joints that the published scores use, of 28 that lie joint after joint in a row."""
    values, joints = arrays[name], len(MPI_INF_3DHP_28)
    if len(values) == 0 or values.shape[1] != joints * channels or not np.isfinite(values).all():
        raise _malformed(
            path, f"finite '{name}' of shape (frames, {joints * channels})", f"{values.shape}"
        )
    split = torch.from_numpy(values.astype(np.float32)).reshape(-1, joints, channels)
    return remap_joints(split, MPI_INF_3DHP_28, MPI_INF_3DHP_17)[0].numpy()


def read_test_home(home: Home, annotation: Annotation) -> View:
    """One test sequence, with the frames that count.

    Args:
        home: Its folder.
        annotation: Which 3D labels.

    Raises:
        DataError: The file is damaged, unsafe, or of another form.
    """
    path = home.folder / TEST_ANNOTATIONS
    arrays = read_mat(path, {"annot2": 4, annotation: 4, "valid_frame": 2})
    valid = arrays["valid_frame"].reshape(-1) != 0
    labels, pixels = (
        _test_joints(path, name, arrays[name], len(valid), channels)
        for name, channels in ((annotation, 3), ("annot2", 2))
    )
    if not valid.any():
        raise _malformed(path, "frames that are valid", f"none of {len(valid)}")
    check_unit([labels[valid]], MPI_INF_3DHP_17, "mm", str(path))
    return View(home.subject, home.sequence, home.sequence, labels, pixels, valid)


def _test_joints(path: Path, name: str, values: Array, frames: int, channels: int) -> Array:
    """Frames first, whichever of the two formats, with opposite orders of axes, it came in."""
    shape = (frames, 1, len(MPI_INF_3DHP_17), channels)
    if values.shape == shape[::-1]:
        values = values.transpose()
    if values.shape != shape or not np.isfinite(values).all():
        raise _malformed(path, f"finite '{name}' of shape {shape}", f"{values.shape}")
    return values[:, 0].astype(np.float32)


def count_words(views: Sequence[View]) -> str:
    """Which sequences have other numbers of frames than are published, in words."""
    odd = []
    for view in {(v.subject, v.sequence): v for v in views}.values():
        if view.valid is None:
            got, published = f"{view.frames}", f"{_published(view)[0]}"
        else:
            got = f"{view.frames} ({view.valid_count} valid)"
            published = "{} ({} valid)".format(*_published(view))
        if got != published:
            odd.append(f"{view.name.rpartition('/')[0] or view.name} {got} against {published}")
    return "; ".join(odd) or "as published"


def _published(view: View) -> tuple[int, int]:
    if view.valid is None:
        return TRAIN_FRAMES[f"{view.subject}/{view.sequence}"]
    return TEST_FRAMES[view.sequence]


def read_calibration(path: Path) -> dict[str, Calibration]:
    """Cameras of a calibration text by name.

    Each camera begins with a line ``name``; the lines after it are keys with numbers.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no calibration, or a camera is incomplete or impossible.
    """
    if not path.is_file():
        raise MissingDataError(
            f"expected {path}, found none; it comes with each sequence of the data set"
        )
    if path.stat().st_size > _TEXT_BYTES:
        raise _malformed(path, f"a text of at most {_TEXT_BYTES} bytes", f"{path.stat().st_size}")
    blocks: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] | None = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, *values = line.split() or [""]
        if key == "name" and values:
            current = blocks.setdefault(values[0], {})
        elif current is not None and key:
            current[key] = values
    if not blocks:
        raise _malformed(path, "cameras, each after a line 'name'", "none")
    return {name: _camera(path, name, block) for name, block in blocks.items()}


def _camera(path: Path, name: str, block: Mapping[str, list[str]]) -> Calibration:
    inner = _numbers(path, name, block, "intrinsic", 16).reshape(4, 4)
    outer = _numbers(path, name, block, "extrinsic", 16).reshape(4, 4)
    size = _numbers(path, name, block, "size", 2)
    rotation = outer[:3, :3]
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if off > 1e-2 or np.linalg.det(rotation) < 0:
        raise _malformed(path, f"a rotation in 'extrinsic' of camera {name}", f"off by {off:.2g}")
    if min(inner[0, 0], inner[1, 1], *size) <= 0:
        raise _malformed(path, f"positive focal lengths and size of camera {name}", "others")
    return Calibration(
        intrinsics=(inner[0, 0], inner[1, 1], inner[0, 2], inner[1, 2]),
        rotation=rotation,
        position=-rotation.T @ outer[:3, 3],
        size=(float(size[0]), float(size[1])),
        distorted=any(value.strip("0.") for value in block.get("radial", [])),
    )


def _numbers(path: Path, name: str, block: Mapping[str, list[str]], key: str, count: int) -> Array:
    words = block.get(key, [])
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([np.nan])
    if len(values) != count or not np.isfinite(values).all() or np.abs(values).max() > 1e9:
        raise _malformed(
            path, f"{count} numbers after '{key}' of camera {name:.20}", f"{' '.join(words):.60}"
        )
    return values


def _malformed(path: Path, expected: str, got: str) -> DataError:
    return DataError(
        f"expected {expected} in {path}, got {got}; use the files of MPI-INF-3DHP as they are "
        "downloaded"
    )
