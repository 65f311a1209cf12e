"""Entries and files that bear the number or the name of their frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import shown

_LARGEST = 10**15
_MOST_NAMED = 6
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


def each_once(
    path: Path, numbered: Iterable[tuple[object, object]], key: str
) -> dict[str, object]:
    """Frames by number, in order.

    Args:
        path: The file, for messages.
        numbered: Number and content of each frame.
        key: What the file calls the number.

    Raises:
        DataError: A number is none, or comes twice.
    """
    found: dict[str, object] = {}
    for i, (number, content) in enumerate(numbered):
        whole = isinstance(number, int) and not isinstance(number, bool) and number >= 0
        if not whole or str(number) in found:
            again = " twice" if whole else ""
            raise DataError(
                f"expected a whole number as '{key}' of frame {i} of {path}, each once, got {key} "
                f"{shown(number)}{again}; give the file of one video, written by one run"
            )
        found[str(number)] = content
    return {name: found[name] for name in sorted(found, key=natural_key)}


def frames_of_folder(source: Source) -> dict[str, Any]:
    """Content of the files of a folder by their names without endings, in order.

    Args:
        source: A folder.

    Raises:
        DataError: They are of several videos.
    """
    contents = {file.stem: content for file, content in source.each()}
    check_one_video(source.path, list(contents))
    return contents


def check_one_list(path: Path, names: Sequence[str]) -> None:
    """Check that names of pictures in a list are of one video, as far as they tell.

    Args:
        path: The file, for messages.
        names: Of the pictures. Where most differ in more than a number, nothing is told.

    Raises:
        DataError: There are several videos.
    """
    if len(_videos(names)) <= len(names) / 2:
        check_one_video(path, names)


def refuse_several(path: Path, videos: Sequence[str]) -> None:
    """Refuse more than one video.

    Args:
        path: The file or folder, for messages.
        videos: Their names.

    Raises:
        DataError: There are several.
    """
    if len(videos) > 1:
        more = ", ..." if len(videos) > _MOST_NAMED else ""
        raise DataError(
            f"expected the frames of one video in {path}, got {len(videos)}: "
            f"{', '.join(video[-40:] for video in videos[:_MOST_NAMED])}{more}; "
            "keep each video in a file or folder of its own"
        )


def _videos(names: Sequence[str]) -> list[str]:
    return sorted({_LAST_NUMBER.sub("*", name) for name in names})


def check_one_video(path: Path, names: Sequence[str]) -> None:
    """Check that the names of files differ in their last number only, and each has its own.

    Args:
        path: The folder, for messages.
        names: Without endings.

    Raises:
        DataError: There are several videos.
    """
    refuse_several(path, _videos(names))
    of_number: dict[int, str] = {}
    for name in names:
        match = _LAST_NUMBER.search(name)
        other = of_number.setdefault(int(match[0]), name) if match else name
        if other != name:
            raise DataError(
                f"expected one file for every frame in {path}, got {other[:80]} and {name[:80]} "
                "with the same number; put each video's files into a folder of its own"
            )
