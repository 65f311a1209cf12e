"""What files of objects have alike: people by frame, and the numbers of their joints."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lifting.data.keypoints.plausibility import FloatArray
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_number, as_table, shown

AGAIN = "write the file again with the detector's own export"
SURE = 1.2
"""Largest confidence: those of heatmaps exceed 1 slightly."""


def place(frame: str, person: int) -> str:
    """Frame and person, for messages."""
    return f"frame {frame if len(frame) <= 80 else frame[:77] + '...'}, person {person}"


def everyone(
    path: Path, frames: Mapping[str, object]
) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Index of the frame, place in words and object of every person.

    Args:
        path: The file, for messages.
        frames: List of people of each frame by name, in order.

    Raises:
        DataError: A frame is no list, or a person no object.
    """
    for i, (name, people) in enumerate(frames.items()):
        for k, person in enumerate(as_list(path, people, f"frame {name[:80]}")):
            yield i, place(name, k), as_table(path, person, place(name, k))


def points_of(path: Path, value: object, count: int, where: str) -> list[list[Any]]:
    """Lists of so many numbers, a joint each.

    Args:
        path: The file, for messages.
        value: What the file holds.
        count: Two, or three with confidences.
        where: Whose they are.

    Raises:
        DataError: It is something else.
    """
    what = f"'keypoints' ({where})"
    points = [as_list(path, point, f"a point of {what}") for point in as_list(path, value, what)]
    wrong = next((point for point in points if len(point) != count), None)
    if wrong is not None:
        wanted = "pairs x, y" if count == 2 else "two places and a confidence of every joint"
        raise DataError(
            f"expected {wanted} as keypoints in {path} ({where}), got {shown(wrong)}; give the 2D "
            "keypoints, not those of a 3D estimator"
        )
    return points


def interleaved(
    path: Path, where: str, x: list[Any], y: list[Any], sure: list[Any]
) -> list[object]:
    """x, y and confidence of each joint, one after another.

    Args:
        path: The file, for messages.
        where: Whose they are.
        x: Of all joints.
        y: Likewise.
        sure: Likewise.

    Raises:
        DataError: They are not as many.
    """
    if not len(x) == len(y) == len(sure):
        joints = " or ".join(map(str, dict.fromkeys((len(x), len(y)))))
        raise DataError(
            f"expected as many x as y and scores in {path} ({where}), got {joints} keypoints and "
            f"{len(sure)} scores; {AGAIN}"
        )
    return list(chain.from_iterable(zip(x, y, sure, strict=True)))


def as_numbers(path: Path, values: list[Any], what: str) -> FloatArray:
    """Numbers as an array; one that is null is NaN.

    Args:
        path: The file, for messages.
        values: What the file holds.
        what: What one of them is called in the message.

    Raises:
        DataError: One is something else.
    """
    try:
        flat = array("d", values)  # at once where they are numbers, else one by one
    except (TypeError, OverflowError):
        flat = array("d", [np.nan if v is None else as_number(path, v, what) for v in values])
    return np.frombuffer(flat, dtype=np.float64).copy() if flat else np.empty(0)


def sizes_of(
    path: Path, images: Iterable[dict[str, Any]], keys: tuple[str, str]
) -> list[tuple[float, float]]:
    """Width and height of each image.

    Args:
        path: The file, for messages.
        images: Objects with width and height.
        keys: Their names.

    Raises:
        DataError: One is no number.
    """
    width, height = keys
    return [
        (as_number(path, image.get(width), f"'{width}' of image {i}"),
         as_number(path, image.get(height), f"'{height}' of image {i}"))
        for i, image in enumerate(images)
    ]  # fmt: skip


def left_out(count: int, what: str) -> tuple[str, ...]:
    """The note that others than people are left out, where there are any."""
    return (f"left out, no persons: {count} {what}",) if count else ()
