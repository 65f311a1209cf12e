"""AMC: the motion of the Acclaim format, read for a skeleton of an ASF file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lifting.data.mocap.asf import AsfSkeleton, forward_kinematics
from lifting.data.mocap.captured import CapturedMotion, FloatArray
from lifting.data.mocap.lines import MAX_FRAMES, Line, read_lines
from lifting.errors import DataError, suggest

AMC_FPS = 120.0


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
