"""Entries of a file that bear the number or the name of their frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import shown

_LARGEST = 10**15
_LAST_NUMBER = re.compile(r"[0-9]+(?=[^0-9]*$)")


def frame_name(path: Path, value: object, what: str) -> str:
    """Number or name of a frame, as text.

    Args:
        path: The file, for messages.
        value: What the file holds.
        what: What it is called in the message.

    Raises:
        DataError: It is neither a name nor a whole number from 0.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
    if not whole and not (isinstance(value, str) and value):
        raise DataError(
            f"expected a number from 0 or a name as {what} of {path}, got {shown(value)}; "
            "number the frames of the video"
        )
    return str(value)


def in_order(path: Path, names: Sequence[str]) -> tuple[list[str], list[int]]:
    """Names of the frames in order of the video, and the index of the frame of every entry.

    Args:
        path: The file, for messages.
        names: Of the frame of each entry; several people of a frame follow one another.

    Raises:
        DataError: A frame comes again after another one, as where two videos are in a file.
    """
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in seen and names[i - 1] != name:
            raise DataError(
                f"expected the people of a frame one after another in {path}, got frame "
                f"{name[:80]} again after frame {names[i - 1][:80]}; give the file of one video"
            )
        seen[name] = i
    frames = sorted(seen, key=natural_key)
    index = {name: i for i, name in enumerate(frames)}
    return frames, [index[name] for name in names]


def check_one_video(path: Path, names: Sequence[str]) -> None:
    """Check that the names of files differ in their last number only.

    Args:
        path: The folder, for messages.
        names: Without endings.

    Raises:
        DataError: There are several videos.
    """
    videos = sorted({_LAST_NUMBER.sub("#", name) for name in names})
    if len(videos) > 1:
        raise DataError(
            f"expected files of one video in {path}, whose names differ in their last number "
            f"only, got {len(videos)} videos, {videos[0][:40]!r} and {videos[1][:40]!r} "
            "among them; put each video's files into a folder of its own"
        )
