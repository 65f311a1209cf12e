"""easy_ViTPose: people of every frame by number, with y before x, and the names of the joints."""

from __future__ import annotations

from pathlib import Path

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.json_file import as_list, as_table, shown


def read(source: Source) -> Sightings:
    """Sightings of a video or image.

    Args:
        source: ``{"keypoints": [{"0": [[y, x, c], ...]}, {}, ...], "skeleton": {"0": "nose"}}``:
            a frame is an object of people by number, an empty one where nobody was seen.

    Raises:
        DataError: A frame or person is not of that form, or has not the named joints.
    """
    path = source.path
    content = as_table(path, source.content, "it")
    words = as_table(path, content.get("skeleton"), "'skeleton'")
    names = tuple(str(words[key]) for key in sorted(words, key=natural_key))
    frames = as_list(path, content.get("keypoints"), "'keypoints'")
    people = [
        Sighting(i, _joints(path, joints, len(names), where), track=int(number))
        for i, frame in enumerate(frames)
        for number, joints in as_table(path, frame, f"frame {i}").items()
        for where in (_place(path, i, number),)
    ]
    return Sightings("easy-vitpose", [str(i) for i in range(len(frames))], people, named=names)


def _place(path: Path, frame: int, number: str) -> str:
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise DataError(
            f"expected people by number in frame {frame} of {path}, got {shown(number)}; "
            "write the file again with easy_ViTPose"
        )
    return f"frame {frame}, person {number}"


def _joints(path: Path, value: object, count: int, where: str) -> list[object]:
    """x, y and confidence of each joint, one after another."""
    joints = as_list(path, value, where)
    if len(joints) != count:
        raise DataError(
            f"expected the {count} joints that 'skeleton' names in {path} ({where}), got "
            f"{len(joints)}; write the file again with easy_ViTPose"
        )
    flat: list[object] = []
    for joint in joints:
        if not isinstance(joint, list) or len(joint) != 3:
            raise DataError(
                f"expected y, x and confidence of every joint in {path} ({where}), got "
                f"{shown(joint)}; write the file again with easy_ViTPose"
            )
        flat += (joint[1], joint[0], joint[2])
    return flat


def _sees(source: Source) -> bool:
    content = source.content
    if source.is_folder or not isinstance(content, dict):
        return False
    frames, names = content.get("keypoints"), content.get("skeleton")
    by_number = isinstance(frames, list) and all(isinstance(frame, dict) for frame in frames[:9])
    return by_number and isinstance(names, dict)


DIALECTS = (
    Dialect(
        name="easy-vitpose",
        title="easy_ViTPose results",
        kinds=("json",),
        keys=("keypoints", "skeleton"),
        sees=_sees,
        read=read,
    ),
)
