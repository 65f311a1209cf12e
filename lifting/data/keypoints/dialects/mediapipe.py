"""MediaPipe landmarks, which the library has no file format for: lists that users write.

Positions are parts of the image's width and height, and visibility is the confidence. Depth is
not metric and is left alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings, one_person
from lifting.data.keypoints.source import Source, first_entry
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown
from lifting.files.npz import read_plain_npz

KEYS = ("landmarks", "pose_landmarks", "poseLandmarks")
SET = "mediapipe33"


def read_landmarks(path: Path, content: object) -> Sightings:
    """Sightings of a list with an entry a frame.

    Args:
        path: The file, for messages.
        content: List of ``{"landmarks": [...]}`` (or ``pose_landmarks``), each with 33
            ``{"x", "y", "visibility"}`` or ``[x, y, z, visibility]``, or a list of those for
            several people; null or an empty list when nobody was seen.

    Raises:
        DataError: A frame is not of that form.
    """
    people: list[Sighting] = []
    entries = as_list(path, content, "it")
    for i, entry in enumerate(entries):
        value = None
        if entry is not None:
            frame = as_table(path, entry, f"frame {i}")
            value = next((frame[key] for key in KEYS if key in frame), None)
        found = [] if value is None else as_list(path, value, f"'landmarks' of frame {i}")
        for person in found if _is_group(found) else [found] if found else []:
            joints = as_list(path, person, f"landmarks of frame {i}")
            people.append(Sighting(i, _interleaved(path, joints, f"frame {i}")))
    frames = [str(i) for i in range(len(entries))]
    return Sightings("mediapipe", frames, people, relative=True, prescribed=SET)


def read_npz(source: Source) -> Sightings:
    """Landmarks of one person from an npz file.

    Args:
        source: File with ``landmarks (frames, 33, 2..5)``: x, y, z, visibility, presence; without
            visibility (up to three columns) every joint counts as seen. A frame of NaN has nobody.

    Raises:
        DataError: The array is absent or of another form.
    """
    path = source.path
    values = read_plain_npz(path, {"landmarks": ("number", 3)}, source.size.bytes)["landmarks"]
    frames, joints, columns = values.shape
    if not 2 <= columns <= 5 or not values.size:
        raise DataError(
            f"expected 'landmarks' of {path} of shape (frames, 33, 2 to 5), got {values.shape}; "
            "give x, y, z, visibility of every landmark"
        )
    confidence = values[..., 3] if columns > 3 else np.ones((frames, joints))
    table = np.stack((values[..., 0], values[..., 1], confidence), axis=-1).astype(np.float64)
    return one_person("mediapipe", table, relative=True, prescribed=SET)


def _is_group(found: list[object]) -> bool:
    """Whether a list holds people rather than landmarks: its items hold lists or objects."""
    return bool(found) and all(
        isinstance(item, list) and (not item or isinstance(item[0], list | dict)) for item in found
    )


def _interleaved(path: Path, joints: list[object], where: str) -> list[object]:
    """x, y and visibility of each landmark, one after another."""
    flat: list[object] = []
    for joint in joints:
        if isinstance(joint, dict) and "x" in joint and "y" in joint:
            flat += (joint["x"], joint["y"], joint.get("visibility", 1.0))
        elif isinstance(joint, list) and len(joint) == 4:
            flat += (joint[0], joint[1], joint[3])
        else:
            raise DataError(
                f"expected a landmark as x, y, z, visibility in {path} ({where}), got "
                f"{shown(joint)}; write the landmarks of the image, not of the world"
            )
    return flat


def _sees(source: Source) -> bool:
    return bool(set(KEYS) & set(first_entry(source.content)))


def _read(source: Source) -> Sightings:
    content = source.content
    return read_landmarks(source.path, content if isinstance(content, list) else [content])


DIALECTS = (
    Dialect(
        name="mediapipe",
        title="MediaPipe landmarks",
        kinds=("json",),
        keys=("landmarks", "x", "y", "visibility"),
        sees=_sees,
        read=_read,
    ),
    Dialect(
        name="mediapipe-npz",
        title="MediaPipe landmarks in an npz",
        kinds=("npz",),
        keys=("landmarks",),
        sees=lambda source: "landmarks" in source.keys and "keypoints_2d" not in source.keys,
        read=read_npz,
    ),
)
