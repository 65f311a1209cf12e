"""The Acclaim format: a skeleton (ASF) with its forward kinematics, and its motion (AMC).

A bone has a direction and a length in the rest pose, its own axes C, and the angles it may turn
by. A frame's rotation M is given in those axes, so the world rotation is G = G_parent C M C^-1.

Source: forward kinematics of the Acclaim format; angles are turned about x first, then y, then
z, for an order written XYZ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lifting.data.mocap.captured import CapturedMotion, FloatArray
from lifting.data.mocap.lines import MAX_FRAMES, Line, read_lines
from lifting.errors import DataError, suggest

MM_PER_INCH = 25.4
MAX_BONES = 256
MAX_ASF_BYTES = 4 * 1024**2
ROOT = "root"
_IGNORED_BONE_WORDS = frozenset({"id", "limits", "bodymass", "cofmass"})
_ROOT_CHANNELS = ("tx", "ty", "tz", "rx", "ry", "rz")

AMC_FPS = 120.0


@dataclass(frozen=True)
class Bone:
    """One bone, or the root with length zero.

    Attributes:
        name: Name in the files.
        vector: ``(3,)`` from its start to its end in the rest pose, file units.
        order: Axis letters, the axis turned about first comes first.
        axes: ``(3,)`` angles of the bone's own axes, degrees, in the letters' order.
        channels: What a motion file gives for it, such as ``("rx", "rz")``.
    """

    name: str
    vector: tuple[float, float, float]
    order: str
    axes: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class AsfSkeleton:
    """A skeleton file.

    Attributes:
        path: The file.
        unit_mm: Millimetres in one file unit.
        degrees: Whether angles are in degrees.
        bones: The root first, a parent before its children.
        parents: Index of each bone's parent, -1 for the root.
        root_position: ``(3,)`` file units, added to the root's translation.
    """

    path: Path
    unit_mm: float
    degrees: bool
    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    root_position: tuple[float, float, float]


@dataclass
class _Draft:
    """Lines of a skeleton file by section, and what was read from them so far."""

    path: Path
    sections: dict[str, list[Line]] = field(default_factory=dict)

    def section(self, name: str) -> list[Line]:
        if not self.sections.get(name):
            raise DataError(
                f"{self.path}: expected a section ':{name}' with content, got "
                f"{', '.join(sorted(self.sections)) or 'none'}; the skeleton file is incomplete"
            )
        return self.sections[name]


def read_asf(path: Path) -> AsfSkeleton:
    """Read a skeleton file.

    Args:
        path: The ``.asf`` file.

    Raises:
        MissingDataError: There is no such file.
        DataError: A line is malformed (the message names it) or a section is missing.
    """
    draft = _Draft(path)
    current = ""
    for line in read_lines(path, MAX_ASF_BYTES):
        if line.words[0].startswith(":"):
            current = line.words[0][1:].lower()
            draft.sections.setdefault(current, [])
        elif current:
            draft.sections[current].append(line)
        else:
            raise line.bad("a section such as ':units'", line.words[0],
                           "check that this is an ASF file")  # fmt: skip
    unit_mm, degrees = _read_units(draft)
    root, position = _read_root(draft, degrees)
    bones = _read_bones(draft, degrees)
    ordered, parents = _read_hierarchy(draft, bones)
    return AsfSkeleton(path, unit_mm, degrees, (root, *ordered), parents, position)


def _read_units(draft: _Draft) -> tuple[float, bool]:
    """Millimetres a file unit (lengths are scaled inches) and whether angles are degrees."""
    scale, degrees = 0.0, True
    for line in draft.section("units"):
        word = line.words[0].lower()
        if word == "length":
            scale = line.numbers(line.words[1:], 1)[0]
            if not 1e-3 <= scale <= 1e3:
                raise line.bad("a length scale from 0.001 to 1000", scale,
                               "check the unit section")  # fmt: skip
        elif word == "angle":
            name = " ".join(line.words[1:]).lower()
            if name not in ("deg", "rad"):
                raise line.bad("angle deg or rad", name, "check the unit section")
            degrees = name == "deg"
    if not scale:
        raise DataError(f"{draft.path}: expected 'length' in ':units', got none; add the scale")
    return MM_PER_INCH / scale, degrees


def _read_root(draft: _Draft, degrees: bool) -> tuple[Bone, tuple[float, float, float]]:
    order, position, angles = "xyz", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    channels: tuple[str, ...] = ()
    for line in draft.section("root"):
        word = line.words[0].lower()
        if word == "order":
            channels = tuple(w.lower() for w in line.words[1:])
            if sorted(channels) != sorted(_ROOT_CHANNELS):
                raise line.bad("TX TY TZ RX RY RZ in some order", " ".join(line.words[1:]),
                               "check the root section")  # fmt: skip
        elif word == "axis":
            order = _read_order(line, line.words[1:])
        elif word == "position":
            position = _triple(line, line.words[1:])
        elif word == "orientation":
            angles = _triple(line, line.words[1:])
    if not channels:
        raise DataError(f"{draft.path}: expected 'order' in ':root', got none; add the channels")
    return Bone(ROOT, (0.0, 0.0, 0.0), order, _in_degrees(angles, degrees), channels), position


def _read_bones(draft: _Draft, degrees: bool) -> dict[str, Bone]:
    bones: dict[str, Bone] = {}
    block: dict[str, Line] | None = None
    for line in draft.section("bonedata"):
        word = line.words[0].lower()
        if word == "begin" and block is None:
            block = {"begin": line}
        elif word == "end" and block is not None:
            bone = _read_bone(block, degrees)
            if bone.name in bones or bone.name == ROOT:
                raise line.bad("a bone name once", bone.name, "rename one of the bones")
            bones[bone.name] = bone
            block = None
        elif block is not None and word in ("name", "direction", "length", "axis", "dof"):
            block[word] = line
        elif block is None or not (word in _IGNORED_BONE_WORDS or word.startswith("(")):
            raise line.bad("a bone's entry between begin and end", word, "check the bone data")
    if block is not None or not 1 <= len(bones) <= MAX_BONES:
        raise DataError(
            f"{draft.path}: expected 1 to {MAX_BONES} whole bones in ':bonedata', got {len(bones)}"
            f"{' and one without end' if block else ''}; the skeleton file is incomplete"
        )
    return bones


def _read_bone(block: Mapping[str, Line], degrees: bool) -> Bone:
    for word in ("name", "direction", "length", "axis"):
        if word not in block:
            raise block["begin"].bad(f"'{word}' in the bone that begins here",
                                     ", ".join(sorted(block)), "complete the bone")  # fmt: skip
    name, axis, along, size = (block[word] for word in ("name", "axis", "direction", "length"))
    if len(name.words) != 2:
        raise name.bad("name and one word", " ".join(name.words), "rename it")
    direction = np.array(_triple(along, along.words[1:]))
    if not 0.99 <= np.linalg.norm(direction) <= 1.01:
        raise along.bad("a direction of length one", direction, "check the bone data")
    length = size.numbers(size.words[1:], 1)[0]
    if length < 0:
        raise size.bad("a length of at least zero", length, "check the bone data")
    channels = tuple(word.lower() for word in block["dof"].words[1:]) if "dof" in block else ()
    if len(set(channels)) != len(channels) or not set(channels) <= {"rx", "ry", "rz"}:
        raise block["dof"].bad("dof among rx ry rz, each once", " ".join(channels),
                               "other channels are not supported")  # fmt: skip
    x, y, z = (direction * length).tolist()
    angles = _in_degrees(_triple(axis, axis.words[1:4]), degrees)
    order = _read_order(axis, axis.words[4:])
    return Bone(name.words[1], (x, y, z), order, angles, channels)


def _read_hierarchy(
    draft: _Draft, bones: Mapping[str, Bone]
) -> tuple[tuple[Bone, ...], tuple[int, ...]]:
    """Bones in the order of the tree with the indices of their parents, the root being 0."""
    index = {ROOT: 0}
    parents = [-1]
    for line in draft.section("hierarchy"):
        if line.words[0].lower() in ("begin", "end"):
            continue
        parent, *children = line.words
        for name in (parent, *children):
            if name != ROOT and name not in bones:
                raise line.bad("bones of the bone data", name, suggest(name, bones))
        if parent not in index:
            raise line.bad("a parent that was placed before", parent,
                           "list a bone below its own parent first")  # fmt: skip
        for child in children:
            if child in index:
                raise line.bad("every bone below one parent", child,
                               "remove one of the two places")  # fmt: skip
            index[child] = len(parents)
            parents.append(index[parent])
    loose = sorted(set(bones) - set(index))
    if loose:
        raise DataError(
            f"{draft.path}: expected every bone in ':hierarchy', got none for {loose[:5]}; "
            "the skeleton file is incomplete"
        )
    return tuple(bones[name] for name in index if name != ROOT), tuple(parents)


def _triple(line: Line, words: Sequence[str]) -> tuple[float, float, float]:
    x, y, z = line.numbers(words, 3)
    return x, y, z


def _in_degrees(angles: tuple[float, float, float], degrees: bool) -> tuple[float, float, float]:
    x, y, z = angles if degrees else np.rad2deg(angles).tolist()
    return x, y, z


def _read_order(line: Line, words: Sequence[str]) -> str:
    order = "".join(words).lower()
    if sorted(order) != ["x", "y", "z"]:
        raise line.bad("an axis order such as XYZ", order, "check the axis entry")
    return order


def forward_kinematics(
    skeleton: AsfSkeleton, values: FloatArray, path: Path, fps: float
) -> CapturedMotion:
    """Positions of all bone ends.

    Args:
        skeleton: The bones.
        values: ``(T, channels)``, the channels of all bones one after another, file units and
            degrees.
        path: File of the motion.
        fps: Frames a second; the format does not record it.

    Returns:
        One point a bone, its far end, file units, y up; the root's is the root itself.

    Source: G_b = G_parent C_b M_b C_b^-1, end = start + length G_b direction.
    """
    frames, count = len(values), len(skeleton.bones)
    positions, rotations = np.empty((frames, count, 3)), np.empty((frames, count, 3, 3))
    columns = iter(values.T)
    for i, (bone, parent) in enumerate(zip(skeleton.bones, skeleton.parents, strict=True)):
        given = {channel: next(columns) for channel in bone.channels}
        zero = np.zeros(frames)
        angles = np.stack([given.get(f"r{axis}", zero) for axis in bone.order], axis=-1)
        turn = Rotation.from_euler(bone.order, angles, degrees=True).as_matrix()
        own = Rotation.from_euler(bone.order, list(bone.axes), degrees=True)
        local = own.as_matrix() @ turn @ own.as_matrix().T
        if parent < 0:
            shift = np.stack([given[f"t{axis}"] for axis in "xyz"], axis=-1)
            rotations[:, i], positions[:, i] = local, shift + np.array(skeleton.root_position)
            continue
        rotations[:, i] = rotations[:, parent] @ local
        positions[:, i] = positions[:, parent] + rotations[:, i] @ np.array(bone.vector)
    return CapturedMotion(
        path=path, form="amc", names=tuple(bone.name for bone in skeleton.bones),
        positions=positions, rotations=rotations, fps=fps, unit_mm=skeleton.unit_mm, up="y",
        parents=skeleton.parents,
    )  # fmt: skip


def read_amc(path: Path, skeleton: AsfSkeleton, fps: float = AMC_FPS) -> CapturedMotion:
    """Read a motion file and place the bones.

    Args:
        path: The ``.amc`` file.
        skeleton: The bones it moves.
        fps: Frames a second; the format does not record it, the CMU database has 120.

    Returns:
        One point a bone, its far end, file units, y up.

    Raises:
        MissingDataError: There is no such file.
        DataError: A line is malformed, a bone is unknown, or a frame is incomplete.
    """
    return forward_kinematics(skeleton, read_channels(path, skeleton), path, fps)


def read_channels(path: Path, skeleton: AsfSkeleton) -> FloatArray:
    """Channel values of every frame.

    Args:
        path: The ``.amc`` file.
        skeleton: The bones it moves.

    Returns:
        ``(T, channels)``, the channels of all bones one after another, file units and degrees.

    Raises:
        MissingDataError: There is no such file.
        DataError: A line is malformed, a bone is unknown, or a frame is incomplete.
    """
    reader = _Frames(path, skeleton)
    for line in read_lines(path):
        word = line.words[0]
        if word.startswith(":"):
            reader.read_keyword(word)
        elif len(line.words) == 1 and word.isascii() and word.isdigit():
            reader.start_frame(line)
        else:
            reader.read_bone(line)
    return reader.finish()


class _Frames:
    """Frames of one file; a frame must name every bone that has channels, once."""

    def __init__(self, path: Path, skeleton: AsfSkeleton) -> None:
        self.path = path
        self.degrees = skeleton.degrees
        self.columns: dict[str, slice] = {}
        self.angular: list[bool] = []
        for bone in skeleton.bones:
            if bone.channels:
                start = len(self.angular)
                self.angular.extend(channel.startswith("r") for channel in bone.channels)
                self.columns[bone.name] = slice(start, len(self.angular))
        self.rows: list[list[float]] = []
        self.seen: set[str] = set()
        self.last = Line(path, 0, ["0"])

    def read_keyword(self, word: str) -> None:
        """Take the unit of angles from the header; other keywords say nothing needed."""
        if word.lower() in (":degrees", ":radians"):
            self.degrees = word.lower() == ":degrees"

    def start_frame(self, line: Line) -> None:
        """Begin a frame; its number must follow the one before."""
        self._check_complete()
        before, now = int(self.last.words[0]), int(line.words[0][:12])
        if self.rows and now != before + 1:
            raise line.bad(f"frame {before + 1}", now, "frames are missing or out of order")
        if len(self.rows) >= MAX_FRAMES:
            raise line.bad(f"at most {MAX_FRAMES} frames", now, "cut the recording")
        self.last = line
        self.seen.clear()
        self.rows.append([0.0] * len(self.angular))

    def read_bone(self, line: Line) -> None:
        """Take the values of one bone of the current frame."""
        name, *words = line.words
        if not self.rows:
            raise line.bad("a frame number first", name, "check that this is an AMC file")
        if name not in self.columns:
            raise line.bad("a bone with channels", name, suggest(name, self.columns))
        if name in self.seen:
            raise line.bad("each bone once a frame", name, "remove the second entry")
        self.seen.add(name)
        columns = self.columns[name]
        width = columns.stop - columns.start
        self.rows[-1][columns] = line.numbers(words, width)

    def finish(self) -> FloatArray:
        """The values of all frames, angles in degrees."""
        if not self.rows:
            raise DataError(f"{self.path}: expected frames, got none; the file is empty or cut")
        self._check_complete()
        values = np.array(self.rows, dtype=np.float64)
        if not self.degrees:
            values = np.where(self.angular, np.rad2deg(values), values)
        return values

    def _check_complete(self) -> None:
        missing = [name for name in self.columns if name not in self.seen]
        if self.rows and missing:
            raise self.last.bad("every bone in the frame that begins here",
                f"no {', '.join(missing[:3])}", "the file is truncated or of another skeleton",
            )  # fmt: skip
