"""easy_ViTPose: people of every frame by number, with y before x, and the names of the joints."""

from __future__ import annotations

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.entries import AGAIN, interleaved, points_of
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
    words = as_table(path, source.content["skeleton"], "'skeleton'")
    names = tuple(str(words[key]) for key in sorted(words, key=natural_key))
    frames = as_list(path, source.content["keypoints"], "'keypoints'")
    people: list[Sighting] = []
    for i, frame in enumerate(frames):
        for number, value in as_table(path, frame, f"frame {i}").items():
            where = f"frame {i}, person {number[:20]}"
            points = points_of(path, value, 3, where)
            known = number.isascii() and number.isdigit() and len(number) < 16
            if not known or len(points) != len(names):
                raise DataError(
                    f"expected people by number, of the {len(names)} joints that 'skeleton' "
                    f"names, in {path}, got {len(points)} of {shown(number)} in frame {i}; {AGAIN}"
                )
            y, x, sure = ([point[axis] for point in points] for axis in range(3))
            joints = interleaved(path, where, x, y, sure)
            people.append(Sighting(i, joints, track=int(number)))
    return Sightings("easy-vitpose", [str(i) for i in range(len(frames))], people, named=names)


def _sees(source: Source) -> bool:
    if source.is_folder or not isinstance(source.content, dict):
        return False
    frames, names = source.content.get("keypoints"), source.content.get("skeleton")
    by_number = isinstance(frames, list) and all(isinstance(frame, dict) for frame in frames[:9])
    return by_number and isinstance(names, dict)


DIALECTS = (
    Dialect("easy-vitpose", "easy_ViTPose results", ("json",), ("keypoints", "skeleton"), _sees,
            read),
)  # fmt: skip
