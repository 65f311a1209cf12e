"""BVH: hierarchy and motion in one file, and its forward kinematics.

A joint's local transform is its offset (or its position channels, which replace the offset)
followed by its rotations multiplied in the order in which they are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lifting.data.mocap.captured import CapturedMotion, FloatArray, whole_rate
from lifting.data.mocap.lines import MAX_FRAMES, Line, read_lines
from lifting.errors import DataError

MAX_NODES = 1024
MAX_VALUES = 200_000_000
_CHANNELS = frozenset(f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation"))


@dataclass
class Node:
    """A joint or an end site.

    Attributes:
        name: Joint name without a name-space prefix; an end site has its joint's with ``/end``.
        parent: Index of the parent, -1 for a root.
        offset: ``(3,)`` from the parent, file units.
        channels: Lower-case names in the order of the file.
    """

    name: str
    parent: int
    offset: tuple[float, float, float] | None = None
    channels: tuple[str, ...] = ()


@dataclass
class _Hierarchy:
    nodes: list[Node] = field(default_factory=list)
    stack: list[int] = field(default_factory=list)
    pending: Node | None = None

    def take(self, line: Line) -> None:
        """Read one line of the hierarchy."""
        word = line.words[0].upper()
        if word in ("ROOT", "JOINT", "END"):
            self._open(line, word)
        elif word == "{" and self.pending is not None:
            self.nodes.append(self.pending)
            self.stack.append(len(self.nodes) - 1)
            self.pending = None
        elif word == "}" and self.stack and self.pending is None:
            if self.nodes[self.stack.pop()].offset is None:
                raise self._bad(line, "an OFFSET in the joint that ends here", "none")
        elif word == "OFFSET" and self.stack and self.pending is None:
            x, y, z = line.numbers(line.words[1:], 3)
            self.nodes[self.stack[-1]].offset = (x, y, z)
        elif word == "CHANNELS" and self.stack and self.pending is None:
            self.nodes[self.stack[-1]].channels = self._channels(line)
        else:
            raise self._bad(line, "an entry of the hierarchy at its place", line.words[0])

    def _open(self, line: Line, word: str) -> None:
        if (
            self.pending is not None
            or (word == "ROOT") == bool(self.stack)
            or (len(line.words) < 2 or len(self.nodes) >= MAX_NODES)
        ):
            raise self._bad(line, "ROOT outside, JOINT or End Site inside a joint, "
                                  f"{MAX_NODES} at most", " ".join(line.words))  # fmt: skip
        parent = self.stack[-1] if self.stack else -1
        name = f"{self.nodes[parent].name}/end" if word == "END" else line.words[-1].split(":")[-1]
        if any(node.name == name for node in self.nodes):
            raise self._bad(line, "a joint name once", name)
        self.pending = Node(name, parent)

    def _channels(self, line: Line) -> tuple[str, ...]:
        names = tuple(word.lower() for word in line.words[2:])
        count = line.words[1] if len(line.words) > 1 else ""
        turns = [name[0] for name in names if name.endswith("rotation")]
        shifts = [name for name in names if name.endswith("position")]
        if (
            count != str(len(names))
            or not _CHANNELS.issuperset(names)
            or len(set(names)) != len(names)
            or len(turns) not in (0, 1, 3)
            or len(shifts) not in (0, 3)
        ):
            raise self._bad(line, "CHANNELS, their count, and 3 positions or none, 3 rotations, "
                                  "1 or none", " ".join(line.words[1:]))  # fmt: skip
        return names

    def _bad(self, line: Line, expected: str, found: str) -> DataError:
        return line.bad(expected, found, "check the hierarchy")

    def finish(self, line: Line) -> tuple[Node, ...]:
        """The nodes, once MOTION was reached."""
        if self.stack or self.pending is not None or not any(n.channels for n in self.nodes):
            raise self._bad(line, "a closed hierarchy with channels before MOTION",
                            f"{len(self.stack)} open joints")  # fmt: skip
        return tuple(self.nodes)


def read_bvh(path: Path) -> CapturedMotion:
    """Read a file and place its joints.

    Args:
        path: The ``.bvh`` file.

    Returns:
        One point a joint and an end site, file units and axes.

    Raises:
        MissingDataError: There is no such file.
        DataError: A line is malformed, a number of channels is wrong, or frames are missing.
    """
    lines = read_lines(path)
    nodes = _read_hierarchy(path, lines)
    count = int(_header(path, lines, ("FRAMES:",), 1, MAX_FRAMES))
    seconds = _header(path, lines, ("FRAME", "TIME:"), 1e-4, 1.0)
    channels = sum(len(node.channels) for node in nodes)
    if count * channels > MAX_VALUES:
        raise DataError(
            f"{path}: expected at most {MAX_VALUES} values, got {count} frames of {channels}; "
            "cut the recording"
        )
    rows: list[FloatArray] = []
    for line in lines:
        if len(rows) == count:
            raise line.bad(f"the end after {count} frames", line.words[0], "correct 'Frames:'")
        rows.append(np.array(line.numbers(line.words, channels)))
    if len(rows) != count:
        raise DataError(
            f"{path}: expected {count} frames, got {len(rows)}; the file is truncated: "
            "download it again or correct 'Frames:'"
        )
    return _place(path, nodes, np.stack(rows), whole_rate(1 / seconds))


def _read_hierarchy(path: Path, lines: Iterator[Line]) -> tuple[Node, ...]:
    first = next(lines, Line(path, 1, [""]))
    if first.words[0].upper() != "HIERARCHY":
        raise first.bad("HIERARCHY", first.words[0], "check that this is a BVH file")
    hierarchy = _Hierarchy()
    for line in lines:
        if line.words[0].upper() == "MOTION":
            return hierarchy.finish(line)
        hierarchy.take(line)
    raise DataError(f"{path}: expected a MOTION section, got none; the file is truncated")


def _header(
    path: Path, lines: Iterator[Line], words: tuple[str, ...], low: float, high: float
) -> float:
    line = next(lines, None)
    if line is None:
        raise DataError(
            f"{path}: expected '{' '.join(words)}' and a number, got the end of the file; "
            "it is truncated: download it again"
        )
    if tuple(word.upper() for word in line.words[: len(words)]) != words:
        raise line.bad(f"'{' '.join(words)}' and a number", " ".join(line.words[:3]),
                       "check the motion section")  # fmt: skip
    value = line.numbers(line.words[len(words) :], 1)[0]
    if not low <= value <= high or (words == ("FRAMES:",) and value != int(value)):
        raise line.bad(f"{' '.join(words)} from {low:g} to {high:g}", value,
                       "check the motion section")  # fmt: skip
    return value


def _place(path: Path, nodes: tuple[Node, ...], values: FloatArray, fps: float) -> CapturedMotion:
    """Forward kinematics, all frames at once."""
    frames = len(values)
    positions = np.empty((frames, len(nodes), 3))
    rotations = np.empty((frames, len(nodes), 3, 3))
    columns = iter(values.T)
    for i, node in enumerate(nodes):
        given = {channel: next(columns) for channel in node.channels}
        shift: FloatArray = np.broadcast_to(np.array(node.offset), (frames, 3))
        if "xposition" in given:
            shift = np.stack([given[f"{axis}position"] for axis in "xyz"], axis=-1)
        local = _local_rotation(given, frames)
        if node.parent < 0:
            positions[:, i], rotations[:, i] = shift, local
            continue
        turned = rotations[:, node.parent]
        positions[:, i] = positions[:, node.parent] + (turned @ shift[..., None])[..., 0]
        rotations[:, i] = turned @ local
    return CapturedMotion(
        path=path, form="bvh", names=tuple(node.name for node in nodes),
        positions=positions, rotations=rotations, fps=fps, unit_mm=None, up=None,
        parents=tuple(node.parent for node in nodes),
    )  # fmt: skip


def _local_rotation(given: dict[str, FloatArray], frames: int) -> FloatArray:
    order = "".join(name[0] for name in given if name.endswith("rotation"))
    if not order:
        return np.broadcast_to(np.eye(3), (frames, 3, 3))
    angles = np.stack([given[f"{axis}rotation"] for axis in order], axis=-1)
    return Rotation.from_euler(order.upper(), angles, degrees=True).as_matrix()
