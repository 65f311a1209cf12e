"""The files of MPI-INF-3DHP: where they are, and the camera views of sequences that they hold.

Two forms are read. The npz files of P-STMO hold, for each view, the 17 joints that the published
scores use. The distributed files are MATLAB arrays, training sequences ``S1..S8/Seq1,Seq2`` with
28 joints in 14 cameras and a calibration text, test sequences ``TS1`` to ``TS6`` with the 17
joints; they are parsed in a child process. Whatever the form, a view has its joints in the order
of ``mpi17``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lifting.data.doctor.body import check_unit
from lifting.data.folders import search_folders
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import check_file, misfit
from lifting.files.containers import cut_to, entries, entry, items, numbers, read_object_npz
from lifting.files.npz import Array
from lifting.files.sandbox import read_mat
from lifting.skeleton import MPI_INF_3DHP_17, MPI_INF_3DHP_28
from lifting.skeleton.convert import remap_joints

Part = Literal["train", "test"]
Labels = Literal["annot3", "univ_annot3"]

NAME = "mpi_inf_3dhp"
ANNOTATIONS = "annot.mat"
CALIBRATION = "camera.calibration"
TEST_ANNOTATIONS = "annot_data.mat"
TEST_FOLDERS = ("mpi_inf_3dhp_test_set", "test", "")
# Frames, and frames a second, of the training sequences.
TRAIN_FRAMES: Mapping[str, tuple[int, int]] = {
    "S1/Seq1": (6416, 25), "S1/Seq2": (12430, 50), "S2/Seq1": (6502, 25), "S2/Seq2": (6081, 25),
    "S3/Seq1": (12488, 50), "S3/Seq2": (12283, 50), "S4/Seq1": (6171, 25), "S4/Seq2": (6675, 25),
    "S5/Seq1": (12820, 50), "S5/Seq2": (12312, 50), "S6/Seq1": (6188, 25), "S6/Seq2": (6145, 25),
    "S7/Seq1": (6239, 25), "S7/Seq2": (6320, 25), "S8/Seq1": (6468, 25), "S8/Seq2": (6054, 25),
}  # fmt: skip
# Frames, and frames that count, of the test sequences, which have 50 frames a second.
TEST_FRAMES: Mapping[str, tuple[int, int]] = {
    "TS1": (6151, 603), "TS2": (6080, 540), "TS3": (5838, 505), "TS4": (6007, 553),
    "TS5": (320, 276), "TS6": (492, 452),
}  # fmt: skip
TEST_FPS = 50
SUBJECTS = tuple(f"S{i}" for i in range(1, 9))
SEQUENCES = ("Seq1", "Seq2")
TEST_SEQUENCES = tuple(TEST_FRAMES)
CAMERAS = tuple(str(i) for i in range(14))
STUDIO_SIZE, OUTDOOR_SIZE = (2048.0, 2048.0), (1920.0, 1080.0)
# fx, fy, cx, cy of the test cameras; no distortion
_STUDIO_LENS = (1500.17, 1500.17, 1017.39, 1043.03)
_OUTDOOR_LENS = (1683.98, 1683.98, 939.86, 560.14)
_OUTDOOR = ("TS5", "TS6")

_JOINTS, _PELVIS = len(MPI_INF_3DHP_17), MPI_INF_3DHP_17.root
_PERSON_MM = 2000.0  # no joint is farther from the pelvis
_TEXT_BYTES = 1_000_000
_malformed = misfit("use the files of MPI-INF-3DHP as they are downloaded")


@dataclass(frozen=True)
class Home:
    """The folder of a sequence.

    Attributes:
        subject: For example ``S1``; of the test, the sequence.
        sequence: ``Seq1``, or ``TS1``.
        path: Its annotations; what else it has lies beside them.
    """

    subject: str
    sequence: str
    path: Path


@dataclass(frozen=True)
class View:
    """One sequence in one camera.

    Attributes:
        subject: For example ``S1``; of the test, the sequence.
        sequence: ``Seq1``, or ``TS1`` of the test.
        camera: The camera's number; of the test, the sequence.
        joints: ``(frames, 17, 3)`` float32, camera frame, absolute, mm.
        keypoints: ``(frames, 17, 2 or 3)`` float32, pixels and perhaps confidence.
        valid: ``(frames,)`` bool; None when all labels are.
    """

    subject: str
    sequence: str
    camera: str
    joints: Array
    keypoints: Array
    valid: Array | None = None

    @property
    def take(self) -> str:
        """The sequence, as the tables of published frames name it."""
        return self.sequence if self.sequence in TEST_FRAMES else f"{self.subject}/{self.sequence}"

    @property
    def name(self) -> str:
        """For tables and messages."""
        return self.take if self.sequence in TEST_FRAMES else f"{self.take}/{self.camera}"

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.joints.shape[0])

    @property
    def fps(self) -> int:
        """Frames a second, as published."""
        return TEST_FPS if self.sequence in TEST_FRAMES else TRAIN_FRAMES[self.take][1]

    @property
    def valid_count(self) -> int:
        """Number of frames whose labels count."""
        return self.frames if self.valid is None else int(self.valid.sum())


@dataclass(frozen=True)
class Calibration:
    """One camera.

    Attributes:
        intrinsics: fx, fy, cx, cy, pixels.
        size: Width and height, pixels.
        rotation: World to camera, ``(3, 3)``; None where it is not known.
        position: Centre in the world, ``(3,)``, mm.
        distorted: Whether the text names radial terms, which the annotations do without.
    """

    intrinsics: tuple[float, float, float, float]
    size: tuple[float, float]
    rotation: Array | None = None
    position: Array | None = None
    distorted: bool = False


def test_camera(sequence: str) -> Calibration:
    """The camera of a test sequence, as published."""
    if sequence in _OUTDOOR:
        return Calibration(_OUTDOOR_LENS, OUTDOOR_SIZE)
    return Calibration(_STUDIO_LENS, STUDIO_SIZE)


def npz_name(part: Part, labels: Labels) -> str:
    """Name of the npz file of a part with one kind of labels."""
    return f"data_{part}_3dhp{'_ori' if labels == 'annot3' else ''}.npz"


def find_npz(root: str | None, part: Part, labels: Labels) -> Path | None:
    """The npz file of a part; None when there is none.

    Args:
        root: Folder of the data set; None looks where the environment says.
        part: Which part.
        labels: Which 3D labels.
    """
    places = (folder / npz_name(part, labels) for folder in search_folders(NAME, root))
    return next((place for place in places if place.is_file()), None)


def find_homes(root: str | None, takes: Iterable[str]) -> list[Home]:
    """Folders of the distributed sequences that are there.

    Each comes once, however many roots, folders or links lead to it: the first place counts.

    Args:
        root: Folder of the data set; None looks where the environment says.
        takes: Which, for example ``S1/Seq1`` and ``TS1``.
    """
    homes: list[Home] = []
    seen: set[Path] = set()
    for take in takes:
        subject, _, sequence = take.partition("/")
        inner, file = (("",), ANNOTATIONS) if sequence else (TEST_FOLDERS, TEST_ANNOTATIONS)
        for folder in search_folders(NAME, root):
            paths = [folder / place / take / file for place in inner]
            found = [p for p in paths if p.is_file() and p.resolve() not in seen]
            if found:
                seen.add(found[0].resolve())
                homes.append(Home(subject, sequence or take, found[0]))
                break
    return homes


def missing(root: str | None, part: Part, labels: Labels, take: str) -> MissingDataError:
    """The error of a sequence that is in neither form.

    Args:
        root: Folder of the data set; None looks where the environment says.
        part: Its part.
        labels: Which 3D labels are wanted.
        take: Which sequence.
    """
    file = TEST_ANNOTATIONS if part == "test" else ANNOTATIONS
    folders = search_folders(NAME, root)
    looked = " or ".join(map(str, folders)) or "any folder (set LIFTING_DATA or data.root)"
    return MissingDataError(
        f"expected {npz_name(part, labels)} or {take}/{file} of MPI-INF-3DHP, not found in "
        f"{looked}; download the data set from vcai.mpi-inf.mpg.de/3dhp-dataset after accepting "
        "its terms, or leave out in the data section what you do not have"
    )


def check_people(views: Sequence[View], path: Path) -> None:
    """Check that people have the size and the limbs of people.

    Args:
        views: Of one file.
        path: The file.

    Raises:
        UnitError: The poses are not in mm, or their joints are in the order of another skeleton.
    """
    labels = [v.joints if v.valid is None else v.joints[v.valid] for v in views]
    check_unit(labels, MPI_INF_3DHP_17, "mm", str(path))


def read_npz(path: Path) -> dict[str, object]:
    """Content of an npz file by sequence, as yet unchecked.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe or damaged.
    """
    return entries(read_object_npz(path, ("data",))["data"], f"data of {path}")


def npz_cameras(value: object, where: str) -> dict[str, object]:
    """Cameras of a training sequence, which stand first in a list of their own.

    Args:
        value: The sequence.
        where: Names it in the message.

    Raises:
        DataError: It is something else.
    """
    if not isinstance(value, dict):
        listed = items(value, where)
        value = listed[0] if listed else None
    by_camera = entries(value, where)
    for name in by_camera:
        if name not in CAMERAS:
            raise DataError(
                f"expected cameras by number in {where}, got '{name:.40}'; check that the file is "
                "of the described form"
            )
    return by_camera


def npz_view(take: str, camera: str, value: object, where: str) -> View:
    """One view of an npz file.

    Args:
        take: Its sequence, for example ``S1/Seq1`` or ``TS1``.
        camera: Its camera.
        value: Its arrays by name.
        where: Names it in the message.

    Raises:
        DataError: An array is absent, not finite, or of another form.
    """
    content = entries(value, where)
    joints, pixels = (
        numbers(entry(content, name, "array", where), f"{name}, {where}", (None, _JOINTS, size))
        for name, size in (("data_3d", 3), ("data_2d", (2, 3)))
    )
    flags = None
    if take in TEST_FRAMES:
        valid = entry(content, "valid", "array", where)
        flags = numbers(valid, f"valid in {where}", (len(joints),)) != 0
    subject, _, sequence = take.partition("/")
    joints, pixels = absolute_joints(joints, where), cut_to(pixels, len(joints), where)
    return View(subject, sequence or take, camera, joints, pixels, flags)


def read_npz_train(path: Path, subjects: Sequence[str], cameras: Sequence[str]) -> list[View]:
    """Training sequences of some subjects, by subject, sequence and camera.

    Args:
        path: The file.
        subjects: Which subjects; each has at least one sequence.
        cameras: Which cameras; empty for all.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe or damaged, or lacks a subject or a camera.
    """
    data = read_npz(path)
    odd = [name for name in data if name.replace(" ", "/") not in TRAIN_FRAMES]
    if odd:
        raise DataError(
            f"expected names such as 'S1 Seq1' in {path}, got '{odd[0]:.60}'; check that it is "
            "the training file"
        )
    views: list[View] = []
    for subject in subjects:
        found = [f"{subject} {s}" for s in SEQUENCES if f"{subject} {s}" in data]
        for name in found or [f"{subject} {SEQUENCES[0]}"]:
            where = f"data/{name} of {path}"
            value = entry(data, name, "subject", f"data of {path}")
            by_camera = npz_cameras(value, where)
            for camera in cameras or sorted(by_camera, key=int):
                one = entry(by_camera, camera, "camera", where)
                take = name.replace(" ", "/")
                views.append(npz_view(take, camera, one, f"camera {camera} in {where}"))
    check_people(views, path)
    return views


def read_npz_test(path: Path, sequences: Sequence[str]) -> list[View]:
    """Test sequences with the frames that count.

    Args:
        path: The file.
        sequences: Which; empty for all that are there, at least one.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe or damaged, or lacks a sequence.
    """
    data, where = read_npz(path), f"data of {path}"
    there = [name for name in TEST_SEQUENCES if name in data]
    views = [
        npz_view(name, name, entry(data, name, "sequence", where), f"data/{name} of {path}")
        for name in sequences or there or TEST_SEQUENCES[:1]
    ]
    check_people(views, path)
    return views


def absolute_joints(joints: Array, where: str) -> Array:
    """Camera coordinates of all joints.

    Loaders keep the pelvis as the person's trajectory and the other joints relative to it; a file
    saved in that state is recognised by joints that are nowhere near their pelvis.

    Args:
        joints: ``(frames, 17, 3)`` as read, mm.
        where: Names the array in the message.

    Raises:
        DataError: The poses are relative and there is no trajectory.
    """
    exact = joints.astype(np.float64)
    others, pelvis = np.delete(exact, _PELVIS, axis=1), exact[:, _PELVIS : _PELVIS + 1]
    reach = float(np.median(np.linalg.norm(others - pelvis, axis=-1)))
    size = float(np.median(np.linalg.norm(others, axis=-1)))
    if reach > _PERSON_MM and size <= _PERSON_MM:
        exact = exact + pelvis
        exact[:, _PELVIS : _PELVIS + 1] = joints[:, _PELVIS : _PELVIS + 1]
        return exact.astype(np.float32)
    if size <= _PERSON_MM and float(np.median(pelvis[..., 2])) <= 0:
        raise DataError(
            f"expected the pelvis of data_3d to be its place before the camera in {where}, got "
            "poses relative to it without a trajectory; use the published form"
        )
    return joints


def read_train_home(home: Home, cameras: Sequence[str], labels: Labels) -> list[View]:
    """One training sequence in some cameras.

    Args:
        home: Its folder.
        cameras: Which; empty for all 14.
        labels: Which 3D labels.

    Raises:
        DataError: The file is damaged, unsafe, or lacks a camera.
    """
    names = cameras or CAMERAS
    wanted = [f"{key}[{camera}]" for camera in names for key in ("annot2", labels)]
    arrays = read_mat(home.path, dict.fromkeys(wanted, 2))
    views = []
    for camera in names:
        joints = _joints(home.path, f"{labels}[{camera}]", arrays, 3)
        pixels = _joints(home.path, f"annot2[{camera}]", arrays, 2)
        if len(joints) != len(pixels):
            expected = f"as many 2D as 3D frames in camera {camera}"
            raise _malformed(home.path, expected, f"{len(pixels)}, {len(joints)}")
        views.append(View(home.subject, home.sequence, camera, joints, pixels))
    check_people(views, home.path)
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


def read_test_home(home: Home, labels: Labels) -> View:
    """One test sequence, with the frames that count.

    Args:
        home: Its folder.
        labels: Which 3D labels.

    Raises:
        DataError: The file is damaged, unsafe, or of another form.
    """
    arrays = read_mat(home.path, {"annot2": 4, labels: 4, "valid_frame": 2})
    valid = arrays["valid_frame"].reshape(-1) != 0
    joints, pixels = (
        _test_joints(home.path, name, arrays[name], len(valid), channels)
        for name, channels in ((labels, 3), ("annot2", 2))
    )
    if not valid.any():
        raise _malformed(home.path, "frames that are valid", f"none of {len(valid)}")
    view = View(home.subject, home.sequence, home.sequence, joints, pixels, valid)
    check_people([view], home.path)
    return view


def _test_joints(path: Path, name: str, values: Array, frames: int, channels: int) -> Array:
    """Frames first, whichever of the two formats, with opposite orders of axes, it came in."""
    shape = (frames, 1, _JOINTS, channels)
    if values.shape == shape[::-1]:
        values = values.transpose()
    if values.shape != shape or not np.isfinite(values).all():
        raise _malformed(path, f"finite '{name}' of shape {shape}", f"{values.shape}")
    return values[:, 0].astype(np.float32)


def read_calibration(path: Path) -> dict[str, Calibration]:
    """Cameras of a calibration text by name.

    Each camera begins with a line ``name``; the lines after it are keys with numbers.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no calibration, or a camera is incomplete or impossible.
    """
    check_file(path, _TEXT_BYTES, "a calibration", "it comes with each sequence of the data set")
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
    rotation: Array = outer[:3, :3]
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
